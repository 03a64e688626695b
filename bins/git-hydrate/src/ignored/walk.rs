//! Walking the donor's folders and copying what is chosen.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;
use gix::bstr::ByteSlice;
use rustix::fs::{AtFlags, FileType, RawDir, Stat, fstat, statat, unlinkat};
use rustix::io::Errno;
use shared::refusal::Refusal;

use super::again::{Left, left_behind};
use super::fresh::{Moment, PAUSE, TRIES};
use super::links::{self, Later, Links};
use super::{Order, Report};
use crate::copy::{self, Copier, How, Refused, Wanted};
use crate::patterns::Choice;
use crate::{beneath, cloning, relink};

/// Why nothing is copied to a place that is taken.
pub(super) const EXISTS: &str = "it exists already";

/// So many bytes of a folder's entries are read at a time.
const ENTRIES: usize = 32 * 1024;

/// One path to copy, or folder to search.
pub(super) struct Job {
    pub(super) path: Vec<u8>,
    pub(super) choice: Choice,
}

struct Queue {
    jobs: Vec<Job>,
    busy: usize,
    failed: bool,
}

/// The walk that all threads share.
pub(super) struct Walk<'w> {
    pub(super) order: &'w Order<'w>,
    /// The names of files that have several.
    pub(super) links: Links,
    /// The target's folder, which is never copied into itself.
    own: Option<Stat>,
    queue: Mutex<Queue>,
    more: Condvar,
}

