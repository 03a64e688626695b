//! `git worker stop`: end jobs and everything that they started.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap_complete::ArgValueCompleter;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::app::Context;
use shared::clock;
use shared::durable::{self, Lock, Previous};
use shared::exit::Status;
use shared::failure::Failure;
use shared::process::{self, Identity};

use crate::event::Events;
use crate::job::{self, Job, Jobs, Name};
use crate::keeper::Keeper;
use crate::record::{Record, State};
use crate::rules::millis;
use crate::{cli, last, queue, tape, tree};

/// What a supervisor gets on top of the grace, to write its last words.
const LATE: Duration = Duration::from_secs(10);

/// Stop jobs: TERM for the whole tree of processes, KILL for what is left after the grace
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Jobs, as slug#number, or slug for its latest
    #[arg(required = true, value_name = "job", add = ArgValueCompleter::new(cli::complete_job))]
    jobs: Vec<Name>,
    /// Time between TERM and KILL, such as 500ms or 10s; the setting worker.grace if not given
    #[arg(long, value_name = "time", value_parser = cli::duration)]
    grace: Option<Duration>,
}

/// What is asked of a supervisor, beside its job.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    schema: u32,
    by: String,
    grace_ms: u64,
}

/// A request to stop, as the supervisor understands it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) by: String,
    pub(crate) grace: Duration,
}

