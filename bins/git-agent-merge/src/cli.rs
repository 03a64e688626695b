//! What can be asked of git-agent-merge.

use std::ffi::OsStr;

use clap::{Parser, Subcommand};
use clap_complete::CompletionCandidate;
use shared::app::{self, Global};

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
    app::complete_task(current).into_iter().chain(app::complete_branch(current)).collect()
}
