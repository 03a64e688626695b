//! A worktree of the programs' own, off every branch: made, filled, read back, and removed once all of it is kept.
//!
//! Whatever an agent does in it is taken for text: trees are read with an index of ours and with the
//! repository pinned, so that nothing in the worktree can lead git elsewhere.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use gix::ObjectId;

use crate::app::Context;
use crate::clock;
use crate::durable;
use crate::failure::Failure;
use crate::own_folder;
use crate::process::{self, Git};
use crate::repository::{Repository, Worktree};

/// The worktree.
#[derive(Debug)]
pub struct Ground {
    worktree: Worktree,
    /// Its path as it was made; that of git follows links.
    own: PathBuf,
    /// For indexes of ours, and for what is put aside.
    folder: PathBuf,
}

impl Ground {
    /// Makes the worktree at a commit and fills it; what is in its place and no worktree is put aside into `folder`.
    ///
    /// # Errors
    /// When git or git-hydrate refuses.
    pub fn make(cx: &Context, path: &Path, commit: ObjectId, folder: &Path) -> Result<Ground, Failure> {
        own_folder::hide(cx.repository()?.common_dir())?;
        if path.symlink_metadata().is_ok() {
            // Git does not list it, so nothing says what it is.
            put_aside(path, folder)?;
        }
        // By force over what git still lists of a folder that has gone, locked or not.
        let words =
            ["worktree", "add", "--force", "--force", "--no-checkout", "--detach", "--quiet"].map(OsString::from);
        cx.git()?.run(words.into_iter().chain([path.as_os_str().to_owned(), commit.to_string().into()]))?;
        let ground = Ground::find(cx, path, folder)?.context("the worktree that was just made is not listed")?;
        ground.fill(cx)?;
        Ok(ground)
    }

    /// Finds a worktree that was made before.
    ///
    /// # Errors
    /// When the worktrees cannot be listed.
    pub fn find(cx: &Context, path: &Path, folder: &Path) -> Result<Option<Ground>, Failure> {
        // A list of worktrees names what a link leads to.
        if !is_folder(path) {
            return Ok(None);
        }
        let worktree = listed(cx, path)?;
        Ok(worktree.map(|worktree| Ground { worktree, own: path.to_owned(), folder: folder.to_owned() }))
    }

    /// Says whether it is still there; a link in its place would lead git elsewhere.
    pub fn is_there(&self) -> bool {
        is_folder(&self.own)
    }

    /// Refuses one that is not there any more.
    ///
    /// # Errors
    /// Of kind `no-worktree`.
    pub fn refuse_gone(&self) -> Result<(), Failure> {
        if self.is_there() {
            return Ok(());
        }
        let message = format!("the worktree '{}' has gone, or something else is in its place", self.path().display());
        Err(Failure::could_not("no-worktree", message))
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.worktree.path
    }

    /// Returns it as git lists it.
    pub fn worktree(&self) -> &Worktree {
        &self.worktree
    }

    /// Fills it: with git-hydrate what builds are made of comes along, without it git fills in the files alone.
    ///
    /// # Errors
    /// When either fails; what is there already stays.
    pub fn fill(&self, cx: &Context) -> Result<(), Failure> {
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

    /// Returns the commit that it is on.
    ///
    /// # Errors
    /// When its head is broken.
    pub fn tip(&self, cx: &Context) -> Result<ObjectId, Failure> {
        let git = cx.git_in(&self.worktree)?.reading();
        let text = git.run(["rev-parse", "--verify", "HEAD^{commit}"])?.text();
        Ok(ObjectId::from_hex(text.as_bytes()).context("git names no commit")?)
    }

    /// Reads all files, ignored ones not, as a tree.
    ///
    /// # Errors
    /// When it has gone, a file cannot be read, or the repository's settings have come to name commands.
    pub fn tree(&self, cx: &Context) -> Result<ObjectId, Failure> {
        self.refuse_gone()?;
        // Who worked here may have put a filter there, which git would run now.
        cx.refuse_new_commands()?;
        let git = self.beside(cx)?;
        git.run(["add", "--all", "--", ":/"])
            .with_context(|| format!("cannot read the worktree '{}'", self.path().display()))?;
        Ok(ObjectId::from_hex(git.run(["write-tree"])?.text().as_bytes()).context("git names no tree")?)
    }

    /// Returns the path of the index that [`Ground::tree`] leaves.
    pub fn index(&self) -> PathBuf {
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

    /// Makes git forget one whose folder has gone.
    ///
    /// # Errors
    /// When git refuses, or what is in its place cannot be put aside.
    pub fn forget(cx: &Context, path: &Path, folder: &Path) -> Result<(), Failure> {
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
    ///
    /// # Errors
    /// When it can neither be removed nor put aside.
    pub fn discard(self, cx: &Context) -> Result<(), Failure> {
        let (path, folder) = (self.own.clone(), self.folder.clone());
        if self.remove(cx).is_err() && path.symlink_metadata().is_ok() {
            put_aside(&path, &folder)?;
        }
        Ok(())
    }

    /// Removes it; all of it has to be kept before.
    ///
    /// # Errors
    /// When it has gone, or git refuses.
    pub fn remove(self, cx: &Context) -> Result<(), Failure> {
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
