//! The supervisor of one job: this program once more, in a session of its own.
//!
//! On its standard input the launcher names the job's folder and then says `go`; on its standard
//! output it answers `locked`, then `ok`, or `no` and the reason. It holds the job's lock as long
//! as it lives. It reads no settings and opens no repository: all that it needs is in the record.
//! One thread, one loop.

use std::ffi::{CString, OsString};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal};
use serde_json::json;
use shared::clock;
use shared::durable::{self, Lock, Previous};
use shared::exit::Status;
use shared::output::{ColorChoice, Output};
use shared::process::Identity;

use crate::event::Events;
use crate::given::{self, Given};
use crate::job::{self, Job};
use crate::keeper::Keeper;
use crate::output::Capture;
use crate::record::{Record, State};
use crate::secrets::Secrets;
use crate::signals::Signals;
use crate::spawn::Spawned;
use crate::tape::Shape;
use crate::told::Told;
use crate::waiting::Waiter;
use crate::{last, link, notify, queue, spawn, telemetry, waiting, watch};

/// The word in a supervisor's command line; no subcommand that a user is shown.
pub(crate) const WORD: &str = "supervise";

/// All that a supervisor holds of its job.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) job: Job,
    pub(crate) record: Record,
    pub(crate) events: Events,
    pub(crate) capture: Capture,
    /// What its agent tells; none if that is not read.
    pub(crate) told: Option<Told>,
    pub(crate) signals: Signals,
    pub(crate) child: Pid,
    /// Who takes the snapshots; none if nobody does.
    pub(crate) keeper: Option<Keeper>,
    /// What must not be written down.
    pub(crate) secrets: Secrets,
    /// The job may read the prompt in it as long as it lives.
    given: Given,
    /// Held to the last breath.
    _lock: Lock,
}

/// Says whether this process was started as a supervisor.
pub(crate) fn is_asked_for() -> bool {
    std::env::args_os().nth(1).is_some_and(|word| word == WORD)
}

/// Supervises the job that the launcher names, from its start to its end.
pub(crate) fn run() -> Status {
    let voice = Output::new(false, true, ColorChoice::Never);
    match begin(&voice) {
        Ok(Begun::Ended { job, record }) => {
            queue::wake(&job.root());
            notify::tell(&job, &record);
            Status::Done
        }
        Ok(Begun::Runs(mut held)) => {
            // The launcher may be gone; the job is not.
            let _ = voice.raw(b"ok\n");
            settle(&mut held);
            let end = waiting::watch(&mut held);
            last::word(&mut held, end);
            let (job, record) = (held.job.clone(), held.record.clone());
            // Its lock is its place: let go before somebody else is told.
            drop(held);
            queue::wake(&job.root());
            notify::tell(&job, &record);
            Status::Done
        }
        Err(error) => {
            let reason = format!("{error:#}").replace('\n', " ");
            let _ = voice.raw(format!("no {reason}\n").as_bytes());
            Status::CouldNot
        }
    }
}

/// What became of a start.
enum Begun {
    Runs(Box<Held>),
    /// It was stopped while it waited.
    Ended {
        job: Job,
        record: Box<Record>,
    },
}

fn begin(voice: &Output) -> Result<Begun> {
    // Not the leader of a group, as the launcher's child; a terminal that closes reaches nobody here.
    rustix::process::setsid().context("cannot start a session")?;
    // Orphans of the job come to this process, so that none gets away.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let (job, lock, given) = wait_for_orders(voice)?;
    let mut record = job.load()?;
    if record.state != State::Starting {
        bail!("the job '{}' is not to be started", job.id());
    }
    let mut events = Events::open(&job.path(job::EVENTS));
    let secrets = Secrets::of_environment(&record.rules.redact);
    if !record.waits.is_empty() {
        record.supervisor = Identity::own();
        show(&job, &record)?;
        let _ = voice.raw(b"ok\n");
        let waiter =
            Waiter { job: &job, record: &mut record, events: &mut events, signals: &mut signals, secrets: &secrets };
        if let Some(by) = waiter.before() {
            record.state = State::Stopped;
            (record.reason, record.by) = (Some("asked".to_owned()), Some(by));
            end_unstarted(&job, &mut record, &mut events);
            return Ok(Begun::Ended { job, record: Box::new(record) });
        }
    }
    match spawn(&job, &record, &given, &secrets) {
        Ok((child, capture)) => {
            let keeper = Keeper::of(&record);
            let told = Told::of(&record);
            let mut held =
                Held { job, record, told, keeper, events, capture, signals, child, secrets, given, _lock: lock };
            match acknowledge(&mut held) {
                Ok(()) => Ok(Begun::Runs(Box::new(held))),
                Err(error) => {
                    // A job that nobody will know of may not run.
                    let end = watch::abandon(&mut held);
                    last::word(&mut held, end);
                    Err(error)
                }
            }
        }
        Err(error) => {
            let error = anyhow!(secrets.clean_text(&format!("{error:#}")));
            record.state = State::Failed;
            record.reason = Some(format!("not started: {error:#}"));
            end_unstarted(&job, &mut record, &mut events);
            Err(error)
        }
    }
}