impl<'w> Walk<'w> {
    /// Prepares it.
    pub(super) fn new(order: &'w Order<'w>, own: Option<Stat>, jobs: Vec<Job>) -> Walk<'w> {
        let queue = Mutex::new(Queue { jobs, busy: 0, failed: false });
        Walk { order, own, links: Links::default(), queue, more: Condvar::new() }
    }

    /// Does jobs until there are no more.
    pub(super) fn work(&self) -> Result<Report> {
        let mut report = Report::default();
        let mut copier = Copier::new(self.order.cloning);
        while let Some(job) = self.next() {
            let result = self.one(&mut copier, &job, &mut report);
            let mut queue = self.lock();
            queue.busy -= 1;
            queue.failed |= result.is_err();
            drop(queue);
            self.more.notify_all();
            result?;
        }
        Ok(report)
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.failed {
                return None;
            }
            if let Some(job) = queue.jobs.pop() {
                queue.busy += 1;
                return Some(job);
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one path of the list: a file at once, a folder by its entries.
    pub(super) fn one(&self, copier: &mut Copier<'_>, job: &Job, report: &mut Report) -> Result<()> {
        let (folder, name) = beneath::split(&job.path);
        let Ok(name) = CString::new(name) else { return Ok(()) };
        let opened = self.order.from.folder(folder).and_then(|from| {
            let facts = statat(&from, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok((from, facts))
        });
        let (from, facts) = match opened {
            Ok(opened) => opened,
            Err(e @ (Errno::MFILE | Errno::NFILE)) => return Err(failed(&job.path, e)),
            Err(_) => {
                report.skip(&job.path, "vanished");
                return Ok(());
            }
        };
        if FileType::from_raw_mode(facts.st_mode) == FileType::Directory {
            drop(from);
            return self.folder(copier, job, report);
        }
        if job.choice != Choice::Take {
            return Ok(());
        }
        let to = self.order.to.map(|to| to.make_folder(folder)).transpose().map_err(|e| failed(&job.path, e))?;
        self.entry(copier, &job.path, (from.as_fd(), &name), to.as_ref(), report)
    }

    fn folder(&self, copier: &mut Copier<'_>, job: &Job, report: &mut Report) -> Result<()> {
        let takes = job.choice == Choice::Take;
        let opened = self.order.from.folder(&job.path).and_then(|from| {
            let facts = fstat(&from)?;
            Ok((read_names(from.as_fd())?, facts, from))
        });
        let (names, facts, from) = match opened {
            Ok(opened) => opened,
            Err(e @ (Errno::MFILE | Errno::NFILE)) => return Err(failed(&job.path, e)),
            Err(_) => {
                report.skip(&job.path, "cannot be read");
                return Ok(());
            }
        };
        if self.own.as_ref().is_some_and(|own| (own.st_dev, own.st_ino) == (facts.st_dev, facts.st_ino)) {
            return Ok(());
        }
        if names.iter().any(|(name, _)| name.as_bytes().eq_ignore_ascii_case(b".git")) {
            if takes {
                report.skip(&job.path, "it is a repository or worktree of its own");
            }
            return Ok(());
        }
        let to = if takes { self.enter(&job.path, &facts, report)? } else { None };
        if takes && to.is_none() && self.order.to.is_some() {
            return Ok(());
        }
        for (name, kind) in names {
            let mut path = job.path.clone();
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
            let is_folder = kind == FileType::Directory;
            match self.order.patterns.choose_below(&path.to_path_lossy(), is_folder, job.choice) {
                Choice::Leave => {}
                choice if is_folder || to.is_none() && self.order.to.is_some() => {
                    self.lock().jobs.push(Job { path, choice });
                    self.more.notify_one();
                }
                _ => self.entry(copier, &path, (from.as_fd(), &name), to.as_ref(), report)?,
            }
        }
        Ok(())
    }

    /// Makes or opens a folder of the target; `None` if something else is in its place.
    fn enter(&self, path: &[u8], facts: &Stat, report: &mut Report) -> Result<Option<OwnedFd>> {
        let Some(to) = self.order.to else { return Ok(None) };
        let (folder, is_new) = match to.make_new_folder(path) {
            Ok(made) => made,
            Err(Errno::LOOP | Errno::NOTDIR) => {
                report.skip(path, EXISTS);
                return Ok(None);
            }
            Err(e) => return Err(failed(path, e)),
        };
        if is_new || self.order.resumes {
            report.folders.push((path.to_vec(), *facts));
        }
        Ok(Some(folder))
    }

    /// Copies a file or link, once more if it was written at that moment.
    fn entry(
        &self,
        copier: &mut Copier<'_>,
        path: &[u8],
        from: copy::Place<'_>,
        to: Option<&OwnedFd>,
        report: &mut Report,
    ) -> Result<()> {
        for _ in 1..TRIES {
            match self.file(copier, path, from, to, report)? {
                Some(copy::CHANGED) => thread::sleep(PAUSE),
                Some(reason) => {
                    report.skip(path, reason);
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
        if let Some(reason) = self.file(copier, path, from, to, report)? {
            report.skip(path, reason);
        }
        Ok(())
    }

    /// Tries to copy a file or link; says why not.
    fn file(
        &self,
        copier: &mut Copier<'_>,
        path: &[u8],
        from: copy::Place<'_>,
        to: Option<&OwnedFd>,
        report: &mut Report,
    ) -> Result<Option<&'static str>> {
        let begin = Moment::now();
        let Ok(facts) = statat(from.0, from.1, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(Some("vanished")) };
        let kind = FileType::from_raw_mode(facts.st_mode);
        if let Some(reason) = unfit(kind) {
            return Ok(Some(reason));
        }
        let key = links::key(&facts);
        if let Some(key) = key.filter(|key| !self.links.claim(*key, path)) {
            report.later.push(Later { path: path.to_vec(), key });
            return Ok(None);
        }
        let relinked = match (self.order.relink, kind) {
            (Some(relink), FileType::Symlink) => relink.place_of(from),
            _ => None,
        };
        let Some(to) = to else {
            let how = if kind == FileType::Symlink { How::Linked } else { How::Copied };
            report.count(how, copy::size(&facts));
            report.ignored.relinked += u64::from(relinked.is_some());
            report.remember(self.order.relink, path, &facts, Left::Whole);
            return Ok(None);
        };
        let place = (to.as_fd(), from.1);
        let wanted = Wanted {
            facts: &|now| links::key(now) == key && begin.is_after(now),
            blob: None,
            before: Some(&|file, now| begin.let_writes_end(file, now)),
        };
        let made = match (&relinked, kind) {
            (Some(leads_to), _) => relink::make_link(leads_to, place, &facts, self.order.resumes),
            (None, FileType::Symlink) => {
                copier.link(from, place, &Wanted { facts: &|_| true, blob: None, before: None })
            }
            (None, _) => copier.file(from, place, &wanted),
        };
        let is_new = made.is_ok();
        let left = match made {
            Ok((made, how)) => {
                report.count(how, copy::size(&made));
                report.ignored.relinked += u64::from(relinked.is_some());
                self.order.bar.add(1, copy::size(&made));
                Left::Whole
            }
            Err(Refused::Exists) if self.order.resumes => left_behind(from, place, &facts),
            Err(Refused::Exists) => Left::Foreign,
            Err(Refused::Target(e)) => return Err(failed(path, e)),
            Err(Refused::Cloning(e)) => return Err(cloning::cannot(path.into(), e).into()),
            Err(Refused::Donor(why)) => {
                self.give_up(key);
                return Ok(Some(why));
            }
        };
        match left {
            Left::Torn => {
                unlinkat(place.0, place.1, AtFlags::empty()).map_err(|e| failed(path, e))?;
                self.give_up(key);
                // Free now: the next try makes it.
                return self.file(copier, path, from, Some(to), report);
            }
            Left::Foreign => self.give_up(key),
            Left::Whole => {}
        }
        let remembered = report.remember(self.order.relink, path, &facts, left);
        if remembered && !is_new {
            // An earlier run may have rewritten it, and then it is not what its other names hold.
            self.give_up(key);
        }
        Ok((left == Left::Foreign && !remembered).then_some(EXISTS))
    }

    fn give_up(&self, key: Option<links::Key>) {
        if let Some(key) = key {
            self.links.give_up(key);
        }
    }
}

/// Says why something is not copied; `None` for files and links.
pub(super) fn unfit(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::RegularFile | FileType::Symlink => None,
        FileType::Socket => Some("it is a socket"),
        FileType::Fifo => Some("it is a pipe"),
        FileType::Directory => Some(copy::CHANGED),
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => Some("it is a device"),
    }
}

fn read_names(folder: BorrowedFd<'_>) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut names = Vec::new();
    let mut buffer = Vec::with_capacity(ENTRIES);
    let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(facts) => FileType::from_raw_mode(facts.st_mode),
                Err(_) => continue,
            },
            kind => kind,
        };
        names.push((name.to_owned(), kind));
    }
    Ok(names)
}

pub(super) fn failed(path: &[u8], error: Errno) -> anyhow::Error {
    let name = path.to_str_lossy().escape_debug().to_string();
    Refusal::new("unfinished", format!("cannot copy '{name}': {error}"))
        .hint("once that is mended, 'git hydrate' completes what it began")
        .into()
}
