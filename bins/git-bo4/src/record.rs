//! A run and its variants, as the record outside the repository keeps them.

use std::fmt;
use std::path::PathBuf;

use gix::ObjectId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::failure::Failure;

use crate::lane::Lane;

/// The version of the record.
pub(crate) const SCHEMA: u32 = 1;

/// A run: one question, asked several times.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) schema: u32,
    /// Its name, also in refs and branches.
    pub(crate) run: String,
    /// The first line of what is asked.
    pub(crate) title: String,
    /// The task that it is for.
    pub(crate) task: Option<String>,
    pub(crate) backend: Backend,
    /// The environment of a cloud.
    pub(crate) env: Option<String>,
    /// What it starts from, as it was named.
    pub(crate) base: String,
    pub(crate) base_commit: String,
    pub(crate) best_of: usize,
    pub(crate) lanes: Vec<Lane>,
    /// SHA-256 of what is asked.
    pub(crate) prompt_hash: String,
    /// Where it was read from; what was read is kept beside the record.
    pub(crate) prompt_file: Option<PathBuf>,
    /// How long one attempt may take; 0 is without limit.
    pub(crate) timeout_ms: u64,
    pub(crate) created: Timestamp,
    /// The run that this one goes on from, and how many there were before.
    pub(crate) previous: Option<String>,
    #[serde(default)]
    pub(crate) round: u32,
    pub(crate) kickoff: Kickoff,
    /// What the backend calls it.
    pub(crate) task_id: Option<String>,
    /// Whether its line is in the log of the repository.
    pub(crate) logged: bool,
    pub(crate) phase: Phase,
    /// Why it ended in an error, or what is uncertain about its beginning.
    pub(crate) reason: Option<String>,
    pub(crate) variants: Vec<Variant>,
    pub(crate) picked: Option<Picked>,
}

/// Who does the attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Backend {
    /// Jobs of git-worker on this machine.
    Local,
    /// The cloud of the Codex CLI.
    CodexCloud,
    /// The command of the setting bo4.command.
    Command,
}

impl Backend {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Backend::Local => "local",
            Backend::CodexCloud => "codex-cloud",
            Backend::Command => "command",
        }
    }
}

/// Whether the backend was asked to begin; only what surely did not happen is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kickoff {
    NotBegun,
    /// It was asked, and nobody knows what came of it.
    Begun,
    Done,
    /// The backend refused.
    Refused,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Pending,
    InProgress,
    /// Every variant has ended, and at least one has something to show.
    Ready,
    Error,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "pending",
            Phase::InProgress => "in_progress",
            Phase::Ready => "ready",
            Phase::Error => "error",
        }
    }

    pub(crate) fn is_over(self) -> bool {
        matches!(self, Phase::Ready | Phase::Error)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far a variant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Pending,
    InProgress,
    Completed,
    Failed,
    Cancelled,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::InProgress => "in_progress",
            State::Completed => "completed",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
        }
    }

    pub(crate) fn is_over(self) -> bool {
        matches!(self, State::Completed | State::Failed | State::Cancelled)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Variant {
    /// From 1.
    pub(crate) number: usize,
    /// What the backend calls it where its own numbers shift, such as `diff 2 of 3`.
    pub(crate) label: Option<String>,
    /// The lane that it is of, from 0; none in a cloud.
    pub(crate) lane: Option<usize>,
    pub(crate) agent: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) state: State,
    /// Why it failed or was cancelled.
    pub(crate) reason: Option<String>,
    pub(crate) job: Option<String>,
    pub(crate) worktree: Option<PathBuf>,
    /// In and out; none if nobody counted.
    pub(crate) tokens: Option<u64>,
    pub(crate) seconds: Option<f64>,
    /// Its last words.
    pub(crate) message: Option<String>,
    /// The commit on the base that holds its work, once it is harvested.
    pub(crate) commit: Option<String>,
    /// Why what it made cannot be applied to the base.
    pub(crate) problem: Option<String>,
}

impl Variant {
    pub(crate) fn new(number: usize, state: State) -> Variant {
        Variant {
            number,
            label: None,
            lane: None,
            agent: None,
            model: None,
            state,
            reason: None,
            job: None,
            worktree: None,
            tokens: None,
            seconds: None,
            message: None,
            commit: None,
            problem: None,
        }
    }
}

/// The choice.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Picked {
    pub(crate) variant: usize,
    pub(crate) commit: String,
    /// Full name of the branch that it became.
    pub(crate) branch: String,
    pub(crate) time: Timestamp,
}

impl Run {
    /// Returns the variant of this number.
    ///
    /// # Errors
    /// When the run has none of it.
    pub(crate) fn variant(&self, number: usize) -> Result<&Variant, Failure> {
        self.variants.iter().find(|variant| variant.number == number).ok_or_else(|| {
            let message = format!("run '{}' has no variant {number}", self.run);
            Failure::could_not("no-variant", message).hint(format!("'git bo4 status {}' lists them", self.run))
        })
    }

    pub(crate) fn variant_mut(&mut self, number: usize) -> Option<&mut Variant> {
        self.variants.iter_mut().find(|variant| variant.number == number)
    }

    /// Returns its lanes as a person would write them.
    pub(crate) fn lane_words(&self) -> Vec<String> {
        self.lanes.iter().map(|lane| format!("{lane}:{}", lane.count)).collect()
    }

    /// Returns the ref that keeps a variant's commit.
    pub(crate) fn variant_ref(&self, number: usize) -> String {
        format!("refs/bo4/{}/{number}", self.run)
    }

    /// Returns the full name of a variant's branch.
    pub(crate) fn branch(&self, number: usize) -> String {
        format!("refs/heads/bo4/{}/var{number}", self.run)
    }
}

/// Reads an object id of a record.
///
/// # Errors
/// When it is none.
pub(crate) fn id(text: &str) -> anyhow::Result<ObjectId> {
    use anyhow::Context as _;
    ObjectId::from_hex(text.as_bytes()).with_context(|| format!("'{}' is no object id", text.escape_debug()))
}
