//! `git validate gc`: forget the verdicts on trees that are nobody's any more, and old logs.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use gix::ObjectId;
use serde::Serialize;
use shared::app::Context;
use shared::clock;
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;
use shared::repository::Repository;

use crate::journal::Journal;
use crate::note::{self, REF};
use crate::run;
use crate::verdict::Line;

/// Forget the verdicts on trees that nothing leads to any more, their history, and old logs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep what is younger, also of trees that nothing leads to
    #[arg(long, value_name = "time", default_value = "30d", value_parser = span)]
    older_than: Duration,
    /// Say what would go and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

fn span(text: &str) -> Result<Duration, String> {
    shared::config::layer::parse_duration(text).ok_or_else(|| "not a time span such as 30d or 12h".to_owned())
}

#[derive(Debug, Default, Serialize)]
struct Answer {
    /// Trees whose notes stay.
    kept: usize,
    /// Trees whose notes go.
    dropped: usize,
    /// Runs whose logs go.
    logs: usize,
    /// Results that go of checks that name their inputs.
    results: usize,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "notes of {} trees kept, of {} dropped; logs of {} runs dropped; {} results by inputs dropped",
            self.kept, self.dropped, self.logs, self.results
        )
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let repository = cx.repository()?;
    let journal = Journal::of(repository)?;
    let mut answer = Answer { logs: logs(&journal.folder().join("logs"), &args), ..Answer::default() };
    answer.results = journal.prune_inputs(&args)?;
    if !args.dry_run {
        run::sweep(repository.worktrees()?.iter().map(|worktree| worktree.git_dir.as_path()));
    }
    if let Some(tip) = repository.tip(REF)? {
        let living = living(cx, repository)?;
        let stale = note::trees(repository, tip)?;
        let all = stale.len();
        let stale: Vec<ObjectId> = stale.into_iter().filter(|tree| !living.contains(tree)).collect();
        let stale = old(repository, tip, stale, args.older_than)?;
        (answer.kept, answer.dropped) = (all - stale.len(), stale.len());
        if !args.dry_run {
            squash(cx, repository, &stale)?;
            journal.forget(&stale)?;
        }
    }
    if args.dry_run {
        cx.output.note("a dry run: nothing of it is done");
    }
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

/// The trees of all commits that a ref, a reflog or a worktree leads to.
fn living(cx: &Context, repository: &Repository) -> Result<HashSet<ObjectId>, Failure> {
    let heads = repository.worktrees()?;
    let heads = heads.iter().filter_map(|worktree| fs::read_to_string(worktree.git_dir.join("HEAD")).ok());
    let detached = heads.filter(|head| !head.starts_with("ref:")).map(|head| head.trim_end().to_owned());
    let detached: Vec<String> = detached.filter(|head| repository.commit(head).is_ok()).collect();
    let words = ["log", "--format=%T", "--reflog", "--exclude=refs/notes/*", "--exclude=refs/validate/*", "--all"];
    let words = words.into_iter().map(str::to_owned).chain(detached).chain(["--".to_owned()]);
    let listed = cx.git()?.reading().run(words)?.text();
    Ok(listed.lines().filter_map(|line| ObjectId::from_hex(line.as_bytes()).ok()).collect())
}

/// Those whose last result is old enough; one without any result is.
fn old(repository: &Repository, tip: ObjectId, trees: Vec<ObjectId>, age: Duration) -> Result<Vec<ObjectId>> {
    let mut old = Vec::new();
    for tree in trees {
        let content = note::content(repository, tip, tree)?;
        let lines = content.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Line>(line).ok());
        let last = lines.map(|line| line.time).max();
        let passed = last.map(|last| clock::now().duration_since(last).unsigned_abs());
        if passed.is_none_or(|passed| passed >= age) {
            old.push(tree);
        }
    }
    Ok(old)
}

/// Makes one commit without a past of what stays.
fn squash(cx: &Context, repository: &Repository, stale: &[ObjectId]) -> Result<(), Failure> {
    note::with_lock(repository, || {
        note::attempt(cx, |tip| {
            let Some(tip) = tip else { return Ok(None) };
            let commit = repository.gix.find_commit(tip).context("the notes are broken")?;
            if stale.is_empty() && commit.parent_ids().next().is_none() {
                return Ok(None);
            }
            let gone: Vec<(ObjectId, Vec<u8>)> = stale.iter().map(|tree| (*tree, Vec::new())).collect();
            note::commit(repository, Some(tip), &[], &gone, "Verdicts by git-validate\n").map(Some)
        })
    })
}

/// Removes the logs of old runs and counts them.
#[expect(clippy::disallowed_methods, reason = "they are our own logs of checks")]
fn logs(folder: &Path, args: &Args) -> usize {
    let is_old = |entry: &fs::DirEntry| {
        let age =
            entry.metadata().and_then(|facts| facts.modified()).map(|time| SystemTime::now().duration_since(time));
        age.is_ok_and(|age| age.is_ok_and(|age| age >= args.older_than))
    };
    let old = fs::read_dir(folder).into_iter().flatten().flatten().filter(is_old);
    old.filter(|entry| args.dry_run || fs::remove_dir_all(entry.path()).is_ok()).count()
}

impl Journal {
    /// Drops results by inputs that are old enough and those that a newer one has taken the place of, and counts them.
    fn prune_inputs(&self, args: &Args) -> Result<usize> {
        let mut dropped = 0;
        for shard in fs::read_dir(self.folder().join("inputs")).into_iter().flatten().flatten() {
            let Some(text) = durable::read(&shard.path())? else { continue };
            let text = String::from_utf8_lossy(&text);
            let mut newer = HashSet::new();
            let mut kept: Vec<&str> = text.lines().rev().collect();
            let all = kept.len();
            kept.retain(|line| {
                let Some((key, result)) = line.split_once(' ') else { return false };
                let is_young = |line: Line| clock::now().duration_since(line.time).unsigned_abs() < args.older_than;
                newer.insert(key) && serde_json::from_str(result).is_ok_and(is_young)
            });
            dropped += all - kept.len();
            if kept.len() < all && !args.dry_run {
                let kept: String = kept.iter().rev().map(|line| format!("{line}\n")).collect();
                durable::replace(&shard.path(), kept.as_bytes(), durable::Previous::Drop)?;
            }
        }
        Ok(dropped)
    }

    /// Forgets trees whose notes are gone.
    fn forget(&self, trees: &[ObjectId]) -> Result<()> {
        let trees: HashSet<String> = trees.iter().map(ObjectId::to_string).collect();
        let shards: HashSet<&str> = trees.iter().map(|tree| &tree[..2]).collect();
        for shard in shards {
            let path = self.folder().join("journal").join(shard);
            let Some(text) = durable::read(&path)? else { continue };
            let text = String::from_utf8_lossy(&text);
            let kept = text.lines().filter(|line| line.split(' ').next().is_none_or(|tree| !trees.contains(tree)));
            let kept: String = kept.map(|line| format!("{line}\n")).collect();
            // A result that comes in this moment is run once more.
            durable::replace(&path, kept.as_bytes(), durable::Previous::Drop)?;
        }
        Ok(())
    }
}
