//! Copying the ignored artefacts: folder by folder with two threads, with few open folders at a time.

mod again;
mod fresh;
mod links;
mod top;
mod walk;

use std::collections::HashSet;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use gix::bstr::ByteSlice;
use rustix::fs::{FileType, Mode, Stat, fchmod, fstat};
use rustix::io::Errno;
use shared::process::Git;

use crate::answer::{Ignored, Skipped};
use crate::beneath::{self, Root};
use crate::cloning::Cloning;
use crate::copy::{self, How};
use crate::patterns::{Choice, Patterns};
use crate::progress::Progress;
use crate::relink::{self, Relink, Text};
use again::Left;
use links::Later;
use walk::{Job, Walk};

const THREADS: usize = 2;

/// What to copy and how.
pub(crate) struct Order<'o> {
    /// The folder of the donor.
    pub(crate) from: &'o Root,
    /// The folder of the target; `None` to count only.
    pub(crate) to: Option<&'o Root>,
    /// Git in the donor, and in the target.
    pub(crate) git: (&'o Git, &'o Git),
    /// Which files are cloned.
    pub(crate) cloning: &'o Cloning,
    /// What comes along.
    pub(crate) patterns: &'o Patterns,
    /// Whether an interrupted run may have left torn files.
    pub(crate) resumes: bool,
    /// How paths that lead into the donor are rewritten, if they are.
    pub(crate) relink: Option<&'o Relink>,
    /// The progress.
    pub(crate) bar: &'o Progress,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What was copied.
    pub(crate) ignored: Ignored,
    /// What was not, and why.
    pub(crate) skipped: Vec<Skipped>,
    /// The folders that were made, with the donor's facts for the end.
    folders: Vec<(Vec<u8>, Stat)>,
    /// The names that are linked when all files are there.
    later: Vec<Later>,
    /// The files that may hold paths to rewrite.
    texts: Vec<Text>,
}

/// Copies the artefacts.
pub(crate) fn copy(order: &Order<'_>) -> Result<Report> {
    let mut report = Report::default();
    let jobs = candidates(order, &mut report)?;
    let own = order.to.map(Root::look_at_itself).transpose().context("cannot look at the worktree")?;
    let walk = Walk::new(order, own, jobs);
    let results: Vec<Result<Report>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| walk.work())).collect();
        let join = |h: thread::ScopedJoinHandle<'_, Result<Report>>| {
            h.join().unwrap_or_else(|_| Err(anyhow!("a thread that copies ended badly")))
        };
        handles.into_iter().map(join).collect()
    });
    for result in results {
        report.add(result?);
    }
    links::join(&walk, &mut report)?;
    if let Some(relink) = order.relink {
        let texts = std::mem::take(&mut report.texts);
        let rewritten = relink::rewrite(relink, order.from, order.to, &texts)?;
        report.ignored.relinked += rewritten.count;
        report.skipped.extend(rewritten.skipped);
    }
    if let Some(to) = order.to {
        finish_folders(to, &mut report.folders);
    }
    top::name_unlisted(order, &mut report);
    report.skipped.sort();
    Ok(report)
}

impl Report {
    fn add(&mut self, other: Report) {
        self.ignored.files += other.ignored.files;
        self.ignored.cloned += other.ignored.cloned;
        self.ignored.copied += other.ignored.copied;
        self.ignored.linked += other.ignored.linked;
        self.ignored.relinked += other.ignored.relinked;
        self.ignored.bytes += other.ignored.bytes;
        self.skipped.extend(other.skipped);
        self.folders.extend(other.folders);
        self.later.extend(other.later);
        self.texts.extend(other.texts);
    }

    fn skip(&mut self, path: &[u8], reason: &str) {
        self.skipped.push(Skipped::new(path, reason));
    }

    /// Counts one more name of a file that is counted already.
    fn count_link(&mut self) {
        self.ignored.files += 1;
        self.ignored.linked += 1;
    }

