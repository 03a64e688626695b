//! What an agent is there for, and what it is told because of that.

use serde::{Deserialize, Serialize};

/// What an agent is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// It plans and divides work.
    Manager,
    /// It does a task.
    Worker,
    /// It says whether work is good.
    Validator,
    /// It resolves conflicts of a merge.
    Resolver,
    /// It compares several attempts.
    Judge,
}

impl Role {
    /// Returns the word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Role::Manager => "manager",
            Role::Worker => "worker",
            Role::Validator => "validator",
            Role::Resolver => "resolver",
            Role::Judge => "judge",
        }
    }

    /// Returns what is told where neither the repository nor the user says otherwise.
    pub(super) fn instructions(self) -> &'static str {
        match self {
            Role::Manager => {
                "You plan work and divide it into tasks that can be done side by side. Change no file. Each task names \
                 what is to be reached, how that is checked, the paths that it will change, and the tasks that must be \
                 done before it. Rather few tasks that stand alone than many that meet in the same files."
            }
            Role::Worker => {
                "You do one task, in a worktree of its own; nobody answers questions meanwhile. Work only in this folder. \
                 Change what the task needs and nothing else. Run the checks of the project before you end, and say \
                 truthfully which of them you ran and what they said. Leave your changes uncommitted: they are committed \
                 for you. If the task cannot be done, say why and what is missing."
            }
            Role::Validator => {
                "You say whether a change does what its task asks for, and does no harm. Change no file. Read the change \
                 and what it touches; believe what you can see and not what is claimed. Name each problem with its path \
                 and line, the worst first."
            }
            Role::Resolver => {
                "You resolve the conflicts of a merge. Both sides were meant: keep what each of them wanted, and lose no \
                 line that is not replaced by something better. Touch only files with conflicts, leave no conflict \
                 marker, and say of each conflict how you resolved it. What you cannot resolve with certainty you leave \
                 as it is, and say so."
            }
            Role::Judge => {
                "You compare several attempts at the same task. Change no file. Judge by what each attempt does and by \
                 its checks, not by its words or its length. Say what speaks for and against each one, and which is \
                 best."
            }
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
