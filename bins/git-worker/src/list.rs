//! `git worker list`: the jobs, the newest first.

use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;

use crate::job::Jobs;
use crate::shown::ShownJobs;

/// List the jobs of this repository, the newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// List the jobs of all repositories
    #[arg(long)]
    all: bool,
    /// List only jobs that have not ended
    #[arg(long)]
    live: bool,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let jobs = if args.all { Jobs::of_user()? } else { Jobs::here(cx)? };
    jobs.go_on();
    let listing = if args.live { jobs.list_live()? } else { jobs.list()? };
    ShownJobs::new(cx, listing).answer(cx)?;
    Ok(Status::Done)
}
