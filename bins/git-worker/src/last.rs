//! The last word about a job: its end in the record, also on a full disk.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::Duration;

use rustix::fs::FallocateFlags;
use rustix::process::WaitStatus;
use serde_json::json;
use shared::{clock, durable};

use crate::cause::{Cause, End};
use crate::job::{self, Job};
use crate::record::{Exit, Record, State};
use crate::supervise::Held;
use crate::{commit, index, link, live, pause, telemetry};

/// Room that is taken while there is some, for the day when there is none.
pub(crate) const SPARE: &str = ".spare";
const SPARE_MORE: u64 = 8 * 1024;

/// Records how the job ended, after its work was committed where that is asked for.
pub(crate) fn word(held: &mut Held, end: End) {
    held.capture.close();
    let (logged, dropped) = held.capture.counts();
    let record = &mut held.record;
    record.bytes_logged = logged;
    record.bytes_dropped = dropped;
    record.redactions = held.capture.redactions();
    record.left_over = end.left_over;
    record.exit = end.status.map(exit);
    record.by = end.cause.as_ref().map(Cause::by);
    (record.run.parsed, record.run.unparsed) = held.capture.lines();
    let mut kind = None;
    (record.state, record.reason) = match (&end.cause, &held.told) {
        (None, Some(told)) => {
            let (state, reason, told_kind) = told.verdict(record.exit, held.capture.complaint());
            kind = told_kind;
            (state, reason.map(|reason| held.secrets.clean_text(&reason)))
        }
        (Some(Cause::Hopeless { kind: told_kind, .. }), _) => {
            kind = Some(*told_kind);
            verdict(&end)
        }
        _ => verdict(&end),
    };
    record.error_kind = kind.map(|kind| kind.to_string());
    if let Some(told) = &held.told {
        told.report(record);
        told.keep_message(&held.job, &held.secrets);
    }
    if end.undead > 0 {
        let undead = format!("{} processes could not be ended", end.undead);
        record.reason = Some(record.reason.take().map_or(undead.clone(), |reason| format!("{reason}; {undead}")));
    }
    if matches!(end.cause, Some(Cause::Unrecorded)) {
        record.reason = Some("its start could not be recorded".to_owned());
    }
    let recorded = !matches!(end.cause, Some(Cause::Unrecorded));
    let mut keeper = held.keeper.take().filter(|_| recorded);
    if let Some(keeper) = &mut keeper {
        keeper.take_last(&held.job, record.state.as_str());
    }
    commit::work(record);
    record.commit_problem = record.commit_problem.take().map(|problem| held.secrets.clean_text(&problem));
    record.error_kind = record.error_kind.take().or_else(|| pause::kind_of_error(&held.job, record));
    record.ended = Some(clock::now());
    save(&held.job, &held.record);
    let record = &held.record;
    pause::note(&held.job, record);
    held.events.add("ended", json!({ "state": record.state, "reason": record.reason, "exit": record.exit }));
    note(&held.job, &held.record);
    if let Some(keeper) = &mut keeper {
        keeper.finish();
    }
    for folder in held.job.folder().ancestors().skip(1).take(3) {
        let _ = durable::sync_folder(folder);
    }
}

/// Takes room for the last word, so that the log cannot use it up.
pub(crate) fn reserve(job: &Job, record: &Record) {
    let Ok(bytes) = record.to_bytes() else { return };
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(job.path(SPARE));
    if let Ok(file) = file {
        let _ = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes.len() as u64 + SPARE_MORE);
    }
}

/// Writes the record, if need be into the room that was reserved, and does not give up at once.
pub(crate) fn save(job: &Job, record: &Record) {
    let path = job.path(job::RECORD);
    for _ in 0..60 {
        if record.save(&path).is_ok() || save_in_spare(job, record).is_ok() {
            break;
        }
        shorten_log(job);
        // Nobody is left to tell; without a last word the job would be lost.
        thread::sleep(Duration::from_secs(1));
    }
    for file in [SPARE, job::RUNNING] {
        let _ = link::remove(&job.path(file));
    }
}

/// The end of the log is worth less than the end of the job.
fn shorten_log(job: &Job) {
    let log = OpenOptions::new().write(true).open(job.path(job::LOG));
    let Ok((log, facts)) = log.and_then(|log| log.metadata().map(|facts| (log, facts))) else { return };
    let _ = log.set_len(facts.len().saturating_sub(2 * SPARE_MORE));
}

fn save_in_spare(job: &Job, record: &Record) -> anyhow::Result<()> {
    let spare = job.path(SPARE);
    let bytes = record.to_bytes()?;
    let mut file = OpenOptions::new().write(true).open(&spare)?;
    file.write_all(&bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()?;
    fs::rename(&spare, job.path(job::RECORD))?;
    let _ = durable::sync_folder(job.folder());
    Ok(())
}

/// Puts the job among those that have ended, and takes it off the list of the living.
pub(crate) fn note(job: &Job, record: &Record) {
    let repository = job.repository();
    index::add(&repository, job, record);
    live::remove(&repository, job);
    telemetry::note(job, record, telemetry::END);
}

fn verdict(end: &End) -> (State, Option<String>) {
    let exit = end.status.map(exit);
    match (&end.cause, exit) {
        (Some(Cause::Asked { .. }), _) => (State::Stopped, Some("asked".to_owned())),
        (Some(Cause::TimedOut { reason }), _) => (State::TimedOut, Some(reason.clone())),
        (Some(Cause::Dangerous { reason }), _) => (State::Stopped, Some(reason.clone())),
        (Some(Cause::Hopeless { kind, reason }), _) => (State::Failed, Some(format!("{kind}: {reason}"))),
        (Some(Cause::Broken { reason }), _) => (State::Failed, Some(reason.clone())),
        (Some(Cause::OverBudget { reason }), _) => (State::OverBudget, Some(reason.clone())),
        (Some(Cause::Stalled { reason }), _) => (State::Stalled, Some(reason.clone())),
        (Some(Cause::Unrecorded), _) => (State::Failed, None),
        (None, Some(Exit::Code(0))) => (State::Completed, None),
        (None, Some(Exit::Code(code))) => (State::Failed, Some(format!("exit {code}"))),
        (None, Some(Exit::Signal(signal))) => (State::Failed, Some(format!("signal {signal}"))),
        (None, None) => (State::Failed, Some("its end was not seen".to_owned())),
    }
}

fn exit(status: WaitStatus) -> Exit {
    match status.exit_status() {
        Some(code) => Exit::Code(code),
        None => Exit::Signal(status.terminating_signal().unwrap_or(0)),
    }
}
