//! The places where checks run: small repositories of their own, outside the user's.
//!
//! A slot's files are written by the user's repository's rules. What git ignores stays between
//! runs: build output is warm. The index that remembers the files lies beside the folder that the
//! checks see, so that nothing that a check does can make a changed file pass for an unchanged one.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use gix::ObjectId;
use gix::index::entry::Mode;
use shared::app::Context;
use shared::durable::{self, Lock, Previous};
use shared::failure::Failure;
use shared::folders;
use shared::process::{self, Git};

use super::{exact, ignored, own, seed};
use crate::finding::path_text;
use crate::subject::Subject;

/// More runs than this at once are refused.
const MAX: usize = 64;

/// Settings under which git's index tells the truth about every file.
const SETTINGS: &[&str] = &[
    "core.bare=false",
    "core.checkStat=default",
    "core.fileMode=true",
    "core.ignoreStat=false",
    "core.sparseCheckout=false",
    "core.splitIndex=false",
    "core.trustctime=true",
    "core.untrackedCache=false",
    "index.sparse=false",
];

/// Lists what is neither in the index nor ignored, empty folders included.
const MORE: [&str; 4] = ["ls-files", "--others", "--exclude-standard", "--directory"];

/// Lists what is ignored, whole folders where that can be said.
const IGNORED: [&str; 6] = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"];

/// A slot that is ours until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    folder: PathBuf,
    tree: PathBuf,
    lock: File,
}

impl Slot {
    /// Takes the first slot that is free.
    pub(super) fn take(cx: &Context) -> Result<Slot, Failure> {
        let pool = folders::cache()?.join("validate").join(cx.repository()?.key());
        for number in 0..MAX {
            let folder = pool.join(number.to_string());
            durable::private_folder(&folder)?;
            if let Some(lock) = Lock::try_acquire(&folder.join("lock"))? {
                return Ok(Slot { tree: folder.join("tree"), folder, lock: lock.into_file() });
            }
        }
        Err(Failure::could_not("locked", format!("{MAX} validations of this repository run already")))
    }

