//! What is known of an attempt, outside the repository; written before anything is done.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use gix::ObjectId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::app::Context;
use shared::clock;
use shared::durable::{self, Lock, Previous};
use shared::failure::Failure;
use shared::folders;
use shared::slug::Slug;

use super::attempt::Validated;
use super::meant::Meant;
use super::row::{AttemptRow, FileRow, StepRow};
use crate::names::short;

const FILE: &str = "state.json";
const SCHEMA: u32 = 1;
/// The kind of the failure of a record that cannot be read.
pub(super) const BROKEN: &str = "broken-state";

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// It is being worked on, or was given up half done.
    Open,
    /// Its result waits for `accept` or `reject`.
    Proposed,
}

/// What an attempt is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// The base is merged into the branch.
    Merge,
    /// The commits of the branch are replayed on the base.
    Rebase,
}

/// The record of an attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    schema: u32,
    pub(crate) slug: String,
    pub(crate) work: Work,
    pub(crate) phase: Phase,
    /// The full name of the branch.
    pub(crate) branch: String,
    pub(crate) task: Option<String>,
    /// The commit of the branch when it began.
    pub(crate) tip: String,
    /// What it is merged with or replayed on, as it was asked for.
    pub(crate) onto: String,
    pub(crate) base: String,
    /// The worktree, once something is to be done in one.
    pub(crate) worktree: Option<PathBuf>,
    /// The commits that conflict at present: ours, theirs, and the base if it is no merge of their own.
    pub(crate) ours: String,
    pub(crate) theirs: String,
    pub(crate) ancestor: Option<String>,
    /// The tree that the worktree started from: git's attempt, with what the rules solved.
    pub(crate) start: Option<String>,
    pub(crate) files: Vec<FileRow>,
    pub(crate) attempts: Vec<AttemptRow>,
    /// The commit that is proposed.
    pub(crate) proposal: Option<String>,
    /// What the checks said of the proposal.
    #[serde(default)]
    pub(crate) validated: Option<Validated>,
    /// Of a rebase: its commits, the first first.
    #[serde(default)]
    pub(crate) steps: Vec<StepRow>,
}

impl State {
    pub(crate) fn new(slug: &Slug, work: Work, branch: &str, task: Option<&str>, tip: ObjectId) -> State {
        State {
            schema: SCHEMA,
            slug: slug.to_string(),
            work,
            phase: Phase::Open,
            branch: branch.to_owned(),
            task: task.map(str::to_owned),
            tip: tip.to_string(),
            onto: String::new(),
            base: String::new(),
            worktree: None,
            ours: tip.to_string(),
            theirs: String::new(),
            ancestor: None,
            start: None,
            files: Vec::new(),
            attempts: Vec::new(),
            proposal: None,
            validated: None,
            steps: Vec::new(),
        }
    }

    /// What a command calls it by: the slug of its task, or its branch.
    pub(crate) fn called(&self) -> &str {
        self.task.as_deref().unwrap_or_else(|| short(&self.branch))
    }

    /// The command that it is the work of.
    pub(crate) fn verb(&self) -> &'static str {
        match self.work {
            Work::Merge => "resolve",
            Work::Rebase => "rebase",
        }
    }
}

/// Reads an id that was written by us.
pub(crate) fn id(text: &str) -> Result<ObjectId> {
    ObjectId::from_hex(text.as_bytes()).with_context(|| format!("'{}' is no object id", text.escape_debug()))
}

/// The folder of one attempt, held by one process at a time.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    slug: Slug,
    /// What it has to be about, if that matters.
    meant: Option<Meant>,
    _lock: Lock,
}

impl Store {
    /// Opens the folder of a branch's attempt.
    ///
    /// # Errors
    /// When another process is at work on it.
    pub(crate) fn open(cx: &Context, slug: &Slug) -> Result<Store, Failure> {
        let folder = parent(cx)?.join(slug.as_str());
        durable::private_folder(&folder)?;
        match Lock::try_acquire(&folder.join("lock"))? {
            Some(lock) => Ok(Store { folder, slug: slug.clone(), meant: None, _lock: lock }),
            None => Err(Failure::could_not("busy", format!("another command is at work on '{slug}'"))
                .hint("wait for its end, or stop it; what it has done so far stays")),
        }
    }

    /// Opens the folder of the attempt that is meant, and of no other.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub(crate) fn of(cx: &Context, meant: Meant) -> Result<Store, Failure> {
        let store = Store::open(cx, &meant.slug)?;
        Ok(Store { meant: Some(meant), ..store })
    }

    /// Says whether anything is recorded under a name.
    pub(super) fn is_there(cx: &Context, slug: &Slug) -> Result<bool, Failure> {
        Ok(parent(cx)?.join(slug.as_str()).join(FILE).is_file())
    }

    pub(crate) fn slug(&self) -> &Slug {
        &self.slug
    }

    /// Where its worktree goes.
    pub(crate) fn worktree(&self) -> PathBuf {
        self.folder.join(format!("merge-{}", self.slug))
    }

    /// A folder for what is only needed now.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the record; nothing if no attempt is there.
    pub(crate) fn load(&self) -> Result<Option<State>, Failure> {
        let path = self.folder.join(FILE);
        let Some(bytes) = durable::read(&path)? else { return Ok(None) };
        let broken = |why: &dyn std::fmt::Display| {
            Failure::could_not(BROKEN, format!("'{}' cannot be read: {why}", path.display()))
                .hint(format!("'git agent-merge resolve --abort {}' gives the attempt up", self.slug))
        };
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| broken(&error))?;
        if value["schema"].as_u64().is_some_and(|schema| schema > u64::from(SCHEMA)) {
            let message = format!("'{}' is of a newer version", path.display());
            return Err(Failure::could_not("newer-state", message).hint("use the program that has written it"));
        }
        let mut state: State = serde_json::from_value(value).map_err(|error| broken(&error))?;
        let is_id = |id: &str| ObjectId::from_hex(id.as_bytes()).is_ok();
        if !state.branch.starts_with("refs/heads/")
            || gix::validate::reference::name(state.branch.as_str().into()).is_err()
        {
            return Err(broken(&"it names no branch"));
        }
        if ![&state.tip, &state.base, &state.ours, &state.theirs].into_iter().all(|id| is_id(id)) {
            return Err(broken(&"it names no commits"));
        }
        if let Some(meant) = &self.meant {
            meant.refuse_other(&state)?;
        }
        // Whatever is written there: what gets filled and removed is the attempt's own worktree, never another.
        state.slug = self.slug.to_string();
        state.worktree = state.worktree.map(|_| self.worktree());
        Ok(Some(state))
    }

    /// Puts a record aside that cannot be read.
    pub(super) fn put_aside(&self) -> Result<()> {
        let aside = self.folder.join(format!("broken-{}.json", clock::stamp(clock::now())));
        fs::rename(self.folder.join(FILE), aside).context("cannot put the broken record aside")
    }

    pub(crate) fn save(&self, state: &State) -> Result<()> {
        durable::replace(&self.folder.join(FILE), &serde_json::to_vec_pretty(state)?, Previous::Drop)
    }

    /// Takes the record away, when nothing is left of the attempt but its refs.
    pub(crate) fn clear(&self) -> Result<()> {
        let path = self.folder.join(FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove '{}'", path.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn parent(cx: &Context) -> Result<PathBuf, Failure> {
    Ok(folders::state()?.join("merge").join(cx.repository()?.key()))
}
