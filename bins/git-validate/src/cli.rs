//! What can be asked of git-validate.

use clap::{Parser, Subcommand};
use shared::app::Global;

use crate::{doctor, gc, hooks, init, log, policy, review, run, show, sync};

/// Run the configured checks on exactly one tree, and keep the verdict with it
///
/// The same tree with the same checks is answered from its note at once. Nothing of yours is touched: the checks run in a copy.
#[derive(Debug, Parser)]
#[command(name = "git-validate", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(flatten)]
    pub(crate) run: run::Args,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Show(show::Args),
    Log(log::Args),
    Review(review::Args),
    Sync(sync::Args),
    Gc(gc::Args),
    Policy(policy::list::Args),
    Install(hooks::InstallArgs),
    Uninstall(hooks::UninstallArgs),
    Doctor(doctor::Args),
    Init(init::Args),
    #[command(hide = true)]
    Hook(hooks::HookArgs),
}
