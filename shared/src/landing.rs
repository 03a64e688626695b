//! Moving a branch: one transaction of refs, and the checkout that follows it.
//!
//! The transaction is prepared first: git then holds the locks and has compared the old values, so
//! that its end cannot fail any more. The checkout moves while it is held. If we die in between,
//! git lets the refs go unchanged; the checkout then shows the changes as staged, the same command
//! goes on from there, and [`Move::take_back`] brings them away again.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use gix::ObjectId;
use serde::Serialize;

use crate::app::Context;
use crate::durable::{self, Lock};
use crate::failure::Failure;
use crate::output::Foreign;
use crate::process::Git;
use crate::repository::Worktree;

/// How long a git of the user's may hold the index of a checkout.
const PATIENCE_WITH_INDEX: Duration = Duration::from_secs(5);

/// A branch that is to move.
#[derive(Debug, Clone)]
pub struct Move {
    /// Its full name.
    pub branch: String,
    /// Where it has to be.
    pub old: ObjectId,
    /// Where it goes.
    pub new: ObjectId,
    /// What moves with it or not at all, as lines of `git update-ref --stdin`.
    pub also: Vec<String>,
    /// What the reflog says, such as `task complete: parser-fix`.
    pub reason: String,
}

/// What became of the checkout of the branch.
#[derive(Debug, Clone, Serialize)]
pub struct Checkout {
    /// Its worktree.
    pub path: PathBuf,
    /// Whether its files are those of the new commit.
    pub followed: bool,
    /// Why it did not follow, in git's words.
    pub reason: Option<String>,
}

/// How it ended.
#[derive(Debug)]
pub enum Landed {
    /// The branch has moved, and the checkout that it had as far as is said.
    Moved(Option<Checkout>),
    /// A ref was not where it was expected; nothing is changed.
    Elsewhere,
}

/// Whether a checkout moves or only could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Try,
    Move,
}

impl Move {
    /// Says what would become of the checkout of the branch.
    ///
    /// # Errors
    /// When it cannot be read, or another git holds its index.
    pub fn preview(&self, cx: &Context) -> Result<Option<Checkout>, Failure> {
        let Some(worktree) = self.checkout(cx)? else { return Ok(None) };
        let reason = self.follow(cx, &worktree, Act::Try)?.err();
        Ok(Some(Checkout { path: worktree.path, followed: reason.is_none(), reason }))
    }

    /// Moves the branch, with a checkout whose own changes do not overlap.
    ///
    /// One whose changes do overlap keeps every byte and is left on the old commit, off the branch.
    ///
    /// # Errors
    /// When a lock or an index is held by others for too long, or git fails.
    pub fn land(&self, cx: &Context) -> Result<Landed, Failure> {
        let _lock = lock(cx)?;
        let own = if self.new == self.old {
            format!("verify {} {}", self.branch, self.old)
        } else {
            format!("update {} {} {}", self.branch, self.new, self.old)
        };
        let refs: Vec<String> = self.also.iter().cloned().chain([own]).collect();
        let worktree = self.checkout(cx)?;
        let checkout = self.preview(cx)?;
        if let (Some(worktree), Some(checkout @ Checkout { followed: false, .. })) = (&worktree, &checkout) {
            self.detach(cx, worktree, checkout)?;
        }
        let git = cx.git()?.setting("core.fsync=reference");
        let Some(transaction) = Transaction::prepare(&git, &refs, &self.reason)? else {
            return self.elsewhere_or_locked(cx);
        };
        let follows = checkout.as_ref().is_some_and(|checkout| checkout.followed);
        if let Some(worktree) = worktree.as_ref().filter(|_| follows)
            && self.follow(cx, worktree, Act::Move)?.is_err()
        {
            // Changes that overlap came in since; the refs are let go, and all is looked at again.
            return Ok(Landed::Elsewhere);
        }
        transaction.commit()?;
        Ok(Landed::Moved(checkout))
    }

    /// Takes a checkout back that followed a move which was ended before its refs moved.
    ///
    /// A checkout that did not follow, or has been worked on since, stays as it is.
    ///
    /// # Errors
    /// When the checkout cannot be read, or another landing holds the lock for too long.
    pub fn take_back(&self, cx: &Context) -> Result<(), Failure> {
        let _lock = lock(cx)?;
        if cx.repository()?.tip(&self.branch)? != Some(self.old) {
            return Ok(());
        }
        let Some(worktree) = self.checkout(cx)? else { return Ok(()) };
        // What git refuses here is the user's, as is an index that nothing was brought into.
        let back = Move { old: self.new, new: self.old, ..self.clone() };
        back.follow(cx, &worktree, Act::Move)?.ok();
        Ok(())
    }

    fn short(&self) -> &str {
        self.branch.strip_prefix("refs/heads/").unwrap_or(&self.branch)
    }

    fn elsewhere_or_locked(&self, cx: &Context) -> Result<Landed, Failure> {
        match cx.repository()?.tip(&self.branch)? {
            Some(now) if now == self.old => {
                Err(Failure::could_not("locked", format!("the branch '{}' cannot be locked", self.short()))
                    .hint("'git task doctor' names locks that were left behind"))
            }
            Some(_) | None => Ok(Landed::Elsewhere),
        }
    }

    /// Leaves a checkout with changes that overlap on the old commit, off the branch.
    ///
    /// On the branch its next commit would take the move back. Off it, its changes stay what they are.
    fn detach(&self, cx: &Context, worktree: &Worktree, checkout: &Checkout) -> Result<(), Failure> {
        let old = self.old.to_string();
        let (branch, path) = (self.short(), worktree.path.display());
        let reason = format!("{} (leave the old commit)", self.reason);
        cx.git_in(worktree)?.run(["update-ref", "--no-deref", "-m", &reason, "HEAD", &old, &old])?;
        cx.output.warn(format!(
            "changes in '{path}' overlap, so its files stay as they are, on the old commit and off '{branch}': {}",
            Foreign(checkout.reason.as_deref().unwrap_or_default())
        ));
        cx.output.hint(format!("'git -C {path} checkout --merge {branch}' brings the changes onto the new '{branch}'"));
        Ok(())
    }

    fn checkout(&self, cx: &Context) -> Result<Option<Worktree>, Failure> {
        Ok(cx.repository()?.worktree_of(&self.branch)?.filter(|worktree| worktree.path.exists()))
    }

    /// Moves a checkout from the old to the new commit as `git checkout` would; git refuses what overlaps.
    fn follow(&self, cx: &Context, worktree: &Worktree, act: Act) -> Result<Result<(), String>, Failure> {
        let (old, new) = (self.old.to_string(), self.new.to_string());
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
}

/// One landing at a time: another in the same checkout would look like changes of the user's.
fn lock(cx: &Context) -> Result<Lock, Failure> {
    let folder = cx.repository()?.common_dir().join("codex-agents");
    durable::private_folder(&folder)?;
    Ok(Lock::acquire(&folder.join("complete.lock"), durable::PATIENCE)?)
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
