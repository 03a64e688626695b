//! What can be asked of git-agent-merge.

use std::ffi::OsStr;

use clap::{Parser, Subcommand};
use clap_complete::CompletionCandidate;
use shared::app::Global;
use shared::registry::Registry;
use shared::repository::Repository;

use crate::check;

/// Say what merges and what conflicts, without touching worktree, index, refs or stash
#[derive(Debug, Parser)]
#[command(name = "git-agent-merge", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(check::Args),
}

/// Completes the name of an open task or a local branch; silent wherever there is none.
pub(crate) fn complete_name(current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let find = || {
        let repository = Repository::open(&std::env::current_dir().ok()?).ok()?;
        let key = repository.key();
        let tasks =
            Registry::of_user().and_then(|registry| registry.load()).map(|tasks| tasks.tasks).unwrap_or_default();
        let own = tasks.into_iter().filter(|task| task.repo.key == key && task.is_open() && task.branch.is_some());
        let mut names: Vec<String> = own.map(|task| task.slug.to_string()).collect();
        let refs = repository.gix.references().ok()?;
        names.extend(refs.local_branches().ok()?.flatten().map(|branch| branch.name().shorten().to_string()));
        names.retain(|name| name.starts_with(&*current));
        Some(names.into_iter().map(CompletionCandidate::new).collect())
    };
    find().unwrap_or_default()
}
