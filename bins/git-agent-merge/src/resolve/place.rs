//! The worktree of an attempt: a half-solved merge laid down in it, and what became of that.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use anyhow::{Context as _, Result};
use gix::ObjectId;
use shared::app::Context;
use shared::durable;
use shared::failure::Failure;
use shared::ground::Ground;
use shared::process::Git;

use super::conflicted::{Conflicted, hash};
use super::store::id;
use super::text::Labels;

/// In the worktree's git folder, once a merge is laid down; git's own word goes when a person commits.
const LAID: &str = "agent-merge-laid";

/// The worktree.
#[derive(Debug)]
pub(crate) struct Place {
    ground: Ground,
}

/// What a worktree holds, compared with what it started from.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) tree: ObjectId,
    /// Paths that differ from the start.
    pub(crate) changed: Vec<Vec<u8>>,
}

impl Place {
    /// Makes the worktree at a commit, off every branch, and fills it.
    pub(crate) fn make(cx: &Context, path: &Path, commit: ObjectId, folder: &Path) -> Result<Place, Failure> {
        Ok(Place { ground: Ground::make(cx, path, commit, folder)? })
    }

    /// Finds a worktree that was made before.
    pub(crate) fn find(cx: &Context, path: &Path, folder: &Path) -> Result<Option<Place>, Failure> {
        Ok(Ground::find(cx, path, folder)?.map(|ground| Place { ground }))
    }

    /// Says whether a merge was laid down in it.
    pub(crate) fn is_laid(&self) -> Result<bool> {
        Ok(self.ground.worktree().git_dir.join(LAID).try_exists()?)
    }

    pub(crate) fn is_there(&self) -> bool {
        self.ground.is_there()
    }

    pub(crate) fn path(&self) -> &Path {
        self.ground.path()
    }

    fn refuse_gone(&self) -> Result<(), Failure> {
        let hint = "'--continue' makes it anew, '--abort' gives the attempt up";
        self.ground.refuse_gone().map_err(|failure| failure.hint(hint))
    }

    /// Returns the commit that the worktree is on.
    pub(crate) fn tip(&self, cx: &Context) -> Result<ObjectId, Failure> {
        self.ground.tip(cx)
    }

    /// Moves the worktree's own head, off every branch.
    pub(crate) fn head(&self, cx: &Context, commit: ObjectId) -> Result<(), Failure> {
        cx.git_in(self.ground.worktree())?.run(["update-ref", "--no-deref", "HEAD", &commit.to_string()])?;
        Ok(())
    }

    /// Lays a half-solved merge down: the files, the stages of what is open, and git's own word that it is a merge.
    pub(crate) fn lay(
        &self,
        cx: &Context,
        from: ObjectId,
        start: ObjectId,
        files: &[Conflicted],
        theirs: ObjectId,
        message: &str,
    ) -> Result<(), Failure> {
        let git = cx.git_in(self.ground.worktree())?;
        git.run(["read-tree", "-m", "-u", &from.to_string(), &start.to_string()])?;
        let zero = ObjectId::null(start.kind());
        let mut input: Vec<u8> = Vec::new();
        for file in files.iter().filter(|file| !file.is_solved()) {
            let mut line = |head: String| {
                input.extend_from_slice(head.as_bytes());
                input.extend_from_slice(file.path());
                input.push(0);
            };
            line(format!("0 {zero} 0\t"));
            for (stage, side) in file.conflict.stages.iter().enumerate() {
                if let Some((mode, id)) = side {
                    line(format!("{mode:o} {id} {}\t", stage + 1));
                }
            }
        }
        git.feed(["update-index", "-z", "--index-info"], &input)?;
        let own = &self.ground.worktree().git_dir;
        for (name, content) in [
            ("MERGE_HEAD", format!("{theirs}\n")),
            ("MERGE_MSG", format!("{message}\n")),
            ("MERGE_MODE", String::new()),
            (LAID, String::new()),
        ] {
            durable::replace_public(&own.join(name), content.as_bytes(), 0o644)?;
        }
        Ok(())
    }

