//! What `resolve` answers, and the note on the commit that it proposes.

use std::fmt;

use anyhow::Result;
use gix::ObjectId;
use serde::Serialize;
use serde_json::json;
use shared::app::Context;
use shared::durable::{self, Lock};
use shared::failure::Failure;
use shared::output::Foreign;

use super::agent::Ran;
use super::attempt::Validated;
use super::row::{AttemptRow, FileRow};
use super::store::{Phase, State};
use crate::names::short;

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// There is nothing to solve.
    Clean,
    /// What the rules would solve.
    Preview,
    /// A verified result waits.
    Proposed,
    /// A person has to go on.
    Open,
}

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    merge: String,
    outcome: Outcome,
    task: Option<String>,
    branch: String,
    /// The commit of the branch.
    commit: String,
    onto: String,
    onto_commit: String,
    /// The commit that is proposed, and its ref.
    proposal: Option<String>,
    #[serde(rename = "ref")]
    name: Option<String>,
    validated: Option<Validated>,
    /// Where a person goes on, and why.
    worktree: Option<String>,
    reason: Option<String>,
    files: Vec<FileRow>,
    attempts: Vec<AttemptRow>,
}

impl Answer {
    pub(crate) fn of(state: &State, outcome: Outcome) -> Answer {
        Answer {
            merge: state.slug.clone(),
            outcome,
            task: state.task.clone(),
            branch: state.branch.clone(),
            commit: state.tip.clone(),
            onto: state.onto.clone(),
            onto_commit: state.base.clone(),
            proposal: state.proposal.clone(),
            name: (state.phase == Phase::Proposed).then(|| format!("refs/agent-merge/{}", state.slug)),
            validated: state.validated,
            worktree: state.worktree.as_ref().map(|path| path.display().to_string()),
            reason: None,
            files: state.files.clone(),
            attempts: state.attempts.clone(),
        }
    }

    pub(crate) fn because(self, reason: String) -> Answer {
        Answer { reason: Some(reason), ..self }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (branch, onto) = (Foreign(short(&self.branch)), Foreign(short(&self.onto)));
        match self.outcome {
            Outcome::Clean => return writeln!(f, "{branch} and {onto} merge without a conflict"),
            Outcome::Preview => writeln!(f, "what the rules solve of {branch} and {onto}:")?,
            Outcome::Proposed => {
                let commit = self.proposal.as_deref().unwrap_or_default();
                writeln!(f, "{branch} and {onto} are merged in {}", commit.get(..12).unwrap_or(commit))?;
            }
            Outcome::Open => writeln!(f, "{branch} and {onto} are not merged")?,
        }
        self.files.iter().try_for_each(|file| write!(f, "{file}"))?;
        for attempt in &self.attempts {
            let by = Foreign(&attempt.by);
            match attempt.problems.first() {
                None => writeln!(f, "  attempt {} by {by}: accepted", attempt.number)?,
                Some(problem) => writeln!(f, "  attempt {} by {by}: {}", attempt.number, Foreign(problem))?,
            }
            for problem in attempt.problems.iter().skip(1) {
                writeln!(f, "    {}", Foreign(problem))?;
            }
            if !attempt.outside.is_empty() {
                writeln!(f, "    changed beside the conflicts: {}", Foreign(&attempt.outside.join(", ")))?;
            }
        }
        match self.validated {
            Some(Validated::Pass) => writeln!(f, "  git validate: pass")?,
            Some(Validated::NoChecks) => writeln!(f, "  git validate: there are no checks")?,
            Some(Validated::No) => writeln!(f, "  not validated")?,
            None => {}
        }
        if let Some(reason) = &self.reason {
            writeln!(f, "  {}", Foreign(reason))?;
        }
        let slug = Foreign(self.task.as_deref().unwrap_or_else(|| short(&self.branch)));
        match self.outcome {
            Outcome::Proposed => writeln!(
                f,
                "see it: git agent-merge show {slug}; bring it in: git agent-merge accept {slug}; drop it: git agent-merge reject {slug}"
            ),
            Outcome::Open => {
                if let Some(worktree) = &self.worktree {
                    writeln!(f, "go on by hand in {}", Foreign(worktree))?;
                }
                writeln!(
                    f,
                    "then: git agent-merge resolve --continue {slug}; or give up: git agent-merge resolve --abort {slug}"
                )
            }
            Outcome::Clean | Outcome::Preview => Ok(()),
        }
    }
}

/// Notes on the commit who has resolved it.
pub(crate) fn note(cx: &Context, commit: ObjectId, state: &State, jobs: &[Ran]) -> Result<(), Failure> {
    let files = state.files.iter().map(|file| json!({ "path": file.path, "by": file.by })).collect::<Vec<_>>();
    let last = jobs.last();
    let tokens: u64 = jobs.iter().filter_map(|job| job.tokens).sum();
    let line = json!({
        "job": last.and_then(|job| job.job.clone()),
        "agent": last.and_then(|job| job.agent.clone()),
        "model": last.and_then(|job| job.model.clone()),
        "tokens": (tokens > 0).then_some(tokens),
        "role": "resolver",
        "resolved": files,
    });
    let folder = cx.repository()?.common_dir().join("codex-agents");
    durable::private_folder(&folder)?;
    // git moves the ref of notes without a look at who else does.
    let _lock = Lock::acquire(&folder.join("notes.lock"), durable::PATIENCE)?;
    cx.git()?
        .feed(["notes", "--ref=agent", "add", "-f", "-F", "-", &commit.to_string()], line.to_string().as_bytes())?;
    Ok(())
}
