//! The jobs of git-worker, asked for by its command.

use std::path::Path;

use crate::app::Context;
use crate::failure::Failure;
use crate::output::Foreign;
use crate::process;
use crate::repository::Worktree;
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// One job, as `git worker list --json` names it; fields that are not needed here are left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Its name, such as `parser-fix#2`.
    pub id: String,
    /// The task that it works on.
    #[serde(default)]
    pub task: Option<String>,
    /// Where it works.
    #[serde(default)]
    pub worktree: String,
    /// How it is, in one word.
    pub state: String,
    /// Whether it has ended.
    #[serde(default)]
    pub terminal: bool,
    /// Why it ended as it did.
    #[serde(default)]
    pub reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Listing {
    jobs: Vec<Job>,
}

/// Lists the jobs of all repositories, the newest first; none where git-worker is not installed.
///
/// # Errors
/// When git-worker fails.
pub fn list(folder: &Path) -> Result<Vec<Job>> {
    let Some(program) = process::suite_program("git-worker") else { return Ok(Vec::new()) };
    let mut command = process::command(program);
    process::scrub(&mut command).args(["list", "--all", "--json"]).current_dir(folder);
    let output = command.output().context("cannot start git-worker")?;
    if !output.status.success() {
        bail!("cannot list the jobs: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let listing: Listing = serde_json::from_slice(&output.stdout).context("git-worker's list of jobs is no JSON")?;
    Ok(listing.jobs)
}

/// Returns the live job that works in a worktree.
pub fn find_live<'a>(jobs: &'a [Job], worktree: &Path) -> Option<&'a Job> {
    jobs.iter().find(|job| !job.terminal && Path::new(&job.worktree) == worktree)
}

/// Names the jobs that still work in a worktree.
///
/// # Errors
/// As [`list`].
pub fn live_in(cx: &Context, worktree: &Path) -> Result<Vec<String>> {
    let real = worktree.canonicalize().unwrap_or_else(|_| worktree.to_owned());
    let is_here = |job: &Job| !job.terminal && [worktree, &real].contains(&Path::new(&job.worktree));
    Ok(list(cx.folder())?.into_iter().filter(is_here).map(|job| job.id).collect())
}

/// Refuses to move a branch under a job: it would go on from the old commit.
///
/// # Errors
/// Of kind `live-job`, and as [`list`].
pub fn refuse_live(cx: &Context, branch: &str) -> Result<(), Failure> {
    let Some(Worktree { path, .. }) = cx.repository()?.worktree_of(branch)? else { return Ok(()) };
    let Some(job) = live_in(cx, &path)?.into_iter().next() else { return Ok(()) };
    let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    let message = format!("the job {} still works on '{}'", Foreign(&job), Foreign(short));
    Err(Failure::could_not("live-job", message).hint(format!("'git worker wait {job}' waits for its end")))
}
