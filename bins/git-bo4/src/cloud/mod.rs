//! Backends outside: the cloud of the Codex CLI in its two dialects, and a command of the user's.
//!
//! None of them is trusted: what they print is data of any length and kind, and their word that a
//! variant is good is nothing to a review. Nothing here keeps a record; a kickoff is never repeated.

mod ask;
mod command;
mod complaint;
mod headless;
pub(crate) mod memory;
mod published;
mod shown;

use std::time::Duration;

use jiff::Timestamp;
use shared::app::Context;
use shared::failure::Failure;
use shared::process;

use crate::record::{Backend, Phase, State};

use self::ask::Program;
use self::command::Command;
use self::headless::Headless;
pub(crate) use self::memory::Memory;
use self::published::Published;

/// How long a look may take; the CLIs themselves would wait for ever.
const LOOK: Duration = Duration::from_secs(60);

/// How long a kickoff may take.
const CREATE: Duration = Duration::from_secs(180);

/// How long it may take to say what it can do.
const HELP: Duration = Duration::from_secs(30);

/// How far the clock of a cloud may be from ours.
const SKEW: Duration = Duration::from_secs(120);

/// The most variants that a task may have.
const MOST_VARIANTS: usize = 64;

/// The longest title, reason and message that are kept, in bytes.
const LONGEST_LINE: usize = 400;
const LONGEST_MESSAGE: usize = 16 << 10;

/// What is asked of a backend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) env: Option<&'a str>,
    /// The branch or commit to start from.
    pub(crate) branch: &'a str,
    pub(crate) best_of: usize,
    pub(crate) prompt: &'a str,
    pub(crate) title: &'a str,
}

/// How a kickoff ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    Yes {
        task_id: String,
        url: Option<String>,
    },
    /// It surely did not happen.
    No {
        why: String,
    },
    /// Nobody knows.
    Unsure {
        why: String,
    },
}

/// A task to look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) id: &'a str,
    pub(crate) env: Option<&'a str>,
    /// How many variants were asked for.
    pub(crate) best_of: usize,
    /// How long nothing more may come of an ended task before what it lacks counts as failed.
    pub(crate) settle: Duration,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) phase: Phase,
    pub(crate) title: Option<String>,
    /// How many the backend says there are.
    pub(crate) attempts: Option<usize>,
    /// One for each number from 1.
    pub(crate) variants: Vec<Seen>,
    /// Whether every variant is known to have ended.
    pub(crate) is_whole: bool,
}

/// What is seen of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) number: usize,
    /// What the backend calls it, where that is not its number.
    pub(crate) label: Option<String>,
    pub(crate) state: State,
    pub(crate) diff: Option<Vec<u8>>,
    /// Its last words.
    pub(crate) message: Option<String>,
    pub(crate) reason: Option<String>,
}

/// Why a look found nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Blind {
    /// Worth another try.
    ForNow(String),
    /// The task is not there any more, or the login is refused.
    ForGood(String),
}

/// A task that may be the one whose kickoff is uncertain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: String,
    pub(crate) title: String,
}

/// A backend outside.
#[derive(Debug)]
pub(crate) enum Remote {
    Published(Published),
    Headless(Headless),
    Command(Command),
}

impl Remote {
    /// Finds the program of a backend and asks it which dialect it speaks.
    ///
    /// # Errors
    /// When there is none, or it speaks none that is known.
    pub(crate) fn open(cx: &Context, backend: Backend) -> Result<Remote, Failure> {
        // The repository keeps its own programs from being found.
        cx.find_repository()?;
        match backend {
            Backend::Local => Err(Failure::usage("the local backend is not outside")),
            Backend::CodexCloud => {
                let path = process::find_trusted("codex", None).ok_or_else(|| {
                    Failure::could_not("no-codex", "there is no codex on PATH")
                        .hint("the Codex CLI reaches its cloud; '--backend local' needs none")
                })?;
                recognise(Program { path, words: vec!["cloud".to_owned()] })
            }
            Backend::Command => {
                let words = cx.config()?.list("bo4.command").map_err(Failure::from)?;
                Command::find(&words).map(Remote::Command)
            }
        }
    }

