//! Programs of the suite in git's hooks, beside what is there and beside each other.
//!
//! A hook that is a shell script gets a block of lines, between markers that name the program; one
//! that is not is kept beside and run after ours. What was there comes back byte for byte. Where the
//! folder of hooks is not this repository's, git's configuration names the hook, if git reads it.

mod block;
mod folder;
mod script;
pub mod settings;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::app::Context;
use crate::failure::Failure;
use crate::output::{Foreign, path_text};

pub use folder::Folder;
pub use script::{Standing, standing};

/// The event whose hook reads what is pushed from its standard input.
pub const PRE_PUSH: &str = "pre-push";
/// How the name of a hook ends that was kept.
const KEPT: &str = "-kept";

/// A program that hooks call.
#[derive(Debug)]
pub struct Program {
    /// As it is on `PATH`.
    pub name: &'static str,
    /// As people call it.
    pub verb: &'static str,
    /// What hooks that are not ours to change could call.
    pub by_hand: &'static str,
    /// What is to be said of tools that write their hooks anew.
    pub when_gone: &'static str,
    /// All ways in which hooks call it or, of an older version, may have called it.
    pub calls: Vec<Call>,
}

/// One way in which a hook calls a program.
#[derive(Debug, Clone)]
pub struct Call {
    /// The name of the hook.
    pub event: &'static str,
    /// The command in a script, which passes on what it needs.
    pub in_script: String,
    /// The commands in git's configuration, to which git adds the arguments: of a repository, of a user.
    pub in_settings: [String; 2],
    /// What was not done if the program is missing.
    pub missing: &'static str,
    /// What becomes of the event then.
    pub if_missing: Missing,
}

/// What becomes of an event whose hook finds no program, or one that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is stopped.
    Stops,
    /// It goes on.
    Passes,
}

/// For which repositories a hook is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This one.
    Local,
    /// All of the user's.
    Global,
}

/// What was done to hooks.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// One for each event.
    pub hooks: Vec<Row>,
}

/// What was done to a hook.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its event.
    pub hook: &'static str,
    /// Its script, or the file of git's configuration.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// What was done: installed, present, removed, absent.
    pub action: &'static str,
    /// How it stands beside another hook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
}

/// How our hook stands beside another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beside {
    /// There is no other.
    Alone,
    /// Our lines stand in its script.
    InScript,
    /// Ours runs first, and then the other.
    Before,
    /// Git's configuration names ours; the other stays as it is.
    InConfig,
}

impl Program {
    /// Returns the events of its hooks, each once.
    pub fn events(&self) -> Vec<&'static str> {
        let mut events: Vec<&'static str> = self.calls.iter().map(|call| call.event).collect();
        events.dedup();
        events
    }

    /// What was there and is no shell script goes by this name.
    fn kept(&self, event: &str) -> String {
        format!("{event}.{}{KEPT}", self.name)
    }

    /// All ways in which a hook may call it.
    fn calls_of<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a Call> {
        self.calls.iter().filter(move |call| call.event == event)
    }
}

impl Scope {
    /// Returns the one that a flag stands for.
    pub fn of(is_global: bool) -> Scope {
        if is_global { Scope::Global } else { Scope::Local }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.hooks {
            write!(f, "{}  {}  {}", row.hook, row.action, Foreign(&row.path.display().to_string()))?;
            match row.beside {
                Some(Beside::InScript) => writeln!(f, "  (in the script that is there)")?,
                Some(Beside::Before) => writeln!(f, "  (before the hook that is there)")?,
                Some(Beside::InConfig) => writeln!(f, "  (in git's configuration)")?,
                Some(Beside::Alone) | None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

/// Puts a program into hooks, one call for each.
///
/// # Errors
/// When a hook is not ours to change, or was changed by hand.
pub fn install(
    cx: &Context,
    program: &Program,
    calls: &[Call],
    scope: Scope,
    dry_run: bool,
) -> Result<Answer, Failure> {
    let hooks = match scope {
        Scope::Global => settings::install_global(cx, program, calls, dry_run)?,
        Scope::Local => install_local(cx, program, calls, dry_run)?,
    };
    Ok(Answer { hooks })
}

/// Into the folder that git takes hooks from; where that is not ours to change, into the configuration, if git reads it.
fn install_local(cx: &Context, program: &Program, calls: &[Call], dry_run: bool) -> Result<Vec<Row>, Failure> {
    let folder = Folder::find(cx)?;
    let mut in_settings = Vec::new();
    // What is refused is refused before anything is done.
    for call in calls {
        let refused = folder.refuse_foreign(cx, program, call.event);
        in_settings.push(refused.is_err());
        if refused.is_err() && !settings::is_known(cx)? {
            refused?;
        }
    }
    let mut hooks = Vec::new();
    for (call, in_settings) in calls.iter().zip(in_settings) {
        hooks.push(match in_settings {
            true => settings::install_one(cx, program, call, dry_run)?,
            false => script::install(&folder, program, call, dry_run)?,
        });
    }
    if hooks.iter().any(|row| row.action == "installed" && row.beside != Some(Beside::InConfig)) {
        folder.say_who_else_writes_it(cx, program);
    }
    Ok(hooks)
}

/// Takes a program out of all its hooks.
///
/// # Errors
/// When its lines were changed by hand.
pub fn uninstall(cx: &Context, program: &Program, scope: Scope, dry_run: bool) -> Result<Answer, Failure> {
    let mut hooks = settings::uninstall(cx, program, scope, dry_run)?;
    if scope == Scope::Local {
        let folder = Folder::find(cx)?;
        for (row, event) in hooks.iter_mut().zip(program.events()) {
            if !folder.is_ours() {
                continue;
            }
            let of_script = script::uninstall(&folder, program, event, dry_run)?;
            // Where it was is what counts; where it was in neither, the folder is told.
            if of_script.action == "removed" || row.action == "absent" {
                *row = of_script;
            }
        }
    }
    Ok(Answer { hooks })
}

fn as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path_text(path.as_os_str().as_encoded_bytes()))
}
