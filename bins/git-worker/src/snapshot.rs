//! One snapshot: the worktree as it is, as a commit under `refs/worker/<slug>/<n>/<k>`.
//!
//! Made in a process of its own beside the supervisor, with a copy of the worktree's index: nothing
//! of the worktree is written and no hook runs. A filter that the repository's own configuration
//! names runs only in a trusted repository, and that is looked at anew each time, since an agent
//! may have changed it. Which files are left out is said.

use std::ffi::OsStr;
use std::fs::{File, FileTimes};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use shared::app::{Context, Global};
use shared::durable::{self, Lock};
use shared::exit::Status;
use shared::process::Git;

use crate::event::Events;
use crate::job::{self, Job};
use crate::link;
use crate::record::{Folders, Record};
use crate::secrets::Secrets;

/// The word in the command line of the process that takes a snapshot; no subcommand that a user is shown.
pub(crate) const WORD: &str = "take-snapshot";
/// The copy of the index, beside the job.
pub(crate) const INDEX: &str = "snapshot.index";
/// Held while a snapshot is taken.
pub(crate) const LOCK: &str = "snapshot.lock";
/// Left out paths that an event names.
const NAMED: usize = 50;

/// Why a snapshot is taken.
#[derive(Debug, Clone)]
pub(crate) struct Why {
    /// One word.
    pub(crate) word: String,
    /// The milestone.
    pub(crate) text: String,
}

/// A snapshot that was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) number: u64,
    pub(crate) commit: String,
    /// Files that differ from the snapshot before, or from where the job began.
    pub(crate) files: usize,
    pub(crate) skipped: Vec<Skipped>,
}

/// A path that is in no snapshot, and the reason.
#[derive(Debug)]
pub(crate) struct Skipped {
    pub(crate) path: Vec<u8>,
    pub(crate) why: &'static str,
}

/// Says whether this process was started to take a snapshot.
pub(crate) fn is_asked_for() -> bool {
    std::env::args_os().nth(1).is_some_and(|word| word == WORD)
}

/// Takes the snapshot that the supervisor asks for, and notes it among the job's events.
pub(crate) fn run() -> Status {
    let mut words = std::env::args_os().skip(2);
    let (Some(folder), Some(word), Some(text)) = (words.next(), words.next(), words.next()) else {
        return Status::Usage;
    };
    let why = Why { word: word.to_string_lossy().into_owned(), text: text.to_string_lossy().into_owned() };
    let Some(job) = Job::at(Path::new(&folder)) else { return Status::Usage };
    let Ok(record) = job.load() else { return Status::CouldNot };
    let secrets = Secrets::of_environment(&record.rules.redact);
    let mut events = Events::open(&job.path(job::EVENTS));
    match take(&job, &record, &why, record.rules.snapshot_max_file) {
        Ok(None) => Status::Done,
        Ok(Some(made)) => {
            let skipped: Vec<_> = made.skipped.iter().take(NAMED).map(|skipped| skipped.show(&secrets)).collect();
            let (number, files, left_out) = (made.number, made.files, made.skipped.len());
            let more = json!({ "number": number, "why": why.word, "text": why.text, "commit": made.commit,
                "files": files, "left_out": left_out, "skipped": skipped });
            events.add("snapshot", more);
            Status::Done
        }
        Err(error) => {
            let error = secrets.clean_text(&format!("{error:#}"));
            events.add("snapshot", json!({ "why": why.word, "error": error }));
            Status::CouldNot
        }
    }
}

impl Skipped {
    fn show(&self, secrets: &Secrets) -> serde_json::Value {
        json!({ "path": secrets.clean_text(&String::from_utf8_lossy(&self.path)), "why": self.why })
    }
}

/// Takes a snapshot; none if nothing has changed since the last one. `largest` is that of a file, in bytes, 0 without limit.
///
/// # Errors
/// When the worktree cannot be read, the repository not written, or its configuration names a command without trust.
pub(crate) fn take(job: &Job, record: &Record, why: &Why, largest: u64) -> Result<Option<Made>> {
    let Some(folders) = &record.folders else { bail!("the record of '{}' names no git folder", record.id) };
    let _lock = Lock::acquire(&job.path(LOCK), durable::PATIENCE)?;
    let index = Index::copy(&folders.git_dir, job.path(INDEX))?;
    let git = git(record, folders)?.env("GIT_INDEX_FILE", &index.path);
    refuse_untrusted(&git, &folders.common_dir)?;
    let skipped = add_all(&git, &record.worktree_path(), largest)?;
    let tree = git.run(["write-tree"])?.text();
    commit(&git, job, folders, &tree, why, skipped)
}

