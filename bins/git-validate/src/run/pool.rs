//! Running checks side by side, each with a time limit, none outliving us.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gix::bstr::BString;
use rustix::process::{WaitOptions, getpid, set_child_subreaper, wait};
use shared::app::Context;
use shared::failure::Failure;
use shared::process::{self, Identity};

use super::child::{self, Ended, GRACE, Order};
use super::live::Live;
use super::signals::asked_to_end;
use super::slot::Slot;
use crate::checks::Check;
use crate::subject::Subject;
use crate::verdict::CheckStatus;

/// One check that is to run.
#[derive(Debug, Clone)]
pub(super) struct Job<'a> {
    pub(super) check: &'a Check,
    /// The files that are passed to it.
    pub(super) files: Vec<BString>,
    /// Whether what it needs is known to have passed, or not to pass, without being run now.
    pub(super) blocked: Option<String>,
}

/// What all checks of a run share.
pub(super) struct Pool<'a> {
    slot: &'a Slot,
    tree: String,
    width: usize,
    logs: PathBuf,
    deadline: Option<Instant>,
    fail_fast: bool,
    live: &'a Live,
}

/// Where each job stands.
#[derive(Debug, Clone)]
enum State {
    Waiting,
    Running,
    /// Nothing if a signal ended it.
    Ended(Option<Box<Ended>>),
}

struct Board {
    states: Vec<State>,
    running: usize,
    /// Whether what runs wants to be alone.
    alone: bool,
}

