//! `git validate --fix`: what mends a failing check is run on a copy, and its difference applied.
//!
//! A file of the user's is replaced only if it is, byte for byte, what was mended; the index entry
//! only if it is what was staged. Whatever was edited meanwhile stays, and is named.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::EntryMode;
use serde::Serialize;
use shared::app::Context;
use shared::failure::Failure;
use shared::process::Git;
use shared::repository::{Worktree, in_words};

use super::live::Live;
use super::pool::{Job, Pool};
use super::round;
use super::slot::Slot;
use crate::checks::Check;
use crate::finding::path_text;
use crate::subject::{Kind, Subject};
use crate::tree::{self, File as Entry};

/// What a mended file is called before it is in its place.
const TEMPORARY: &str = ".git-validate-";

/// A temporary file that is older belongs to nobody any more.
const STALE: Duration = Duration::from_secs(3600);

/// What `--fix` does with what it has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fix {
    /// Change the files, and the index where they were staged
    Apply,
    /// Print the patch and change nothing
    Suggest,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fixed {
    /// The tree with what was mended.
    pub(crate) tree: String,
    /// The checks whose fix has run.
    pub(crate) by: Vec<String>,
    pub(crate) applied: Vec<String>,
    pub(crate) left: Vec<Left>,
}

/// A file that was not changed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Left {
    pub(crate) path: String,
    pub(crate) reason: String,
}

/// One file that was mended.
struct Mended {
    path: BString,
    old: Option<Entry>,
    new: Option<Entry>,
}

