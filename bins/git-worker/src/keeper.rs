//! When snapshots are taken: the supervisor's part of it.
//!
//! Each is made by a process of its own, so that the supervisor goes on; one at a time, and those
//! at milestones not more often than the settings say. One that is due too early is taken later,
//! so that the last milestone has one.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, waitpid};
use shared::process::{self, Identity, descendants};

use crate::begin::own_program;
use crate::job::Job;
use crate::record::Record;
use crate::snapshot::{self, Why};

/// Who takes a snapshot for longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// The end of a job is not held up for longer.
const AT_END: Duration = Duration::from_secs(5);

/// The snapshots of a job.
#[derive(Debug)]
pub(crate) struct Keeper {
    every: Duration,
    wanted: Option<Why>,
    taking: Option<(Pid, Instant)>,
    last: Option<Instant>,
}

impl Keeper {
    /// Keeps the worktree of a job, if the settings say so and the record knows where its git folder is.
    pub(crate) fn of(record: &Record) -> Option<Keeper> {
        let wanted = record.rules.snapshot && record.folders.is_some();
        let every = Duration::from_millis(record.rules.snapshot_every_ms);
        wanted.then_some(Keeper { every, wanted: None, taking: None, last: None })
    }

    /// Asks for a snapshot; of several that wait the last one is taken.
    pub(crate) fn want(&mut self, word: &str, text: &str) {
        self.wanted = Some(Why { word: word.to_owned(), text: text.to_owned() });
    }

    /// Takes what is wanted and due, and ends who hangs.
    pub(crate) fn tend(&mut self, job: &Job) {
        if let Some((pid, since)) = self.taking {
            if since.elapsed() > PATIENCE {
                kill(pid);
            }
        } else if self.until().is_some_and(|wait| wait.is_zero()) {
            self.start(job);
        }
    }

    /// Returns how long it is until [`Keeper::tend`] has something to do.
    pub(crate) fn until(&self) -> Option<Duration> {
        match (&self.taking, &self.wanted) {
            (Some((_, since)), _) => Some((PATIENCE + Duration::from_secs(1)).saturating_sub(since.elapsed())),
            (None, Some(_)) => Some(self.last.map_or(Duration::ZERO, |last| self.every.saturating_sub(last.elapsed()))),
            (None, None) => None,
        }
    }

    /// Hears that a child has ended.
    pub(crate) fn reaped(&mut self, pid: Pid) {
        self.taking.take_if(|(taking, _)| *taking == pid);
    }

    /// Returns the process that takes a snapshot now; it is none of the job's.
    pub(crate) fn process(&self) -> Option<i32> {
        self.taking.map(|(pid, _)| pid.as_raw_nonzero().get())
    }

    /// Takes the last snapshot and waits a moment for it.
    pub(crate) fn take_last(&mut self, job: &Job, word: &str) {
        let end = Instant::now() + AT_END;
        self.want(word, "");
        self.wait(end);
        if self.taking.is_none() {
            self.start(job);
            self.wait(end);
        }
    }

    /// Takes a snapshot for whoever comes after a supervisor that is gone, and waits for it.
    pub(crate) fn take_now(&mut self, job: &Job, word: &str) {
        self.want(word, "");
        self.start(job);
        self.finish();
    }

    /// Waits until nobody takes a snapshot any more; who hangs is ended.
    pub(crate) fn finish(&mut self) {
        if let Some((pid, since)) = self.taking {
            self.wait(since + PATIENCE);
            if self.taking.is_some() {
                kill(pid);
                self.wait(Instant::now() + AT_END);
            }
        }
    }

    fn wait(&mut self, end: Instant) {
        while let Some((pid, _)) = self.taking
            && Instant::now() < end
        {
            match waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(None) => thread::sleep(Duration::from_millis(2)),
                // Ended, or waited for by somebody else.
                Ok(Some(_)) | Err(_) => self.taking = None,
            }
        }
    }

    fn start(&mut self, job: &Job) {
        let Some(why) = self.wanted.take() else { return };
        self.last = Some(Instant::now());
        let mut command = process::command(own_program());
        process::scrub(&mut command)
            .args([snapshot::WORD])
            .arg(job.folder())
            .args([&why.word, &why.text])
            .current_dir("/")
            // Of the job that a stop is called in, if it is.
            .env_remove("GIT_WORKER_JOB")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let child = command.spawn().ok();
        let pid = child.and_then(|child| i32::try_from(child.id()).ok()).and_then(Pid::from_raw);
        self.taking = pid.map(|pid| (pid, Instant::now()));
    }
}

/// Ends a process that is our child and not reaped, so that the number is its own, with all below it.
fn kill(pid: Pid) {
    let pid = pid.as_raw_nonzero().get();
    for process in descendants(pid).into_iter().chain(Identity::of(pid)) {
        process.signal(Signal::KILL);
    }
}
