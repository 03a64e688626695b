//! Moving the base: one transaction of refs, and the checkout that follows it.
//!
//! The transaction is prepared first: git then holds the locks and has compared the old values, so
//! that its end cannot fail any more. The checkout moves while it is held. If we die in between,
//! git lets the refs go unchanged; the checkout then shows the task's changes as staged, and the
//! next `complete` goes on from there.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use shared::app::Context;
use shared::clock;
use shared::durable::{self, Lock};
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process::Git;
use shared::repository::Worktree;

use super::Plan;
use super::build::Built;
use crate::fields::short_name;

/// How long a git of the user's may hold the index of a checkout.
const PATIENCE_WITH_INDEX: Duration = Duration::from_secs(5);

/// What became of the checkout of the base.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Checkout {
    path: PathBuf,
    followed: bool,
    /// Why it did not follow, in git's words.
    reason: Option<String>,
}

/// Whether a checkout moves or only could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Try,
    Move,
}

/// How the landing ended.
pub(crate) enum Landed {
    /// The base is at the new commit; the branch is backed up under this ref.
    Moved { checkout: Option<Checkout>, backup: String },
    /// The base was not where it was expected; nothing is changed.
    BaseMoved,
}

/// Says what would become of the checkout of the base.
pub(crate) fn preview(cx: &Context, plan: &Plan, built: &Built) -> Result<Option<Checkout>, Failure> {
    let Some(worktree) = base_checkout(cx, plan)? else { return Ok(None) };
    let reason = follow(cx, &worktree, plan, built, Act::Try)?.err();
    Ok(Some(Checkout { path: worktree.path, followed: reason.is_none(), reason }))
}

pub(crate) fn land(cx: &Context, plan: &Plan, built: &Built) -> Result<Landed, Failure> {
    // One at a time: another landing in the same checkout would look like changes of the user's.
    let folder = cx.repository()?.common_dir().join("codex-agents");
    durable::private_folder(&folder)?;
    let _lock = Lock::acquire(&folder.join("complete.lock"), durable::PATIENCE)?;
    let backup = format!("refs/backup/{}/{}", plan.task.slug, clock::stamp(clock::now()));
    let mut refs = vec![format!("create {backup} {}", plan.tip)];
    if built.commit == plan.old {
        refs.push(format!("verify {} {}", plan.base, plan.old));
    } else {
        refs.push(format!("update {} {} {}", plan.base, built.commit, plan.old));
    }
    let worktree = base_checkout(cx, plan)?;
    let checkout = preview(cx, plan, built)?;
    if let (Some(worktree), Some(checkout @ Checkout { followed: false, .. })) = (&worktree, &checkout) {
        detach(cx, worktree, plan, checkout)?;
    }
    let git = cx.git()?.setting("core.fsync=reference");
    let Some(transaction) = Transaction::prepare(&git, &refs, &format!("task complete: {}", plan.task.slug))? else {
        return base_moved_or_locked(cx, plan);
    };
    let follows = checkout.as_ref().is_some_and(|checkout| checkout.followed);
    if let Some(worktree) = worktree.as_ref().filter(|_| follows)
        && follow(cx, worktree, plan, built, Act::Move)?.is_err()
    {
        // Changes that overlap came in since; the refs are let go, and all is looked at again.
        return Ok(Landed::BaseMoved);
    }
    transaction.commit()?;
    Ok(Landed::Moved { checkout, backup })
}

fn base_moved_or_locked(cx: &Context, plan: &Plan) -> Result<Landed, Failure> {
    match cx.repository()?.tip(&plan.base)? {
        Some(now) if now == plan.old => {
            Err(Failure::could_not("locked", format!("the branch '{}' cannot be locked", short_name(&plan.base)))
                .hint("'git task doctor' names locks that were left behind"))
        }
        Some(_) | None => Ok(Landed::BaseMoved),
    }
}

