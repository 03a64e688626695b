//! What is judged: always a tree, wherever it comes from.
//!
//! The index and the worktree are read through a private copy of the index, so that nothing of the
//! user's is written, whatever ends us.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gix::ObjectId;
use serde::{Serialize, Serializer};
use shared::app::Context;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process::Git;
use shared::repository::{Repository, Worktree};

use crate::verdict::short;

/// Where to take the tree from.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct From {
    /// Commit or tree to judge; HEAD if not given
    #[arg(value_name = "rev", conflicts_with_all = ["worktree", "staged"])]
    rev: Option<String>,
    /// Judge the worktree as it is: changed and untracked files included, ignored ones not
    #[arg(long, conflicts_with = "staged")]
    worktree: bool,
    /// Judge the index as it is
    #[arg(long)]
    staged: bool,
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

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = short(&self.tree);
        match (self.kind, &self.commit) {
            (Kind::Commit, Some(commit)) => write!(f, "{} (commit {}, tree {tree})", Foreign(&self.rev), short(commit)),
            (Kind::Commit | Kind::Tree, _) => write!(f, "tree {tree}"),
            (Kind::Staged, _) => write!(f, "the index (tree {tree})"),
            (Kind::Worktree, _) => write!(f, "the worktree (tree {tree})"),
        }
    }
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
        self.rev.is_some() || self.worktree || self.staged
    }

    /// Finds the tree.
    pub(crate) fn find(&self, cx: &Context) -> Result<Subject, Failure> {
        let repository = cx.repository()?;
        if self.worktree || self.staged {
            return self.of_index(cx, repository);
        }
        let rev = self.rev.as_deref().unwrap_or("HEAD");
        let tree = repository.tree(rev)?;
        let commit = repository.commit(rev).ok();
        let kind = if commit.is_some() { Kind::Commit } else { Kind::Tree };
        Ok(Subject { kind, rev: rev.to_owned(), commit: commit.or_else(|| repository.commit("HEAD").ok()), tree })
    }

    fn of_index(&self, cx: &Context, repository: &Repository) -> Result<Subject, Failure> {
        let worktree = own_worktree(repository)?;
        let place =
            tempfile::Builder::new().prefix("git-validate-").tempdir().context("cannot create a temporary folder")?;
        let copy = place.path().join("index");
        let index = index_file(repository, &worktree);
        match std::fs::copy(&index, &copy) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::could_not("read", format!("cannot copy the index '{}': {e}", index.display())));
            }
            Ok(_) | Err(_) => {}
        }
        let git = cx.git_in(&worktree)?.reading().env("GIT_INDEX_FILE", &copy);
        // A split index would write its other half into the user's git folder.
        let git = git.setting("core.splitIndex=false");
        if self.worktree {
            git.run(["add", "--all"]).context("cannot read the worktree")?;
        }
        let tree = write_tree(&git)?;
        let (kind, rev) = if self.worktree { (Kind::Worktree, "worktree") } else { (Kind::Staged, "index") };
        Ok(Subject { kind, rev: rev.to_owned(), commit: repository.commit("HEAD").ok(), tree })
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

fn own_worktree(repository: &Repository) -> Result<Worktree, Failure> {
    let Some(path) = repository.work_tree() else {
        return Err(Failure::could_not("bare", "this repository has no worktree and no index"));
    };
    Ok(Worktree {
        path: path.to_owned(),
        git_dir: repository.git_dir().to_owned(),
        branch: None,
        is_main: repository.git_dir() == repository.common_dir(),
        locked: None,
    })
}

/// The index of the commit that is being made, where a hook names one; from the top of the worktree, as git counts.
fn index_file(repository: &Repository, worktree: &Worktree) -> PathBuf {
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
