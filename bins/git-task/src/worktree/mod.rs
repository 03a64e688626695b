//! `git task worktree`: a worktree for a task.

mod add;
mod list;
mod remove;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use shared::app::Context;
use shared::durable::{self, Lock};
use shared::exit::Status;
use shared::failure::Failure;
use shared::repository::{Repository, Worktree};

pub(crate) use remove::{forget, remove};

/// Make, list and remove the worktrees of tasks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Add(add::Args),
    List(list::Args),
    Remove(remove::Args),
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    match args.verb {
        Verb::Add(args) => add::run(cx, args),
        Verb::List(args) => list::run(cx, args),
        Verb::Remove(args) => remove::run(cx, args),
    }
}

/// Takes the lock under which worktrees are added and removed: git alone loses such races on its own files.
pub(crate) fn lock(repository: &Repository) -> Result<Lock, Failure> {
    let folder = repository.common_dir().join("codex-agents");
    durable::private_folder(&folder)?;
    Ok(Lock::acquire(&folder.join("worktree.lock"), durable::PATIENCE * 5)?)
}

/// Finds the worktree at a path among those of the repository.
pub(crate) fn find(repository: &Repository, path: &Path) -> Result<Option<Worktree>, Failure> {
    let real: PathBuf = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    Ok(repository.worktrees()?.into_iter().find(|worktree| worktree.path == real))
}
