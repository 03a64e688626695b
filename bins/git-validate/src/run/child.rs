//! One check: started, watched, and ended with all that it has started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::pipe;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gix::bstr::BString;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process_group};
use shared::process::{self, Identity};

use super::output::{Capture, Reading};
use super::reports;
use super::signals::asked_to_end;
use super::slot::Slot;
use crate::checks::Check;
use crate::finding::Finding;
use crate::verdict::CheckStatus;

/// Between TERM and KILL.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// How long those who were started by a check that has ended may go on.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a signal may wait until it is seen.
const LOOK: Duration = Duration::from_millis(50);

/// The bytes of files on one command line; the system's own bound is 2 MiB with the environment.
const ARGUMENTS: usize = 256 << 10;

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
    pub(crate) findings: Vec<Finding>,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) log: Option<PathBuf>,
    /// Whether it is an answer that may be noted.
    pub(crate) is_answer: bool,
}

impl Ended {
    pub(super) fn new(status: CheckStatus, reason: Option<String>) -> Ended {
        let (findings, counts) = (Vec::new(), BTreeMap::new());
        Ended {
            status,
            duration: Duration::ZERO,
            tail: String::new(),
            reason,
            findings,
            counts,
            log: None,
            is_answer: true,
        }
    }

    /// The end of a check that was not begun.
    pub(super) fn not_run(reason: String) -> Ended {
        Ended { is_answer: false, ..Ended::new(CheckStatus::Skipped, Some(reason)) }
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

    /// Makes a pass something worse.
    pub(super) fn spoil(&mut self, status: CheckStatus, reason: String) {
        if self.status == CheckStatus::Pass {
            self.status = status;
            self.reason = Some(reason);
        }
    }
}

/// What a check is run with.
#[derive(Debug, Clone)]
pub(super) struct Order<'a> {
    pub(super) check: &'a Check,
    /// The files that are passed to it.
    pub(super) files: Vec<BString>,
    /// The mark of its processes.
    pub(super) id: String,
    /// Where its output goes.
    pub(super) log: PathBuf,
    /// When the whole run has to end.
    pub(super) deadline: Option<Instant>,
}

/// Runs a check in the slot; nothing if a signal ended it.
pub(super) fn run(slot: &Slot, tree: &str, order: &Order<'_>) -> Option<Ended> {
    let begin = Instant::now();
    let capture = Capture::new(order.log.clone());
    let mut ended = Ended::new(CheckStatus::Pass, None);
    if let Err(error) = reports::clear(slot.tree(), &order.check.outputs) {
        ended.spoil(CheckStatus::Broken, format!("{error:#}"));
    }
    for files in batches(&order.files) {
        if ended.status != CheckStatus::Pass {
            break;
        }
        run_once(slot, tree, order, files, &capture, begin, &mut ended)?;
    }
    ended.duration = begin.elapsed();
    ended.tail = capture.text();
    ended.log = capture.finish_log();
    reports::read(slot.tree(), &order.check.outputs, &mut ended);
    Some(ended)
}

/// One process of it, for some of the files.
fn run_once(
    slot: &Slot,
    tree: &str,
    order: &Order<'_>,
    files: &[BString],
    capture: &Capture,
    begin: Instant,
    ended: &mut Ended,
) -> Option<()> {
    let (reading, mut child) = match start(slot, tree, order, files, capture) {
        Ok(started) => started,
        Err(error) => {
            ended.spoil(CheckStatus::Broken, format!("{error:#}"));
            return Some(());
        }
    };
    let own = order.check.timeout.map(|timeout| begin + timeout);
    let outcome = watch(&mut child, own.into_iter().chain(order.deadline).min());
    match outcome {
        Outcome::Exited(_) | Outcome::Unknown(_) => {
            if !is_quiet(&reading, Pid::from_child(&child)) {
                ended.left_behind();
                end(&child, &order.id);
            }
        }
        Outcome::TimedOut | Outcome::Interrupted => {
            end(&child, &order.id);
            let _ = child.wait();
        }
    }
    // Whoever holds the output still is no member of the group and has wiped our mark; he is found at the end.
    reading.wait_for_end(Duration::from_millis(200));
    match outcome {
        Outcome::Interrupted => return None,
        Outcome::Exited(status) if status.success() => {}
        Outcome::Exited(status) => ended.spoil(CheckStatus::Fail, words(status)),
        Outcome::TimedOut => {
            let whole = order.deadline.is_some_and(|deadline| own.is_none_or(|own| deadline < own));
            let whose = if whole { "; the run as a whole had no more time" } else { "" };
            let after = own.filter(|_| !whole).map_or_else(|| begin.elapsed(), |own| own - begin).as_millis();
            let reason = format!("ended after {}.{:03} s{whose}", after / 1000, after % 1000);
            ended.spoil(CheckStatus::TimedOut, reason);
        }
        Outcome::Unknown(words) => ended.spoil(CheckStatus::Broken, words),
    }
    Some(())
}

