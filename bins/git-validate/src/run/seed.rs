//! The first filling of a slot: by `git hydrate`, from the worktree at hand.
//!
//! It clones where the file system can, and brings the ignored artefacts that the user wants in every
//! worktree, so that the first build is warm as well. What it leaves is looked at like everything else.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use shared::app::Context;
use shared::process;
use shared::repository::{Scope, Setting};

use super::{own, written};
use crate::subject::Subject;

/// Below this size of the index, in bytes, git has written the files before hydrate would have begun.
const SMALL: u64 = 256 << 10;

/// Fills the folder and brings the index; without one nothing has happened, since it did not pay.
///
/// # Errors
/// When it could not be filled; what is there then has to go.
pub(super) fn fill(cx: &Context, subject: &Subject, tree: &Path, index: &Path) -> Result<()> {
    let repository = cx.repository().map_err(anyhow::Error::new)?;
    let Some(donor) = repository.work_tree() else { return Ok(()) };
    let size = fs::metadata(repository.git_dir().join("index")).map_or(0, |facts| facts.len());
    let Some(program) = process::suite_program("git-hydrate") else { return Ok(()) };
    if size < SMALL && !donor.join(".worktreeinclude").exists() {
        return Ok(());
    }
    let own = tree.join(".git");
    own::make(cx, subject, &own)?;
    let mut command = process::command(program);
    process::scrub(&mut command).current_dir(tree).args(["--quiet", "--no-after", "--no-recurse-submodules", "--from"]);
    command.arg(donor).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().context("cannot start git-hydrate")?;
    ensure!(status.success(), "git-hydrate could not fill it");
    fs::rename(own.join("index"), index).context("cannot take the index of the filled slot")
}

/// Says whether the repository in which hydrate has run had all the rules by which files are written.
///
/// What this repository alone, or the command line, says of filters and attributes it had not.
pub(super) fn knows_rules(cx: &Context) -> bool {
    let is_known = |setting: &Setting| match setting.scope {
        Scope::User => true,
        Scope::Repository => own::SHARED.contains(&setting.key.as_str()),
        Scope::Command => false,
    };
    cx.repository().is_ok_and(|repository| written::settings(repository).iter().all(is_known))
}