/// Leaves a checkout with changes that overlap on the old commit, off the branch.
///
/// On the branch its next commit would take the merge back. Off it, its changes stay what they are.
fn detach(cx: &Context, worktree: &Worktree, plan: &Plan, checkout: &Checkout) -> Result<(), Failure> {
    let old = plan.old.to_string();
    let base = short_name(&plan.base);
    let path = worktree.path.display();
    cx.git_in(worktree)?.run([
        "update-ref",
        "--no-deref",
        "-m",
        "task complete: leave the old base",
        "HEAD",
        &old,
        &old,
    ])?;
    cx.output.warn(format!(
        "changes in '{path}' overlap, so its files stay as they are, on the old commit and off '{base}': {}",
        Foreign(checkout.reason.as_deref().unwrap_or_default())
    ));
    cx.output.hint(format!("'git -C {path} checkout --merge {base}' brings the changes onto the new '{base}'"));
    Ok(())
}

fn base_checkout(cx: &Context, plan: &Plan) -> Result<Option<Worktree>, Failure> {
    Ok(cx.repository()?.worktree_of(&plan.base)?.filter(|worktree| worktree.path.exists()))
}

/// Moves a checkout from the old to the new commit as `git checkout` would; git refuses what overlaps.
fn follow(
    cx: &Context,
    worktree: &Worktree,
    plan: &Plan,
    built: &Built,
    act: Act,
) -> Result<Result<(), String>, Failure> {
    let (old, new) = (plan.old.to_string(), built.commit.to_string());
    if old == new {
        return Ok(Ok(()));
    }
    let git = cx.git_in(worktree)?;
    // Otherwise a touched file with the same content would count as changed.
    git.ask(["update-index", "-q", "--refresh"])?;
    let mut arguments = vec!["read-tree", "-m", "-u"];
    if act == Act::Try {
        arguments.push("--dry-run");
    }
    arguments.extend([old.as_str(), new.as_str()]);
    let end = Instant::now() + PATIENCE_WITH_INDEX;
    loop {
        let done = git.ask(&arguments)?;
        if done.code == 0 {
            return Ok(Ok(()));
        }
        // Somebody else's git is at work there; that says nothing about overlaps.
        if !done.stderr.contains("index.lock") {
            return Ok(Err(done.stderr.trim_start_matches("error: ").to_owned()));
        }
        if Instant::now() > end {
            let message = format!("the index of '{}' is locked by another git", worktree.path.display());
            return Err(
                Failure::could_not("locked", message).hint("'git task doctor' names locks that were left behind")
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A transaction of refs that git has prepared: locked, compared, and certain to succeed.
struct Transaction {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Transaction {
    /// Prepares it; `None` if a ref is not as expected or cannot be locked.
    fn prepare(git: &Git, refs: &[String], reason: &str) -> Result<Option<Transaction>> {
        let mut child = git.start(["update-ref", "--create-reflog", "-m", reason, "--stdin"])?;
        let answers = BufReader::new(child.stdout.take().context("git has no standard output")?);
        let mut transaction = Transaction { child, answers };
        let commands = format!("start\n{}\nprepare\n", refs.join("\n"));
        transaction.say(&commands).ok();
        if transaction.hears("start: ok") && transaction.hears("prepare: ok") {
            return Ok(Some(transaction));
        }
        transaction.child.wait().context("cannot wait for git")?;
        Ok(None)
    }

    fn commit(mut self) -> Result<()> {
        self.say("commit\n").context("git went away before the refs were moved")?;
        let done = self.hears("commit: ok");
        drop(self.child.stdin.take());
        self.child.wait().context("cannot wait for git")?;
        if !done {
            bail!("git prepared the refs and then did not move them");
        }
        Ok(())
    }

    fn say(&mut self, words: &str) -> std::io::Result<()> {
        let Some(stdin) = self.child.stdin.as_mut() else { return Err(std::io::ErrorKind::BrokenPipe.into()) };
        stdin.write_all(words.as_bytes())?;
        stdin.flush()
    }

    fn hears(&mut self, expected: &str) -> bool {
        let mut line = String::new();
        self.answers.read_line(&mut line).is_ok() && line.trim_end() == expected
    }
}