    /// Names the way in which it is spoken to.
    pub(crate) fn dialect(&self) -> &'static str {
        match self {
            Remote::Published(_) => "published",
            Remote::Headless(_) => "headless",
            Remote::Command(_) => "command",
        }
    }

    /// Asks for the variants, once.
    pub(crate) fn create(&self, asked: &Asked) -> Begun {
        match self {
            Remote::Published(published) => published.create(asked),
            Remote::Headless(headless) => headless.create(asked),
            Remote::Command(command) => command.create(asked),
        }
    }

    /// Looks how far a task is; what has to be known at the next look goes into `memory`, which is kept with the run.
    ///
    /// # Errors
    /// When nothing can be seen, for now or for good.
    pub(crate) fn look(&self, task: &Task, memory: &mut Memory) -> Result<Look, Blind> {
        match self {
            Remote::Published(published) => published.look(task, memory),
            Remote::Headless(headless) => headless.look(task, memory),
            Remote::Command(command) => command.look(task, memory),
        }
    }

    /// Lists the tasks of an environment that were touched after a time, the newest first; a command is not asked.
    ///
    /// # Errors
    /// When nothing can be seen, for now or for good.
    pub(crate) fn candidates(&self, env: Option<&str>, since: Timestamp) -> Result<Vec<Candidate>, Blind> {
        match self {
            Remote::Published(published) => published.candidates(env, since),
            Remote::Headless(headless) => headless.candidates(since),
            Remote::Command(_) => Ok(Vec::new()),
        }
    }
}

/// Asks a Codex CLI which of the two dialects it speaks.
fn recognise(program: Program) -> Result<Remote, Failure> {
    let broken = |why: String| Failure::could_not("codex", format!("cannot ask codex for its cloud commands: {why}"));
    let said = program.ask(&["--help"], None, HELP).map_err(|silent| broken(silent.why()))?;
    if said.code != 0 {
        return Err(broken(complaint::Complaint::parse(said.code, &said.stderr).why));
    }
    let help = String::from_utf8_lossy(&said.stdout).into_owned();
    if offers(&help, "show") {
        Ok(Remote::Headless(Headless { program }))
    } else if offers(&help, "exec") {
        Ok(Remote::Published(Published { program }))
    } else {
        let message = format!("'{}' has no cloud commands that are known here", program.path.display());
        Err(Failure::could_not("codex", message).hint("'codex cloud --help' lists them; 'exec' or 'show' is needed"))
    }
}

/// Says whether a help lists a subcommand, on a line of its own or in a list in braces.
fn offers(help: &str, name: &str) -> bool {
    let first = |line: &str| line.split_whitespace().next() == Some(name);
    let braced = help.split('{').skip(1).filter_map(|part| part.split('}').next());
    help.lines().any(|line| line.starts_with(' ') && first(line))
        || braced.flat_map(|names| names.split(',')).any(|one| one == name)
}

/// Says whether a text can be the name of a task: it goes into arguments and is shown.
pub(crate) fn is_task_id(text: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    !text.is_empty() && text.len() <= 200 && !text.starts_with('-') && text.chars().all(is_good)
}

/// Cuts a text to so many bytes.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_known_by_what_its_help_lists() {
        let published = "Usage: codex cloud [COMMAND]\n\nCommands:\n  exec    Submit\n  diff    Show the diff\n";
        assert!(offers(published, "exec") && !offers(published, "show"));
        let headless = "usage: codex cloud [-h] {cloud} {new,list,show} ...\n";
        assert!(offers(headless, "show") && !offers(headless, "exec"));
        assert!(!offers("exec show\n", "show"));
    }

    #[test]
    fn a_name_of_a_task_is_no_option_path_or_escape() {
        for good in ["task_e_00000001", "6a7-B", "0"] {
            assert!(is_task_id(good), "{good}");
        }
        for bad in ["", "-n", "a/b", "a b", "a\u{1b}", "..", "ä", &"a".repeat(201)] {
            assert!(!is_task_id(bad), "{bad}");
        }
    }
}
