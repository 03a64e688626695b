//! What is judged: always a tree, wherever it comes from.
//!
//! The worktree, and an index that git has to read, are read through a private copy of the index,
//! so that nothing of the user's is written, whatever ends us.

mod index;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use gix::ObjectId;
use serde::{Serialize, Serializer};
use shared::app::Context;
use shared::failure::Failure;
use shared::process::Git;
use shared::repository::{Repository, Worktree, in_words};

/// Where to take the tree from.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct From {
    /// Commit or tree to judge, or a range A..B of commits; HEAD if not given
    #[arg(value_name = "rev", conflicts_with_all = ["worktree", "staged"])]
    rev: Option<String>,
    /// Judge the worktree as it is: changed and untracked files included, ignored ones not
    #[arg(long, conflicts_with = "staged")]
    worktree: bool,
    /// Judge the index as it is
    #[arg(long)]
    staged: bool,
    /// What changes are counted from; HEAD for the index and the worktree, the first parent for a commit
    #[arg(long, value_name = "rev")]
    base: Option<String>,
}

/// What is judged.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    /// As it was asked for.
    pub(crate) rev: String,
    /// The commit that git sees as HEAD while the checks run.
    #[serde(serialize_with = "as_text")]
    pub(crate) commit: Option<ObjectId>,
    #[serde(serialize_with = "as_text_always")]
    pub(crate) tree: ObjectId,
    /// The tree that changes are counted from; nothing at the beginning of a history.
    #[serde(serialize_with = "as_text")]
    pub(crate) base: Option<ObjectId>,
    /// The message of the commit that is judged.
    #[serde(skip)]
    pub(crate) message: Option<Vec<u8>>,
}

/// What kind of thing the tree was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Commit,
    Tree,
    Staged,
    Worktree,
}

impl From {
    /// The subject that one revision names.
    pub(crate) fn rev(rev: &str) -> From {
        From { rev: Some(rev.to_owned()), ..From::default() }
    }

    /// The subject that the index is.
    pub(crate) fn staged() -> From {
        From { staged: true, ..From::default() }
    }

    /// Says whether anything was asked for.
    pub(crate) fn is_given(&self) -> bool {
        self.rev.is_some() || self.worktree || self.staged || self.base.is_some()
    }

    /// The subject that the worktree is.
    pub(crate) fn worktree() -> From {
        From { worktree: true, ..From::default() }
    }

    /// The revision, if one was given.
    pub(crate) fn revision(&self) -> Option<&str> {
        self.rev.as_deref()
    }

    /// What changes are counted from, if it was said.
    pub(crate) fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// Sets what changes are counted from.
    pub(crate) fn since(self, base: Option<String>) -> From {
        From { base, ..self }
    }

    /// Says whether a range of commits is asked for.
    pub(crate) fn is_range(&self) -> bool {
        self.rev.as_deref().is_some_and(|rev| rev.contains("..") && !rev.starts_with('-'))
    }

    /// The subjects one by one: the commits of a range, the oldest first, or the only one.
    ///
    /// # Errors
    /// When the range is none, or empty.
    pub(crate) fn each(&self, cx: &Context) -> Result<Vec<From>, Failure> {
        let Some(rev) = self.rev.as_deref().filter(|_| self.is_range()) else { return Ok(vec![self.clone()]) };
        let listed = cx.git()?.reading().ask(["rev-list", "--reverse", "--end-of-options", rev, "--"])?;
        if listed.code != 0 {
            let words = format!("'{}' names no range of commits here", rev.escape_debug());
            return Err(Failure::could_not("unknown-revision", words));
        }
        let commits: Vec<From> = listed.text().lines().map(|id| From::rev(id).since(self.base.clone())).collect();
        if commits.is_empty() {
            return Err(Failure::could_not("empty-range", format!("there is no commit in '{}'", rev.escape_debug())));
        }
        Ok(commits)
    }

    /// Finds the tree.
    pub(crate) fn find(&self, cx: &Context) -> Result<Subject, Failure> {
        if self.is_range() {
            return Err(Failure::usage("this is about one commit or tree; a range can be judged and shown"));
        }
        let repository = cx.repository()?;
        let mut subject =
            if self.worktree || self.staged { self.of_index(cx, repository)? } else { self.of_rev(repository)? };
        if let Some(base) = &self.base {
            subject.base = Some(repository.tree(base)?);
        }
        Ok(subject)
    }

