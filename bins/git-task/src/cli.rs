//! What can be asked of git-task.

use clap::{Parser, Subcommand};
use shared::app::Global;

use crate::{add, complete, config, doctor, drop, edit, init, list, log, show, status, trust, undo, worktree};

/// Keep the tasks of a repository: what is to be done, in which order, and where
#[derive(Debug, Parser)]
#[command(name = "git-task", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Args),
    Add(add::Args),
    List(list::Args),
    Show(show::Args),
    Edit(edit::Args),
    Drop(drop::Args),
    Worktree(worktree::Args),
    Status(status::Args),
    Complete(complete::Args),
    Log(log::Args),
    Undo(undo::Args),
    Config(config::Args),
    Trust(trust::Args),
    Doctor(doctor::Args),
}