    /// Returns the folder in which the checks run.
    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }

    /// Returns the mark that every process of a check carries in its environment.
    pub(super) fn marker(&self) -> &Path {
        &self.folder
    }

    /// Makes the slot hold exactly the subject's tree; from scratch if it cannot be mended.
    pub(super) fn fill(&self, cx: &Context, subject: &Subject) -> Result<(), Failure> {
        let running = self.folder.join("running");
        if running.exists() {
            // A run was killed here; what it started may still write.
            process::end(|| process::marked(&mark(self.marker())), Duration::ZERO);
        }
        // New ones, since a link of that name would lead somewhere else.
        remove(&running)?;
        File::create_new(&running).with_context(|| format!("cannot create '{}'", running.display()))?;
        let index = self.folder.join("index");
        if !index.symlink_metadata().is_ok_and(|facts| facts.is_file()) {
            remove(&index)?;
        }
        let is_folder = self.tree.symlink_metadata().is_ok_and(|facts| facts.is_dir());
        if is_folder && self.renew(cx, subject).is_ok() {
            return Ok(());
        }
        remove(&self.tree)?;
        remove(&index)?;
        fs::create_dir(&self.tree).with_context(|| format!("cannot create '{}'", self.tree.display()))?;
        if seed::fill(cx, subject, &self.tree, &index).is_err() {
            remove(&self.tree)?;
            remove(&index)?;
            fs::create_dir(&self.tree).with_context(|| format!("cannot create '{}'", self.tree.display()))?;
        }
        self.renew(cx, subject).context("cannot check out the tree for the checks")?;
        Ok(())
    }

    /// Lists the files of the tree that the checks have changed, and says nothing of others.
    pub(super) fn changed(&self, cx: &Context, subject: &Subject) -> Vec<String> {
        let hash = subject.tree.kind();
        if exact::is_unchanged(&self.tree, &self.folder.join("index"), hash).unwrap_or(false) {
            return Vec::new();
        }
        let changed = self.git(cx).and_then(|git| {
            let differ = ["diff-files", "--ignore-submodules=all", "--name-only", "-z"];
            // Of some only the times may have changed.
            let _ = self.run(&git, ["update-index", "-q", "--refresh"]);
            self.run(&git, differ)
        });
        let changed = changed.unwrap_or_default();
        let paths = changed.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        paths.map(path_text).collect()
    }

    /// Returns the tree that the files are now, ignored ones left out.
    pub(super) fn snapshot(&self, cx: &Context) -> Result<ObjectId> {
        let index = self.folder.join("snapshot");
        remove(&index)?;
        fs::copy(self.folder.join("index"), &index).context("cannot copy the index of the slot")?;
        let git = self.git(cx)?.env("GIT_INDEX_FILE", &index);
        self.run(&git, ["add", "--all"])?;
        let tree = self.run(&git, ["write-tree"])?;
        remove(&index)?;
        ObjectId::from_hex(tree.trim_ascii()).context("'git write-tree' named no tree")
    }

    /// Says that the run ended in order.
    pub(super) fn release(self) {
        let _ = fs::remove_file(self.folder.join("running"));
    }

    fn renew(&self, cx: &Context, subject: &Subject) -> Result<()> {
        remove(&self.folder.join("index.lock"))?;
        let own = self.tree.join(".git");
        remove(&own)?;
        let rules = ignored::Rules::of(cx);
        // Only a hint: it saves reading the index of another tree.
        let holds = self.folder.join("holds");
        let tree = subject.tree.to_string();
        let is_same = fs::read_to_string(&holds).is_ok_and(|held| held == tree);
        if !is_same || !self.is_exact(subject, &rules)? {
            self.mend(cx, subject, &rules)?;
            let _ = durable::replace(&holds, tree.as_bytes(), Previous::Drop);
        }
        own::make(cx, subject, &own)?;
        fs::copy(self.folder.join("index"), own.join("index")).context("cannot copy the index of the slot")?;
        Ok(())
    }

    /// Says whether the files are already what they have to be; asks no git.
    fn is_exact(&self, subject: &Subject, rules: &ignored::Rules) -> Result<bool> {
        let Ok(seen) = exact::look(&self.tree, &self.folder.join("index"), subject.tree) else { return Ok(false) };
        Ok(!seen.changed && ignored::covers(&self.folder, &self.tree, rules, &seen))
    }

    /// Makes the files what they have to be, by git.
    fn mend(&self, cx: &Context, subject: &Subject, rules: &ignored::Rules) -> Result<()> {
        let git = self.git(cx)?;
        let tree = subject.tree.to_string();
        // This looks only at the files that differ; the proof is the look at all of them after it.
        if self.run(&git, ["read-tree", "-m", "-u", &tree]).is_ok() && self.is_exact(subject, rules)? {
            return Ok(());
        }
        self.run(&git, ["read-tree", "--reset", "-u", &tree])?;
        if self.is_exact(subject, rules)? {
            return Ok(());
        }
        if !self.run(&git, MORE)?.is_empty() {
            self.run(&git, ["clean", "-q", "-ffd"])?;
            ensure!(self.run(&git, MORE)?.is_empty(), "there are files that are not in the tree");
        }
        self.remove_what_git_passes_over(cx)?;
        self.prove(&git, &tree)?;
        if let Ok(seen) = exact::look(&self.tree, &self.folder.join("index"), subject.tree) {
            let ignored = self.run(&git, IGNORED)?;
            ignored::save(&self.folder, rules, &seen, &ignored);
        }
        Ok(())
    }

    /// What stands in the folder of a submodule, and pipes and sockets: `git clean` leaves them.
    fn remove_what_git_passes_over(&self, cx: &Context) -> Result<()> {
        let hash = cx.repository().map_err(anyhow::Error::new)?.gix.object_hash();
        let index = gix::index::File::at(self.folder.join("index"), hash, true, gix::index::decode::Options::default());
        let index = index.map_err(|e| anyhow!("cannot read the index of the slot: {e:#}"))?;
        let mut folders = BTreeSet::from([self.tree.clone()]);
        for entry in index.entries() {
            let path = self.tree.join(OsStr::from_bytes(entry.path(&index)));
            // A tree says only which commit belongs there.
            if entry.mode == Mode::COMMIT && fs::read_dir(&path).is_ok_and(|mut inside| inside.next().is_some()) {
                remove(&path)?;
                fs::create_dir(&path).with_context(|| format!("cannot create '{}'", path.display()))?;
            }
            folders.extend(path.parent().map(Path::to_owned));
        }
        for entry in folders.iter().flat_map(fs::read_dir).flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| !kind.is_file() && !kind.is_dir() && !kind.is_symlink()) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The proof: what the tree has is there as the tree has it.
    fn prove(&self, git: &Git, tree: &str) -> Result<()> {
        self.run(git, ["diff-files", "--quiet", "--ignore-submodules=all"])
            .context("the files differ from the tree")?;
        let index = self.run(git, ["write-tree"])?;
        ensure!(index.trim_ascii() == tree.as_bytes(), "the index differs from the tree");
        Ok(())
    }

    /// The user's repository with the slot's files and index: its rules for line ends and filters hold.
    fn git(&self, cx: &Context) -> Result<Git> {
        let common = cx.repository().map_err(anyhow::Error::new)?.common_dir();
        let git = Git::at(&self.tree)?.pinned(common, Some(&self.tree)).env("GIT_COMMON_DIR", common);
        let git = git.env("GIT_INDEX_FILE", self.folder.join("index")).env("GIT_NO_REPLACE_OBJECTS", "1");
        Ok(SETTINGS.iter().fold(git, |git, setting| git.setting(*setting)))
    }

    /// Runs git so that the slot stays ours until git has ended, even if we are killed.
    fn run<const N: usize>(&self, git: &Git, arguments: [&str; N]) -> Result<Vec<u8>> {
        let lock = self.lock.try_clone().context("cannot share the lock of the slot")?;
        let output = git.command(arguments).stdin(lock).output().context("cannot start git")?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            bail!("'git {}': {}", arguments[0], words.trim_end().trim_start_matches("fatal: "));
        }
        Ok(output.stdout)
    }
}

/// The entry in the environment of every process of a slot.
pub(super) fn mark(marker: &Path) -> String {
    format!("GIT_VALIDATE_SLOT={}", marker.display())
}

/// Removes whatever is there, and follows no link.
#[expect(clippy::disallowed_methods, reason = "all of it is a copy that only checks write to")]
fn remove(path: &Path) -> Result<()> {
    let attempt = || match path.symlink_metadata() {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    let denied = match attempt() {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            open_up(path);
            attempt()
        }
        result => result,
    };
    match denied {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove '{}'", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A check may have taken the right to write from folders; without it they cannot be emptied.
fn open_up(folder: &Path) {
    if !folder.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
        return;
    }
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        open_up(&entry.path());
    }
}