/// Runs the fixes of these checks in a slot and returns the tree that they leave.
pub(super) fn mend(cx: &Context, subject: &Subject, jobs: &[Job<'_>]) -> Result<ObjectId, Failure> {
    let slot = Slot::take(cx)?;
    slot.fill(cx, subject)?;
    for job in jobs {
        let fixer =
            Check { command: job.check.fix.clone(), outputs: Vec::new(), needs: Vec::new(), ..job.check.clone() };
        let job = Job { check: &fixer, files: job.files.clone(), blocked: None };
        let live = Live::new(cx, 1, false);
        let logs = round::logs(cx, subject)?;
        let ended = Pool::new(cx, &slot, subject, logs, false, &live)?.run(std::slice::from_ref(&job))?;
        live.finish();
        super::signals::refuse_if_interrupted()?;
        if let Some(ended) = ended.first().and_then(Option::as_ref).filter(|ended| ended.reason.is_some()) {
            let reason = ended.reason.as_deref().unwrap_or_default();
            cx.output.warn(format!("the fix of '{}': {reason}", fixer.name));
        }
    }
    let tree = slot.snapshot(cx)?;
    slot.release();
    Ok(tree)
}

/// Prints what would change.
pub(super) fn suggest(cx: &Context, subject: &Subject, tree: ObjectId) -> Result<(), Failure> {
    let (old, new) = (subject.tree.to_string(), tree.to_string());
    let arguments = ["diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", &old, &new];
    let patch = cx.git()?.reading().run(arguments)?.stdout;
    cx.output.raw(&patch)
}

/// Changes the user's files, and the index where they were staged.
pub(super) fn apply(cx: &Context, subject: &Subject, tree: ObjectId) -> Result<(Vec<String>, Vec<Left>), Failure> {
    let repository = cx.repository()?;
    let worktree = crate::subject::own_worktree(repository)?;
    sweep([worktree.git_dir.as_path()]);
    let git = cx.git_in(&worktree)?;
    let (mut applied, mut left, mut staged) = (Vec::new(), Vec::new(), Vec::new());
    let index = crate::subject::index_file(repository, &worktree);
    let entries = open_index(cx, &index)?;
    for mended in mended(cx, subject, tree)? {
        let place = worktree.path.join(OsStr::from_bytes(&mended.path));
        let name = path_text(&mended.path);
        let in_index = entry_of(&entries, mended.path.as_bstr());
        let was_staged = same(in_index.as_ref(), mended.old.as_ref());
        let done = if subject.kind == Kind::Staged && !was_staged {
            Err(anyhow!("what is staged has changed meanwhile"))
        } else {
            replace(&git, &worktree.git_dir, &mended, &place)
        };
        match done {
            Ok(()) => {
                let in_head = subject.base.map(|base| of_tree(cx, base, mended.path.as_bstr())).transpose()?.flatten();
                // Restaged is only what was staged.
                if was_staged && (subject.kind == Kind::Staged || !same(in_head.as_ref(), mended.old.as_ref())) {
                    staged.push(mended);
                }
                applied.push(name);
            }
            Err(error) => left.push(Left { path: name, reason: format!("{error:#}") }),
        }
    }
    if !staged.is_empty() {
        restage(cx, &worktree, &index, &staged).context("the files are mended, but not staged")?;
    }
    Ok((applied, left))
}

/// The files that differ, by git's own trees.
fn mended(cx: &Context, subject: &Subject, tree: ObjectId) -> Result<Vec<Mended>> {
    let repository = cx.repository().map_err(anyhow::Error::new)?;
    let new = tree::differing(repository, Some(subject.tree), tree)?;
    let old = tree::differing(repository, Some(tree), subject.tree)?;
    let mut paths: Vec<&BString> = new.iter().chain(&old).map(|file| &file.path).collect();
    paths.sort();
    paths.dedup();
    let find = |files: &[Entry], path: &BString| files.iter().find(|file| file.path == *path).cloned();
    let mended =
        paths.into_iter().map(|path| Mended { path: path.clone(), old: find(&old, path), new: find(&new, path) });
    Ok(mended.collect())
}

fn same(a: Option<&Entry>, b: Option<&Entry>) -> bool {
    a.map(|entry| (entry.id, entry.mode)) == b.map(|entry| (entry.id, entry.mode))
}

fn open_index(cx: &Context, path: &Path) -> Result<gix::index::File> {
    let hash = cx.repository().map_err(anyhow::Error::new)?.gix.object_hash();
    let index = gix::index::File::at(path, hash, true, gix::index::decode::Options::default());
    index.map_err(|e| anyhow!("cannot read the index: {}", in_words(&e)))
}

fn entry_of(index: &gix::index::File, path: &BStr) -> Option<Entry> {
    let entry = index.entry_by_path(path)?;
    Some(Entry { path: path.to_owned(), mode: entry.mode.to_tree_entry_mode()?, id: entry.id })
}

fn of_tree(cx: &Context, tree: ObjectId, path: &BStr) -> Result<Option<Entry>> {
    let repository = cx.repository().map_err(anyhow::Error::new)?;
    let tree = repository.gix.find_tree(tree).map_err(|e| anyhow!("cannot read the tree: {}", in_words(&e)))?;
    let entry = tree
        .lookup_entry(path.split(|byte| *byte == b'/'))
        .map_err(|e| anyhow!("cannot read the tree: {}", in_words(&e)))?;
    Ok(entry.map(|entry| Entry { path: path.to_owned(), mode: entry.mode(), id: entry.object_id() }))
}

/// Replaces one file by its mended copy, if it is still what was mended.
fn replace(git: &Git, git_dir: &Path, mended: &Mended, place: &Path) -> Result<()> {
    let is_plain = |entry: &Option<Entry>| entry.as_ref().is_none_or(|entry| entry.mode.is_blob());
    ensure!(is_plain(&mended.old) && is_plain(&mended.new), "it is no plain file");
    refuse_links_above(place, &mended.path)?;
    let expected = match &mended.old {
        Some(old) => Some(as_it_stands(git, old, place)?),
        None => None,
    };
    refuse_if_changed(place, expected.as_deref())?;
    let Some(new) = &mended.new else {
        return fs::remove_file(place).context("cannot remove it");
    };
    let bytes = as_checked_out(git, new)?;
    let folder = place.parent().context("it has no folder")?;
    fs::create_dir_all(folder).context("cannot create its folder")?;
    // Where nobody takes it for one of the user's files if we are killed, unless only a copy would lead from there.
    let device = |path: &Path| path.metadata().map(|facts| facts.dev()).ok();
    let beside = if device(git_dir) == device(folder) { git_dir } else { folder };
    let mut beside =
        tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(beside).context("cannot write beside it")?;
    beside.write_all(&bytes).context("cannot write the mended file")?;
    let mode = mode_of(place, new.mode);
    fs::set_permissions(beside.path(), fs::Permissions::from_mode(mode)).context("cannot set its mode")?;
    beside.as_file().sync_all().context("cannot bring it to disk")?;
    // As late as it can be: an edit that comes now is not lost by more than this moment.
    refuse_if_changed(place, expected.as_deref())?;
    let persisted = match expected {
        Some(_) => beside.persist(place).map(drop),
        None => beside.persist_noclobber(place).map(drop),
    };
    persisted.map_err(|e| e.error).context("cannot replace it")
}

/// The bytes that git writes for a file: line ends and filters included.
fn as_checked_out(git: &Git, entry: &Entry) -> Result<Vec<u8>> {
    let path = [b"--path=", entry.path.as_slice()].concat();
    let words = [OsStr::new("cat-file"), OsStr::new("--filters"), OsStr::from_bytes(&path)];
    let id = entry.id.to_string();
    Ok(git.run(words.into_iter().chain([OsStr::new(&id)]))?.stdout)
}

/// The bytes that stand in the user's file, if git would write them or take them for what was mended.
fn as_it_stands(git: &Git, entry: &Entry, place: &Path) -> Result<Vec<u8>> {
    let written = as_checked_out(git, entry)?;
    let is_file = place.symlink_metadata().is_ok_and(|facts| facts.is_file());
    let found = if is_file { fs::read(place).context("cannot read it")? } else { return Ok(written) };
    if found == written {
        return Ok(written);
    }
    // Line ends may be those of an editor, until git writes the file.
    let path = [b"--path=", entry.path.as_slice()].concat();
    let words = [OsStr::new("hash-object"), OsStr::from_bytes(&path), OsStr::new("--stdin")];
    let id = ObjectId::from_hex(git.feed(words, &found)?.text().as_bytes())?;
    Ok(if id == entry.id { found } else { written })
}

fn refuse_if_changed(place: &Path, expected: Option<&[u8]>) -> Result<()> {
    let facts = match place.symlink_metadata() {
        Ok(facts) => Some(facts),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).context("cannot look at it"),
    };
    match (facts, expected) {
        (None, None) => Ok(()),
        (Some(_), None) => bail!("there is a file of this name now"),
        (None, Some(_)) => bail!("it is gone from the worktree"),
        (Some(facts), Some(expected)) => {
            ensure!(facts.is_file(), "it is no plain file in the worktree");
            ensure!(fs::read(place).context("cannot read it")? == expected, "it has changes that were not judged");
            Ok(())
        }
    }
}

