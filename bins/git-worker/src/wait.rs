//! `git worker wait`: block until jobs have ended.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use clap_complete::ArgValueCompleter;
use shared::app::Context;
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;

use crate::cli;
use crate::job::{self, Job, Jobs, Name};
use crate::listing::{Entry, Listing};
use crate::queue;
use crate::record::State;
use crate::shown::ShownJobs;

/// Wait until jobs have ended; exit 0 if all completed, 1 if one ended otherwise
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Jobs, as slug#number, or slug for its latest; those that have not ended, with --any or --all alone
    #[arg(required_unless_present_any = ["any", "all"], value_name = "job", add = ArgValueCompleter::new(cli::complete_job))]
    jobs: Vec<Name>,
    /// Wait until one of them has ended, and show those that have
    #[arg(long, conflicts_with = "all")]
    any: bool,
    /// Wait until all of them have ended; so it is without it, too
    #[arg(long)]
    all: bool,
    /// Wait no longer than this, such as 90s, 10m or 2h; exit 128 then
    #[arg(long, value_name = "time", value_parser = cli::duration)]
    timeout: Option<Duration>,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let all = Jobs::here(cx)?;
    let mut jobs = args.jobs.iter().map(|name| all.find(name)).collect::<anyhow::Result<Vec<Job>>>()?;
    if args.jobs.is_empty() {
        jobs = all.list_live()?.jobs.into_iter().map(|entry| entry.job).collect();
    }
    for job in &jobs {
        // A record that cannot be read now will not tell the end either.
        job.read()?;
    }
    block(&jobs, args.any, args.timeout)?;
    let mut listing = Listing::default();
    for job in jobs {
        let record = job.read()?;
        if record.state.is_terminal() {
            listing.jobs.push(Entry::new(job, record));
        }
    }
    let completed = listing.jobs.iter().all(|entry| entry.state == State::Completed);
    ShownJobs::new(cx, listing).answer(cx)?;
    Ok(if completed { Status::Done } else { Status::No })
}

fn lives(job: &Job) -> bool {
    job.is_live().unwrap_or(true) || job.load().is_ok_and(|record| record.state == State::Queued)
}

/// Waits for the end of a job; one that waits itself has no lock to wait for.
fn wait_for(job: &Job) -> anyhow::Result<()> {
    while job.load()?.state == State::Queued {
        queue::go_on(&job.root());
        thread::sleep(Duration::from_millis(50));
    }
    durable::wait_unlocked(&job.path(job::LOCK))
}

/// Waits on the lock of each that runs, or of any: no polling, and nothing to miss.
fn block(jobs: &[Job], any: bool, limit: Option<Duration>) -> Result<(), Failure> {
    let end = limit.and_then(|limit| Instant::now().checked_add(limit));
    let (tell, told) = mpsc::channel();
    for job in jobs {
        let (tell, job) = (tell.clone(), job.clone());
        // Left blocked when the time is over; the end of the program ends it.
        thread::spawn(move || tell.send(wait_for(&job)));
    }
    let awaited = if any { jobs.len().min(1) } else { jobs.len() };
    for _ in 0..awaited {
        let heard = match end {
            Some(end) => told.recv_timeout(end.saturating_duration_since(Instant::now())),
            None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match heard {
            Ok(result) => result?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(too_late(jobs)),
        }
    }
    Ok(())
}

fn too_late(jobs: &[Job]) -> Failure {
    let living: Vec<String> = jobs.iter().filter(|job| lives(job)).map(|job| format!("'{}'", job.id())).collect();
    let verb = if living.len() == 1 { "lives" } else { "live" };
    let message = format!("the time is over and {} still {verb}", living.join(", "));
    Failure::could_not("timeout", message).hint("'git worker logs -f' shows what it does")
}
