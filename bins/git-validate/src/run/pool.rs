//! Running checks side by side, each with a time limit, none outliving us.

use std::io::pipe;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process_group, set_child_subreaper, test_kill_process_group, wait,
};
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::process::{self, Identity};

use super::output::Capture;
use super::slot::Slot;
use crate::checks::Check;
use crate::subject::Subject;
use crate::verdict::CheckStatus;

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(1);

/// How a check ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) status: CheckStatus,
    pub(crate) duration: Duration,
    pub(crate) tail: String,
    pub(crate) reason: Option<String>,
}

/// What all checks of a run share.
pub(super) struct Pool<'a> {
    slot: &'a Slot,
    tree: String,
    width: usize,
    progress: ProgressBar,
}

/// The signal that asked us to end; 0 for none.
fn asked_to_end() -> &'static Arc<AtomicUsize> {
    static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();
    SIGNAL.get_or_init(|| {
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
            // Without the handler the signal ends us at once, and the next run ends what is left.
            let _ = signal_hook::flag::register_usize(number, signal.clone(), number as usize);
        }
        signal
    })
}

impl<'a> Pool<'a> {
    pub(super) fn new(cx: &Context, slot: &'a Slot, subject: &Subject) -> Result<Pool<'a>, Failure> {
        let jobs = usize::try_from(cx.config()?.integer("validate.jobs")?).unwrap_or(usize::MAX);
        let width = if jobs == 0 { thread::available_parallelism().map_or(1, usize::from) } else { jobs };
        let progress = if cx.output.draws_progress() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} checks  {msg}") {
            progress.set_style(style);
        }
        Ok(Pool { slot, tree: subject.tree.to_string(), width, progress })
    }

    /// Runs the checks and returns how each ended, in their order.
    ///
    /// # Errors
    /// When a signal ended the run; then nothing is left running.
    pub(super) fn run(&self, checks: &[&Check]) -> Result<Vec<Ended>, Failure> {
        asked_to_end();
        // Whoever loses his parent becomes our child, and so is found at the end.
        set_child_subreaper(Some(getpid())).context("cannot adopt what the checks leave behind")?;
        self.progress.set_length(checks.len() as u64);
        self.progress.enable_steady_tick(Duration::from_millis(200));
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<Option<Ended>>> = Mutex::new(vec![None; checks.len()]);
        thread::scope(|scope| {
            for _ in 0..self.width.min(checks.len()) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(check) = checks.get(at) else { return };
                        let ended = self.run_one(check, at);
                        self.progress.inc(1);
                        self.progress.set_message(format!("{}: {}", shared::output::escape(&check.name), ended.status));
                        if let Ok(mut results) = results.lock() {
                            results[at] = Some(ended);
                        }
                    }
                });
            }
        });
        self.progress.finish_and_clear();
        end_leftovers();
        match asked_to_end().load(Ordering::Relaxed) {
            0 => {}
            number => return Err(interrupted(number)),
        }
        let results = results.into_inner().map_err(|_| Failure::could_not("failed", "a check's thread failed"))?;
        Ok(results.into_iter().flatten().collect())
    }

    fn run_one(&self, check: &Check, at: usize) -> Ended {
        let begin = Instant::now();
        let broken = |reason: String| Ended {
            status: CheckStatus::Broken,
            duration: begin.elapsed(),
            tail: String::new(),
            reason: Some(reason),
        };
        if asked_to_end().load(Ordering::Relaxed) != 0 {
            return broken("interrupted".into());
        }
        let marker = format!("{}/{at}", self.slot.marker());
        let (capture, mut child) = match self.start(check, &marker) {
            Ok(started) => started,
            Err(error) => return broken(format!("{error:#}")),
        };
        let outcome = watch(&mut child, check.timeout, begin);
        let group = Pid::from_child(&child);
        let mut reason = None;
        if outcome.is_none() || test_kill_process_group(group).is_ok() {
            end_group(group, &marker);
        }
        let duration = begin.elapsed();
        // A daemon of another group may still hold the output.
        let tail = capture.text(Duration::from_millis(200)).or_else(|| {
            let left = process::end(|| process::marked(&format!("GIT_VALIDATE_CHECK_ID={marker}")), GRACE);
            reason = Some(if left.is_empty() {
                "left processes behind, which were ended".into()
            } else {
                "left processes behind".to_owned()
            });
            capture.text(Duration::from_secs(1))
        });
        let tail = tail.unwrap_or_else(|| "(its output is still held by a process that it left behind)".into());
        let status = match outcome {
            Some(Ok(true)) => CheckStatus::Pass,
            Some(Ok(false)) => CheckStatus::Fail,
            Some(Err(words)) => {
                reason = Some(words);
                CheckStatus::Broken
            }
            None => {
                let _ = child.wait();
                let limit = check.timeout.unwrap_or_default().as_millis();
                reason = Some(format!("ended after {}.{:03} s", limit / 1000, limit % 1000));
                CheckStatus::TimedOut
            }
        };
        Ended { status, duration, tail, reason }
    }

    fn start(&self, check: &Check, marker: &str) -> anyhow::Result<(Capture, Child)> {
        use std::os::unix::process::CommandExt;
        let (reader, writer) = pipe().context("cannot make a pipe")?;
        let (program, arguments) = check.command.split_first().context("the check has no command")?;
        let mut command = process::command(program);
        process::scrub(&mut command).args(arguments).current_dir(self.slot.tree());
        for name in ["GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_PAGER_IN_USE", "GIT_REFLOG_ACTION", "GIT_EXEC_PATH"] {
            command.env_remove(name);
        }
        command
            .env("GIT_CEILING_DIRECTORIES", self.slot.tree().parent().unwrap_or(Path::new("/")))
            .env("GIT_VALIDATE_TREE", &self.tree)
            .env("GIT_VALIDATE_CHECK", &check.name)
            .env("GIT_VALIDATE_SLOT", self.slot.marker())
            .env("GIT_VALIDATE_CHECK_ID", marker)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().context("cannot make a pipe")?)
            .stderr(writer)
            .process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start '{program}'"))?;
        // The command holds the writing ends; with it they go.
        drop(command);
        Ok((Capture::start(reader), child))
    }
}

/// Waits for the end: passed or not, why it could not be told, or nothing if time ran out or a signal came.
fn watch(child: &mut Child, timeout: Option<Duration>, begin: Instant) -> Option<Result<bool, String>> {
    let mut pause = Duration::from_micros(200);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(Ok(status.success())),
            Ok(None) => {}
            Err(error) => return Some(Err(format!("cannot wait for it: {error}"))),
        }
        let over = timeout.is_some_and(|limit| begin.elapsed() >= limit);
        if over || asked_to_end().load(Ordering::Relaxed) != 0 {
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Ends the group of a check and whoever left the group: TERM, a second, KILL.
fn end_group(group: Pid, marker: &str) {
    let _ = kill_process_group(group, Signal::TERM);
    let marker = format!("GIT_VALIDATE_CHECK_ID={marker}");
    process::end(|| process::marked(&marker), GRACE);
    let _ = kill_process_group(group, Signal::KILL);
}

/// Ends and reaps what the checks left to us.
fn end_leftovers() {
    let own = getpid().as_raw_nonzero().get();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => {
                process::end(|| process::descendants(own), GRACE);
                if process::descendants(own).iter().any(Identity::is_alive) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

fn interrupted(number: usize) -> Failure {
    let status = if number == signal_hook::consts::SIGINT as usize { Status::Interrupted } else { Status::Terminated };
    Failure::ended(status, "interrupted; the checks were ended and nothing is noted")
}
