//! The worktree that is filled: what it is, what state it is in, and the traces of an earlier run.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use gix::ObjectId;
use serde::{Deserialize, Serialize};
use shared::app::Context;
use shared::clock;
use shared::durable::{self, Lock, Previous};
use shared::failure::Failure;
use shared::process::Git;
use shared::repository::Worktree;

use crate::index::TEMPORARY;

/// The file in the worktree's git folder that says: this worktree is being filled.
pub(crate) const MARKER: &str = "hydrate.json";

/// A run that was killed leaves a git that ends by itself; so long it is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The worktree to fill.
#[derive(Debug)]
pub(crate) struct Target {
    /// The worktree.
    pub(crate) worktree: Worktree,
    /// The tree of its HEAD; `None` on a branch without a commit.
    pub(crate) tree: Option<ObjectId>,
    /// Git, pinned to it.
    pub(crate) git: Git,
    /// Whether it is a sparse checkout.
    pub(crate) is_sparse: bool,
}

/// Which file an index was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// What is in the worktree before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No file; perhaps an index that equals HEAD.
    Empty { index: Option<Seen> },
    /// A run was interrupted before it had all tracked files.
    Interrupted { index: Option<Seen> },
    /// A run was interrupted when the tracked files were there.
    TrackedThere,
    /// Files or index entries that differ from HEAD, which `--force` lets be moved aside.
    Occupied { index: Option<Seen> },
    /// All is there already, unchanged.
    Filled,
}

/// Whether what is in the worktree may be moved aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    No,
    Yes,
}

/// What the marker file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    schema: u32,
    tree: String,
    donor: Option<PathBuf>,
    started: String,
    /// The index that the run found and will replace.
    index: Option<Seen>,
}

impl Target {
    /// Finds the worktree that the program was started in.
    pub(crate) fn find(cx: &Context) -> Result<Target, Failure> {
        let repository = cx.repository()?;
        let Some(path) = repository.work_tree() else {
            return Err(Failure::could_not("no-worktree", "this operation must be run in a work tree")
                .hint("'git worktree list' shows the worktrees of this repository"));
        };
        let inside_git = cx.folder().canonicalize().is_ok_and(|here| here.starts_with(repository.common_dir()));
        if inside_git && !path.starts_with(repository.common_dir()) {
            return Err(Failure::could_not("no-worktree", "this operation must be run in a work tree"));
        }
        let git_dir = repository.git_dir().to_owned();
        let is_main = git_dir == repository.common_dir();
        let worktree = Worktree { path: path.to_owned(), git_dir, branch: None, is_main, locked: None };
        let git = cx.git_in(&worktree)?;
        let unborn = repository.gix.head().is_ok_and(|head| head.is_unborn());
        let tree = if unborn { None } else { Some(repository.tree("HEAD")?) };
        let is_sparse = repository.gix.config_snapshot().boolean("core.sparseCheckout") == Some(true);
        Ok(Target { worktree, tree, git, is_sparse })
    }

    /// Takes the lock that only one run holds.
    pub(crate) fn lock(&self) -> Result<Lock> {
        Lock::acquire(&self.file("hydrate.lock"), PATIENCE).context("another run fills this worktree")
    }

    /// Returns the name that git has for it.
    pub(crate) fn name(&self) -> String {
        let own = self.worktree.git_dir.file_name().unwrap_or_default();
        if self.worktree.is_main { "main".to_owned() } else { own.to_string_lossy().into_owned() }
    }

    /// Returns the path of a file in its git folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.worktree.git_dir.join(name)
    }

    /// Says what is in the worktree.
    ///
    /// # Errors
    /// When there is something that a run would have to overwrite, and no force.
    pub(crate) fn state(&self, force: Force) -> Result<State, Failure> {
        let index = self.seen_index()?;
        if let Some(bytes) = durable::read(&self.file(MARKER))? {
            // A marker that cannot be read still says that a run was here.
            let before = serde_json::from_slice::<Marker>(&bytes).ok().and_then(|marker| marker.index);
            let done = index.is_some() && index != before;
            return Ok(if done { State::TrackedThere } else { State::Interrupted { index } });
        }
        let has_files = self.has_files()?;
        let quiet = |arguments: &[&str]| -> Result<bool> {
            let done = self.git.clone().reading().ask(arguments)?;
            Ok(done.code == 0 && done.stdout.is_empty())
        };
        match (index, has_files) {
            (None, false) => Ok(State::Empty { index: None }),
            (Some(_), true) if quiet(&["status", "--porcelain", "-z", "--untracked-files=no"])? => Ok(State::Filled),
            (Some(_), false) if quiet(&["diff-index", "--cached", "--quiet", "HEAD", "--"])? => {
                Ok(State::Empty { index })
            }
            _ if force == Force::Yes => Ok(State::Occupied { index }),
            (Some(_), false) => {
                let message = format!("the index of '{}' holds changes", self.worktree.path.display());
                Err(Failure::could_not("not-empty", message).hint(
                    "'git status' shows them; commit them, or let 'git hydrate --force' keep them under refs/backup/",
                ))
            }
            (None | Some(_), true) => {
                let message =
                    format!("'{}' has files already, and they differ from HEAD", self.worktree.path.display());
                Err(Failure::could_not("not-empty", message)
                    .hint("'git hydrate --force' keeps what differs in a folder that it names, then fills"))
            }
        }
    }

    fn has_files(&self) -> Result<bool> {
        let path = &self.worktree.path;
        let entries = fs::read_dir(path).with_context(|| format!("cannot list '{}'", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list '{}'", path.display()))?;
            if entry.file_name() != ".git" {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns which file the index is now.
    pub(crate) fn seen_index(&self) -> Result<Option<Seen>> {
        let path = self.file("index");
        match fs::symlink_metadata(&path) {
            Ok(f) => Ok(Some(Seen { inode: f.ino(), size: f.len(), seconds: f.mtime(), nanoseconds: f.mtime_nsec() })),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot look at '{}'", path.display())),
        }
    }

    /// Says durably that this worktree is being filled, before the first file is.
    pub(crate) fn mark(&self, tree: ObjectId, donor: Option<&Path>, index: Option<Seen>) -> Result<()> {
        let marker = Marker {
            schema: 1,
            tree: tree.to_string(),
            donor: donor.map(Path::to_owned),
            started: clock::now().to_string(),
            index,
        };
        durable::replace(&self.file(MARKER), &serde_json::to_vec(&marker)?, Previous::Drop)
    }

    /// Says that all is there.
    pub(crate) fn unmark(&self) -> Result<()> {
        let path = self.file(MARKER);
        fs::remove_file(&path).with_context(|| format!("cannot remove '{}'", path.display()))
    }

    /// Removes what a killed run left in the git folder; call it under the lock.
    pub(crate) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.worktree.git_dir) else { return };
        let inode = |path: &Path| fs::symlink_metadata(path).ok().map(|f| (f.dev(), f.ino()));
        for entry in entries.flatten() {
            if !entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                continue;
            }
            let lock = self.file("index.lock");
            // The lock is a second name of our own draft: its run is dead, because we hold the run's lock.
            if inode(&lock).is_some_and(|own| inode(&entry.path().join("index")) == Some(own)) {
                let _ = fs::remove_file(&lock);
            }
            #[expect(clippy::disallowed_methods, reason = "a folder that only a run makes, and its run is dead")]
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
