//! `git validate doctor`: what would keep the validation from happening, and the way on.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access};
use serde::Serialize;
use shared::app::Context;
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process::Git;
use shared::repository::Repository;
use shared::{clock, folders};

use crate::hooks::Trouble;
use crate::journal::Journal;
use crate::{checks, hooks, note, policy};

/// The oldest git that the programs work with.
const OLDEST_GIT: (u32, u32) = (2, 39);
/// As many slots there are at most.
const SLOTS: usize = 64;
/// A clock that is further behind than this is wrong.
const BEHIND: Duration = Duration::from_secs(24 * 3600);
/// A lock of git that is older than this was left behind.
const STALE_LOCK: Duration = Duration::from_secs(600);

/// Find what would keep the validation from happening; exit 1 if there is something
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// One thing that is not as it should be.
#[derive(Debug, Serialize)]
struct Found {
    kind: &'static str,
    /// A path, a setting, or a ref.
    place: String,
    message: String,
    hint: String,
}

#[derive(Debug, Serialize)]
struct Answer {
    findings: Vec<Found>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in &self.findings {
            writeln!(f, "found: {}: {}", Foreign(&found.place), Foreign(&found.message))?;
            writeln!(f, "       {}", Foreign(&found.hint))?;
        }
        if self.findings.is_empty() {
            writeln!(f, "all is as it should be")?;
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, _args: Args) -> Result<Status, Failure> {
    let repository = cx.repository_unchecked()?;
    let mut found: Vec<Found> = git(cx).into_iter().collect();
    found.extend(settings(cx));
    // With a git configuration that is not trusted nothing more is asked of git.
    if cx.repository().is_ok() {
        let of_hooks = hooks::look(cx)?.into_iter();
        found.extend(of_hooks.map(|Trouble { kind, place, message, hint }| Found { kind, place, message, hint }));
        found.extend(notes(cx, repository));
    }
    found.extend(slots_of(repository));
    found.extend(journal(repository));
    found.extend(clock_of(repository));
    let status = if found.is_empty() { Status::Done } else { Status::No };
    cx.output.answer(&Answer { findings: found })?;
    Ok(status)
}

fn found(kind: &'static str, place: impl fmt::Display, message: impl fmt::Display, hint: &str) -> Found {
    Found { kind, place: place.to_string(), message: message.to_string(), hint: hint.to_owned() }
}

fn git(cx: &Context) -> Option<Found> {
    let version = Git::at(cx.folder()).and_then(|git| git.version());
    let hint = "install git 2.39 or newer";
    match version {
        Ok(version) if version >= OLDEST_GIT => None,
        Ok((major, minor)) => Some(found("git-too-old", "git", format!("its version is {major}.{minor}"), hint)),
        Err(error) => Some(found("git-missing", "git", format!("{error:#}"), hint)),
    }
}

/// Settings that cannot be read, wait for trust, or ask for nothing.
fn settings(cx: &Context) -> Vec<Found> {
    let of_failure = |failure: &Failure| {
        let kind = if failure.kind() == "untrusted" { "untrusted" } else { "settings" };
        found(kind, "settings", failure.message(), failure.way_on().unwrap_or("mend the line that is named"))
    };
    let all = cx.config().map_err(|failure| vec![of_failure(&failure)]).and_then(|_| {
        let checks = checks::configured(cx).map_err(|failure| vec![of_failure(&failure)])?;
        let policies = policy::configured(cx).map_err(|failure| vec![of_failure(&failure)])?;
        Ok(checks.is_empty() && policies.iter().all(policy::Policy::is_implicit))
    });
    let mut all = match all {
        Ok(false) => Vec::new(),
        Ok(true) => {
            let hint = "'git validate init' proposes some for what is in this repository";
            vec![found("no-checks", "settings", "there are no checks, so nothing can be validated", hint)]
        }
        Err(found) => found,
    };
    // The git configuration of the repository waits for trust as well.
    if let (true, Err(failure)) = (all.is_empty(), cx.repository()) {
        all.push(of_failure(&failure));
    }
    all
}

fn notes(cx: &Context, repository: &Repository) -> Vec<Found> {
    let mut all = Vec::new();
    let hint = "'git log refs/notes/validate' shows its history; a fetch, or a reflog, may have a good one";
    let read = repository.tip(note::REF).map_err(Failure::from).and_then(|tip| {
        let Some(tip) = tip else { return Ok(()) };
        note::root(repository, tip)?;
        match repository.tree("HEAD") {
            Ok(tree) => note::read(cx, tree).map(drop),
            // Before the first commit there is nothing to read.
            Err(_) => Ok(()),
        }
    });
    if let Err(failure) = read {
        all.push(found("notes", note::REF, failure.message(), hint));
    }
    let lock = repository.common_dir().join(format!("{}.lock", note::REF));
    if age(&lock).is_some_and(|age| age > STALE_LOCK) {
        let hint = "make sure that no git runs in this repository, then remove the file";
        all.push(found("notes-lock", lock.display(), "a git that was killed left it", hint));
    }
    all
}

fn slots_of(repository: &Repository) -> Vec<Found> {
    let pool = match folders::cache() {
        Ok(cache) => cache.join("validate").join(repository.key()),
        Err(error) => return vec![found("slots", "HOME", format!("{error:#}"), "set HOME")],
    };
    if let Some(why) = unusable(&pool) {
        let hint = "make it a folder of yours that only you may write to, or set XDG_CACHE_HOME";
        return vec![found("slots", pool.display(), why, hint)];
    }
    let is_busy = |number: usize| durable::is_locked(&pool.join(number.to_string()).join("lock")).unwrap_or(false);
    if (0..SLOTS).all(is_busy) {
        let hint = "wait until one of the validations has ended";
        return vec![found("slots-locked", pool.display(), "all places where checks run are taken", hint)];
    }
    Vec::new()
}

fn journal(repository: &Repository) -> Option<Found> {
    let hint = "make it a folder of yours that only you may write to, or set XDG_STATE_HOME";
    match Journal::of(repository) {
        Ok(journal) => {
            let why = unusable(journal.folder()).or_else(|| unusable(&journal.folder().join("journal")))?;
            Some(found("journal", journal.folder().display(), format!("no verdict can be kept: {why}"), hint))
        }
        Err(error) => Some(found("journal", "HOME", format!("{error:#}"), "set HOME")),
    }
}

/// Says why nothing can be written below a folder that need not exist.
fn unusable(folder: &Path) -> Option<String> {
    let there = folder.ancestors().find(|path| path.symlink_metadata().is_ok())?;
    let name = there.display();
    let Ok(facts) = fs::metadata(there) else { return Some(format!("'{name}' leads nowhere")) };
    if !facts.is_dir() {
        return Some(format!("'{name}' is no folder"));
    }
    if access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Some(format!("'{name}' cannot be written"));
    }
    // Only what is ours already has to be for us alone.
    if there != folder {
        return None;
    }
    durable::private_folder(folder).err().map(|error| format!("{error:#}"))
}

/// A clock that is behind the newest commit.
fn clock_of(repository: &Repository) -> Option<Found> {
    let head = repository.commit("HEAD").ok()?;
    let time = repository.gix.find_commit(head).ok()?.time().ok()?.seconds;
    let ahead = time.saturating_sub(clock::now().as_second());
    let is_wrong = ahead > 0 && Duration::from_secs(ahead.unsigned_abs()) > BEHIND;
    let words = format!("HEAD was committed {} h after now", ahead / 3600);
    is_wrong
        .then(|| found("clock", "the clock", words, "set the clock, or find out whose was wrong when it was committed"))
}

fn age(path: &Path) -> Option<Duration> {
    fs::symlink_metadata(path).ok()?.modified().ok()?.elapsed().ok()
}
