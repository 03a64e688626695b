//! What can be asked of git-bo4.

use std::ffi::OsStr;

use clap::{Parser, Subcommand};
use clap_complete::CompletionCandidate;
use shared::app::{Context, Global};

use crate::{apply, branch, export, gc, graft, new, pick, report, retry, review, show, status, store, watch, whole};

/// Ask several times, compare the answers with evidence, and keep the best
#[derive(Debug, Parser)]
#[command(name = "git-bo4", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<whole::Args>),
    New(new::Args),
    Watch(watch::Args),
    List(status::ListArgs),
    Status(status::Args),
    Show(show::Args),
    Diff(show::DiffArgs),
    Export(export::Args),
    Branch(branch::Args),
    Apply(apply::Args),
    Review(review::Args),
    Report(report::args::Args),
    Pick(pick::Args),
    Graft(graft::Args),
    Retry(retry::Args),
    Gc(gc::Args),
}

/// Completes the name of a run; silent wherever there is none.
pub(crate) fn complete_run(current: &OsStr) -> Vec<CompletionCandidate> {
    let find = || {
        let cx = Context::open(&Global::default()).ok()?;
        let (runs, _) = store::runs(&cx).ok()?;
        let fitting = runs.into_iter().filter(|run| run.run.starts_with(&*current.to_string_lossy()));
        let candidate = |run: crate::record::Run| {
            let title = shared::output::escape(&run.title).into_owned();
            CompletionCandidate::new(run.run).help(Some(title.into()))
        };
        Some(fitting.map(candidate).collect())
    };
    find().unwrap_or_default()
}
