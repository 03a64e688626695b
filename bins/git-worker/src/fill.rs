//! A worktree that nobody has filled yet is filled before a job starts in it.
//!
//! In an empty one the work at the job's end would look as if every file had been deleted.

use std::path::Path;

use anyhow::Context as _;
use shared::app::Context;
use shared::failure::Failure;
use shared::process;

use crate::place::Place;

/// The file that git-hydrate keeps in a worktree's git folder until it is filled.
const UNFINISHED: &str = "hydrate.json";

/// Lets git-hydrate fill the worktree, if it has no index yet or an earlier run was interrupted.
///
/// # Errors
/// When it cannot be filled.
pub(crate) fn fill(cx: &Context, place: &Place) -> Result<(), Failure> {
    let is_there = |name: &str| place.git_dir.join(name).symlink_metadata().is_ok();
    if is_there("index") && !is_there(UNFINISHED) {
        return Ok(());
    }
    let has_commit = |branch: &str| cx.repository().is_ok_and(|repo| !matches!(repo.tip(branch), Ok(None)));
    if place.branch.as_deref().is_some_and(|branch| !has_commit(branch)) {
        // Before its first commit there is nothing to fill it with.
        return Ok(());
    }
    let path = place.worktree.display();
    let Some(program) = process::suite_program("git-hydrate") else {
        let message = format!("the worktree '{path}' is not filled yet");
        return Err(Failure::could_not("not-filled", message).hint("git-hydrate, which fills it, is not installed"));
    };
    cx.output.note(format!("filling '{path}' first"));
    run(&program, &place.worktree).map_err(|reason| {
        let message = format!("the worktree '{path}' is not filled: {reason:#}");
        Failure::could_not("not-filled", message).hint(format!("'git -C {path} hydrate' goes on with it"))
    })
}

fn run(program: &Path, worktree: &Path) -> anyhow::Result<()> {
    let mut command = process::command(program);
    process::scrub(&mut command).args(["--json", "-C"]).arg(worktree).current_dir(worktree);
    let output = command.output().context("cannot start git-hydrate")?;
    if output.status.success() {
        return Ok(());
    }
    anyhow::bail!(process::told(&output.stderr).message)
}
