//! How a job came to its end, and why if that was before its time.

use rustix::process::WaitStatus;

use crate::stream::ErrorKind;

/// How it came to the end.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: Option<WaitStatus>,
    /// Why it was ended; none if the child ended by itself.
    pub(crate) cause: Option<Cause>,
    /// How many outlived the child.
    pub(crate) left_over: u64,
    /// How many could not be ended.
    pub(crate) undead: usize,
}

/// Why a job is ended before its time.
#[derive(Debug, Clone)]
pub(crate) enum Cause {
    /// Somebody asked for it.
    Asked { by: String },
    /// Its time is over; the reason says which.
    TimedOut { reason: String },
    /// It showed no sign of life.
    Stalled { reason: String },
    /// Its agent cannot do what it is there for.
    Hopeless { kind: ErrorKind, reason: String },
    /// It could not be called again.
    Broken { reason: String },
    /// It used more than it was allowed to.
    OverBudget { reason: String },
    /// It ran what it must not; the reason names the pattern.
    Dangerous { reason: String },
    /// Its start could not be recorded.
    Unrecorded,
}

impl Cause {
    /// Returns the cause that is a dangerous command.
    pub(crate) fn dangerous(pattern: &str) -> Cause {
        Cause::Dangerous { reason: format!("danger '{pattern}'") }
    }

    /// Returns who is behind it.
    pub(crate) fn by(&self) -> String {
        match self {
            Cause::Asked { by } => by.clone(),
            Cause::TimedOut { .. } => "timeout".to_owned(),
            Cause::Stalled { .. } => "stall".to_owned(),
            Cause::Dangerous { .. } => "danger".to_owned(),
            Cause::Hopeless { .. } | Cause::Broken { .. } => "worker".to_owned(),
            Cause::OverBudget { .. } => "budget".to_owned(),
            Cause::Unrecorded => "launch".to_owned(),
        }
    }
}
