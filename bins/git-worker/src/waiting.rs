//! A job from its first run to its last: before the first and between two of them it may wait.
//!
//! Nothing of the job runs meanwhile and no token is spent. The supervisor looks once a second.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use serde_json::json;

use crate::cause::{Cause, End};
use crate::condition::{Condition, Wait};
use crate::event::Events;
use crate::job::{self, Job};
use crate::link;
use crate::record::{Exit, Record, State};
use crate::rules::millis;
use crate::secrets::Secrets;
use crate::signals::Signals;
use crate::stop::Request;
use crate::stream::Format;
use crate::supervise::{self, Held};
use crate::watch;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// An agent that ends before its first word is started so often.
const MOST_STARTS: u32 = 3;
/// An agent that waits more often than this waits for nothing.
const MOST_WAITS: u32 = 100;

/// How a wait ended.
enum Over {
    Held,
    TimedOut,
    Stopped(Request),
}

/// Who waits for something.
pub(crate) struct Waiter<'a> {
    pub(crate) job: &'a Job,
    pub(crate) record: &'a mut Record,
    pub(crate) events: &'a mut Events,
    pub(crate) signals: &'a mut Signals,
    pub(crate) secrets: &'a Secrets,
}

/// Watches a job to its end, with the waits that its agent asks for.
pub(crate) fn watch(held: &mut Held) -> End {
    let mut starts = 1;
    for _ in 0..MOST_WAITS {
        let end = watch::watch(held);
        if stumbled(held, &end) && starts < MOST_STARTS {
            starts += 1;
            let words = held.capture.complaint().unwrap_or_default().to_owned();
            held.events.add("started-again", json!({ "text": held.secrets.clean_text(&words) }));
            match supervise::begin_again(held) {
                Ok(()) => continue,
                Err(_) => return end,
            }
        }
        let Some(wait) = asked(held, &end) else { return end };
        let line = wait.until.to_string();
        let told = match Waiter::of(held).wait(std::slice::from_ref(&wait.until), Some(wait.timeout)) {
            Over::Held => format!("The condition that you waited for holds: {line}. Go on.\n"),
            Over::TimedOut => {
                format!("The condition that you waited for does not hold, and its time is over: {line}.\n")
            }
            Over::Stopped(asked) => return End { cause: Some(Cause::Asked { by: asked.by }), ..end },
        };
        if let Err(error) = supervise::go_on(held, &told) {
            let reason = held.secrets.clean_text(&format!("it could not go on after its wait: {error:#}"));
            return End { cause: Some(Cause::Broken { reason }), ..end };
        }
    }
    watch::watch(held)
}

/// Says whether opencode ended before its first word: several that start at once get into each other's way in
/// its database, and one that has said nothing has done nothing.
fn stumbled(held: &Held, end: &End) -> bool {
    let failed = end.cause.is_none() && end.status.and_then(|status| status.exit_status()) == Some(1);
    let run = &held.record.run;
    failed && run.format == Some(Format::Opencode) && run.session_asked.is_none() && held.capture.lines() == (0, 0)
}

/// Returns the wait that the agent asks for with its last line, if its run was good and it can be called again.
fn asked(held: &mut Held, end: &End) -> Option<Wait> {
    let good = end.cause.is_none() && end.status.and_then(|status| status.exit_status()) == Some(0);
    let told = held.told.as_ref().filter(|_| good)?;
    let (state, _, _) = told.verdict(Some(Exit::Code(0)), None);
    let asked = told.wait()?;
    if state != State::Completed || held.record.run.resume_command.is_none() || held.record.run.session.is_none() {
        return None;
    }
    match asked {
        Ok(wait) => Some(wait),
        Err(problem) => {
            held.events.add("wait-refused", json!({ "text": held.secrets.clean_text(&problem) }));
            None
        }
    }
}

impl Waiter<'_> {
    fn of(held: &mut Held) -> Waiter<'_> {
        let Held { job, record, events, signals, secrets, .. } = held;
        Waiter { job, record, events, signals, secrets }
    }

    /// Waits before the first run; returns who stopped the job meanwhile.
    pub(crate) fn before(mut self) -> Option<String> {
        let conditions = self.record.waits.clone();
        match self.wait(&conditions, None) {
            Over::Stopped(asked) => Some(asked.by),
            Over::Held | Over::TimedOut => None,
        }
    }

    fn wait(&mut self, conditions: &[Condition], timeout: Option<Duration>) -> Over {
        let words: Vec<String> = conditions.iter().map(Condition::to_string).collect();
        let until = self.secrets.clean_text(&words.join(" "));
        self.events.add("waiting", json!({ "until": until, "timeout_ms": timeout.map(millis) }));
        self.record.reason = Some(format!("waits until {until}"));
        if self.record.save(&self.job.path(job::RECORD)).is_ok() {
            let _ = link::remove(&self.job.path(job::RUNNING));
        }
        let (began, worktree) = (Instant::now(), self.record.worktree_path());
        let over = loop {
            // Before the condition: an end that was asked for is never passed over.
            if self.signals.take_stop() {
                break Over::Stopped(Request::read(self.job, self.record.grace_ms));
            }
            if conditions.iter().all(|condition| condition.holds(self.job, &worktree, began.elapsed())) {
                break Over::Held;
            }
            if timeout.is_some_and(|timeout| began.elapsed() >= timeout) {
                break Over::TimedOut;
            }
            self.nap(conditions, timeout, began);
        };
        self.record.reason = None;
        let word = match over {
            Over::Held => "held",
            Over::TimedOut => "timed-out",
            Over::Stopped(_) => "stopped",
        };
        self.events.add("waited", json!({ "until": until, "end": word, "ms": millis(began.elapsed()) }));
        over
    }

    /// Sleeps until a signal or the next look.
    fn nap(&self, conditions: &[Condition], timeout: Option<Duration>, began: Instant) {
        let times = conditions.iter().filter_map(|condition| match condition {
            Condition::Time(ms) => Some(Duration::from_millis(*ms).saturating_sub(began.elapsed())),
            Condition::File(_) | Condition::Port(_) | Condition::Job(_) => None,
        });
        let due = timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
        let nap = times.chain(due).filter(|span| !span.is_zero()).fold(LOOK, Duration::min);
        let nap = Timespec { tv_sec: nap.as_secs() as i64, tv_nsec: nap.subsec_nanos().into() };
        let _ = poll(&mut [PollFd::new(self.signals.wake(), PollFlags::IN)], Some(&nap));
    }
}
