//! Jobs that wait for a place, and who starts them: whoever comes by next. There is no daemon.
//!
//! `<jobs>/.queue/<repository>~<slug>#<n>`: an empty file for each job that waits; its record says
//! `queued`. A place is a job's lock that is held. Places are counted, and taken, under one lock for
//! the user, so that there are never more than allowed. A supervisor that ends lets its own go and
//! starts this program once more, which fills the free places. After a crash the next command does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::json;
use shared::clock;
use shared::config::Config;
use shared::durable::{self, Lock};
use shared::exit::Status;
use shared::process::{self, boot_id};

use crate::begin::{Supervisor, own_program};
use crate::event::Events;
use crate::job::{self, Job, Jobs};
use crate::record::{Record, State};
use crate::{empty, last, link, live, pause, telemetry};

/// The word in the command line of whoever fills the places; no subcommand that a user is shown.
pub(crate) const WORD: &str = "start-queued";

const FOLDER: &str = ".queue";

/// The right to count and to take places, while it is held.
#[derive(Debug)]
pub(crate) struct Turn {
    jobs: PathBuf,
    /// For this user; 0 is no limit.
    limit: u64,
    _lock: Lock,
}

/// Says whether this process was started to fill places.
pub(crate) fn is_asked_for() -> bool {
    std::env::args_os().nth(1).is_some_and(|word| word == WORD)
}

/// Fills the free places.
pub(crate) fn run() -> Status {
    let fill = || -> Result<()> {
        let _ = rustix::process::setsid();
        Turn::take(&Jobs::of_user()?.folder_of(""), limit()?)?.fill()
    };
    if fill().is_ok() { Status::Done } else { Status::CouldNot }
}

/// Starts whoever fills the place that has become free, if somebody waits for one.
pub(crate) fn wake(jobs: &Path) {
    if entries(jobs).is_empty() {
        return;
    }
    let mut command = process::command(own_program());
    command.arg(WORD).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = command.spawn();
}

/// Goes on with the queue on the way, unless somebody else does or nobody waits.
pub(crate) fn go_on(jobs: &Path) {
    if entries(jobs).is_empty() || std::env::var_os("GIT_OPTIONAL_LOCKS").is_some_and(|value| value == "0") {
        return;
    }
    let fill = || -> Result<()> {
        let Some(lock) = Lock::try_acquire(&jobs.join(".queue.lock"))? else { return Ok(()) };
        Turn { jobs: jobs.to_owned(), limit: limit()?, _lock: lock }.fill()
    };
    // Who asks for the state is to get it, whatever becomes of those that wait.
    let _ = fill();
}

/// Lists the jobs that wait, in no order.
pub(crate) fn entries(jobs: &Path) -> Vec<Job> {
    let entries = fs::read_dir(jobs.join(FOLDER)).into_iter().flatten().flatten();
    entries.filter_map(|entry| job_of(jobs, entry.file_name().to_str()?)).collect()
}

/// Lists the jobs of a repository that wait, in no order.
pub(crate) fn entries_of(repository: &Path) -> Vec<Job> {
    let Some(jobs) = repository.parent() else { return Vec::new() };
    entries(jobs).into_iter().filter(|job| job.repository() == repository).collect()
}

/// Notes durably that a job waits; the caller holds its repository's lock and writes the record after this.
pub(crate) fn add(job: &Job) -> Result<()> {
    let path = entry(job);
    let folder = path.parent().context("an entry is in a folder")?;
    durable::private_folder(folder)?;
    empty::make(&path)?;
    durable::sync_folder(folder).with_context(|| format!("cannot flush '{}'", folder.display()))
}

/// Notes that a job does not wait any more.
pub(crate) fn remove(job: &Job) {
    let _ = link::remove(&entry(job));
}

fn entry(job: &Job) -> PathBuf {
    let repository = job.repository();
    let key = repository.file_name().unwrap_or_default().to_string_lossy();
    repository.with_file_name(FOLDER).join(format!("{key}~{}", job.id()))
}

fn job_of(jobs: &Path, name: &str) -> Option<Job> {
    let (key, id) = name.rsplit_once('~')?;
    let (slug, number) = id.split_once('#')?;
    Job::at(&jobs.join(key).join(slug).join(number))
}

/// Reads how many jobs of the user may live; 0 is no limit.
fn limit() -> Result<u64> {
    Config::load(None)?.integer("worker.max-concurrency")
}

impl Turn {
    /// Waits for the right to take places.
    pub(crate) fn take(jobs: &Path, limit: u64) -> Result<Turn> {
        durable::private_folder(jobs)?;
        let lock = Lock::acquire(&jobs.join(".queue.lock"), durable::PATIENCE)?;
        Ok(Turn { jobs: jobs.to_owned(), limit, _lock: lock })
    }

