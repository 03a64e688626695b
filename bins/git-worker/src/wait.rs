//! `git worker wait`: block until jobs have ended.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use clap_complete::ArgValueCompleter;
use shared::app::Context;
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;

use crate::cli;
use crate::job::{self, Job, Jobs, Name};
use crate::listing::{Entry, Listing};
use crate::record::State;
use crate::shown::ShownJobs;

/// Wait until jobs have ended; exit 0 if all completed, 1 if one ended otherwise
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Jobs, as slug#number, or slug for its latest
    #[arg(required = true, value_name = "job", add = ArgValueCompleter::new(cli::complete_job))]
    jobs: Vec<Name>,
    /// Wait no longer than this, such as 90s, 10m or 2h; exit 128 then
    #[arg(long, value_name = "time", value_parser = cli::duration)]
    timeout: Option<Duration>,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let all = Jobs::here(cx)?;
    let jobs = args.jobs.iter().map(|name| all.find(name)).collect::<anyhow::Result<Vec<Job>>>()?;
    for job in &jobs {
        // A record that cannot be read now will not tell the end either.
        job.read()?;
    }
    block(&jobs, args.timeout)?;
    let mut listing = Listing::default();
    for job in jobs {
        let record = job.read()?;
        listing.jobs.push(Entry::new(job, record));
    }
    let completed = listing.jobs.iter().all(|entry| entry.state == State::Completed);
    ShownJobs::new(cx, listing).answer(cx)?;
    Ok(if completed { Status::Done } else { Status::No })
}

/// Waits on the lock of each: no polling, and nothing to miss.
fn block(jobs: &[Job], limit: Option<Duration>) -> Result<(), Failure> {
    let locks: Vec<_> = jobs.iter().map(|job| job.path(job::LOCK)).collect();
    let all = move || locks.iter().try_for_each(|lock| durable::wait_unlocked(lock));
    let Some(limit) = limit else { return Ok(all()?) };
    let (tell, told) = mpsc::channel();
    // Left blocked when the time is over; the end of the program ends it.
    thread::spawn(move || tell.send(all()));
    match told.recv_timeout(limit) {
        Ok(result) => Ok(result?),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            let living: Vec<String> =
                jobs.iter().filter(|job| job.is_live().unwrap_or(true)).map(|job| format!("'{}'", job.id())).collect();
            let message = format!("the time is over and {} still live", living.join(", "));
            let message = if living.len() == 1 { message.replace(" still live", " still lives") } else { message };
            Err(Failure::could_not("timeout", message).hint("'git worker logs -f' shows what it does"))
        }
    }
}
