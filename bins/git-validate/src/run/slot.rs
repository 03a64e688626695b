//! The places where checks run: small repositories of their own, outside the user's.
//!
//! A slot's files are written by the user's repository's rules. What git ignores stays between
//! runs: build output is warm. The index that remembers the files lies beside the folder that the
//! checks see, so that nothing that a check does can make a changed file pass for an unchanged one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use gix::ObjectId;
use gix::bstr::ByteSlice;
use shared::app::Context;
use shared::durable::{self, Lock, Previous};
use shared::failure::Failure;
use shared::folders;
use shared::process::{self, Git};

use super::{exact, ignored, own, seed, written};
use crate::finding::path_text;
use crate::subject::Subject;

/// More runs than this at once are refused.
const MAX: usize = 64;

/// The index, and the name of the tree that it was last the index of.
const INDEX: &str = "index";
const HOLDS: &str = "holds";

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

/// Lists what is ignored; a folder that a rule names stands for all that is in it.
const IGNORED: [&str; 6] = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"];

/// The rules that are not in the tree.
struct Rules {
    ignored: ignored::Rules,
    written: written::Rules,
}

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
        let mut refused = None;
        for number in 0..MAX {
            let folder = pool.join(number.to_string());
            durable::private_folder(&folder)?;
            match Lock::try_acquire(&folder.join("lock")) {
                Ok(Some(lock)) => return Ok(Slot { tree: folder.join("tree"), folder, lock: lock.into_file() }),
                Ok(None) => {}
                // A check may have put something else in its place; then nobody can say who is there.
                Err(error) => refused = Some(error),
            }
        }
        if let Some(refused) = refused {
            return Err(refused.into());
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
        // A check may have put anything in their places.
        for name in [INDEX, HOLDS, ignored::FILE, written::FILE] {
            let path = self.folder.join(name);
            if !path.symlink_metadata().is_ok_and(|facts| facts.is_file()) {
                remove(&path)?;
            }
        }
        let index = self.folder.join(INDEX);
        let is_folder = self.tree.symlink_metadata().is_ok_and(|facts| facts.is_dir());
        if is_folder && index.exists() && self.renew(cx, subject).is_ok() {
            return Ok(());
        }
        remove(&self.tree)?;
        remove(&index)?;
        fs::create_dir(&self.tree).with_context(|| format!("cannot create '{}'", self.tree.display()))?;
        remove(&self.folder.join(written::FILE))?;
        if self.seed(cx, subject, &index).is_err() {
            remove(&self.tree)?;
            remove(&index)?;
            fs::create_dir(&self.tree).with_context(|| format!("cannot create '{}'", self.tree.display()))?;
        }
        self.renew(cx, subject).context("cannot check out the tree for the checks")?;
        Ok(())
    }

    /// Fills it from the worktree at hand, and notes by which rules.
    fn seed(&self, cx: &Context, subject: &Subject, index: &Path) -> Result<()> {
        seed::fill(cx, subject, &self.tree, index)?;
        if index.exists() && seed::knows_rules(cx) {
            let seen = exact::look_after(&self.tree, index, subject.tree.kind())?;
            written::Rules::of(cx).save(&self.folder, &seen)?;
        }
        Ok(())
    }

    /// Lists the files of the tree that the checks have changed, and says nothing of others.
    pub(super) fn changed(&self, cx: &Context, subject: &Subject) -> Vec<String> {
        // What cannot be looked at is not what it was.
        let changed = self.find_changed(cx, subject).unwrap_or_else(|_| vec![b".".to_vec()]);
        changed.iter().map(|path| path_text(path)).collect()
    }

    fn find_changed(&self, cx: &Context, subject: &Subject) -> Result<Vec<Vec<u8>>> {
        let (index, hash) = (self.folder.join(INDEX), subject.tree.kind());
        let seen = exact::look_after(&self.tree, &index, hash)?;
        if !seen.changed {
            self.sweep(&seen.strange)?;
            return Ok(Vec::new());
        }
        self.sweep(&exact::strange(&self.tree, &index, hash)?)?;
        let git = self.git_for(cx, subject)?;
        // Of some only the times may have changed.
        let _ = self.run(&git, ["update-index", "-q", "--refresh"]);
        self.differing(&git)
    }

    /// Lists the files that are not as git would write them.
    ///
    /// A file whose line ends are not as its attributes want them looks changed to git as soon as it is written.
    fn differing(&self, git: &Git) -> Result<Vec<Vec<u8>>> {
        let found = self.run(git, ["diff-files", "--ignore-submodules=all", "--raw", "-z"])?;
        let mut words = found.split(|byte| *byte == 0);
        let mut differing = Vec::new();
        while let (Some(facts), Some(path)) = (words.next(), words.next()) {
            let mut modes = facts.trim_start_with(|c| c == ':').fields();
            let is_same = modes.next() == modes.next() && facts.starts_with(b":100");
            let name = [b":", path].concat();
            let written = || self.run(git, [OsStr::new("cat-file"), OsStr::new("--filters"), OsStr::from_bytes(&name)]);
            let now = || fs::read(self.tree.join(OsStr::from_bytes(path)));
            if !is_same || !written().is_ok_and(|written| now().is_ok_and(|now| now == written)) {
                differing.push(path.to_vec());
            }
        }
        Ok(differing)
    }

    /// Returns the tree that the files are now, ignored ones left out.
    pub(super) fn snapshot(&self, cx: &Context) -> Result<ObjectId> {
        let hash = cx.repository().map_err(anyhow::Error::new)?.gix.object_hash();
        let own = self.folder.join(INDEX);
        self.sweep(&exact::strange(&self.tree, &own, hash)?)?;
        let index = self.folder.join("snapshot");
        remove(&index)?;
        self.copy_index(&index)?;
        let git = self.git(cx)?.env("GIT_INDEX_FILE", &index);
        self.run(&git, ["add", "--all"])?;
        let tree = self.run(&git, ["write-tree"])?;
        remove(&index)?;
        ObjectId::from_hex(tree.trim_ascii()).context("'git write-tree' named no tree")
    }

    /// Removes pipes and the like from what a run has left: git would wait for a writer of one that it reads.
    fn sweep(&self, strange: &[PathBuf]) -> Result<()> {
        if strange.is_empty() {
            return Ok(());
        }
        let known = ignored::kept(&self.folder);
        let known = ignored::List::parse(&known);
        // What is seen through a link of a check's is somewhere else.
        let is_folder = |path: &Path| self.tree.join(path).symlink_metadata().is_ok_and(|facts| facts.is_dir());
        let is_own = |path: &&PathBuf| path.ancestors().skip(1).all(is_folder);
        let doubtful = strange.iter().filter(is_own).filter(|path| !known.has(&self.tree, path));
        doubtful.map(|path| self.tree.join(path)).try_for_each(|path| remove_special(&path))
    }

    /// Says that the run ended in order.
    pub(super) fn release(self) {
        let _ = fs::remove_file(self.folder.join("running"));
    }

    fn renew(&self, cx: &Context, subject: &Subject) -> Result<()> {
        remove(&self.folder.join("index.lock"))?;
        let own = self.tree.join(".git");
        remove(&own)?;
        let rules = Rules { ignored: ignored::Rules::of(cx), written: written::Rules::of(cx) };
        // Only a hint: it saves reading the index of another tree.
        let holds = self.folder.join(HOLDS);
        let tree = subject.tree.to_string();
        let held = durable::read_foreign(&holds, 2 * tree.len()).ok().flatten();
        let is_same = held.is_some_and(|held| held == tree.as_bytes());
        if !is_same || !self.is_exact(subject, &rules)? {
            self.mend(cx, subject, &rules)?;
            let _ = durable::replace(&holds, tree.as_bytes(), Previous::Drop);
        }
        own::make(cx, subject, &own)?;
        self.copy_index(&own.join("index"))
    }

    /// Copies the index with its time, by which git knows the files that it has to read once more.
    fn copy_index(&self, to: &Path) -> Result<()> {
        let own = self.folder.join(INDEX);
        let copied = fs::copy(&own, to).and_then(|_| {
            let time = fs::metadata(&own)?.modified()?;
            File::options().write(true).open(to)?.set_modified(time)
        });
        copied.context("cannot copy the index of the slot")
    }

    /// Says whether the files are already what they have to be; asks no git.
    fn is_exact(&self, subject: &Subject, rules: &Rules) -> Result<bool> {
        let Ok(seen) = exact::look(&self.tree, &self.folder.join(INDEX), subject.tree) else { return Ok(false) };
        let is_ours = rules.written.have_written(&self.folder, &seen);
        Ok(!seen.changed && is_ours && ignored::covers(&self.folder, &self.tree, &rules.ignored, &seen))
    }

    /// Makes the files what they have to be, by git.
    fn mend(&self, cx: &Context, subject: &Subject, rules: &Rules) -> Result<()> {
        let (index, hash) = (self.folder.join(INDEX), subject.tree.kind());
        let is_new = !index.exists();
        if !is_new {
            self.sweep(&exact::strange(&self.tree, &index, hash)?)?;
        }
        let tree = subject.tree.to_string();
        let git = self.git_for(cx, subject)?;
        // This looks only at the files that differ; the proof is the look at all of them after it.
        let is_moved = self.run(&git, ["read-tree", "-m", "-u", &tree]).is_ok();
        if is_moved && is_new {
            rules.written.save(&self.folder, &exact::look(&self.tree, &index, subject.tree)?)?;
        }
        if is_moved && self.is_exact(subject, rules)? {
            return Ok(());
        }
        self.run(&git, ["read-tree", "--reset", "-u", &tree])?;
        let seen = exact::look(&self.tree, &index, subject.tree)?;
        if !rules.written.have_written(&self.folder, &seen) {
            // Without an index git writes every file.
            remove(&index)?;
            self.run(&git, ["read-tree", "--reset", "-u", &tree])?;
            rules.written.save(&self.folder, &seen)?;
        }
        if self.is_exact(subject, rules)? {
            return Ok(());
        }
        exact::put_right(&self.tree, &index, hash)?;
        let ignored = self.remove_strange(&git, &index, hash)?;
        self.prove(&git, &tree)?;
        if let Ok(seen) = exact::look(&self.tree, &index, subject.tree) {
            ignored::save(&self.folder, &rules.ignored, &seen, &ignored);
        }
        Ok(())
    }

    /// Removes what is neither in the tree nor ignored; returns what git ignores.
    ///
    /// Not by `git clean`, which leaves pipes, and what is named `.git` or stands in a submodule's folder.
    fn remove_strange(&self, git: &Git, index: &Path, hash: gix::hash::Kind) -> Result<Vec<u8>> {
        // Rules that a check has left beside files of the tree do not say what may stay there.
        for path in exact::strange(&self.tree, index, hash)?.iter().filter(|path| path.ends_with(".gitignore")) {
            remove(&self.tree.join(path))?;
        }
        let ignored = self.run(git, IGNORED)?;
        let list = ignored::List::parse(&ignored);
        for path in exact::strange(&self.tree, index, hash)?.iter().filter(|path| !list.has(&self.tree, path)) {
            remove(&self.tree.join(path))?;
        }
        Ok(ignored)
    }

    /// The proof: what the tree has is there as the tree has it.
    fn prove(&self, git: &Git, tree: &str) -> Result<()> {
        ensure!(self.differing(git)?.is_empty(), "the files differ from the tree");
        let index = self.run(git, ["write-tree"])?;
        ensure!(index.trim_ascii() == tree.as_bytes(), "the index differs from the tree");
        Ok(())
    }

    /// The user's repository with the slot's files and index: its rules for line ends and filters hold.
    fn git(&self, cx: &Context) -> Result<Git> {
        let common = cx.repository().map_err(anyhow::Error::new)?.common_dir();
        let git = Git::at(&self.tree)?.pinned(common, Some(&self.tree)).env("GIT_COMMON_DIR", common);
        let git = git.env("GIT_INDEX_FILE", self.folder.join(INDEX)).env("GIT_NO_REPLACE_OBJECTS", "1");
        Ok(SETTINGS.iter().fold(git, |git, setting| git.setting(*setting)))
    }

    /// The same by the attributes of the tree; else those that a check has left would say how files are written.
    fn git_for(&self, cx: &Context, subject: &Subject) -> Result<Git> {
        Ok(self.git(cx)?.env("GIT_ATTR_SOURCE", subject.tree.to_string()))
    }

    /// Runs git so that the slot stays ours until git has ended, even if we are killed.
    fn run<S: AsRef<OsStr>, const N: usize>(&self, git: &Git, arguments: [S; N]) -> Result<Vec<u8>> {
        let lock = self.lock.try_clone().context("cannot share the lock of the slot")?;
        let output = git.command(&arguments).stdin(lock).output().context("cannot start git")?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            bail!("'git {}': {}", arguments[0].as_ref().display(), words.trim_end().trim_start_matches("fatal: "));
        }
        Ok(output.stdout)
    }
}

/// The entry in the environment of every process of a slot.
pub(super) fn mark(marker: &Path) -> String {
    format!("GIT_VALIDATE_SLOT={}", marker.display())
}

/// Removes what is neither a file nor a folder nor a link, here and below.
fn remove_special(path: &Path) -> Result<()> {
    let Ok(facts) = path.symlink_metadata() else { return Ok(()) };
    if facts.is_dir() {
        return fs::read_dir(path).into_iter().flatten().flatten().try_for_each(|entry| match entry.file_type() {
            Ok(kind) if kind.is_file() || kind.is_symlink() => Ok(()),
            Ok(_) | Err(_) => remove_special(&entry.path()),
        });
    }
    if facts.is_file() || facts.is_symlink() { Ok(()) } else { remove(path) }
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