/// A folder of the path that is a link would lead us elsewhere.
fn refuse_links_above(place: &Path, path: &BString) -> Result<()> {
    let depth = path.iter().filter(|byte| **byte == b'/').count();
    for above in place.ancestors().skip(1).take(depth) {
        ensure!(!above.symlink_metadata().is_ok_and(|facts| facts.is_symlink()), "a folder above it is a link");
    }
    Ok(())
}

/// Removes what a run that was killed has left in git folders.
pub(crate) fn sweep<'a>(git_dirs: impl IntoIterator<Item = &'a Path>) {
    let entries = git_dirs.into_iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let is_ours = |entry: &fs::DirEntry| entry.file_name().as_bytes().starts_with(TEMPORARY.as_bytes());
    let is_stale = |entry: &fs::DirEntry| {
        let age = entry.metadata().and_then(|facts| facts.modified()).ok().and_then(|time| time.elapsed().ok());
        age.is_some_and(|age| age > STALE)
    };
    for entry in entries.filter(is_ours).filter(is_stale) {
        let _ = fs::remove_file(entry.path());
    }
}

fn mode_of(place: &Path, mode: EntryMode) -> u32 {
    let old = place.metadata().map_or(0o644, |facts| facts.permissions().mode() & 0o777);
    if mode.is_executable() { old | ((old & 0o444) >> 2) } else { old & !0o111 }
}

/// Puts the mended files into the index; it is replaced whole or not at all, and locked for no longer than that.
fn restage(cx: &Context, worktree: &Worktree, index: &Path, mended: &[Mended]) -> Result<()> {
    let folder =
        tempfile::Builder::new().prefix("git-validate-").tempdir().context("cannot create a temporary folder")?;
    let before = fs::read(index).context("cannot read the index")?;
    // A split index would write its other half into the user's git folder.
    let git = cx.git_beside_index(worktree, index, folder.path()).map_err(anyhow::Error::new)?;
    let git = git.setting("core.splitIndex=false");
    let copy = folder.path().join("index");
    let entries = open_index(cx, &copy)?;
    let mut input = Vec::new();
    for mended in mended {
        let now = entry_of(&entries, mended.path.as_bstr());
        ensure!(same(now.as_ref(), mended.old.as_ref()), "'{}' was staged anew meanwhile", path_text(&mended.path));
        let line = match &mended.new {
            Some(new) => format!("{:o} {}\t", new.mode.value(), new.id),
            None => format!("0 {}\t", ObjectId::null(cx.repository().map_err(anyhow::Error::new)?.gix.object_hash())),
        };
        input.extend_from_slice(line.as_bytes());
        input.extend_from_slice(&mended.path);
        input.push(0);
    }
    git.feed(["update-index", "-z", "--index-info"], &input)?;
    let _ = git.ask(["update-index", "-q", "--refresh"]);
    let path = index.with_file_name(format!("{}.lock", index.file_name().unwrap_or_default().to_string_lossy()));
    let taken = |error: io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            anyhow!("'{}' exists: another git is at work, or was killed; 'git add' stages them later", path.display())
        }
        _ => anyhow!("cannot lock the index: {error}"),
    };
    let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(taken)?;
    let held = Held { file, path, is_ours: true };
    ensure!(fs::read(index).is_ok_and(|now| now == before), "the index has changed meanwhile; 'git add' stages them");
    held.put(&fs::read(&copy).context("cannot read the new index")?, index)
}

/// The lock of an index.
struct Held {
    file: File,
    path: PathBuf,
    /// Whether the file of this name is the one that we made.
    is_ours: bool,
}

impl Held {
    fn put(mut self, bytes: &[u8], index: &Path) -> Result<()> {
        self.file.write_all(bytes).and_then(|()| self.file.sync_all()).context("cannot write the new index")?;
        fs::rename(&self.path, index).context("cannot replace the index")?;
        self.is_ours = false;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}
