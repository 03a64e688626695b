//! How the jobs went: a line at the start of each and one at its end, for `git worker audit`.
//!
//! `<state>/telemetry.jsonl`, beside the jobs, and it outlives them. Counts, spans of time and words
//! of ours: no command, prompt, path or output. A line is one write and never flushed, and what
//! cannot be written is left out: no job waits for it or fails by it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::clock;
use shared::durable;
use shared::output::SCHEMA;

use crate::job::Job;
use crate::record::{Exit, Record, State};
use crate::stream::Usage;

/// A longer line is none of ours.
const LONGEST: usize = 64 * 1024;

/// The word of a line that is written when a job runs.
pub(crate) const START: &str = "start";
/// The word of a line that is written when it has ended.
pub(crate) const END: &str = "end";

/// One line; the schema is published.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    schema: u32,
    pub(crate) time: Timestamp,
    pub(crate) event: String,
    pub(crate) id: String,
    /// Key of the repository.
    pub(crate) repo: String,
    /// Id of the task that it worked on.
    #[serde(default)]
    pub(crate) task: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) state: State,
    /// One word for the reason of the end.
    reason: Option<String>,
    /// From the launch to the start.
    waited_ms: Option<u64>,
    /// From the start to the end; nobody knows it of a lost job.
    pub(crate) duration_ms: Option<u64>,
    pub(crate) bytes_logged: u64,
    pub(crate) bytes_dropped: u64,
    pub(crate) redactions: u64,
    pub(crate) stalls: u64,
    #[serde(default)]
    pub(crate) dangers: u64,
    pub(crate) interrupts: u64,
    exit: Option<Exit>,
    /// In and out together; none where the agent tells none.
    pub(crate) tokens: Option<u64>,
    #[serde(default)]
    pub(crate) usage: Option<Usage>,
    #[serde(default)]
    pub(crate) agent_version: Option<String>,
    /// `auth`, `quota`, `network`, `model` or `other`.
    #[serde(default)]
    pub(crate) error_kind: Option<String>,
    /// Lines of the agent's stream that were understood.
    #[serde(default)]
    pub(crate) parsed: u64,
    /// Lines that were not.
    #[serde(default)]
    pub(crate) unparsed: u64,
}

/// Notes that a job runs, or has ended, unless the settings of its launch were against it.
pub(crate) fn note(job: &Job, record: &Record, event: &str) {
    if !record.rules.telemetry {
        return;
    }
    if let Ok(line) = serde_json::to_string(&Line::of(record, event)) {
        let _ = durable::append_line_unflushed(&path(&job.root()), &line);
    }
}

/// Returns the path of the file, beside the folder of all jobs.
pub(crate) fn path(jobs: &Path) -> PathBuf {
    jobs.with_file_name("telemetry.jsonl")
}

/// Reads all lines; returns the numbers of those that are none.
pub(crate) fn read(path: &Path, mut each: impl FnMut(Line)) -> Result<Vec<u64>> {
    let mut unread = Vec::new();
    let Some(file) = open(path).with_context(|| format!("cannot read '{}'", path.display()))? else {
        return Ok(unread);
    };
    let mut lines = BufReader::with_capacity(LONGEST, file);
    for number in 1.. {
        let line = next(&mut lines).with_context(|| format!("cannot read '{}'", path.display()))?;
        let Some(line) = line else { break };
        // What ends a torn line may leave an empty one.
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<Line>(&line) {
            Ok(line) if line.schema == SCHEMA => each(line),
            Ok(_) | Err(_) => unread.push(number),
        }
    }
    Ok(unread)
}

fn open(path: &Path) -> Result<Option<File>> {
    // What is no file must not keep anybody waiting.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => bail!("it is no file"),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Reads the next line, of one that is too long only its end; none behind the last.
fn next(lines: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let n = lines.take(LONGEST as u64).read_until(b'\n', &mut line)?;
        if n < LONGEST || line.ends_with(b"\n") {
            return Ok((n > 0 || !line.is_empty()).then_some(line));
        }
        line.truncate(1);
    }
}

impl Line {
    fn of(record: &Record, event: &str) -> Line {
        let span = |from: Option<Timestamp>, to: Option<Timestamp>| {
            let span = to?.as_millisecond().saturating_sub(from?.as_millisecond());
            Some(span.max(0).unsigned_abs())
        };
        let ended = record.ended.filter(|_| record.state != State::Lost);
        Line {
            schema: SCHEMA,
            time: clock::now(),
            event: event.to_owned(),
            id: record.id.clone(),
            repo: record.repo.key.clone(),
            task: record.task.clone(),
            agent: record.agent.clone(),
            state: record.state,
            reason: reason(record).map(str::to_owned),
            waited_ms: span(Some(record.created), record.started),
            duration_ms: span(record.started, ended),
            bytes_logged: record.bytes_logged,
            bytes_dropped: record.bytes_dropped,
            redactions: record.redactions,
            stalls: record.stalls.into(),
            dangers: record.dangers.into(),
            interrupts: record.interrupts.into(),
            exit: record.exit,
            tokens: record.run.usage.map(Usage::total),
            usage: record.run.usage,
            agent_version: record.run.agent_version.clone(),
            error_kind: record.error_kind.clone(),
            parsed: record.run.parsed,
            unparsed: record.run.unparsed,
        }
    }
}

/// Says in one word why a job ended; the record's own reason may hold words of the job.
fn reason(record: &Record) -> Option<&str> {
    let is = |word: &str| record.reason.as_deref().is_some_and(|reason| reason.starts_with(word));
    match record.state {
        State::Queued | State::Starting | State::Running | State::Stopping | State::Completed => None,
        State::Failed if record.started.is_none() => Some("not-started"),
        State::Failed => Some(record.error_kind.as_deref().unwrap_or(match record.exit {
            Some(Exit::Code(_)) => "exit",
            Some(Exit::Signal(_)) => "signal",
            None => "unseen",
        })),
        State::Stopped if record.by.as_deref() == Some("danger") => Some("danger"),
        State::Stopped => Some("asked"),
        State::TimedOut if is("timeout") => Some("timeout"),
        State::TimedOut => Some("step"),
        State::Stalled => Some("stall"),
        State::OverBudget => Some("budget"),
        State::Lost if is("boot") => Some("boot"),
        State::Lost => Some("supervisor"),
    }
}
