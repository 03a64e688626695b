//! What can be asked of git-task.

use std::ffi::OsStr;

use clap::{Parser, Subcommand};
use clap_complete::CompletionCandidate;
use shared::app::Global;
use shared::registry::Registry;
use shared::repository::Repository;

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

/// Completes the name of an open task of this repository; silent wherever there is none.
pub(crate) fn complete_task(current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let find = || {
        let repository = Repository::open(&std::env::current_dir().ok()?).ok()?;
        let tasks = Registry::of_user().ok()?.load().ok()?;
        let key = repository.key();
        let own = tasks.tasks.into_iter().filter(|task| task.repo.key == key && task.is_open());
        let fitting = own.filter(|task| task.slug.as_str().starts_with(&*current));
        Some(
            fitting
                .map(|task| {
                    CompletionCandidate::new(task.slug.to_string())
                        .help(Some(shared::output::escape(&task.title).into_owned().into()))
                })
                .collect(),
        )
    };
    find().unwrap_or_default()
}
