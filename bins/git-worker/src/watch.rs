//! From the running child to the last process of its tree.
//!
//! One loop over signals, output and time. It ends when the child has been reaped and nothing of
//! its tree is left; a grandchild that keeps the pipe open does not keep the loop.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, WaitOptions};
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde_json::json;
use shared::process::Identity;

use crate::cause::{Cause, End};
use crate::danger::Danger;
use crate::job;
use crate::keeper::Keeper;
use crate::record::State;
use crate::rules::{millis, spell_span};
use crate::stall::{Stall, Step};
use crate::stop::Request;
use crate::supervise::Held;
use crate::told::Told;
use crate::tree;

/// What is left when the child ended by itself gets this long to end as well.
const LEFT_OVER_GRACE: Duration = Duration::from_secs(1);
/// Who survives KILL for this long (in the kernel, on a dead disk) is left behind and counted.
const GIVE_UP: Duration = Duration::from_secs(10);
/// While children are left, of whom some may stay, the tree is looked at so often more.
const LOOKS: u32 = 5;
/// A look at the clock at least this often: the machine may have slept.
const LONGEST_NAP: Duration = Duration::from_secs(60);

/// Thousandths of the time that an agent uses a processor while it waits for its model: opencode takes 10 of them.
const IDLE_AGENT: u64 = 20;

/// The tree is being ended: TERM is out, KILL comes at `kill_at`.
struct Ending {
    kill_at: Duration,
    asked: BTreeSet<(i32, u64)>,
    /// How often nobody was seen who is to be ended.
    looks: u32,
}

struct Watch<'a> {
    held: &'a mut Held,
    stall: Option<Stall>,
    danger: Danger,
    milestone: Option<String>,
    /// When the step began that goes on.
    step: Duration,
    /// Whether it was said that more was used than is allowed.
    warned: bool,
    end: End,
    ending: Option<Ending>,
    outlived: BTreeSet<(i32, u64)>,
}

/// Watches until child and tree are gone.
pub(crate) fn watch(held: &mut Held) -> End {
    Watch::new(held).run()
}

/// Ends a child whose start could not be recorded.
pub(crate) fn abandon(held: &mut Held) -> End {
    let mut watch = Watch::new(held);
    watch.cut_short(Cause::Unrecorded, Duration::ZERO);
    watch.run()
}