/// Parts of a list of files that fit a command line; one empty part if there are none.
fn batches(files: &[BString]) -> Vec<&[BString]> {
    let mut parts = Vec::new();
    let mut from = 0;
    let mut size = 0;
    for (at, file) in files.iter().enumerate() {
        if size + file.len() > ARGUMENTS && at > from {
            parts.push(&files[from..at]);
            (from, size) = (at, 0);
        }
        size += file.len() + 16;
    }
    parts.push(&files[from..]);
    parts
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

fn start(slot: &Slot, tree: &str, order: &Order<'_>, files: &[BString], capture: &Capture) -> Result<(Reading, Child)> {
    let (reader, writer) = pipe().context("cannot make a pipe")?;
    let check = order.check;
    let (program, arguments) = check.command.split_first().context("the check has no command")?;
    let mut command = process::command(in_tree(slot.tree(), program));
    process::scrub(&mut command).args(arguments).args(files.iter().map(argument)).current_dir(slot.tree());
    for name in EXPORTED {
        command.env_remove(name);
    }
    command
        .envs(check.env.iter().map(|(name, value)| (name, value)))
        .env("GIT_CEILING_DIRECTORIES", slot.tree().parent().unwrap_or(Path::new("/")))
        .env("PWD", slot.tree())
        .env("GIT_VALIDATE_TREE", tree)
        .env("GIT_VALIDATE_CHECK", &check.name)
        .env("GIT_VALIDATE_SLOT", slot.marker().display().to_string())
        .env("GIT_VALIDATE_CHECK_ID", &order.id)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().context("cannot make a pipe")?)
        .stderr(writer)
        .process_group(0);
    let child = command.spawn().with_context(|| format!("cannot start '{}'", program.escape_debug()))?;
    // The command holds the writing ends; with it they go.
    drop(command);
    Ok((capture.read(reader), child))
}

/// A path as an argument that no program takes for an option.
fn argument(path: &BString) -> OsString {
    let prefix: &[u8] = if path.starts_with(b"-") { b"./" } else { b"" };
    OsString::from_vec([prefix, path].concat())
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

fn watch(child: &mut Child, deadline: Option<Instant>) -> Outcome {
    let handle = pidfd_open(Pid::from_child(child), PidfdFlags::empty());
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Outcome::Exited(status),
            Ok(None) => {}
            Err(error) => return Outcome::Unknown(format!("cannot wait for it: {error}")),
        }
        if asked_to_end().load(Ordering::Relaxed) != 0 {
            return Outcome::Interrupted;
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Outcome::TimedOut;
        }
        let pause = left.unwrap_or(LOOK).min(LOOK);
        match &handle {
            Ok(handle) => {
                let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(pause.subsec_nanos()) };
                let _ = poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&limit));
            }
            Err(_) => thread::sleep(pause.min(Duration::from_millis(5))),
        }
    }
}

/// Waits until nobody of an ended check prints or belongs to its group any more; false if somebody stays.
fn is_quiet(reading: &Reading, group: Pid) -> bool {
    let end = Instant::now() + PATIENCE;
    if !reading.wait_for_end(PATIENCE) {
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