/// Records the end of a job that never ran.
fn end_unstarted(job: &Job, record: &mut Record, events: &mut Events) {
    record.ended = Some(clock::now());
    last::save(job, record);
    events.add("ended", json!({ "state": record.state, "reason": record.reason }));
    last::note(job, record);
}

/// Hears which job it is, takes its lock, and waits for the word to go.
fn wait_for_orders(voice: &Output) -> Result<(Job, Lock, Given)> {
    let mut orders = std::io::stdin().lock();
    let folder = PathBuf::from(OsString::from_vec(given::order(&mut orders)?));
    let job = Job::at(&folder).with_context(|| format!("'{}' is no folder of a job", folder.display()))?;
    let lock = Lock::try_acquire(&job.path(job::LOCK))?;
    let lock = lock.with_context(|| format!("the job '{}' is held by another process", job.id()))?;
    voice.raw(b"locked\n").map_err(|failure| anyhow!("{failure}"))?;
    // For whoever lists processes; what counts is the record.
    let name: Vec<u8> = format!("gw {}", job.id()).into_bytes().into_iter().take(15).collect();
    if let Ok(name) = CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }
    let given = given::take(&mut orders)?;
    Ok((job, lock, given))
}

/// Starts the first child of a job.
fn spawn(job: &Job, record: &Record, given: &Given, secrets: &Secrets) -> Result<(Pid, Capture)> {
    let prompt_file = given.prompt_path().unwrap_or_else(|| job.path(job::PROMPT));
    let line = given.words.clone().unwrap_or_else(|| record.command_line());
    let Spawned { child, pipes } = spawn::spawn(job, record, line, &prompt_file)?;
    let capture = Capture::new(pipes, &job.path(job::LOG), Shape::of(record.rules.log_cap), secrets)?;
    Ok((child, capture))
}

/// Starts the agent of a job as at first.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn begin_again(held: &mut Held) -> Result<()> {
    let Held { job, record, given, capture, secrets, .. } = held;
    let prompt_file = given.prompt_path().unwrap_or_else(|| job.path(job::PROMPT));
    let line = given.words.clone().unwrap_or_else(|| record.command_line());
    let spawned = spawn::spawn(job, record, line, &prompt_file)?;
    capture.go_on(spawned.pipes, secrets)?;
    runs_again(held, spawned.child)
}

/// Notes another child of a job.
fn runs_again(held: &mut Held, child: Pid) -> Result<()> {
    held.child = child;
    held.record.child = Identity::of(child.as_raw_nonzero().get());
    held.record.state = State::Running;
    held.record.save(&held.job.path(job::RECORD))
}

/// Calls the agent of a job once more, in its session, with words of its own.
///
/// # Errors
/// When there is no session, or the agent cannot be started.
pub(crate) fn go_on(held: &mut Held, words: &str) -> Result<()> {
    let Held { job, record, told, capture, secrets, .. } = held;
    let (line, session) = (record.run.resume_command.as_ref(), record.run.session.as_ref());
    let (line, session) = line.zip(session).context("there is no session to go on with")?;
    let line = line.iter().map(|word| OsString::from(word.replace("{session}", session))).collect();
    let prompt_file = job.path(job::MORE);
    durable::replace(&prompt_file, words.as_bytes(), Previous::Drop)?;
    let spawned = spawn::spawn(job, record, line, &prompt_file)?;
    capture.go_on(spawned.pipes, secrets)?;
    if let Some(told) = told {
        told.next_run();
    }
    runs_again(held, spawned.child)
}

/// Says that the job runs. The launcher sees to it that the job is on disk; nobody waits for a flush here.
fn acknowledge(held: &mut Held) -> Result<()> {
    let record = &mut held.record;
    record.state = State::Running;
    record.started = Some(clock::now());
    record.supervisor = Identity::own();
    record.child = Identity::of(held.child.as_raw_nonzero().get());
    show(&held.job, record)
}

/// Lets everybody see the record, before it is on disk.
fn show(job: &Job, record: &Record) -> Result<()> {
    let path = job.path(job::RUNNING);
    // Gone after a wait.
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let bytes = record.to_bytes()?;
    file.and_then(|mut file| file.write_all(&bytes)).with_context(|| format!("cannot write '{}'", path.display()))
}

/// Makes what was said at the start durable, and takes room for the end.
fn settle(held: &mut Held) {
    held.events.add("started", json!({ "pid": held.child.as_raw_nonzero().get(), "agent": held.record.agent }));
    last::reserve(&held.job, &held.record);
    if held.record.save(&held.job.path(job::RECORD)).is_ok() {
        let _ = link::remove(&held.job.path(job::RUNNING));
    }
    telemetry::note(&held.job, &held.record, telemetry::START);
}

impl Held {
    /// Signals the child's group while the child is not reaped, so that the number is still its own.
    pub(crate) fn signal_group(&self, signal: Signal) {
        let _ = rustix::process::kill_process_group(self.child, signal);
    }
}
