//! What the worktrees cost on disk.
//!
//! It only looks: no content is read, nothing is written, and no git is started, so it needs no trust.

mod answer;
mod place;
mod walk;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use rustix::io::Errno;
use shared::app::{Context, Global};
use shared::exit::Status;
use shared::failure::Failure;
use shared::repository::{Repository, Worktree};

use crate::beneath::Root;
use crate::progress::Progress;
use answer::Answer;

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Say what the worktrees cost on disk and how much of it they share, and do nothing
    #[arg(long, conflicts_with_all = ["from", "mode", "force", "no_ignored", "no_recurse_submodules", "relink", "no_after", "suggest", "dry_run"])]
    pub(crate) stats: bool,
}

/// More than these are only counted.
const NAMED: usize = 20;

/// Measures the worktrees that are named, or all.
pub(crate) fn run(global: &Global, named: &[PathBuf]) -> Result<Status, Failure> {
    let begin = Instant::now();
    let cx = Context::open(global)?;
    let named: Vec<PathBuf> = named.iter().map(|path| cx.folder().join(path)).collect();
    let cx = beside(cx, global, &named)?;
    let repository = cx.repository_unchecked()?;
    let worktrees = if named.is_empty() { existing(repository)? } else { chosen(repository, &named)? };
    let progress = Progress::start(&cx.output, "measured", None);
    let mut answer = Answer::default();
    for worktree in &worktrees {
        let root = Root::open(&worktree.path).map_err(|e| unreadable(&worktree.path, e))?;
        let found = walk::measure(&root, &progress)?;
        for (path, why) in found.unreadable.iter().take(NAMED) {
            let path = worktree.path.join(path);
            cx.output.warn(format!("'{}' cannot be read: {why}", path.to_string_lossy().escape_debug()));
        }
        answer.add(&worktree.path, found);
    }
    progress.end();
    answer.finish(begin.elapsed().as_secs_f64());
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

/// Outside of a repository, the first worktree that is named says which one is meant.
fn beside(cx: Context, global: &Global, named: &[PathBuf]) -> Result<Context, Failure> {
    match named.first() {
        Some(first) if cx.find_repository()?.is_none() => {
            Context::open(&Global { directory: vec![first.clone()], ..global.clone() })
        }
        Some(_) | None => Ok(cx),
    }
}

/// Lists the worktrees that are there; another folder may have taken the place of one.
fn existing(repository: &Repository) -> Result<Vec<Worktree>> {
    let is_there = |w: &Worktree| w.path.is_dir() && (w.is_main || w.path.join(".git").symlink_metadata().is_ok());
    Ok(repository.worktrees()?.into_iter().filter(is_there).collect())
}

/// Finds the worktrees that are named, each once.
fn chosen(repository: &Repository, named: &[PathBuf]) -> Result<Vec<Worktree>, Failure> {
    let all = repository.worktrees()?;
    let mut chosen: Vec<Worktree> = Vec::new();
    for path in named {
        let wanted = path
            .canonicalize()
            .map_err(|e| Failure::could_not("no-worktree", format!("cannot look at '{}': {e}", path.display())))?;
        let around = all.iter().filter(|w| wanted.starts_with(&w.path));
        let Some(found) = around.max_by_key(|w| w.path.components().count()) else {
            let message = format!("'{}' is in no worktree of this repository", path.display());
            return Err(Failure::could_not("no-worktree", message).hint("'git worktree list' shows them"));
        };
        if !chosen.contains(found) {
            chosen.push(found.clone());
        }
    }
    Ok(chosen)
}

fn unreadable(path: &Path, error: Errno) -> Failure {
    Failure::could_not("no-worktree", format!("cannot open '{}': {error}", path.display()))
}
