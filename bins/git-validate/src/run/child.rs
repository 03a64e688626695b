//! One check: started, watched, and ended with all that it has started.

use std::io::pipe;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, test_kill_process_group};
use shared::process::{self, Identity};

use super::output::Capture;
use super::pool::asked_to_end;
use super::slot::Slot;
use crate::checks::Check;
use crate::verdict::CheckStatus;

/// Between TERM and KILL.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// How long those who were started by a check that has ended may go on.
const PATIENCE: Duration = Duration::from_secs(1);

/// What git exports to a hook or an alias beside its own local variables, and a check must not see.
const EXPORTED: &[&str] = &[
    "GIT_AUTHOR_DATE",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_LITERAL_PATHSPECS",
    "GIT_PAGER_IN_USE",
    "GIT_REFLOG_ACTION",
    "GIT_SEQUENCE_EDITOR",
];

/// How a check ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) status: CheckStatus,
    pub(crate) duration: Duration,
    pub(crate) tail: String,
    pub(crate) reason: Option<String>,
}

impl Ended {
    /// The end of a check that had nothing to do.
    pub(super) fn skipped() -> Ended {
        Ended { status: CheckStatus::Skipped, duration: Duration::ZERO, tail: String::new(), reason: None }
    }

    /// Records that processes of it had to be ended.
    pub(super) fn left_behind(&mut self) {
        const WORDS: &str = "left processes behind, which were ended";
        match &mut self.reason {
            Some(reason) if reason.contains(WORDS) => {}
            Some(reason) => *reason = format!("{reason}; {WORDS}"),
            None => self.reason = Some(WORDS.to_owned()),
        }
    }
}

/// Runs a check in the slot; nothing if a signal ended it.
pub(super) fn run(slot: &Slot, tree: &str, check: &Check, id: &str) -> Option<Ended> {
    let begin = Instant::now();
    let (capture, mut child) = match start(slot, tree, check, id) {
        Ok(started) => started,
        Err(error) => return Some(broken(begin.elapsed(), format!("{error:#}"))),
    };
    let outcome = watch(&mut child, check.timeout, begin);
    let duration = begin.elapsed();
    let mut leak = false;
    match outcome {
        Outcome::Exited(_) | Outcome::Unknown(_) => {
            if !is_quiet(&capture, Pid::from_child(&child)) {
                leak = true;
                end(&child, id);
            }
        }
        Outcome::TimedOut | Outcome::Interrupted => {
            end(&child, id);
            let _ = child.wait();
        }
    }
    // Whoever holds the output still is no member of the group and has wiped our mark; he is found at the end.
    capture.wait_for_end(Duration::from_millis(200));
    let (status, reason) = match outcome {
        Outcome::Interrupted => return None,
        Outcome::Exited(status) if status.success() => (CheckStatus::Pass, None),
        Outcome::Exited(status) => (CheckStatus::Fail, Some(words(status))),
        Outcome::TimedOut => {
            let limit = check.timeout.unwrap_or_default().as_millis();
            (CheckStatus::TimedOut, Some(format!("ended after {}.{:03} s", limit / 1000, limit % 1000)))
        }
        Outcome::Unknown(words) => (CheckStatus::Broken, Some(words)),
    };
    let mut ended = Ended { status, duration, tail: capture.text(), reason };
    if leak {
        ended.left_behind();
    }
    Some(ended)
}

fn broken(duration: Duration, reason: String) -> Ended {
    Ended { status: CheckStatus::Broken, duration, tail: String::new(), reason: Some(reason) }
}

fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The entry in the environment of every process of one check.
pub(super) fn mark(id: &str) -> String {
    format!("GIT_VALIDATE_CHECK_ID={id}")
}

fn start(slot: &Slot, tree: &str, check: &Check, id: &str) -> Result<(Capture, Child)> {
    let (reader, writer) = pipe().context("cannot make a pipe")?;
    let (program, arguments) = check.command.split_first().context("the check has no command")?;
    let mut command = process::command(in_tree(slot.tree(), program));
    process::scrub(&mut command).args(arguments).current_dir(slot.tree());
    for name in EXPORTED {
        command.env_remove(name);
    }
    command
        .env("GIT_CEILING_DIRECTORIES", slot.tree().parent().unwrap_or(Path::new("/")))
        .env("PWD", slot.tree())
        .env("GIT_VALIDATE_TREE", tree)
        .env("GIT_VALIDATE_CHECK", &check.name)
        .env("GIT_VALIDATE_SLOT", slot.marker().display().to_string())
        .env("GIT_VALIDATE_CHECK_ID", id)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().context("cannot make a pipe")?)
        .stderr(writer)
        .process_group(0);
    let child = command.spawn().with_context(|| format!("cannot start '{}'", program.escape_debug()))?;
    // The command holds the writing ends; with it they go.
    drop(command);
    Ok((Capture::start(reader), child))
}

/// A program with a folder in its name is one of the tree, wherever we were started.
fn in_tree(tree: &Path, program: &str) -> PathBuf {
    if program.contains('/') { tree.join(program) } else { PathBuf::from(program) }
}

enum Outcome {
    Exited(ExitStatus),
    TimedOut,
    Interrupted,
    Unknown(String),
}

fn watch(child: &mut Child, timeout: Option<Duration>, begin: Instant) -> Outcome {
    let mut pause = Duration::from_micros(200);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Outcome::Exited(status),
            Ok(None) => {}
            Err(error) => return Outcome::Unknown(format!("cannot wait for it: {error}")),
        }
        if asked_to_end().load(Ordering::Relaxed) != 0 {
            return Outcome::Interrupted;
        }
        if timeout.is_some_and(|limit| begin.elapsed() >= limit) {
            return Outcome::TimedOut;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Waits until nobody of an ended check prints or belongs to its group any more; false if somebody stays.
fn is_quiet(capture: &Capture, group: Pid) -> bool {
    let end = Instant::now() + PATIENCE;
    if !capture.wait_for_end(PATIENCE) {
        return false;
    }
    // The cheap question first; a dead process that nobody has reaped still counts there.
    while test_kill_process_group(group).is_ok() && !process::in_group(group.as_raw_nonzero().get()).is_empty() {
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Ends a check: its group, what it has started, and whoever carries its mark.
fn end(child: &Child, id: &str) {
    let group = Pid::from_child(child).as_raw_nonzero().get();
    let members = || -> Vec<Identity> {
        let mut all = process::in_group(group);
        all.extend(process::descendants(group));
        all.extend(process::marked(&mark(id)));
        all
    };
    process::end(members, GRACE);
}
