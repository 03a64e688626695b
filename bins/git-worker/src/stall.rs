//! A job that shows no sign of life: first it is said, then it is interrupted, then it is ended.
//!
//! A sign of life is output, or what [`Pulse`] sees. Any sign begins anew; within one episode of
//! silence no step is taken twice. The time in which the machine slept, or this supervisor was
//! stopped, is nobody's silence.

use std::time::{Duration, Instant};

use shared::process::Identity;

use crate::pulse::Pulse;

/// The processes that are known are looked at this often; that costs next to nothing.
const LOOK: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(50);
/// Who comes this much too late to a look was stopped.
const LATE: Duration = Duration::from_secs(5);

/// How long each step takes; none is never.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Silence until it is said.
    pub(crate) stall: Duration,
    /// From there to the interrupt.
    pub(crate) interrupt: Option<Duration>,
    /// From there to the end.
    pub(crate) stop: Option<Duration>,
    /// Thousandths of the time that a processor may be used by who does nothing.
    pub(crate) idle_share: u64,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Say that it is silent.
    Warn,
    /// Interrupt it.
    Interrupt,
    /// End it.
    Stop,
    /// Say that it lives again.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    Lively,
    Warned(Instant),
    Interrupted(Instant),
    Stopped,
}

/// The watch over one job's signs of life.
#[derive(Debug)]
pub(crate) struct Stall {
    limits: Limits,
    rung: Rung,
    /// The last sign of life.
    sign: Instant,
    /// When it was looked last, and when the whole tree was.
    looked: Instant,
    scanned: Instant,
    known: Vec<Identity>,
    pulse: Pulse,
    interrupted: Option<Instant>,
}

impl Stall {
    /// Begins with a sign of life.
    pub(crate) fn new(limits: Limits) -> Stall {
        let now = Instant::now();
        let (known, pulse) = (Vec::new(), Pulse::default());
        let rung = Rung::Lively;
        Stall { limits, rung, sign: now, looked: now, scanned: now, known, pulse, interrupted: None }
    }

    /// Returns how long the job has been silent.
    pub(crate) fn silence(&self) -> Duration {
        self.sign.elapsed()
    }

    /// Says whether the job was interrupted so short a time ago that its end comes from that.
    pub(crate) fn just_interrupted(&self) -> bool {
        let reach = self.limits.stop.unwrap_or(self.limits.stall);
        self.interrupted.is_some_and(|at| at.elapsed() <= reach)
    }

    /// Returns how long it is until the next look.
    pub(crate) fn until_look(&self) -> Duration {
        let look = self.look().saturating_sub(self.looked.elapsed());
        self.until_step().map_or(look, |step| look.min(step))
    }

    /// Takes a sign of life; the step that follows from it is that it is over.
    pub(crate) fn sign(&mut self) -> Option<Step> {
        let now = Instant::now();
        self.sign = now;
        match std::mem::replace(&mut self.rung, Rung::Lively) {
            Rung::Lively => None,
            Rung::Stopped => {
                self.rung = Rung::Stopped;
                None
            }
            Rung::Warned(_) | Rung::Interrupted(_) => Some(Step::Over),
        }
    }

    /// Looks for signs of life if it is time to, and says what is to be done.
    pub(crate) fn look_at(&mut self, tree: impl Fn() -> Vec<Identity>) -> Option<Step> {
        let due = self.until_step().is_some_and(|step| step.is_zero());
        if !due && self.looked.elapsed() < self.look() {
            return None;
        }
        let late = self.looked.elapsed() > self.look() + LATE;
        self.looked = Instant::now();
        // The whole tree before every step, so that nobody is judged unheard.
        if due || self.known.is_empty() || self.scanned.elapsed() >= self.limits.stall / 4 {
            self.known = tree();
            self.scanned = self.looked;
        }
        let pulse = Pulse::of(&self.known);
        if late || self.pulse.shows_life(&pulse, self.silence(), self.limits.idle_share) {
            self.pulse = pulse;
            return self.sign();
        }
        if due { self.climb() } else { None }
    }

    fn climb(&mut self) -> Option<Step> {
        let now = Instant::now();
        match self.rung {
            Rung::Lively => {
                self.rung = Rung::Warned(now);
                Some(Step::Warn)
            }
            Rung::Warned(_) => {
                self.rung = Rung::Interrupted(now);
                self.interrupted = Some(now);
                Some(Step::Interrupt)
            }
            Rung::Interrupted(_) => {
                self.rung = Rung::Stopped;
                Some(Step::Stop)
            }
            Rung::Stopped => None,
        }
    }

    fn look(&self) -> Duration {
        // At first soon: what it did to start is no work.
        let longest = if self.known.is_empty() { 2 * SHORTEST } else { LOOK };
        longest.min(self.limits.stall / 4).max(SHORTEST)
    }

    /// Returns how long it is until the next step if no sign of life comes.
    fn until_step(&self) -> Option<Duration> {
        let (since, wait) = match self.rung {
            Rung::Lively => (self.sign, self.limits.stall),
            Rung::Warned(at) => (at, self.limits.interrupt?),
            Rung::Interrupted(at) => (at, self.limits.stop?),
            Rung::Stopped => return None,
        };
        Some(wait.saturating_sub(since.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_taken_once_until_a_sign_of_life() {
        let ms = Duration::from_millis;
        let limits = Limits { stall: ms(20), interrupt: Some(ms(10)), stop: Some(ms(10)), idle_share: 1 };
        let mut stall = Stall::new(limits);
        let mut steps = Vec::new();
        let mut run = |stall: &mut Stall, count: usize| {
            let end = Instant::now() + Duration::from_secs(10);
            while steps.len() < count && Instant::now() < end {
                std::thread::sleep(ms(1).min(stall.until_look()));
                steps.extend(stall.look_at(Vec::new));
            }
            std::mem::take(&mut steps)
        };
        assert_eq!(run(&mut stall, 2), [Step::Warn, Step::Interrupt]);
        assert!(stall.just_interrupted());
        assert_eq!((stall.sign(), stall.sign()), (Some(Step::Over), None));
        assert_eq!(run(&mut stall, 3), [Step::Warn, Step::Interrupt, Step::Stop]);
        assert_eq!((stall.sign(), stall.until_step()), (None, None));
        let mut patient = Stall::new(Limits { interrupt: None, ..limits });
        assert_eq!(run(&mut patient, 1), [Step::Warn]);
        assert_eq!(patient.until_step(), None);
    }
}