    /// Reads all files, ignored ones not, as a tree.
    pub(crate) fn capture(&self, cx: &Context, start: ObjectId) -> Result<Capture, Failure> {
        self.refuse_gone()?;
        let tree = self.ground.tree(cx)?;
        let changed = changed(&cx.git()?.reading(), start, tree)?;
        Ok(Capture { tree, changed })
    }

    /// Brings the files from what was captured to another tree.
    pub(crate) fn switch(&self, cx: &Context, captured: ObjectId, to: ObjectId) -> Result<(), Failure> {
        self.refuse_gone()?;
        let copy = self.ground.index();
        let git = cx.git_in(self.ground.worktree())?.env("GIT_INDEX_FILE", &copy);
        git.run(["read-tree", "-m", "-u", &captured.to_string(), &to.to_string()])?;
        fs::rename(&copy, self.ground.worktree().git_dir.join("index")).context("cannot replace the index")?;
        Ok(())
    }

    /// Removes one that was not made to its end, and so holds nothing of anybody's work.
    pub(crate) fn discard(self, cx: &Context) -> Result<(), Failure> {
        self.ground.discard(cx)
    }

    /// Removes it; all of it has to be kept before.
    pub(crate) fn remove(self, cx: &Context) -> Result<(), Failure> {
        self.refuse_gone()?;
        self.ground.remove(cx)
    }
}

/// Makes the tree that the work starts from: git's own attempt, with what the rules solved.
pub(crate) fn start(
    git: &Git,
    folder: &Path,
    tree: ObjectId,
    files: &[Conflicted],
    labels: Labels<'_>,
) -> Result<ObjectId, Failure> {
    let own = tempfile::tempdir_in(folder).context("cannot create a temporary folder")?;
    let git = git.clone().env("GIT_INDEX_FILE", own.path().join("index"));
    git.run(["read-tree", &tree.to_string()])?;
    let mut input: Vec<u8> = Vec::new();
    for file in files {
        let (Some(content), Some(mode)) = (file.content(&git, labels)?, file.mode()) else { continue };
        let id = hash(&git, &content)?;
        input.extend_from_slice(format!("{mode:o} {id} 0\t").as_bytes());
        input.extend_from_slice(file.path());
        input.push(0);
    }
    git.feed(["update-index", "-z", "--index-info"], &input)?;
    Ok(id(&git.run(["write-tree"])?.text())?)
}

/// Lists the paths in which two trees differ.
pub(crate) fn changed(git: &Git, from: ObjectId, to: ObjectId) -> Result<Vec<Vec<u8>>> {
    let words = ["diff-tree", "-r", "-z", "--no-renames", "--name-only", &from.to_string(), &to.to_string()];
    let listed = git.run(words)?.stdout;
    Ok(listed.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect())
}

/// Returns the mode and id that a tree has at a path.
pub(crate) fn entry(git: &Git, tree: ObjectId, path: &[u8]) -> Result<Option<(u32, ObjectId)>> {
    let words = ["ls-tree", "-z", "--full-tree", &tree.to_string(), "--"].map(OsString::from);
    let listed = git.run(words.into_iter().chain([OsString::from_vec(path.to_vec())]))?.stdout;
    let Some(line) = listed.split(|byte| *byte == 0).next().filter(|line| !line.is_empty()) else { return Ok(None) };
    let head = String::from_utf8_lossy(line.split(|byte| *byte == b'\t').next().unwrap_or_default()).into_owned();
    let fields: Vec<&str> = head.split(' ').collect();
    let [mode, kind, oid] = fields[..] else { return Ok(None) };
    if kind == "tree" {
        return Ok(None);
    }
    Ok(Some((u32::from_str_radix(mode, 8).context("git names no mode")?, id(oid)?)))
}