    /// Remembers a file that may hold paths to rewrite; false if it holds none.
    fn remember(&mut self, relink: Option<&Relink>, path: &[u8], facts: &Stat, left: Left) -> bool {
        let may = relink.is_some() && relink::may_hold_paths(path, facts);
        if may {
            self.texts.push(Text { path: path.to_vec(), is_ours: left == Left::Whole });
        }
        may
    }

    fn count(&mut self, how: How, size: u64) {
        self.ignored.files += 1;
        match how {
            How::Cloned => self.ignored.cloned += 1,
            How::Copied => self.ignored.copied += 1,
            How::Linked => return,
        }
        self.ignored.bytes += size;
    }
}

/// Lists what git ignores in the donor, and keeps what is chosen and ignored in the target as well.
fn candidates(order: &Order<'_>, report: &mut Report) -> Result<Vec<Job>> {
    let (donor, target) = order.git;
    let list = donor
        .clone()
        .reading()
        .run(["ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"])?
        .stdout;
    let listed: Vec<&[u8]> = list.split(|b| *b == 0).filter(|path| !path.is_empty()).collect();
    let mut chosen = Vec::new();
    for (n, listed_path) in listed.iter().enumerate() {
        let is_folder = listed_path.ends_with(b"/");
        // A folder that is not ignored itself is followed by what is ignored in it.
        if is_folder && listed.get(n + 1).is_some_and(|next| next.starts_with(listed_path)) {
            continue;
        }
        let path = listed_path.strip_suffix(b"/").unwrap_or(listed_path);
        if let Some(why) = beneath::refused(path) {
            report.skip(path, why);
            continue;
        }
        let choice = order.patterns.choose(&path.to_path_lossy(), is_folder);
        if choice != Choice::Leave {
            chosen.push((*listed_path, Job { path: path.to_vec(), choice }));
        }
    }
    let Some(to) = order.to else { return Ok(chosen.into_iter().map(|(_, job)| job).collect()) };
    chosen.retain(|(listed, job)| {
        let free = is_free(to, &job.path, listed.ends_with(b"/"));
        if !free && job.choice == Choice::Take {
            report.skip(&job.path, "something else is in its place");
        }
        free
    });
    let ignored = ignored_in(target, chosen.iter().map(|(listed, _)| *listed))?;
    let mut jobs = Vec::new();
    for (listed, job) in chosen {
        if ignored.contains(listed) {
            jobs.push(job);
        } else if job.choice == Choice::Take {
            report.skip(&job.path, "it is not ignored in this worktree");
        }
    }
    Ok(jobs)
}

/// Says whether no link or file is on the way to a path, or in the place of a folder; git would not answer for it.
fn is_free(to: &Root, path: &[u8], is_folder: bool) -> bool {
    match to.look(path) {
        Ok(facts) => !is_folder || FileType::from_raw_mode(facts.st_mode) == FileType::Directory,
        Err(e) => e == Errno::NOENT,
    }
}

fn ignored_in<'p>(git: &Git, paths: impl Iterator<Item = &'p [u8]>) -> Result<HashSet<Vec<u8>>> {
    let mut input = Vec::new();
    for path in paths {
        input.extend_from_slice(path);
        input.push(0);
    }
    if input.is_empty() {
        return Ok(HashSet::new());
    }
    let done = git.clone().reading().ask_with(["check-ignore", "--no-index", "-z", "--stdin"], &input)?;
    if done.code > 1 {
        return Err(anyhow!("'git check-ignore': {}", done.stderr));
    }
    Ok(done.stdout.split(|b| *b == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect())
}

/// Gives the folders that were made their modes and times, the deepest first: what is made in one changes its time.
fn finish_folders(to: &Root, folders: &mut [(Vec<u8>, Stat)]) {
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.0.len()));
    for (path, facts) in folders {
        let Ok(folder) = to.folder(path) else { continue };
        // Nothing is wrong with a folder that keeps the time of its making.
        let mode = facts.st_mode & 0o777;
        if !fstat(&folder).is_ok_and(|now| now.st_mode & 0o777 == mode) {
            let _ = fchmod(&folder, Mode::from_raw_mode(mode));
        }
        let _ = copy::set_open_time(&folder, copy::mtime(facts));
    }
}
