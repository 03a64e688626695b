//! `git task worktree remove`: only with proof that nothing is lost.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::registry::{State, Task};
use shared::repository::Worktree;

use crate::modules;
use crate::proof::{self, Loss};

/// Remove the worktree of a task, if nothing is lost by that
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Task whose worktree goes
    #[arg(add = clap_complete::ArgValueCompleter::new(shared::app::complete_task))]
    task: String,
    /// Keep what would be lost as a commit under refs/backup/ first, then remove
    #[arg(short, long)]
    force: bool,
    /// Say what would be removed and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    task: String,
    worktree: PathBuf,
    kept: Option<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "removed {}", self.worktree.display())?;
        match &self.kept {
            Some(kept) => {
                writeln!(f, "kept as {kept}: 'git restore --source={kept} -- .' in a worktree brings the files back")
            }
            None => Ok(()),
        }
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let repository = cx.repository()?;
    let task = cx.registry()?.load()?.task(&repository.key(), &args.task)?.clone();
    let Some(path) = task.worktree.as_ref().map(PathBuf::from) else {
        return Err(Failure::could_not("no-worktree", format!("the task '{}' has no worktree", task.slug)));
    };
    let kept = match super::find(repository, &path)? {
        Some(worktree) => remove(cx, &task, &worktree, args.force, args.dry_run)?,
        None if path.symlink_metadata().is_ok() => {
            let message = format!("'{}' is no worktree of this repository any more", path.display());
            return Err(
                Failure::could_not("no-worktree", message).hint("'git worktree repair' mends one that was moved")
            );
        }
        // Gone without us; only the record is left.
        None => None,
    };
    if !args.dry_run {
        forget(cx, &task, "worktree remove")?;
    }
    cx.output.answer(&Answer { task: task.slug.to_string(), worktree: path, kept })?;
    Ok(Status::Done)
}

/// Removes a worktree after the proof; with `force` after keeping what the proof misses, whose ref is returned.
pub(crate) fn remove(
    cx: &Context,
    task: &Task,
    worktree: &Worktree,
    force: bool,
    dry_run: bool,
) -> Result<Option<String>, Failure> {
    let repository = cx.repository()?;
    let losses = proof::losses(cx, worktree)?;
    let fatal = losses.iter().any(|loss| !loss.can_be_kept());
    if !losses.is_empty() && (!force || fatal) {
        return Err(refuse(task, &worktree.path, &losses, fatal));
    }
    if dry_run {
        return Ok(None);
    }
    let kept = if losses.is_empty() { None } else { Some(proof::keep(cx, task, worktree)?) };
    let _lock = super::lock(repository)?;
    let mut arguments: Vec<&std::ffi::OsStr> = vec!["worktree".as_ref(), "remove".as_ref()];
    // Git removes no worktree with submodules otherwise, filled or not.
    if kept.is_some() || !modules::paths(&cx.git_in(worktree)?.reading()).unwrap_or_default().is_empty() {
        arguments.push("--force".as_ref());
    }
    arguments.extend(["--end-of-options".as_ref(), worktree.path.as_os_str()]);
    // Without --force git looks once more by itself and refuses what came in since.
    cx.git()?.run(arguments)?;
    Ok(kept)
}

fn refuse(task: &Task, path: &Path, losses: &[Loss], fatal: bool) -> Failure {
    let shown: Vec<String> = losses.iter().take(20).map(Loss::to_string).collect();
    let more = losses.len().saturating_sub(shown.len());
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    let message = format!("the worktree '{}' is not removed:\n  {}{more}", path.display(), shown.join("\n  "));
    let failure = Failure::could_not("would-lose", message).details(json!({ "losses": losses }));
    if fatal {
        return failure;
    }
    failure.hint(format!(
        "commit it there, or 'git task worktree remove --force {}' keeps it under refs/backup/ first",
        task.slug
    ))
}

/// Takes the worktree out of the registry.
pub(crate) fn forget(cx: &Context, task: &Task, why: &str) -> Result<(), Failure> {
    cx.registry()?.change(
        |()| format!("{why} {}", task.slug),
        |tasks| {
            let task = tasks.by_id_mut(&task.id).context("the task was removed meanwhile")?;
            task.worktree = None;
            if task.status == State::Active {
                task.status = State::Ready;
            }
            Ok(())
        },
    )?;
    Ok(())
}