/// Returns git for a job's worktree, pinned, so that nothing in the worktree can lead it elsewhere.
pub(crate) fn git(record: &Record, folders: &Folders) -> Result<Git> {
    let worktree = record.worktree_path();
    let git = Git::at(&worktree)?.pinned(&folders.git_dir, Some(&worktree)).env("GIT_COMMON_DIR", &folders.common_dir);
    let settings = ["core.fsync=loose-object,reference", "core.fsyncMethod=batch", "core.splitIndex=false"];
    let git = settings.into_iter().fold(git, |git, setting| git.setting(setting));
    // Its own, so that a user without a name has snapshots as well.
    let who = ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].into_iter().fold(git, |git, name| git.env(name, "git-worker"));
    let mail = ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"];
    Ok(mail.into_iter().fold(who, |git, name| git.env(name, "git-worker@localhost")))
}

/// Returns the prefix of a job's snapshots: `refs/worker/<slug>/<n>/`.
pub(crate) fn prefix(job: &Job) -> String {
    format!("refs/worker/{}/{}/", job.slug(), job.number())
}

/// Lists the numbers and commits of a job's snapshots, the first first.
pub(crate) fn list(git: &Git, job: &Job) -> Result<Vec<(u64, String)>> {
    let prefix = prefix(job);
    let refs = git.clone().reading().run(["for-each-ref", "--format=%(refname) %(objectname)", &prefix])?.text();
    let numbered = |line: &str| {
        let (name, commit) = line.split_once(' ')?;
        Some((name.strip_prefix(&prefix)?.parse().ok()?, commit.to_owned()))
    };
    let mut all: Vec<(u64, String)> = refs.lines().filter_map(numbered).collect();
    all.sort_unstable();
    Ok(all)
}

/// Refuses to go on if git would run a command that the repository's own configuration names and nobody agreed to.
pub(crate) fn refuse_untrusted(git: &Git, common_dir: &Path) -> Result<()> {
    let listed = git.clone().reading().run(["config", "--list", "--show-scope", "-z"])?.stdout;
    let mut fields = listed.split(|b| *b == 0);
    let mut named = Vec::new();
    while let (Some(scope), Some(setting)) = (fields.next(), fields.next()) {
        let key = String::from_utf8_lossy(setting.split(|b| *b == b'\n').next().unwrap_or_default()).into_owned();
        let is_command =
            key.starts_with("filter.") && [".clean", ".smudge", ".process"].iter().any(|e| key.ends_with(e));
        if is_command && (scope == b"local" || scope == b"worktree") {
            named.push(key);
        }
    }
    if named.is_empty() {
        return Ok(());
    }
    let cx = Context::open(&Global { directory: vec![common_dir.to_owned()], quiet: true, ..Global::default() });
    let cx = cx.map_err(|failure| anyhow::anyhow!("{failure}"))?;
    cx.repository().map_err(|failure| anyhow::anyhow!("{failure}"))?;
    let config = cx.config().map_err(|failure| anyhow::anyhow!("{failure}"))?;
    let agreed = |key: &String| config.requests().iter().any(|request| request.key == format!("git:{key}"));
    match named.iter().find(|key| !agreed(key)) {
        Some(key) => bail!("the configuration of the worktree names a command ('{key}')"),
        None => Ok(()),
    }
}

/// A copy of an index, gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) path: PathBuf,
}

impl Index {
    /// Returns the path of an index that is not there yet.
    pub(crate) fn none(path: PathBuf) -> Index {
        let index = Index { path };
        index.clear();
        index
    }

