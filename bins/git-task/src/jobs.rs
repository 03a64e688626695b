//! The jobs of git-worker, asked for by its command.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use shared::process;

/// One job, as `git worker list --json` names it; fields that are not needed here are left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) task: Option<String>,
    #[serde(default)]
    pub(crate) worktree: String,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) terminal: bool,
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Listing {
    jobs: Vec<Job>,
}

/// Lists the jobs of all repositories, the newest first; none where git-worker is not installed.
pub(crate) fn list(folder: &Path) -> Result<Vec<Job>> {
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
pub(crate) fn find_live<'a>(jobs: &'a [Job], worktree: &Path) -> Option<&'a Job> {
    jobs.iter().find(|job| !job.terminal && Path::new(&job.worktree) == worktree)
}
