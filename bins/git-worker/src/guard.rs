//! What the settings say about dangerous commands, and what follows from it.

use anyhow::{Result, bail};
use regex_lite::Regex;
use serde::{Deserialize, Serialize};
use shared::config::Config;
use shared::config::schema;
use shared::refusal::Refusal;

use crate::peril::{self, Peril, Scene};
use crate::shell;

/// What follows on something dangerous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Nothing.
    Never,
    /// An event.
    Note,
    /// The process is interrupted, the job goes on.
    Interrupt,
    /// The job is stopped.
    Stop,
}

/// What the settings say about one pattern, where it is not as it is built in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Guard {
    pub(crate) name: String,
    /// An expression; one of a built-in pattern adds to it.
    pub(crate) pattern: Option<String>,
    pub(crate) action: Action,
}

/// Reads the settings.
///
/// # Errors
/// When a pattern is none.
pub(crate) fn of(config: &Config) -> Result<Vec<Guard>> {
    let mut guards = Vec::new();
    for name in config.names("danger")? {
        let key = format!("danger.{name}.pattern");
        let pattern = config.text(&key)?;
        if let Some(Err(error)) = pattern.as_deref().map(Regex::new) {
            bail!(Refusal::new("bad-pattern", format!("'{key}' is no pattern: {error}")));
        }
        let action = match config.text(&format!("danger.{name}.action"))?.as_deref() {
            Some("never") => Action::Never,
            Some("interrupt") => Action::Interrupt,
            Some("stop") => Action::Stop,
            Some(_) | None => Action::Note,
        };
        let guard = Guard { name, pattern, action };
        if !peril::NAMES.contains(&guard.name.as_str()) && guard.pattern.is_none() {
            let message = format!("'danger.{}.action' has no 'danger.{0}.pattern'", guard.name);
            let known = format!("built in are {}", peril::NAMES.join(", "));
            bail!(Refusal::new("bad-pattern", message).hint(known));
        }
        if guard.pattern.is_some() || guard.action != built_in(&guard.name) {
            guards.push(guard);
        }
    }
    Ok(guards)
}

fn built_in(name: &str) -> Action {
    let key = schema::find(&format!("danger.{name}.action"));
    if key.is_some_and(|key| key.default == "\"interrupt\"") { Action::Interrupt } else { Action::Note }
}

/// A pattern that fits.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) name: String,
    pub(crate) action: Action,
}

/// What fits, once each.
#[derive(Debug)]
pub(crate) struct Hits<'a> {
    guards: &'a [Guard],
    pub(crate) all: Vec<Hit>,
}

impl<'a> Hits<'a> {
    /// Begins with nothing.
    pub(crate) fn new(guards: &'a [Guard]) -> Hits<'a> {
        Hits { guards, all: Vec::new() }
    }

    /// Adds a pattern that fits, unless nothing is to follow; what is mild is only noted.
    pub(crate) fn add(&mut self, name: &str, mild: bool) {
        let set = self.guards.iter().find(|guard| guard.name == name).map(|guard| guard.action);
        let action = match set.unwrap_or_else(|| built_in(name)) {
            Action::Never => return,
            _ if mild => Action::Note,
            action => action,
        };
        if !self.all.iter().any(|hit| hit.name == name) {
            self.all.push(Hit { name: name.to_owned(), action });
        }
    }

    /// Adds what fits a command in a text: mild, whatever it is.
    pub(crate) fn add_text(&mut self, text: &str, scene: &Scene) {
        for words in shell::commands(text) {
            for Peril { name, .. } in peril::of(&words, scene) {
                self.add(name, true);
            }
        }
    }
}
