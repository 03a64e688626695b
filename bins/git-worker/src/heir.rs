//! The heir of a supervisor: if that is killed, all that it leaves comes here and is ended.
//!
//! A parent that waits and knows nothing of the job. The kernel gives it whoever is left below a
//! supervisor that dies, whatever their session and environment are; that takes no privilege and
//! no namespace. An orderly end is the supervisor's alone, and the heir's own death changes nothing.

use std::os::unix::process::CommandExt;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, WaitOptions, WaitStatus};
use shared::exit::Status;
use shared::process;

use crate::begin::own_program;
use crate::job::Jobs;
use crate::{snapshot, supervise, tree};

/// The word in an heir's command line; no subcommand that a user is shown.
pub(crate) const WORD: &str = "inherit";
/// While children are left, of whom some may stay, it is looked so often.
const LOOKS: usize = 50;
const PAUSE: Duration = Duration::from_millis(5);

/// Says whether this process was started as an heir.
pub(crate) fn is_asked_for() -> bool {
    std::env::args_os().nth(1).is_some_and(|word| word == WORD)
}

/// Starts a supervisor with the streams of this process, and outlives it.
pub(crate) fn run() -> Status {
    match outlive() {
        // What is left after an orderly end is not the job's: who goes on with the queue, or other jobs.
        Ok(status) if is_orderly(status) => {}
        Ok(_) => end_the_rest(),
        Err(_) => return Status::CouldNot,
    }
    Status::Done
}

fn outlive() -> Result<WaitStatus> {
    let own = rustix::process::getpid();
    // Who signals the launcher's group or the supervisor's does not mean this process.
    rustix::process::setsid().context("cannot start a session")?;
    // Where that cannot be, a job is what it would be without an heir.
    let _ = rustix::process::set_child_subreaper(Some(own));
    let child = process::command(own_program()).arg0("git-worker").arg(supervise::WORD).spawn();
    let child = i32::try_from(child.context("cannot start the supervisor")?.id()).ok().and_then(Pid::from_raw);
    let child = child.context("the supervisor has no process id")?;
    loop {
        match rustix::process::waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for the supervisor"),
        }
    }
}

fn is_orderly(end: WaitStatus) -> bool {
    let codes = [Status::Done, Status::CouldNot].map(|status| Some(i32::from(status.code())));
    codes.contains(&end.exit_status())
}

/// Ends whoever is below, but not who takes a snapshot of the worktree, nor the jobs that the job had launched.
fn end_the_rest() {
    let Ok(jobs) = Jobs::of_user() else { return };
    let (own, jobs) = (rustix::process::getpid().as_raw_nonzero().get(), jobs.folder_of(""));
    let takes_snapshot = |pid: &i32| tree::was_asked_for(*pid, snapshot::WORD);
    let helper = tree::children(own).into_iter().flatten().find(takes_snapshot);
    // A look misses who is born while it goes on and whose parent dies at once; that one is a child of ours then.
    for _ in (0..LOOKS).take_while(|_| has_children()) {
        process::end(|| tree::below(own, helper, &jobs), Duration::ZERO);
        thread::sleep(PAUSE);
    }
}

/// Says whether a child is left that has not ended.
fn has_children() -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}
