//! The work of a task's job becomes a commit, and each commit says which job made it.
//!
//! Agents' own sandboxes keep `.git` read-only, so it is done here, with the repository pinned:
//! nothing that the agent wrote into the worktree can lead git elsewhere. A problem is recorded
//! and the work stays as it is.

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use shared::durable::{self, Lock};
use shared::process::Git;

use crate::job::Jobs;
use crate::record::{Finish, Record, State};
use crate::snapshot;
use crate::stream::Usage;

/// Commits of one job that get a note, at most.
const MOST_NOTES: &str = "--max-count=200";
/// What is kept of git's own words.
const WORDS: usize = 600;

/// Where a commit comes from, as its note says.
#[derive(Serialize)]
struct Origin<'a> {
    job: &'a str,
    agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    /// Tokens of the whole job, in and out.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<u64>,
}

impl Origin<'_> {
    fn of(record: &Record) -> Origin<'_> {
        Origin {
            job: &record.id,
            agent: record.agent.as_deref(),
            version: record.run.agent_version.as_deref(),
            model: record.run.model.as_deref(),
            session: record.run.session.as_deref(),
            tokens: record.run.usage.map(Usage::total),
        }
    }
}

/// Commits what a completed job left uncommitted and marks the commits that it made.
pub(crate) fn work(record: &mut Record) {
    let Some(finish) = record.finish.clone() else { return };
    let done = Git::at(&record.worktree_path()).and_then(|git| {
        let git = git.env("GIT_COMMON_DIR", &finish.common_dir);
        let git = git.pinned(&finish.git_dir, Some(&record.worktree_path())).setting("user.useConfigOnly=true");
        if finish.commit && record.state == State::Completed {
            // The agent may have changed the configuration since it was looked at.
            snapshot::refuse_untrusted(&git, &finish.common_dir).context("left uncommitted")?;
            record.commit = commit(&git, record, &finish)?;
        }
        note(&git, record, &finish)
    });
    if let Err(error) = done {
        record.commit_problem = Some(format!("{error:#}").chars().take(WORDS).collect());
    }
}

/// Commits everything but the ignored; returns the commit, or none if there was nothing to commit.
fn commit(git: &Git, record: &Record, finish: &Finish) -> Result<Option<String>> {
    let status = ["status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=dirty"];
    if git.clone().reading().run(status)?.stdout.is_empty() {
        return Ok(None);
    }
    refuse_unfit(git, finish)?;
    if git.ask(["var", "GIT_AUTHOR_IDENT"])?.code != 0 || git.ask(["var", "GIT_COMMITTER_IDENT"])?.code != 0 {
        bail!("left uncommitted: git knows no user.name and user.email to commit as");
    }
    git.run(["add", "-A"])?;
    if git.ask(["diff", "--cached", "--quiet", "--ignore-submodules=dirty"])?.code == 0 {
        return Ok(None);
    }
    git.feed(["commit", "-q", "--no-verify", "--cleanup=whitespace", "-F", "-"], message(record, finish).as_bytes())?;
    Ok(Some(git.run(["rev-parse", "--verify", "HEAD^{commit}"])?.text()))
}

/// Refuses a worktree in which a commit would say what nobody meant.
fn refuse_unfit(git: &Git, finish: &Finish) -> Result<()> {
    let head = durable::read(&finish.git_dir.join("HEAD"))?.unwrap_or_default();
    let head = String::from_utf8_lossy(&head);
    if head.strip_prefix("ref: ").map(str::trim_end) != Some(&finish.branch) {
        bail!("left uncommitted: the worktree is not on '{}' any more", finish.branch);
    }
    for (name, what) in [
        ("MERGE_HEAD", "a merge"),
        ("CHERRY_PICK_HEAD", "a cherry-pick"),
        ("REVERT_HEAD", "a revert"),
        ("rebase-merge", "a rebase"),
        ("rebase-apply", "a rebase"),
    ] {
        if finish.git_dir.join(name).symlink_metadata().is_ok() {
            bail!("left uncommitted: {what} is in progress");
        }
    }
    if !git.run(["ls-files", "--unmerged", "-z"])?.stdout.is_empty() {
        bail!("left uncommitted: there are unmerged paths");
    }
    Ok(())
}

fn message(record: &Record, finish: &Finish) -> String {
    let subject = finish.title.split_whitespace().collect::<Vec<_>>().join(" ");
    let subject = if subject.is_empty() { record.slug.to_string() } else { subject };
    let mut message = format!("{subject}\n\nJob: {}\n", record.id);
    if let Some(agent) = &record.agent {
        let plain: String = agent.chars().filter(|c| c.is_ascii_alphanumeric() || "-_ ".contains(*c)).collect();
        message.push_str(&format!("Co-authored-by: {plain} <{}@agents.invalid>\n", plain.replace(' ', "-")));
    }
    message
}

/// Notes job and agent on the commits that are new on the task's branch and on no other.
fn note(git: &Git, record: &Record, finish: &Finish) -> Result<()> {
    let Some(head) = &finish.head else { return Ok(()) };
    // Seen from `refs/heads/`, as `--branches` wants it.
    let exclude = format!("--exclude={}", finish.branch.strip_prefix("refs/heads/").unwrap_or(&finish.branch));
    let range = ["rev-list", "--first-parent", MOST_NOTES, &finish.branch, "--not", head, &exclude, "--branches", "--"];
    let commits = git.clone().reading().run(range)?.text();
    if commits.is_empty() {
        return Ok(());
    }
    // git moves the ref of notes without a look at who else does.
    let _lock = Lock::acquire(&Jobs::of_user()?.folder_of(&record.repo.key).join(".lock"), durable::PATIENCE)?;
    let line = serde_json::to_string(&Origin::of(record))?;
    for commit in commits.lines() {
        let have = git.clone().reading().ask(["notes", "--ref=agent", "show", commit])?;
        if have.code == 0 && have.text().lines().any(|old| old == line) {
            continue;
        }
        git.feed(["notes", "--ref=agent", "append", "-F", "-", commit], line.as_bytes())?;
    }
    Ok(())
}
