//! What `train` answers, for people and for programs.

use std::fmt;

use serde::Serialize;
use shared::landing::Checkout;
use shared::output::Foreign;

use crate::conflict::{Conflict, Kind};
use crate::names::short;
use crate::resolve::attempt::Validated;
use shared::validation::CheckRow;

use crate::validation::Red;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) base: BaseRow,
    /// In the order in which they were merged.
    pub(crate) members: Vec<MemberRow>,
    /// What is ready, if anything is.
    pub(crate) train: Option<TrainRow>,
    /// What the checks say of the train.
    pub(crate) validated: Validated,
    /// How often git-validate was asked.
    pub(crate) validations: usize,
    pub(crate) landed: bool,
    pub(crate) checkout: Option<Checkout>,
    pub(crate) dry_run: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct BaseRow {
    #[serde(rename = "ref")]
    pub(crate) name: String,
    pub(crate) commit: String,
    /// What the checks say of it; nothing if it was not asked.
    pub(crate) verdict: Option<String>,
}

/// The end of what is good.
#[derive(Debug, Serialize)]
pub(crate) struct TrainRow {
    #[serde(rename = "ref")]
    pub(crate) name: String,
    /// Nothing in a dry run, whose commits are thrown away.
    pub(crate) commit: Option<String>,
    pub(crate) tree: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct MemberRow {
    pub(crate) name: String,
    pub(crate) task: Option<String>,
    #[serde(rename = "ref")]
    pub(crate) branch: Option<String>,
    pub(crate) commit: String,
    pub(crate) state: State,
    pub(crate) conflicts: Vec<ConflictRow>,
    /// Whose changes are in the conflicted paths: members before it, or the base.
    pub(crate) conflicts_with: Vec<String>,
    /// The verdict on the first train that has it, if that is no pass.
    pub(crate) verdict: Option<String>,
    pub(crate) checks: Vec<CheckRow>,
    /// The verdict on it alone on the base, if it was asked.
    pub(crate) alone: Option<String>,
    /// The first member before it with which it does not pass.
    pub(crate) breaks_with: Option<String>,
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    In,
    Contained,
    Conflict,
    Fails,
    Behind,
    Waits,
    CouldNotTell,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ConflictRow {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    kind: Kind,
}

impl From<&Conflict> for ConflictRow {
    fn from(conflict: &Conflict) -> ConflictRow {
        let Conflict { path, path_bytes, kind, .. } = conflict;
        ConflictRow { path: path.clone(), path_bytes: path_bytes.clone(), kind: *kind }
    }
}

impl MemberRow {
    pub(crate) fn fails(&mut self, red: &Red) {
        self.verdict = Some(red.verdict.clone());
        self.checks.clone_from(&red.checks);
    }
}

impl Answer {
    fn base_is_red(&self) -> Option<&str> {
        self.base.verdict.as_deref().filter(|verdict| *verdict != "pass")
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::In => "in",
            State::Contained => "contained",
            State::Conflict => "conflict",
            State::Fails => "fails",
            State::Behind => "behind",
            State::Waits => "waits",
            State::CouldNotTell => "could not tell",
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = Foreign(short(&self.base.name));
        let count = self.members.iter().filter(|row| row.state == State::In).count();
        writeln!(f, "{count} of {} on {base}", self.members.len())?;
        self.members.iter().try_for_each(|row| write!(f, "{row}"))?;
        if let Some(verdict) = self.base_is_red() {
            writeln!(f, "{base} itself is red ({verdict}), so nothing can be said of what is on top of it")?;
        }
        let runs = if self.validations == 1 { "one run".to_owned() } else { format!("{} runs", self.validations) };
        let validated = match self.validated {
            Validated::Pass => format!("validated by {runs}"),
            Validated::NoChecks => "not validated: no checks are configured".to_owned(),
            Validated::No if self.validations > 0 => format!("nothing passed in {runs}"),
            Validated::No => "not validated".to_owned(),
        };
        match &self.train {
            Some(train) if self.landed => {
                writeln!(f, "{base} is at {} now, {validated}", cut(train.commit.as_deref().unwrap_or_default()))
            }
            Some(train) if self.dry_run => writeln!(f, "its tree would be {}, {validated}", cut(&train.tree)),
            Some(train) => {
                let name = Foreign(&train.name);
                writeln!(f, "ready as {name}, {validated}: git merge --ff-only {name}")
            }
            None if self.validated == Validated::NoChecks || self.validations > 0 => writeln!(f, "{validated}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for MemberRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:14}  {}", self.state, Foreign(&self.name))?;
        if !self.conflicts_with.is_empty() {
            let names: Vec<String> = self.conflicts_with.iter().map(|name| Foreign(name).to_string()).collect();
            write!(f, "  with {}", names.join(", "))?;
        }
        if let Some(reason) = &self.reason {
            write!(f, "  {}", Foreign(reason))?;
        }
        writeln!(f)?;
        for row in &self.conflicts {
            writeln!(f, "      {}  {}", Foreign(&row.path), row.kind)?;
        }
        for row in &self.checks {
            writeln!(f, "      {} {}", Foreign(&row.name), Foreign(&row.status))?;
            row.tail
                .lines()
                .rev()
                .take(5)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .try_for_each(|line| writeln!(f, "        {}", Foreign(line)))?;
        }
        Ok(())
    }
}

fn cut(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
