//! Running checks side by side, each with a time limit, none outliving us.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{WaitOptions, getpid, set_child_subreaper, wait};
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::process::{self, Identity};

use super::child::{self, Ended, GRACE};
use super::slot::Slot;
use crate::checks::Check;
use crate::subject::Subject;

/// What all checks of a run share.
pub(super) struct Pool<'a> {
    slot: &'a Slot,
    tree: String,
    width: usize,
    progress: ProgressBar,
}

/// The signal that asked us to end; 0 for none.
pub(super) fn asked_to_end() -> &'static Arc<AtomicUsize> {
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

/// Fails if a signal has asked us to end.
pub(super) fn refuse_if_interrupted() -> Result<(), Failure> {
    match asked_to_end().load(Ordering::Relaxed) {
        0 => Ok(()),
        number => {
            let interrupted = number == signal_hook::consts::SIGINT as usize;
            let status = if interrupted { Status::Interrupted } else { Status::Terminated };
            Err(Failure::ended(
                status,
                "interrupted; the checks that still ran were ended, and nothing of them is noted",
            ))
        }
    }
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

    /// Runs the checks and returns how each ended, in their order; nothing for one that a signal ended.
    ///
    /// # Errors
    /// When the system does not let us keep hold of what the checks start.
    pub(super) fn run(&self, checks: &[&Check]) -> Result<Vec<Option<Ended>>, Failure> {
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
                    while asked_to_end().load(Ordering::Relaxed) == 0 {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(check) = checks.get(at) else { return };
                        let ended = child::run(self.slot, &self.tree, check, &self.id(at));
                        self.progress.inc(1);
                        self.progress.set_message(shared::output::escape(&check.name).into_owned());
                        results.lock().unwrap_or_else(PoisonError::into_inner)[at] = ended;
                    }
                });
            }
        });
        self.progress.finish_and_clear();
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.end_leftovers(&mut results);
        Ok(results)
    }

    /// The mark of one check of this run.
    fn id(&self, at: usize) -> String {
        format!("{}/{at}", self.slot.marker().display())
    }

    /// Ends and reaps what the checks left to us, and says in whose record it belongs.
    fn end_leftovers(&self, results: &mut [Option<Ended>]) {
        let own = getpid().as_raw_nonzero().get();
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let left: BTreeSet<i32> = process::descendants(own).iter().map(|process| process.pid).collect();
                    for (at, ended) in results.iter_mut().enumerate().filter(|_| !left.is_empty()) {
                        let marked = process::marked(&child::mark(&self.id(at)));
                        if let (true, Some(ended)) = (marked.iter().any(|p| left.contains(&p.pid)), ended) {
                            ended.left_behind();
                        }
                    }
                    process::end(|| process::descendants(own), GRACE);
                    if process::descendants(own).iter().any(Identity::is_alive) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}
