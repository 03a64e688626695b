//! How a program ends: the one table of exit codes.

use std::process::ExitCode;

/// The exit codes of every program, the same as git's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is done, or the answer is yes.
    Done,
    /// The answer is no: conflicts, a failed check, a failed job.
    No,
    /// It could not be done: no repository, untrusted, locked, a broken file.
    CouldNot,
    /// The request was wrong.
    Usage,
    /// Ended by SIGINT.
    Interrupted,
    /// Ended by SIGTERM.
    Terminated,
}

impl Status {
    /// Returns the number that the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Status::Done => 0,
            Status::No => 1,
            Status::CouldNot => 128,
            Status::Usage => 129,
            Status::Interrupted => 130,
            Status::Terminated => 143,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(status.code())
    }
}
