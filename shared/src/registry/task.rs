//! One task as the registry holds it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::slug::Slug;

/// A task. Fields that this version does not know survive a rewrite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Short, random, never reused.
    pub id: String,
    /// Its name within its repository.
    pub slug: Slug,
    /// The repository it belongs to.
    pub repo: Repo,
    /// One line that says what it is.
    pub title: String,
    /// What is to be reached, in as many words as it takes.
    #[serde(default)]
    pub goal: String,
    /// How far it is.
    pub status: State,
    /// The higher, the sooner.
    #[serde(default)]
    pub priority: i64,
    /// Who answers for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Ids of the tasks that must be done before.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Full name of its branch, once it has one.
    #[serde(default)]
    pub branch: Option<String>,
    /// What it starts from and merges into.
    #[serde(default)]
    pub base: Option<Base>,
    /// Its worktree, while it has one.
    #[serde(default)]
    pub worktree: Option<String>,
    /// The agent that is to do it.
    #[serde(default)]
    pub agent: Option<String>,
    /// Names of the checks that it must pass; all if empty.
    #[serde(default)]
    pub checks: Vec<String>,
    /// Paths that it says it will change.
    #[serde(default)]
    pub touches: Vec<String>,
    /// When it was added.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// When it was done or dropped.
    #[serde(default)]
    pub completed: Option<Timestamp>,
    /// What a newer version added.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl Task {
    /// Says whether the task is neither done nor dropped.
    pub fn is_open(&self) -> bool {
        !matches!(self.status, State::Done | State::Dropped)
    }
}

/// A repository, as a task names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repo {
    /// The same in all worktrees of the repository.
    pub key: String,
    /// Its main worktree, or its folder if it is bare.
    pub path: String,
    /// What a newer version added.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// What a task starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Full name of the branch.
    #[serde(rename = "ref")]
    pub name: String,
    /// The commit that the task's branch started from, once it has one.
    #[serde(default)]
    pub commit: Option<String>,
    /// What a newer version added.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for tasks that it depends on.
    Planned,
    /// It can start.
    Ready,
    /// It has a worktree.
    Active,
    /// Its work is done and waits to be looked at.
    Review,
    /// It is merged.
    Done,
    /// It was given up.
    Dropped,
}

impl State {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Planned => "planned",
            State::Ready => "ready",
            State::Active => "active",
            State::Review => "review",
            State::Done => "done",
            State::Dropped => "dropped",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