/// What became of a job that was to be stopped.
#[derive(Debug, Serialize)]
pub(crate) struct Stopped {
    id: String,
    state: State,
    terminal: bool,
    reason: Option<String>,
    left_over: u64,
    /// Whether it had ended before it was asked to.
    already: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    jobs: Vec<Stopped>,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let all = Jobs::here(cx)?;
    let jobs = args.jobs.iter().map(|name| all.find(name)).collect::<Result<Vec<Job>>>()?;
    let mut answer = Answer { jobs: Vec::new() };
    for job in jobs {
        answer.jobs.push(stop(&job, args.grace)?);
    }
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

/// Stops a job, whatever state it is in.
pub(crate) fn stop(job: &Job, grace: Option<Duration>) -> Result<Stopped> {
    let record = job.load()?;
    if record.state.is_terminal() {
        return Ok(Stopped::new(job, record, true));
    }
    if record.state == State::Queued
        && let Some(record) = take_back(job)?
    {
        return Ok(Stopped::new(job, record, false));
    }
    let grace = grace.unwrap_or(Duration::from_millis(record.grace_ms));
    let mut rest = Vec::new();
    if job.is_live()? {
        rest = ask_supervisor(job, grace)?;
    }
    let Some(lock) = Lock::try_acquire(&job.path(job::LOCK))? else {
        bail!("the job '{}' is held by a process that is not its supervisor", job.id());
    };
    let record = job.load()?;
    if record.state.is_terminal() {
        return Ok(Stopped::new(job, record, false));
    }
    let record = bury(job, record, rest, grace);
    drop(lock);
    Ok(Stopped::new(job, record, false))
}

/// Ends what a dead supervisor left of a lost job; none if there is nothing to do, or somebody else does it.
pub(crate) fn bury_lost(job: &Job) -> Result<Option<Record>> {
    let Some(lock) = Lock::try_acquire(&job.path(job::LOCK))? else { return Ok(None) };
    let record = job.load()?;
    if record.state.is_terminal() || record.state == State::Queued {
        return Ok(None);
    }
    let grace = Duration::from_millis(record.grace_ms);
    let record = bury(job, record, Vec::new(), grace);
    drop(lock);
    Ok(Some(record))
}

/// Stops a job that waits; none if it was started meanwhile.
fn take_back(job: &Job) -> Result<Option<Record>> {
    // Whoever starts it holds this as well.
    let _guard = Lock::acquire(&job.repository().join(".lock"), durable::PATIENCE)?;
    let mut record = job.load()?;
    if record.state != State::Queued {
        return Ok(None);
    }
    record.state = State::Stopped;
    record.by = Some(who());
    Ok(Some(queue::end(job, record, "asked".to_owned())))
}

/// Asks the supervisor to stop its job; if it does not in time, ends it and returns whom it leaves behind.
fn ask_supervisor(job: &Job, grace: Duration) -> Result<Vec<Identity>> {
    let request = Asked { schema: shared::output::SCHEMA, by: who(), grace_ms: millis(grace) };
    durable::replace(&job.path(job::STOP), &serde_json::to_vec(&request)?, Previous::Drop)?;
    let deadline = Instant::now() + grace.min(Duration::from_secs(86_400)) + LATE;
    let mut supervisor = None;
    // Its name is in the record as soon as the child has started.
    while supervisor.is_none() && Instant::now() < deadline && job.is_live()? {
        supervisor = job.load()?.supervisor;
        if supervisor.is_none() {
            thread::sleep(Duration::from_millis(2));
        }
    }
    let Some(supervisor) = supervisor else { return Ok(Vec::new()) };
    supervisor.signal(Signal::TERM);
    if freed(job, deadline)? {
        return Ok(Vec::new());
    }
    // It hangs. Whom it has below it is known only while it is there.
    let jobs = Jobs::of_user()?.folder_of("");
    let below = tree::below(supervisor.pid, None, &jobs);
    let below = if supervisor.is_alive() { below } else { Vec::new() };
    supervisor.signal(Signal::KILL);
    freed(job, Instant::now() + LATE)?;
    Ok(below)
}

/// Waits until nobody holds the job's lock; false if the time is over before.
fn freed(job: &Job, deadline: Instant) -> Result<bool> {
    let mut pause = Duration::from_millis(1);
    while job.is_live()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
    Ok(true)
}

/// Keeps the worktree, ends what a dead supervisor left and records that the job is lost; the caller holds the lock.
fn bury(job: &Job, mut record: Record, rest: Vec<Identity>, grace: Duration) -> Record {
    if let Some(mut keeper) = Keeper::of(&record) {
        keeper.take_now(job, State::Lost.as_str());
    }
    // Its heir may have ended them meanwhile.
    let known = rest.iter().map(|process| (process.pid, process.start)).collect::<BTreeSet<_>>();
    let seen = RefCell::new(known);
    let marker = record.marker();
    let members = || {
        let mut living = tree::carrying(&marker);
        living.extend(rest.iter().filter(|process| process.is_alive()).cloned());
        seen.borrow_mut().extend(living.iter().map(|process| (process.pid, process.start)));
        living
    };
    let left = process::end(members, grace);
    record.reason = Some(record.loss().to_owned());
    record.state = State::Lost;
    record.by = None;
    record.ended = Some(clock::now());
    record.left_over = seen.borrow().len() as u64;
    record.bytes_logged = tape::length(&job.path(job::LOG));
    if !left.is_empty() {
        record.reason = record.reason.map(|reason| format!("{reason}; {} processes could not be ended", left.len()));
    }
    last::save(job, &record);
    let more = json!({ "state": record.state, "reason": record.reason, "left_over": record.left_over });
    Events::open(&job.path(job::EVENTS)).add("ended", more);
    last::note(job, &record);
    record
}

/// The job in which the command runs, or the user.
fn who() -> String {
    match std::env::var("GIT_WORKER_JOB") {
        Ok(job) if !job.is_empty() => format!("job {job}"),
        Ok(_) | Err(_) => "user".to_owned(),
    }
}

impl Request {
    /// Reads what was asked; a bare signal asks for an end in the usual time.
    pub(crate) fn read(job: &Job, grace_ms: u64) -> Request {
        let bytes = durable::read(&job.path(job::STOP)).ok().flatten().unwrap_or_default();
        match serde_json::from_slice::<Asked>(&bytes) {
            Ok(asked) => Request { by: asked.by, grace: Duration::from_millis(asked.grace_ms) },
            Err(_) => Request { by: "signal".to_owned(), grace: Duration::from_millis(grace_ms) },
        }
    }
}

impl Stopped {
    fn new(job: &Job, record: Record, already: bool) -> Stopped {
        Stopped {
            id: job.id(),
            state: record.state,
            terminal: record.state.is_terminal(),
            reason: record.reason,
            left_over: record.left_over,
            already,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for job in &self.jobs {
            let already = if job.already { "  (had ended before)" } else { "" };
            writeln!(f, "{}  {}{already}", job.id, job.state)?;
        }
        Ok(())
    }
}
