//! `git worker restore`: bring back the state of a worktree that a snapshot holds.
//!
//! Into a new folder, or into the job's worktree after what is there was kept as well. Files only:
//! neither HEAD nor the worktree's index moves. What git ignores, and whatever is in no snapshot,
//! is never written over.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use clap::ValueHint;
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use shared::app::Context;
use shared::durable::{self, Lock};
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process::Git;

use crate::job::{Job, Jobs, Name};
use crate::record::{Folders, Record};
use crate::snapshot::{self, Index, Why};
use crate::snapshots::{self, Snapshot};
use crate::{cli, live};

/// The index with which files are written.
pub(crate) const INDEX: &str = "restore.index";

/// Bring back the files of a snapshot, into the job's worktree or a new folder
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Job, and the number of a snapshot behind @; its last one if not given
    #[arg(value_name = "job[@n]", add = ArgValueCompleter::new(cli::complete_job))]
    snapshot: Asked,
    /// Folder to write into, which must not exist or be empty; the job's worktree if not given
    #[arg(long, value_name = "dir", value_hint = ValueHint::DirPath)]
    to: Option<PathBuf>,
    /// Say what would be written and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Clone)]
struct Asked {
    job: Name,
    number: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Answer {
    job: String,
    snapshot: Snapshot,
    folder: String,
    /// Files that were written or removed.
    files: usize,
    /// The snapshot of what was there before; none if that was in one already, or the folder new.
    before: Option<String>,
    dry_run: bool,
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Asked, String> {
        let (job, number) = match text.rsplit_once('@') {
            Some((job, number)) => {
                let wrong = || format!("'{}' is no snapshot: <job>@<number>", text.escape_debug());
                (job, Some(number.parse().map_err(|_| wrong())?))
            }
            None => (text, None),
        };
        Ok(Asked { job: job.parse()?, number })
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let job = Jobs::here(cx)?.find(&args.snapshot.job)?;
    let snapshot = find(&cx.git()?, &job, args.snapshot.number)?;
    let answer = match &args.to {
        Some(folder) => write_out(cx, &job, snapshot, &cx.folder().join(folder), args.dry_run)?,
        None => put_back(cx, &job, snapshot, args.dry_run)?,
    };
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

fn find(git: &Git, job: &Job, number: Option<u64>) -> Result<Snapshot, Failure> {
    let mut all = snapshots::read(git, job)?;
    let id = job.id();
    let found = match number {
        Some(number) => all.into_iter().find(|snapshot| snapshot.number == number),
        None => all.pop(),
    };
    let hint = format!("'git worker snapshots {id}' lists those that there are");
    found.ok_or_else(|| match number {
        Some(number) => {
            Failure::could_not("no-snapshot", format!("the job '{id}' has no snapshot {number}")).hint(hint)
        }
        None => Failure::could_not("no-snapshot", format!("the job '{id}' has no snapshot")),
    })
}

/// Writes a snapshot into a new folder.
fn write_out(cx: &Context, job: &Job, snapshot: Snapshot, folder: &Path, dry: bool) -> Result<Answer, Failure> {
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) => e.kind() == ErrorKind::NotFound && folder.symlink_metadata().is_err(),
    };
    if !is_empty {
        let message = format!("'{}' is there and is no empty folder", folder.display());
        return Err(Failure::could_not("folder-exists", message).hint("name a folder that does not exist"));
    }
    let git = cx.git()?;
    let listing = git.clone().reading().run(["ls-tree", "-r", "--name-only", "-z", &snapshot.commit])?.stdout;
    let files = listing.iter().filter(|b| **b == 0).count();
    if !dry {
        let make = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        make.with_context(|| format!("cannot create '{}'", folder.display()))?;
        let index = Index::none(job.path(INDEX));
        let git = Git::at(folder)?.pinned(cx.repository()?.common_dir(), Some(folder));
        let git =
            git.env("GIT_INDEX_FILE", &index.path).setting("core.bare=false").setting("core.sparseCheckout=false");
        git.run(["read-tree", "--reset", "-u", &snapshot.commit])?;
    }
    let folder = folder.display().to_string();
    Ok(Answer { job: job.id(), snapshot, folder, files, before: None, dry_run: dry })
}

/// Puts a snapshot back into the job's worktree, with nothing lost of what is there.
fn put_back(cx: &Context, job: &Job, snapshot: Snapshot, dry: bool) -> Result<Answer, Failure> {
    let mut record = job.read()?;
    let worktree = record.worktree_path();
    let hint = format!("'git worker restore {}@{} --to <dir>' writes it into a new folder", job.id(), snapshot.number);
    let repository = cx.repository()?;
    let there = repository.worktrees()?.into_iter().find(|known| known.path == worktree);
    let Some(there) = there.filter(|_| worktree.is_dir()) else {
        let message = format!("'{}' is no worktree of this repository any more", worktree.display());
        return Err(Failure::could_not("no-worktree", message).hint(hint));
    };
    let folders = Folders { git_dir: there.git_dir, common_dir: repository.common_dir().to_owned(), head: None };
    let jobs = Jobs::of_user()?.folder_of(&record.repo.key);
    // Held to the end, so that no job starts meanwhile.
    let _guard = Lock::acquire(&jobs.join(".lock"), durable::PATIENCE)?;
    refuse_live(&jobs, &worktree)?;
    record.folders = Some(folders.clone());
    let index = Index::copy(&folders.git_dir, job.path(INDEX))?;
    let git = snapshot::git(&record, &folders)?.env("GIT_INDEX_FILE", &index.path).setting("core.sparseCheckout=false");
    // The index says what is there, and git writes over nothing that the index does not know.
    let skipped = snapshot::add_all(&git, &worktree, 0)?;
    let differing = ["diff-index", "--cached", "--name-only", "--no-renames", "-z", &snapshot.commit, "--"];
    let files = git.run(differing)?.stdout.iter().filter(|b| **b == 0).count();
    let folder = worktree.display().to_string();
    if dry {
        return Ok(Answer { job: job.id(), snapshot, folder, files, before: None, dry_run: true });
    }
    let why = Why { word: "restore".to_owned(), text: String::new() };
    // Without a limit: what is not kept may not be written over.
    let made = snapshot::take(job, &record, &why, 0).context("cannot keep what is there")?;
    let Some((number, now)) = snapshot::list(&git, job)?.into_iter().next_back() else {
        return Err(Failure::could_not("no-snapshot", "what is there could not be kept"));
    };
    if let Some(left_out) = skipped.first() {
        let path = String::from_utf8_lossy(&left_out.path).into_owned();
        cx.output.warn(format!("'{}' stays as it is: {}", Foreign(&path), left_out.why));
    }
    if let Some(path) = find_in_the_way(&git, &worktree, &now, &snapshot.commit)? {
        let message = format!("'{}' would be written over and is in no snapshot; '{}' stays as it is", path, folder);
        return Err(Failure::could_not("would-lose", message).hint(hint));
    }
    git.run(["read-tree", "-m", "-u", &now, &snapshot.commit])
        .with_context(|| format!("'{}' stays as it is", worktree.display()))
        .map_err(|error| Failure::could_not("would-lose", format!("{error:#}")).hint(hint))?;
    let before = made.map(|_| format!("{}{number}", snapshot::prefix(job)));
    Ok(Answer { job: job.id(), snapshot, folder, files, before, dry_run: false })
}

/// Finds what a snapshot would write over although the state that is kept does not hold it: a file that git ignores.
fn find_in_the_way(git: &Git, worktree: &Path, now: &str, wanted: &str) -> anyhow::Result<Option<String>> {
    let listing = git.run(["ls-tree", "-r", "--name-only", "-z", now])?.stdout;
    let kept: BTreeSet<&[u8]> = listing.split(|b| *b == 0).collect();
    let added = ["diff-tree", "-r", "--name-only", "--no-renames", "--diff-filter=A", "-z", now, wanted, "--"];
    let added = git.run(added)?.stdout;
    for path in added.split(|b| *b == 0).filter(|path| !path.is_empty()) {
        // The file itself, and whatever stands where a folder of its would be.
        let ends = (0..path.len()).filter(|at| path[*at] == b'/').chain([path.len()]);
        for end in ends {
            if let Some(found) = find_unkept(worktree, &path[..end], &kept, end == path.len()) {
                return Ok(Some(String::from_utf8_lossy(&found).into_owned()));
            }
        }
    }
    Ok(None)
}

/// Finds a file at a path, or below it if `all`, that is not among those that are kept.
fn find_unkept(worktree: &Path, path: &[u8], kept: &BTreeSet<&[u8]>, all: bool) -> Option<Vec<u8>> {
    let place = worktree.join(OsStr::from_bytes(path));
    let facts = place.symlink_metadata().ok()?;
    if !facts.is_dir() {
        return (!kept.contains(path)).then(|| path.to_vec());
    }
    let entries = fs::read_dir(place).into_iter().flatten().flatten().filter(|_| all);
    entries
        .map(|entry| [path, b"/", entry.file_name().as_bytes()].concat())
        .find_map(|below| find_unkept(worktree, &below, kept, true))
}

fn refuse_live(jobs: &Path, worktree: &Path) -> Result<(), Failure> {
    let works_here = |job: &Job| job.load().is_ok_and(|record: Record| record.worktree_path() == worktree);
    match live::list(jobs).into_iter().find(works_here) {
        Some(job) => {
            let message = format!("job '{}' works in '{}'", job.id(), worktree.display());
            let hint = "'git worker wait' waits for its end; --to <dir> writes into a new folder";
            Err(Failure::could_not("busy-worktree", message).hint(hint))
        }
        None => Ok(()),
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = if self.dry_run { "would restore" } else { "restored" };
        let s = if self.files == 1 { "" } else { "s" };
        let number = self.snapshot.number;
        write!(f, "{would} {}@{number} in {} ({} file{s})", self.job, Foreign(&self.folder), self.files)?;
        match &self.before {
            Some(before) => write!(f, "; what was there is in {before}"),
            None => Ok(()),
        }
    }
}
