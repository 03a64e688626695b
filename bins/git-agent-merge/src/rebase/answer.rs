//! What `rebase` answers, for people and for programs.

use std::fmt;

use serde::Serialize;
use shared::landing::Checkout;
use shared::output::Foreign;

use crate::names::short;
use crate::resolve::attempt::Validated;
use crate::resolve::row::{AttemptRow, FileRow, Step, StepRow};
use crate::resolve::store::State;

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    UpToDate,
    Preview,
    Open,
    Rebased,
    /// Checks do not pass on what agents and rules made of it.
    Refused,
}

#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) merge: String,
    pub(super) outcome: Outcome,
    pub(super) branch: String,
    pub(super) from: String,
    /// The commit that the branch has, or would have.
    pub(super) to: Option<String>,
    pub(super) onto: String,
    pub(super) onto_commit: String,
    pub(super) steps: Vec<StepRow>,
    pub(super) files: Vec<FileRow>,
    pub(super) attempts: Vec<AttemptRow>,
    pub(super) validated: Option<Validated>,
    pub(super) worktree: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) backup: Option<String>,
    pub(super) checkout: Option<Checkout>,
}

impl Answer {
    pub(super) fn of(state: &State, outcome: Outcome) -> Answer {
        let is_open = outcome == Outcome::Open;
        Answer {
            merge: state.slug.clone(),
            outcome,
            branch: state.branch.clone(),
            from: state.tip.clone(),
            to: None,
            onto: state.onto.clone(),
            onto_commit: state.base.clone(),
            steps: state.steps.clone(),
            files: if is_open { state.files.clone() } else { Vec::new() },
            attempts: state.attempts.clone(),
            validated: None,
            worktree: state.worktree.as_ref().filter(|_| is_open).map(|path| path.display().to_string()),
            reason: None,
            backup: None,
            checkout: None,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (branch, onto) = (Foreign(short(&self.branch)), Foreign(short(&self.onto)));
        match self.outcome {
            Outcome::UpToDate => return writeln!(f, "{branch} is on {onto} already"),
            Outcome::Preview => writeln!(f, "{branch} on {onto} would be:")?,
            Outcome::Open => writeln!(f, "{branch} is not on {onto} yet")?,
            Outcome::Rebased => writeln!(f, "{branch} is on {onto} now")?,
            Outcome::Refused => writeln!(f, "{branch} stays where it was")?,
        }
        for row in &self.steps {
            let step = match row.step {
                Step::Replayed => "replayed",
                Step::Resolved => "resolved",
                Step::Empty => "empty",
                Step::Conflict => "conflict",
                Step::Waiting => "waiting",
            };
            writeln!(f, "  {step:8}  {}  {}", row.commit.get(..12).unwrap_or(&row.commit), Foreign(&row.subject))?;
        }
        self.files.iter().try_for_each(|file| write!(f, "{file}"))?;
        for attempt in self.attempts.iter().filter(|attempt| !attempt.problems.is_empty()) {
            let problems = attempt.problems.join("; ");
            writeln!(f, "  attempt {} by {}: {}", attempt.number, Foreign(&attempt.by), Foreign(&problems))?;
        }
        if let Some(reason) = &self.reason {
            writeln!(f, "  {}", Foreign(reason))?;
        }
        if let Some(backup) = &self.backup {
            let what = if self.outcome == Outcome::Refused { "what was made of it" } else { "where it was" };
            writeln!(f, "{what} stays as {backup}")?;
        }
        if self.outcome != Outcome::Open {
            return Ok(());
        }
        if let Some(worktree) = &self.worktree {
            writeln!(f, "go on by hand in {}", Foreign(worktree))?;
        }
        let slug = Foreign(short(&self.branch));
        writeln!(f, "then: git agent-merge rebase --continue {slug}; or give up: git agent-merge rebase --abort {slug}")
    }
}
