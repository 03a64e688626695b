//! `git worker status`: what is going on, now.

use std::collections::BTreeSet;

use clap_complete::ArgValueCompleter;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;

use crate::cli;
use crate::job::{Jobs, Listing, Name};
use crate::shown::ShownJobs;

/// Show the state of a job, or of the latest job of each name
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Job, as slug#number, or slug for its latest
    #[arg(value_name = "job", conflicts_with_all = ["latest", "all"], add = ArgValueCompleter::new(cli::complete_job))]
    job: Option<Name>,
    /// Show only the job that was launched last
    #[arg(long, conflicts_with = "all")]
    latest: bool,
    /// Show the jobs of all repositories
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let listing = match &args.job {
        Some(name) => one(&Jobs::here(cx)?, name)?,
        None => {
            let jobs = if args.all { Jobs::of_user()? } else { Jobs::here(cx)? };
            let mut listing = jobs.list()?;
            if args.latest {
                listing.jobs.truncate(1);
            } else {
                keep_latest(&mut listing);
            }
            listing
        }
    };
    if args.latest && listing.jobs.is_empty() {
        return Err(Failure::could_not("no-job", "there is no job here"));
    }
    cx.output.answer(&ShownJobs::new(cx, listing))?;
    Ok(Status::Done)
}

/// Reads the one job that was asked for; here a broken record is a failure.
fn one(jobs: &Jobs, name: &Name) -> Result<Listing, Failure> {
    let job = jobs.find(name)?;
    match job.read() {
        Ok(record) => Ok(Listing { jobs: vec![(job, record)], broken: Vec::new() }),
        Err(error) => Err(Failure::could_not("broken-job", format!("job '{}': {error:#}", job.id()))
            .hint("'git worker logs' still shows what it printed")),
    }
}

/// Of each name the jobs that live, and the last one.
fn keep_latest(listing: &mut Listing) {
    let mut seen = BTreeSet::new();
    listing.jobs.retain(|(job, record)| {
        let first = seen.insert((record.repo.key.clone(), job.slug().clone()));
        first || !record.state.is_terminal()
    });
}