    fn of_rev(&self, repository: &Repository) -> Result<Subject, Failure> {
        let rev = self.rev.as_deref().unwrap_or("HEAD");
        let tree = repository.tree(rev)?;
        let head = || repository.commit("HEAD").ok();
        let Ok(id) = repository.commit(rev) else {
            let (rev, commit) = (rev.to_owned(), head());
            return Ok(Subject { kind: Kind::Tree, rev, commit, tree, base: None, message: None });
        };
        let commit =
            repository.gix.find_commit(id).map_err(|e| anyhow!("cannot read the commit {id}: {}", in_words(&e)))?;
        let parent = commit.parent_ids().next().map(|parent| repository.tree_of(parent.detach())).transpose();
        // In a shallow repository the parent is not there: nothing to compare with.
        let base = parent.ok().flatten();
        let message = commit.message_raw().map(|message| message.to_vec()).ok();
        Ok(Subject { kind: Kind::Commit, rev: rev.to_owned(), commit: Some(id), tree, base, message })
    }

    fn of_index(&self, cx: &Context, repository: &Repository) -> Result<Subject, Failure> {
        let worktree = own_worktree(repository)?;
        let index = index_file(repository, &worktree);
        let known = if self.worktree { None } else { index::tree(repository, &index) };
        let tree = match known {
            Some(tree) => tree,
            None => self.ask_git(cx, &worktree, &index)?,
        };
        let (kind, rev) = if self.worktree { (Kind::Worktree, "worktree") } else { (Kind::Staged, "index") };
        let commit = repository.commit("HEAD").ok();
        let base = commit.map(|commit| repository.tree_of(commit)).transpose()?;
        Ok(Subject { kind, rev: rev.to_owned(), commit, tree, base, message: None })
    }

    fn ask_git(&self, cx: &Context, worktree: &Worktree, index: &Path) -> Result<ObjectId, Failure> {
        let place =
            tempfile::Builder::new().prefix("git-validate-").tempdir().context("cannot create a temporary folder")?;
        // A split index would write its other half into the user's git folder.
        let git = cx.git_beside_index(worktree, index, place.path())?.reading().setting("core.splitIndex=false");
        if self.worktree {
            git.run(["add", "--all"]).context("cannot read the worktree")?;
        }
        write_tree(&git)
    }

    /// Says that there is work which the default, HEAD, does not hold.
    pub(crate) fn note_changes(&self, cx: &Context) {
        if self.is_given() || cx.output.is_json() {
            return;
        }
        let Ok(worktree) = cx.repository().and_then(own_worktree) else { return };
        let changed = cx.git_in(&worktree).ok().and_then(|git| git.reading().run(["status", "--porcelain"]).ok());
        if changed.is_some_and(|done| !done.stdout.is_empty()) {
            cx.output.note("HEAD is judged; the uncommitted work is not in it ('--worktree' judges that)");
        }
    }
}

fn write_tree(git: &Git) -> Result<ObjectId, Failure> {
    let id = git.run(["write-tree"]).context("the index cannot be a tree")?.text();
    Ok(ObjectId::from_hex(id.as_bytes()).context("'git write-tree' named no tree")?)
}

/// The worktree that was opened.
///
/// # Errors
/// When the repository is bare.
pub(crate) fn own_worktree(repository: &Repository) -> Result<Worktree, Failure> {
    repository.own_worktree().ok_or_else(|| Failure::could_not("bare", "this repository has no worktree and no index"))
}

/// The index of the commit that is being made, where a hook names one; from the top of the worktree, as git counts.
pub(crate) fn index_file(repository: &Repository, worktree: &Worktree) -> PathBuf {
    match std::env::var_os("GIT_INDEX_FILE").filter(|path| !path.is_empty()) {
        Some(path) => worktree.path.join(Path::new(&path)),
        None => repository.git_dir().join("index"),
    }
}

fn as_text<S: Serializer>(id: &Option<ObjectId>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.serialize_some(&id.to_string()),
        None => serializer.serialize_none(),
    }
}

fn as_text_always<S: Serializer>(id: &ObjectId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&id.to_string())
}