    /// Waits for it only where there is something to count: a limit, or jobs that wait.
    pub(crate) fn take_if_needed(jobs: &Path, limit: u64, repo_limit: u64) -> Result<Option<Turn>> {
        let needed = repo_limit > 0 || limit > 0 || !entries(jobs).is_empty();
        needed.then(|| Turn::take(jobs, limit)).transpose()
    }

    /// Says whether a job of a repository may start now.
    pub(crate) fn has_room(&self, repository: &Path, repo_limit: u64) -> bool {
        self.room(repository, repo_limit) == Room::Free
    }

    fn room(&self, repository: &Path, repo_limit: u64) -> Room {
        let living = live::everywhere(&self.jobs);
        let here = living.iter().filter(|job| job.repository() == repository).count() as u64;
        if self.limit > 0 && living.len() as u64 >= self.limit {
            Room::None
        } else if repo_limit > 0 && here >= repo_limit {
            Room::NoneHere
        } else {
            Room::Free
        }
    }

    /// Starts what fits, the highest priority first, then who came first.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut waiting: Vec<(Job, Record)> = Vec::new();
        for job in entries(&self.jobs) {
            match job.load() {
                Ok(record) => waiting.push((job, record)),
                // Of a launch that is under way or broke off.
                Err(_) => forget_broken(&job)?,
            }
        }
        waiting.sort_by_key(|(_, record)| {
            let priority = record.queue.as_ref().map_or(0, |queue| queue.priority);
            (std::cmp::Reverse(priority), record.created, record.number)
        });
        // A place that becomes free while this looks is for the next who fills: nobody is passed over.
        let mut full: Vec<PathBuf> = Vec::new();
        for (job, record) in waiting.into_iter().filter(|(_, record)| !self.is_paused(record)) {
            let repository = job.repository();
            if full.contains(&repository) {
                continue;
            }
            match self.room(&repository, record.queue.as_ref().map_or(0, |queue| queue.repo_limit)) {
                Room::Free => start(&job)?,
                Room::NoneHere => full.push(repository),
                Room::None => break,
            }
        }
        Ok(())
    }

    fn is_paused(&self, record: &Record) -> bool {
        let forced = record.queue.as_ref().is_some_and(|queue| queue.force);
        !forced && record.agent.as_ref().is_some_and(|agent| pause::find(&self.jobs, agent).is_some())
    }
}

/// Whether a job may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Free,
    /// Not one of this repository.
    NoneHere,
    None,
}

fn forget_broken(job: &Job) -> Result<()> {
    let repository = job.repository();
    let _guard =
        repository.is_dir().then(|| Lock::acquire(&repository.join(".lock"), durable::PATIENCE)).transpose()?;
    if job.load().is_err() {
        remove(job);
    }
    Ok(())
}

/// Starts a job that waited; its failure to start is its end, and no failure here.
fn start(job: &Job) -> Result<()> {
    let folder = job.repository();
    let guard = Lock::acquire(&folder.join(".lock"), durable::PATIENCE)?;
    let mut record = job.load()?;
    if record.state != State::Queued {
        // Stopped meanwhile, or its starter was killed.
        remove(job);
        return Ok(());
    }
    if let Err(error) = check(&record) {
        record.state = State::Failed;
        end(job, record, format!("not started: {error:#}"));
        return Ok(());
    }
    let mut supervisor = Supervisor::start()?;
    let took = supervisor.takes(job, || {
        live::add(&folder, job)?;
        empty::make(&job.path(job::RUNNING))
    });
    took.context("the supervisor does not take the job")?;
    // On disk before the child: whoever finds it after a crash must not start it once more.
    record.state = State::Starting;
    record.boot = boot_id().to_owned();
    record.save(&job.path(job::RECORD))?;
    remove(job);
    supervisor.goes()?;
    drop(guard);
    // It has recorded itself if the child could not start.
    let _ = supervisor.started(job);
    Ok(())
}

/// Says why a job that could start when it was launched cannot start now.
fn check(record: &Record) -> Result<()> {
    let worktree = record.worktree_path();
    if !worktree.is_dir() {
        bail!("there is no worktree '{}'", worktree.display());
    }
    if let Some(program) = record.program.as_ref().filter(|program| !Path::new(program).is_file()) {
        bail!("there is no program '{program}'");
    }
    Ok(())
}

/// Records the end of a job that never started; the caller holds the repository's lock and has set the state.
pub(crate) fn end(job: &Job, mut record: Record, reason: String) -> Record {
    record.reason = Some(reason);
    record.ended = Some(clock::now());
    last::save(job, &record);
    let more = json!({ "state": record.state, "reason": record.reason });
    Events::open(&job.path(job::EVENTS)).add("ended", more);
    crate::index::add_locked(&job.repository(), job, &record);
    remove(job);
    telemetry::note(job, &record, telemetry::END);
    record
}
