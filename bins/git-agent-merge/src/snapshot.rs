//! The work of live worktrees that is in no commit, as commits that only the quarantine holds.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use gix::ObjectId;
use shared::app::Context;
use shared::failure::Failure;
use shared::process::Git;
use shared::repository::Worktree;

use crate::ancestry;
use crate::names::Side;
use shared::quarantine::Quarantine;

/// More at once only wait for the disk.
const MOST_AT_ONCE: usize = 4;

/// A worktree to be looked at.
struct Job {
    side: usize,
    worktree: Worktree,
    git: Git,
    commit: ObjectId,
    tree: ObjectId,
    seconds: i64,
}

/// Makes each side stand for its worktree as it is: changed and untracked files included, ignored ones not.
pub(crate) fn include(cx: &Context, quarantine: &Quarantine, sides: &mut [Side]) -> Result<(), Failure> {
    let jobs = jobs(cx, quarantine, sides)?;
    let workers = thread::available_parallelism().map_or(1, usize::from).min(MOST_AT_ONCE).min(jobs.len());
    let queue = Mutex::new(jobs.iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<Vec<(usize, ObjectId)>> {
        let mut found = Vec::new();
        while let Some(job) = next() {
            found.extend(snapshot(job)?.map(|commit| (job.side, commit)));
        }
        Ok(found)
    };
    let found: Result<Vec<_>> = thread::scope(|scope| {
        let others: Vec<_> = (1..workers.max(1)).map(|_| scope.spawn(work)).collect();
        let mut all = vec![work()];
        all.extend(others.into_iter().map(|other| other.join().unwrap_or_else(|_| anyhow::bail!("a thread failed"))));
        all.into_iter().collect()
    });
    for (side, commit) in found?.into_iter().flatten() {
        sides[side].commit = commit;
        sides[side].dirty = true;
    }
    Ok(())
}

fn jobs(cx: &Context, quarantine: &Quarantine, sides: &[Side]) -> Result<Vec<Job>, Failure> {
    let repository = cx.repository()?;
    let made = gix::odb::loose::Store::at(quarantine.objects(), repository.gix.object_hash());
    let worktrees = repository.worktrees()?;
    let mut jobs = Vec::new();
    for (side, of) in sides.iter().enumerate() {
        let Some(branch) = &of.branch else { continue };
        let has_it = |worktree: &&Worktree| worktree.branch.as_ref() == Some(branch) && worktree.path.exists();
        let Some(worktree) = worktrees.iter().find(has_it) else { continue };
        let place = quarantine.path().join(format!("index-{side}"));
        fs::create_dir(&place).context("cannot create a temporary folder")?;
        let git = quarantine.hold(cx, cx.git_beside(worktree, &place)?.reading())?;
        jobs.push(Job {
            side,
            worktree: worktree.clone(),
            git,
            commit: of.commit,
            tree: repository.tree_of(of.commit)?,
            seconds: ancestry::time_of(repository, &made, of.commit)?,
        });
    }
    Ok(jobs)
}

/// Returns the commit of a worktree as it is; none if that is what is committed.
fn snapshot(job: &Job) -> Result<Option<ObjectId>> {
    let Job { git, worktree, commit, tree, seconds, .. } = job;
    git.run(["add", "--all"]).with_context(|| format!("cannot read the worktree '{}'", worktree.path.display()))?;
    let found = git.run(["write-tree"])?.text();
    let found = ObjectId::from_hex(found.as_bytes()).context("'git write-tree' named no tree")?;
    if found == *tree {
        return Ok(None);
    }
    // The same commit for the same content, so that what git said of it can be kept.
    let date = format!("@{seconds} +0000");
    let mut git = git.clone();
    for who in ["AUTHOR", "COMMITTER"] {
        git = git.env(format!("GIT_{who}_NAME"), "snapshot").env(format!("GIT_{who}_EMAIL"), "snapshot@localhost");
        git = git.env(format!("GIT_{who}_DATE"), &date);
    }
    let made =
        git.feed(["commit-tree", "-p", &commit.to_string(), "-F", "-", &found.to_string()], b"worktree as it is\n")?;
    Ok(Some(ObjectId::from_hex(made.text().as_bytes()).context("'git commit-tree' named no commit")?))
}
