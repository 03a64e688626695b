//! What can be asked of git-agent-merge.

use std::ffi::OsStr;

use clap::{Parser, Subcommand};
use clap_complete::CompletionCandidate;
use shared::app::{self, Global};
use shared::repository::Repository;

use crate::{accept, check, hook, order, rebase, resolve, train};

/// Say what merges and what conflicts, resolve what does, and never make it worse
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
    Order(order::Args),
    Resolve(resolve::Args),
    Show(accept::ShowArgs),
    Accept(accept::AcceptArgs),
    Reject(accept::RejectArgs),
    Rebase(rebase::Args),
    Train(train::Args),
    Install(hook::InstallArgs),
    Uninstall(hook::UninstallArgs),
    #[command(hide = true)]
    Hook(hook::HookArgs),
}

/// Completes the name of an open task or a local branch; silent wherever there is none.
pub(crate) fn complete_name(current: &OsStr) -> Vec<CompletionCandidate> {
    let find = || {
        let repository = Repository::open(&std::env::current_dir().ok()?).ok()?;
        let refs = repository.gix.references().ok()?;
        let names = refs.local_branches().ok()?.flatten().map(|branch| branch.name().shorten().to_string());
        let fitting = names.filter(|name| name.starts_with(&*current.to_string_lossy()));
        Some(fitting.map(CompletionCandidate::new).collect())
    };
    let branches: Vec<CompletionCandidate> = find().unwrap_or_default();
    app::complete_task(current).into_iter().chain(branches).collect()
}