impl Watch<'_> {
    fn new(held: &mut Held) -> Watch<'_> {
        let end = End { status: None, cause: None, left_over: 0, undead: 0 };
        let mut limits = held.record.rules.stall();
        if let Some(limits) = limits.as_mut().filter(|_| held.record.run.format.is_some()) {
            limits.idle_share = IDLE_AGENT;
        }
        let stall = limits.map(Stall::new);
        let (danger, outlived) = (Danger::new(), BTreeSet::new());
        Watch { held, stall, danger, milestone: None, step: now(), warned: false, end, ending: None, outlived }
    }

    fn run(mut self) -> End {
        let started = now();
        let time_limit = self.held.record.timeout_ms.map(|ms| started.saturating_add(Duration::from_millis(ms)));
        loop {
            self.nap(time_limit);
            if self.held.capture.pump() {
                let step = self.stall.as_mut().and_then(Stall::sign);
                self.take(step);
            }
            self.note_milestones();
            self.note_told();
            // The flag before the reaping: an end that was asked for is never taken for the child's own.
            if self.held.signals.take_stop() {
                let asked = Request::read(&self.held.job, self.held.record.grace_ms);
                self.cut_short(Cause::Asked { by: asked.by }, asked.grace);
            }
            self.reap();
            if self.end.cause.is_none() && self.end.status.is_none() {
                self.mind_limits(time_limit);
                self.mind_danger();
                if let Some(keeper) = &mut self.held.keeper {
                    keeper.tend(&self.held.job);
                }
            }
            if self.end.status.is_some() && self.ending.is_none() {
                self.ending = Some(Ending::within(LEFT_OVER_GRACE));
            }
            if self.sweep() {
                break;
            }
        }
        // What the dead have left in the pipe; a stranger who holds it as well cannot keep us.
        for _ in 0..64 {
            if !self.held.capture.pump() {
                break;
            }
        }
        self.held.capture.end();
        self.note_milestones();
        self.note_told();
        self.danger.finish(self.held);
        self.end.left_over = self.outlived.len() as u64;
        self.end
    }

    fn note_milestones(&mut self) {
        for text in self.held.capture.milestones() {
            self.held.events.add("milestone", json!({ "text": text }));
            if let Some(keeper) = &mut self.held.keeper {
                keeper.want("milestone", &text);
            }
            self.milestone = Some(text);
            self.step = now();
        }
    }

    /// Takes what the agent told.
    fn note_told(&mut self) {
        let heard = self.held.capture.heard();
        let Held { told: Some(told), events, secrets, record, job, .. } = &mut *self.held else { return };
        if heard.is_empty() {
            return;
        }
        let marks = told.take(heard, events, secrets);
        if told.report(record) {
            // For whoever wants to go on with the session, whatever becomes of this process.
            let _ = record.save(&job.path(job::RECORD));
        }
        for mark in marks {
            if let Some(keeper) = &mut self.held.keeper {
                keeper.want("milestone", &mark);
            }
            self.step = now();
            self.milestone = Some(mark);
        }
        let told = self.held.told.as_ref().filter(|_| self.end.cause.is_none());
        let hopeless = told.and_then(Told::hopeless).map(|(kind, reason)| Cause::Hopeless { kind, reason });
        let spent = self.over_budget().map(|reason| Cause::OverBudget { reason });
        if let Some(cause) = hopeless.or(spent) {
            let grace = Duration::from_millis(self.held.record.grace_ms);
            self.cut_short(cause, grace);
        }
    }

    /// Says how more was used than is allowed; where the settings only want to know, once and in an event.
    fn over_budget(&mut self) -> Option<String> {
        let (budget, usage) = (&self.held.record.rules.budget, self.held.record.run.usage?);
        let reason = budget.exceeded(usage).filter(|_| self.end.cause.is_none() && !self.warned)?;
        if !budget.warn {
            return Some(reason);
        }
        self.warned = true;
        self.held.events.add("budget", json!({ "text": reason }));
        None
    }

    /// Ends the job when its time, or that of a step, is over, and looks whether it lives.
    fn mind_limits(&mut self, time_limit: Option<Duration>) {
        let grace = Duration::from_millis(self.held.record.grace_ms);
        if time_limit.is_some_and(|limit| now() >= limit) {
            return self.cut_short(Cause::TimedOut { reason: "timeout".to_owned() }, grace);
        }
        if self.step_limit().is_some_and(|limit| now() >= limit) {
            let reason = self.late_step();
            return self.cut_short(Cause::TimedOut { reason }, grace);
        }
        let jobs = self.held.job.root();
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let helper = self.held.keeper.as_ref().and_then(Keeper::process);
        let step = self.stall.as_mut().and_then(|stall| stall.look_at(|| tree::below(own, helper, &jobs)));
        self.take(step);
    }

    fn mind_danger(&mut self) {
        if let Some(pattern) = self.danger.look(self.held) {
            let grace = Duration::from_millis(self.held.record.grace_ms);
            self.cut_short(Cause::dangerous(&pattern), grace);
        }
    }

    fn step_limit(&self) -> Option<Duration> {
        let limit = Duration::from_millis(self.held.record.rules.step_timeout_ms);
        (!limit.is_zero()).then(|| self.step.saturating_add(limit))
    }

    fn late_step(&self) -> String {
        let span = spell_span(self.held.record.rules.step_timeout_ms);
        match &self.milestone {
            Some(text) => format!("no milestone for {span} after '{text}'"),
            None => format!("no milestone for {span} after the start"),
        }
    }

    /// Takes the step that follows from silence, or from its end.
    fn take(&mut self, step: Option<Step>) {
        let (Some(step), Some(stall)) = (step, &self.stall) else { return };
        let silent_ms = millis(stall.silence());
        let word = match step {
            Step::Warn => "warning",
            Step::Interrupt => "interrupt",
            Step::Stop => "stop",
            Step::Over => "over",
        };
        self.held.events.add("stall", json!({ "step": word, "silent_ms": silent_ms }));
        match step {
            Step::Warn => {
                self.held.record.stalls += 1;
                if let Some(keeper) = &mut self.held.keeper {
                    keeper.want("stall", "");
                }
                self.show_stall(true);
            }
            Step::Interrupt => {
                self.held.record.interrupts += 1;
                self.held.signal_group(Signal::INT);
            }
            Step::Stop => {
                let grace = Duration::from_millis(self.held.record.grace_ms);
                self.cut_short(self.stalled(), grace);
            }
            Step::Over => self.show_stall(false),
        }
    }

    /// Lets the record of a running job say that it is silent, or no more.
    fn show_stall(&mut self, silent: bool) {
        let Cause::Stalled { reason } = self.stalled() else { return };
        self.held.record.reason = silent.then_some(reason);
        let _ = self.held.record.save(&self.held.job.path(job::RECORD));
    }

    fn stalled(&self) -> Cause {
        Cause::Stalled { reason: format!("no sign of life for {}", spell_span(self.held.record.rules.stall_ms)) }
    }

    /// Sleeps until a signal, output, or the next moment at which something is due.
    fn nap(&self, time_limit: Option<Duration>) {
        let limit = time_limit.into_iter().chain(self.step_limit()).min();
        let longest = match (&self.ending, limit) {
            (Some(_), _) => Duration::from_millis(if self.end.status.is_some() { 5 } else { 20 }),
            (None, Some(limit)) => limit.saturating_sub(now()).min(LONGEST_NAP),
            (None, None) => LONGEST_NAP * 60,
        };
        let look = self.stall.as_ref().filter(|_| self.ending.is_none()).map(Stall::until_look);
        let keep = self.held.keeper.as_ref().filter(|_| self.ending.is_none()).and_then(Keeper::until);
        let danger = self.ending.is_none().then(|| self.danger.until_look());
        let longest = look.into_iter().chain(keep).chain(danger).fold(longest, Duration::min);
        let longest = self.held.capture.until_flush().map_or(longest, |flush| longest.min(flush));
        let longest = Timespec { tv_sec: longest.as_secs() as i64, tv_nsec: longest.subsec_nanos().into() };
        let mut sources = vec![PollFd::new(self.held.signals.wake(), PollFlags::IN)];
        sources.extend(self.held.capture.pipes().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        // Interrupted by a signal: all the better.
        let _ = poll(&mut sources, Some(&longest));
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if let Some(keeper) = &mut self.held.keeper {
                keeper.reaped(pid);
            }
            if pid == self.held.child && self.end.status.is_none() {
                self.end.status = Some(status);
                if self.end.cause.is_none() && self.stall.as_ref().is_some_and(Stall::just_interrupted) {
                    self.end.cause = Some(self.stalled());
                }
                if let Some(pattern) = self.danger.struck_child().filter(|_| self.end.cause.is_none()) {
                    self.end.cause = Some(Cause::dangerous(&pattern));
                }
            }
        }
    }

    /// Begins to end the tree, or shortens the grace of an end that has begun.
    fn cut_short(&mut self, cause: Cause, grace: Duration) {
        let kill_at = now().saturating_add(grace);
        if let Some(ending) = &mut self.ending {
            ending.kill_at = ending.kill_at.min(kill_at);
            return;
        }
        self.ending = Some(Ending::within(grace));
        let by = cause.by();
        self.held.record.state = State::Stopping;
        self.held.record.by = Some(by.clone());
        // The word before the deed; a full disk does not save the job.
        let _ = self.held.record.save(&self.held.job.path(job::RECORD));
        self.held.events.add("stopping", json!({ "by": by, "grace_ms": millis(grace) }));
        self.end.cause = Some(cause);
    }

    /// Signals who is left and says whether nobody is.
    fn sweep(&mut self) -> bool {
        let Some(ending) = &mut self.ending else { return false };
        let jobs = self.held.job.root();
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let helper = self.held.keeper.as_ref().and_then(Keeper::process);
        let mut living = tree::below(own, helper, &jobs);
        if living.is_empty() {
            // The subreaper misses whom another program started for the job; the mark does not.
            living = tree::carrying(&self.held.record.marker());
        }
        if self.end.status.is_some() {
            self.outlived.extend(living.iter().map(key));
            if living.is_empty() {
                ending.looks += 1;
                // A look misses who is born while it goes on and whose parent dies at once; that one is a child of ours then.
                let left = tree::children(own).is_some_and(|left| left.iter().any(|pid| Some(*pid) != helper));
                return !left || ending.looks > LOOKS;
            }
        }
        let time = now();
        let late = time >= ending.kill_at;
        for process in &living {
            if late {
                process.signal(Signal::KILL);
            } else if ending.asked.insert(key(process)) {
                // Once each: a second TERM can cut short an orderly end.
                process.signal(Signal::TERM);
            }
        }
        if late && self.end.status.is_none() {
            self.held.signal_group(Signal::KILL);
        }
        if time >= ending.kill_at.saturating_add(GIVE_UP) {
            self.end.undead = living.len();
            return true;
        }
        false
    }
}

impl Ending {
    fn within(grace: Duration) -> Ending {
        Ending { kill_at: now().saturating_add(grace), asked: BTreeSet::new(), looks: 0 }
    }
}

fn key(process: &Identity) -> (i32, u64) {
    (process.pid, process.start)
}

/// Returns the time since the boot, sleep of the machine included.
fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}