    /// Copies the index of a worktree, with its time, by which git knows what it cannot be sure of.
    pub(crate) fn copy(git_dir: &Path, path: PathBuf) -> Result<Index> {
        let index = Index::none(path);
        let source = git_dir.join("index");
        let copy = || -> std::io::Result<()> {
            let mut from = File::open(&source)?;
            let facts = from.metadata()?;
            let mut to = File::options().write(true).create_new(true).open(&index.path)?;
            std::io::copy(&mut from, &mut to)?;
            to.set_times(FileTimes::new().set_modified(facts.modified()?))
        };
        match copy() {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(e).with_context(|| format!("cannot copy the index '{}'", source.display()))
            }
            Ok(()) | Err(_) => Ok(index),
        }
    }

    fn clear(&self) {
        let _ = link::remove(&self.path);
        let _ = link::remove(&self.path.with_extension("index.lock"));
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Brings the index to what the worktree holds, and returns what is left out.
pub(crate) fn add_all(git: &Git, worktree: &Path, largest: u64) -> Result<Vec<Skipped>> {
    show_hidden(git, worktree)?;
    let changed = git.run(["diff-files", "--name-status", "--no-renames", "--ignore-submodules=dirty", "-z"])?.stdout;
    let others = git.run(["ls-files", "--others", "--exclude-standard", "-z"])?.stdout;
    let (mut skipped, mut gone, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let mut there: Vec<&[u8]> = Vec::new();
    let mut fields = paths(&changed);
    while let (Some(status), Some(path)) = (fields.next(), fields.next()) {
        let is_there = worktree.join(OsStr::from_bytes(path)).symlink_metadata().is_ok();
        // By git's word, since a folder on the way may have become a link.
        match status {
            b"D" => gone.extend_from_slice(&[path, b"\0"].concat()),
            b"U" if !is_there => gone.extend_from_slice(&[path, b"\0"].concat()),
            _ => there.push(path),
        }
    }
    if !gone.is_empty() {
        git.feed(["update-index", "-z", "--force-remove", "--stdin"], &gone)?;
    }
    for path in there.into_iter().chain(paths(&others)) {
        match unfit(worktree, path, largest) {
            Some(why) => skipped.push(Skipped { path: path.to_vec(), why }),
            None => names.extend_from_slice(&[path, b"\0"].concat()),
        }
    }
    if !names.is_empty() {
        git.feed(["update-index", "-z", "--add", "--remove", "--replace", "--stdin"], &names)?;
    }
    Ok(skipped)
}

/// Says why a path cannot be kept, if it cannot.
fn unfit(worktree: &Path, path: &[u8], largest: u64) -> Option<&'static str> {
    if path.ends_with(b"/") {
        return Some("a repository of its own");
    }
    let path = worktree.join(OsStr::from_bytes(path));
    match path.symlink_metadata() {
        Ok(facts) if !facts.is_file() => None,
        Ok(facts) if largest > 0 && facts.len() > largest => Some("too large"),
        Ok(_) if File::open(&path).is_err_and(|e| e.kind() != ErrorKind::NotFound) => Some("not readable"),
        Ok(_) | Err(_) => None,
    }
}

/// Takes the flags away that keep git from looking at files that are there.
fn show_hidden(git: &Git, worktree: &Path) -> Result<()> {
    let listing = git.run(["ls-files", "-v", "-z"])?.stdout;
    // A small letter is assume-unchanged, an S skip-worktree, an s both.
    let is_there = |path: &[u8]| worktree.join(OsStr::from_bytes(path)).symlink_metadata().is_ok();
    let entries = paths(&listing).filter(|entry| entry.len() > 2);
    let hidden = entries.filter(|entry| {
        entry[0].is_ascii_lowercase() && entry[0] != b's'
            || entry[0].eq_ignore_ascii_case(&b's') && is_there(&entry[2..])
    });
    let names: Vec<u8> = hidden.flat_map(|entry| [&entry[2..], b"\0"].concat()).collect();
    if names.is_empty() {
        return Ok(());
    }
    for flag in ["--no-assume-unchanged", "--no-skip-worktree"] {
        git.feed(["update-index", "-z", flag, "--stdin"], &names)?;
    }
    Ok(())
}

fn paths(listing: &[u8]) -> impl Iterator<Item = &[u8]> {
    listing.split(|b| *b == 0).filter(|path| !path.is_empty())
}

/// Makes the commit and its ref, unless the tree is that of the snapshot before.
fn commit(
    git: &Git,
    job: &Job,
    folders: &Folders,
    tree: &str,
    why: &Why,
    skipped: Vec<Skipped>,
) -> Result<Option<Made>> {
    let last = list(git, job)?.into_iter().next_back();
    let head = git.clone().reading().ask(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?;
    let head = (head.code == 0).then(|| head.text());
    let before =
        last.as_ref().map(|(_, commit)| commit.clone()).or_else(|| folders.head.clone()).or_else(|| head.clone());
    let files = match &before {
        Some(before) => {
            let changed = git.run(["diff-tree", "-r", "--name-only", "--no-renames", "-z", before, tree, "--"])?.stdout;
            paths(&changed).count()
        }
        None => paths(&git.run(["ls-tree", "-r", "--name-only", "-z", tree])?.stdout).count(),
    };
    if files == 0 {
        return Ok(None);
    }
    let number = last.map_or(1, |(number, _)| number + 1);
    let mut message = format!("Snapshot {number} of {}: {}\n\nWhy: {}\n", job.id(), why.word, why.word);
    if !why.text.is_empty() {
        message.push_str(&format!("Milestone: {}\n", why.text.replace(['\n', '\r'], " ")));
    }
    message.push_str(&format!("Files: {files}\nLeft-out: {}\n", skipped.len()));
    let mut words = vec!["commit-tree", "-F", "-"];
    if let Some(head) = &head {
        words.extend(["-p", head]);
    }
    words.push(tree);
    let commit = git.feed(words, message.as_bytes())?.text();
    let name = format!("{}{number}", prefix(job));
    // Only if there is none: by compare-and-swap.
    git.run(["update-ref", "-m", "git-worker snapshot", &name, &commit, ""])?;
    Ok(Some(Made { number, commit, files, skipped }))
}