impl<'a> Pool<'a> {
    pub(super) fn new(
        cx: &Context,
        slot: &'a Slot,
        subject: &Subject,
        logs: PathBuf,
        fail_fast: bool,
        live: &'a Live,
    ) -> Result<Pool<'a>, Failure> {
        let config = cx.config()?;
        let jobs = usize::try_from(config.integer("validate.jobs")?).unwrap_or(usize::MAX);
        let width = if jobs == 0 { thread::available_parallelism().map_or(1, usize::from) } else { jobs };
        let deadline = config.duration("validate.timeout")?.map(|limit| Instant::now() + limit);
        Ok(Pool { slot, tree: subject.tree.to_string(), width, logs, deadline, fail_fast, live })
    }

    /// Sets how many checks may run at the same time.
    pub(super) fn wide(self, width: Option<usize>) -> Self {
        Pool { width: width.unwrap_or(self.width).max(1), ..self }
    }

    /// Runs the jobs and returns how each ended, in their order; nothing for one that a signal ended.
    ///
    /// # Errors
    /// When the system does not let us keep hold of what the checks start.
    pub(super) fn run(&self, jobs: &[Job<'_>]) -> Result<Vec<Option<Ended>>, Failure> {
        asked_to_end();
        // Whoever loses his parent becomes our child, and so is found at the end.
        set_child_subreaper(Some(getpid())).context("cannot adopt what the checks leave behind")?;
        let board = Mutex::new(Board { states: vec![State::Waiting; jobs.len()], running: 0, alone: false });
        let changed = Condvar::new();
        thread::scope(|scope| {
            for _ in 0..self.width.min(jobs.len()) {
                scope.spawn(|| {
                    while let Some(at) = self.next(jobs, &board, &changed) {
                        self.live.started(&jobs[at].check.name);
                        let ended = child::run(self.slot, &self.tree, &self.order(&jobs[at], at));
                        if let Some(ended) = &ended {
                            self.live.ended(&jobs[at].check.name, ended);
                        }
                        let mut board = lock(&board);
                        board.states[at] = State::Ended(ended.map(Box::new));
                        board.running -= 1;
                        board.alone = false;
                        changed.notify_all();
                    }
                });
            }
        });
        let states = board.into_inner().unwrap_or_else(PoisonError::into_inner).states;
        let ended = |state| match state {
            State::Ended(ended) => ended.map(|ended| *ended),
            State::Waiting | State::Running => None,
        };
        let mut results: Vec<Option<Ended>> = states.into_iter().map(ended).collect();
        self.end_leftovers(&mut results);
        Ok(results)
    }

    /// Waits for a job that may begin, in the order of the settings; nothing when there is no more.
    fn next(&self, jobs: &[Job<'_>], board: &Mutex<Board>, changed: &Condvar) -> Option<usize> {
        let mut board = lock(board);
        loop {
            if asked_to_end().load(Ordering::Relaxed) != 0 {
                return None;
            }
            while let Some((at, ended)) = self.settle(jobs, &board) {
                self.live.ended(&jobs[at].check.name, &ended);
                board.states[at] = State::Ended(Some(Box::new(ended)));
            }
            let waiting = |(at, state): (usize, &State)| matches!(state, State::Waiting).then_some(at);
            let open: Vec<usize> = board.states.iter().enumerate().filter_map(waiting).collect();
            if open.is_empty() {
                changed.notify_all();
                return None;
            }
            let may = |at: &usize| {
                let job = &jobs[*at];
                job.check.needs.iter().all(|need| is_over(jobs, &board, need))
                    && !board.alone
                    && (!job.check.serial || board.running == 0)
            };
            // Whoever wants to be alone is not passed by for ever by those who don't.
            let candidate = open.iter().find(|at| may(at) || (jobs[**at].check.serial && board.running > 0)).copied();
            if let Some(at) = candidate.filter(may) {
                board.states[at] = State::Running;
                board.running += 1;
                board.alone = jobs[at].check.serial;
                return Some(at);
            }
            let waited = changed.wait_timeout(board, Duration::from_millis(50));
            board = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Finds a waiting job that will never run, and says how it ends.
    fn settle(&self, jobs: &[Job<'_>], board: &Board) -> Option<(usize, Ended)> {
        let failed = |state: &State| match state {
            State::Ended(Some(ended)) => ended.status != CheckStatus::Pass && ended.status != CheckStatus::Skipped,
            State::Ended(None) | State::Waiting | State::Running => false,
        };
        let stop = self.fail_fast && board.states.iter().any(failed);
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        board.states.iter().enumerate().filter(|(_, state)| matches!(state, State::Waiting)).find_map(|(at, _)| {
            let not_passed = |need: &&String| {
                let other = jobs.iter().position(|job| job.check.name == **need);
                other.is_some_and(|other| is_not_passed(&board.states[other]))
            };
            let reason = if let Some(need) = jobs[at].blocked.as_ref().or(jobs[at].check.needs.iter().find(not_passed))
            {
                format!("it needs '{need}', which did not pass")
            } else if stop {
                "another check failed before".to_owned()
            } else if late {
                return Some((
                    at,
                    Ended::new(CheckStatus::TimedOut, Some("the run as a whole had no more time".to_owned())),
                ));
            } else {
                return None;
            };
            Some((at, Ended::not_run(reason)))
        })
    }

    fn order<'c>(&self, job: &Job<'c>, at: usize) -> Order<'c> {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
        let name: String = job.check.name.chars().map(plain).take(40).collect();
        Order {
            check: job.check,
            files: job.files.clone(),
            id: self.id(at),
            log: self.logs.join(format!("{}-{name}.log", at + 1)),
            deadline: self.deadline,
        }
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

fn lock(board: &Mutex<Board>) -> std::sync::MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says whether a check that another one needs is over; one that does not run now is.
fn is_over(jobs: &[Job<'_>], board: &Board, need: &str) -> bool {
    let other = jobs.iter().position(|job| job.check.name == need);
    other.is_none_or(|other| matches!(board.states[other], State::Ended(_)))
}

fn is_not_passed(state: &State) -> bool {
    match state {
        // Here only those are skipped that were not run; where there is nothing to do there is no job.
        State::Ended(Some(ended)) => ended.status != CheckStatus::Pass,
        State::Ended(None) => true,
        State::Waiting | State::Running => false,
    }
}
