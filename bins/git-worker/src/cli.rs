//! What can be asked of git-worker.

use std::ffi::OsStr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use clap_complete::CompletionCandidate;
use jiff::Timestamp;
use shared::app::Global;
use shared::clock;
use shared::config::layer::parse_duration;
use shared::repository::Repository;

use crate::job::Jobs;
use crate::{
    agents, ask, audit, auth, gc, launch, list, logs, prompt_show, restore, resume, retry, run, show, snapshots,
    status, stop, wait,
};

/// Run agents and other commands in the background, inside limits
#[derive(Debug, Parser)]
#[command(name = "git-worker", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Launch(launch::Args),
    Run(run::Args),
    Retry(retry::Args),
    Resume(resume::Args),
    Ask(ask::Args),
    Status(status::Args),
    List(list::Args),
    Logs(logs::Args),
    Show(show::Args),
    Wait(wait::Args),
    Stop(stop::Args),
    Snapshots(snapshots::Args),
    Restore(restore::Args),
    Agents(agents::Args),
    Auth(auth::Args),
    Prompt(prompt_show::Args),
    Gc(gc::Args),
    Audit(audit::Args),
}

/// Reads a span of time from the command line.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a time span such as 90s, 10m or 2h".to_owned())
}

/// Reads a time from the command line, or how long ago it was.
pub(crate) fn since(text: &str) -> Result<Timestamp, String> {
    let ago = parse_duration(text).and_then(|ago| clock::now().checked_sub(ago).ok());
    let wrong = "a time such as 2026-03-01T09:30:00Z, or a time span such as 90s, 10m or 2h";
    ago.or_else(|| text.parse().ok()).ok_or_else(|| wrong.to_owned())
}

/// Completes the name of a job of this repository; silent wherever there is none.
pub(crate) fn complete_job(current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let find = || {
        let repository = Repository::open(&std::env::current_dir().ok()?).ok()?;
        let listing = Jobs::of_repository(&repository.key()).ok()?.list().ok()?;
        let fitting = listing.jobs.into_iter().filter(|entry| entry.job.id().starts_with(&*current));
        let help = |state: crate::record::State| Some(state.as_str().into());
        Some(fitting.map(|entry| CompletionCandidate::new(entry.job.id()).help(help(entry.state))).collect())
    };
    find().unwrap_or_default()
}
