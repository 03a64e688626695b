//! `git worker status`: what is going on, now.

use clap_complete::ArgValueCompleter;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;

use crate::cli;
use crate::job::{Job, Jobs, Name};
use crate::listing::Listing;
use crate::pause;
use crate::record::Record;
use crate::shown::ShownJobs;
use crate::unseen::{self, Look};
use crate::watched;

/// Show the state of a job, or of the live jobs and those that ended lately
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Job, as slug#number, or slug for its latest
    #[arg(value_name = "job", conflicts_with_all = ["latest", "all"], add = ArgValueCompleter::new(cli::complete_job))]
    job: Option<Name>,
    /// Show only the job that was launched last
    #[arg(long)]
    latest: bool,
    /// Show the jobs of all repositories
    #[arg(long)]
    all: bool,
    /// Show only what has ended since this was asked the last time
    #[arg(long, conflicts_with_all = ["job", "latest", "watch"])]
    unseen: bool,
    /// Show it again whenever it changes: drawn anew on a terminal, otherwise a line for each change
    #[arg(long)]
    watch: bool,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let jobs = if args.all { Jobs::of_user()? } else { Jobs::here(cx)? };
    jobs.go_on();
    if args.unseen {
        let (listing, looks) = unseen::look(&jobs)?;
        ShownJobs::new(cx, listing).answer(cx)?;
        looks.into_iter().try_for_each(Look::keep)?;
        return Ok(Status::Done);
    }
    if args.watch {
        return watched::watch(cx, &jobs, || find(&jobs, &args), args.job.is_some() || args.latest);
    }
    let paused = pause::all(&jobs.folder_of(""));
    ShownJobs::new(cx, find(&jobs, &args)?).with_paused(cx, paused).answer(cx)?;
    Ok(Status::Done)
}

fn find(jobs: &Jobs, args: &Args) -> Result<Listing, Failure> {
    match &args.job {
        Some(name) => {
            let job = jobs.find(name)?;
            let record = job.read();
            one(job, record)
        }
        None if args.latest => match jobs.latest()? {
            Some((job, record)) => one(job, record),
            None => Err(Failure::could_not("no-job", "there is no job here")),
        },
        None => Ok(jobs.list_lately()?),
    }
}

/// Shows one job; here a broken record is a failure.
fn one(job: Job, record: anyhow::Result<Record>) -> Result<Listing, Failure> {
    match record {
        Ok(record) => Ok(Listing::one(job, record)),
        Err(error) => Err(Failure::could_not("broken-job", format!("job '{}': {error:#}", job.id()))
            .hint("'git worker logs' still shows what it printed")),
    }
}
