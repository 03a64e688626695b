//! The worktree of an attempt: made, filled, read back, and removed once all of it is kept.
//!
//! Whatever an agent does in it is taken for text: trees are read with an index of ours and with the
//! repository pinned, so that nothing in the worktree can lead git elsewhere.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use gix::ObjectId;
use shared::app::Context;
use shared::clock;
use shared::durable;
use shared::failure::Failure;
use shared::own_folder;
use shared::process::{self, Git};
use shared::repository::{Repository, Worktree};

use super::conflicted::{Conflicted, hash};
use super::store::id;
use super::text::Labels;

/// In the worktree's git folder, once a merge is laid down; git's own word goes when a person commits.
const LAID: &str = "agent-merge-laid";

/// The worktree.
#[derive(Debug)]
pub(crate) struct Place {
    worktree: Worktree,
    /// Its path as it was made; that of git follows links.
    own: PathBuf,
    /// For indexes of ours.
    folder: PathBuf,
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
        own_folder::hide(cx.repository()?.common_dir())?;
        if path.symlink_metadata().is_ok() {
            // Git does not list it, so nothing says what it is.
            put_aside(path, folder)?;
        }
        // By force over what git still lists of a folder that has gone, locked or not.
        let words =
            ["worktree", "add", "--force", "--force", "--no-checkout", "--detach", "--quiet"].map(OsString::from);
        cx.git()?.run(words.into_iter().chain([path.as_os_str().to_owned(), commit.to_string().into()]))?;
        let place = Place::find(cx, path, folder)?.context("the worktree that was just made is not listed")?;
        place.fill(cx)?;
        Ok(place)
    }

    /// Finds a worktree that was made before.
    pub(crate) fn find(cx: &Context, path: &Path, folder: &Path) -> Result<Option<Place>, Failure> {
        // A list of worktrees names what a link leads to.
        if !is_folder(path) {
            return Ok(None);
        }
        let worktree = listed(cx, path)?;
        Ok(worktree.map(|worktree| Place { worktree, own: path.to_owned(), folder: folder.to_owned() }))
    }

    /// Says whether a merge was laid down in it.
    pub(crate) fn is_laid(&self) -> Result<bool> {
        Ok(self.worktree.git_dir.join(LAID).try_exists()?)
    }

    /// Says whether it is still there; a link in its place would lead git elsewhere.
    pub(crate) fn is_there(&self) -> bool {
        is_folder(&self.own)
    }

    fn refuse_gone(&self) -> Result<(), Failure> {
        if self.is_there() {
            return Ok(());
        }
        let message = format!("the worktree '{}' has gone, or something else is in its place", self.path().display());
        Err(Failure::could_not("no-worktree", message)
            .hint("'--continue' makes it anew, '--abort' gives the attempt up"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.worktree.path
    }

    /// With git-hydrate what builds are made of comes along; without it git fills in the files alone.
    fn fill(&self, cx: &Context) -> Result<(), Failure> {
        if let Some(program) = process::suite_program("git-hydrate") {
            let mut command = process::command(program);
            process::scrub(&mut command)
                .arg("-C")
                .arg(self.path())
                .args(["--quiet", "--json"])
                .current_dir(self.path());
            let output = command.output().context("cannot start git-hydrate")?;
            if output.status.success() {
                return Ok(());
            }
            let reason = process::told(&output.stderr).message;
            let message = format!("the worktree '{}' cannot be filled: {reason}", self.path().display());
            return Err(Failure::could_not("hydrate", message));
        }
        cx.git_in(&self.worktree)?.run(["read-tree", "-m", "-u", "HEAD"])?;
        Ok(())
    }

    /// Returns the commit that the worktree is on.
    pub(crate) fn tip(&self, cx: &Context) -> Result<ObjectId, Failure> {
        let git = cx.git_in(&self.worktree)?.reading();
        Ok(id(&git.run(["rev-parse", "--verify", "HEAD^{commit}"])?.text())?)
    }

    /// Moves the worktree's own head, off every branch.
    pub(crate) fn head(&self, cx: &Context, commit: ObjectId) -> Result<(), Failure> {
        cx.git_in(&self.worktree)?.run(["update-ref", "--no-deref", "HEAD", &commit.to_string()])?;
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
        let git = cx.git_in(&self.worktree)?;
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
        let own = &self.worktree.git_dir;
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
        let git = self.beside(cx)?;
        git.run(["add", "--all", "--", ":/"])
            .with_context(|| format!("cannot read the worktree '{}'", self.path().display()))?;
        let tree = id(&git.run(["write-tree"])?.text())?;
        let changed = changed(&git, start, tree)?;
        Ok(Capture { tree, changed })
    }

    /// Brings the files from what was captured to another tree.
    pub(crate) fn switch(&self, cx: &Context, captured: ObjectId, to: ObjectId) -> Result<(), Failure> {
        self.refuse_gone()?;
        let copy = self.index();
        let git = cx.git_in(&self.worktree)?.env("GIT_INDEX_FILE", &copy);
        git.run(["read-tree", "-m", "-u", &captured.to_string(), &to.to_string()])?;
        fs::rename(&copy, self.worktree.git_dir.join("index")).context("cannot replace the index")?;
        Ok(())
    }

    fn index(&self) -> PathBuf {
        self.folder.join("index")
    }

    fn beside(&self, cx: &Context) -> Result<Git, Failure> {
        match fs::remove_file(self.index()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(anyhow::Error::from(error).context("cannot remove an old index").into());
            }
            Ok(()) | Err(_) => {}
        }
        cx.git_beside(&self.worktree, &self.folder)
    }

    /// Makes it a worktree of this repository again, if somebody has put a repository of his own in its place.
    fn mend(&self) -> Result<()> {
        let link = self.path().join(".git");
        let is_file = link.symlink_metadata().is_ok_and(|facts| facts.is_file());
        let points = || durable::read_foreign(&link, 8192).ok().flatten().unwrap_or_default();
        let wanted = [b"gitdir: ", self.worktree.git_dir.as_os_str().as_encoded_bytes()].concat();
        if is_file && points().trim_ascii_end() == wanted {
            return Ok(());
        }
        if link.symlink_metadata().is_ok() {
            put_aside(&link, &self.folder)?;
        }
        durable::replace_public(&link, &[wanted.as_slice(), b"\n"].concat(), 0o644)
    }

    /// Makes git forget a worktree of ours whose folder has gone.
    pub(crate) fn forget(cx: &Context, path: &Path, folder: &Path) -> Result<(), Failure> {
        if is_folder(path) {
            return Ok(());
        }
        let worktree = listed(cx, path)?;
        // Through a link git would remove what it leads to.
        if path.symlink_metadata().is_ok() {
            put_aside(path, folder)?;
        }
        if worktree.is_some() {
            let words = ["worktree", "remove", "--force", "--force", "--end-of-options"].map(OsString::from);
            cx.git()?.run(words.into_iter().chain([path.as_os_str().to_owned()]))?;
        }
        Ok(())
    }

    /// Removes one that was not made to its end, and so holds nothing of anybody's work.
    pub(crate) fn discard(self, cx: &Context) -> Result<(), Failure> {
        let (path, folder) = (self.own.clone(), self.folder.clone());
        if self.remove(cx).is_err() && path.symlink_metadata().is_ok() {
            put_aside(&path, &folder)?;
        }
        Ok(())
    }

    /// Removes it; all of it has to be kept before.
    pub(crate) fn remove(self, cx: &Context) -> Result<(), Failure> {
        self.refuse_gone()?;
        self.mend()?;
        let words = ["worktree", "remove", "--force", "--force", "--end-of-options"].map(OsString::from);
        cx.git()?.run(words.into_iter().chain([self.worktree.path.into_os_string()]))?;
        let _ = fs::remove_file(self.folder.join("index"));
        Ok(())
    }
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|facts| facts.is_dir())
}

/// Finds what git lists at a path.
fn listed(cx: &Context, path: &Path) -> Result<Option<Worktree>, Failure> {
    // Opened anew: the list is older than the worktree.
    let repository = Repository::open(cx.repository()?.common_dir())?;
    let real = path.canonicalize().ok();
    let beside = path.parent().and_then(|folder| Some(folder.canonicalize().ok()?.join(path.file_name()?)));
    let is_it = |worktree: &Worktree| {
        worktree.path == path || [&real, &beside].into_iter().any(|own| own.as_ref() == Some(&worktree.path))
    };
    Ok(repository.worktrees()?.into_iter().find(is_it))
}

/// Moves what is in the way out of it: it is not ours to throw away.
fn put_aside(path: &Path, folder: &Path) -> Result<()> {
    let aside = folder.join(format!("replaced-{}", clock::stamp(clock::now())));
    fs::rename(path, aside).with_context(|| format!("cannot put '{}' aside", path.display()))
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
