//! Walking one worktree with two threads, two open files each, without following a link.

use std::collections::HashMap;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Result, bail};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

use super::place::{Space, Volume, Volumes, blocks};
use crate::beneath::Root;
use crate::copy;
use crate::progress::Progress;

const THREADS: usize = 2;

/// Device and inode: what a file is, whatever its names. The numbers have another width on each system.
pub(super) type Identity = (i128, i128);

/// A file with several names.
#[derive(Debug, Clone, Default)]
pub(super) struct Linked {
    /// How many of its names were met.
    pub(super) met: i128,
    /// How many it has.
    pub(super) names: i128,
    /// Its size.
    pub(super) bytes: u64,
    /// What it takes.
    pub(super) space: Space,
}

/// What was found in one worktree.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files and links; those with several names are in `linked`.
    pub(super) files: u64,
    /// Their sizes.
    pub(super) bytes: u64,
    /// What they take.
    pub(super) space: Space,
    /// The files with several names, each once.
    pub(super) linked: HashMap<Identity, Linked>,
    /// Whether every file system said what is shared.
    pub(super) blind: bool,
    /// Repositories and worktrees inside, which were not entered.
    pub(super) nested: u64,
    /// What could not be read, and why.
    pub(super) unreadable: Vec<(PathBuf, Errno)>,
}

/// Measures what lies below a worktree's folder.
pub(super) fn measure(root: &Root, progress: &Progress) -> Result<Found> {
    // What is not written yet has no place yet.
    #[cfg(target_os = "linux")]
    root.folder(b"").and_then(rustix::fs::syncfs)?;
    let walk =
        Walk { root, progress, queue: Mutex::new(Queue { folders: vec![Vec::new()], busy: 0 }), more: Condvar::new() };
    let results: Vec<Result<Found>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| walk.work())).collect();
        handles.into_iter().map(|h| h.join().unwrap_or_else(|_| bail!("a thread that measures ended badly"))).collect()
    });
    let mut found = Found::default();
    for result in results {
        found.add(result?);
    }
    found.unreadable.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

struct Queue {
    folders: Vec<Vec<u8>>,
    busy: usize,
}

struct Walk<'w> {
    root: &'w Root,
    progress: &'w Progress,
    queue: Mutex<Queue>,
    more: Condvar,
}

impl Walk<'_> {
    fn work(&self) -> Result<Found> {
        let mut found = Found::default();
        let mut volumes = Volumes::default();
        while let Some(path) = self.next() {
            let result = self.folder(&path, &mut volumes, &mut found);
            let mut queue = self.lock();
            queue.busy -= 1;
            if let Ok(inside) = &result {
                queue.folders.extend(inside.iter().cloned());
            }
            drop(queue);
            self.more.notify_all();
            match result {
                Ok(_) | Err(Errno::NOENT) => {}
                Err(e @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => return Err(e.into()),
                Err(e) => found.unreadable.push((PathBuf::from(OsString::from_vec(path)), e)),
            }
        }
        Ok(found)
    }

    fn next(&self) -> Option<Vec<u8>> {
        let mut queue = self.lock();
        loop {
            if let Some(path) = queue.folders.pop() {
                queue.busy += 1;
                return Some(path);
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

    /// Measures the files of a folder and returns the folders in it.
    fn folder(&self, path: &[u8], volumes: &mut Volumes, found: &mut Found) -> Result<Vec<Vec<u8>>, Errno> {
        let folder = self.root.folder(path)?;
        let facts = fstat(&folder)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            match entry.file_name().to_bytes() {
                b"." | b".." => {}
                name if name.eq_ignore_ascii_case(b".git") => {
                    if !path.is_empty() {
                        found.nested += 1;
                        return Ok(Vec::new());
                    }
                }
                _ => entries.push((entry.file_name().to_owned(), entry.file_type())),
            }
        }
        let volume = volumes.of(&folder, &facts);
        found.blind |= !volume.tells;
        found.space.add_placeless(blocks(&facts));
        let before = (found.files, found.bytes);
        let mut inside = Vec::new();
        for (name, kind) in entries {
            if found.file(folder.as_fd(), &name, kind, volume).map_or_else(|e| found.note(path, &name, e), Ok)? {
                inside.push(below(path, &name));
            }
        }
        self.progress.add(found.files - before.0, found.bytes - before.1);
        Ok(inside)
    }
}

impl Found {
    /// Measures a file; true if it is a folder.
    fn file(&mut self, folder: BorrowedFd<'_>, name: &CString, kind: FileType, volume: Volume) -> Result<bool, Errno> {
        if kind == FileType::Directory {
            return Ok(true);
        }
        if !volume.tells || kind != FileType::RegularFile {
            let facts = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(facts.st_mode) == FileType::Directory {
                return Ok(true);
            }
            self.count(&facts, |space| space.add_placeless(blocks(&facts)));
            return Ok(false);
        }
        // Should a pipe or a link have taken its place, neither is waited for nor followed.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match openat(folder, name, flags, Mode::empty()) {
            Ok(file) => {
                let facts = fstat(&file)?;
                self.count(&facts, |space| space.add_file(&file, &facts, volume));
                Ok(false)
            }
            Err(error) => {
                if let Ok(facts) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                    self.count(&facts, |space| space.add_placeless(blocks(&facts)));
                }
                Err(error)
            }
        }
    }

    fn count(&mut self, facts: &Stat, measure: impl FnOnce(&mut Space)) {
        let kind = FileType::from_raw_mode(facts.st_mode);
        let bytes = if matches!(kind, FileType::RegularFile | FileType::Symlink) { copy::size(facts) } else { 0 };
        if facts.st_nlink <= 1 {
            self.files += 1;
            self.bytes += bytes;
            return measure(&mut self.space);
        }
        let identity = (facts.st_dev.into(), facts.st_ino.into());
        let linked = self.linked.entry(identity).or_default();
        if linked.met == 0 {
            measure(&mut linked.space);
        }
        linked.met += 1;
        linked.names = facts.st_nlink.into();
        linked.bytes = bytes;
    }

    /// Notes what cannot be read, unless it went meanwhile; what this process lacks stays a failure.
    fn note(&mut self, folder: &[u8], name: &CString, error: Errno) -> Result<bool, Errno> {
        match error {
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => return Err(error),
            Errno::NOENT => {}
            _ => self.unreadable.push((PathBuf::from(OsString::from_vec(below(folder, name))), error)),
        }
        Ok(false)
    }

    fn add(&mut self, other: Found) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.space.append(&other.space);
        self.blind |= other.blind;
        self.nested += other.nested;
        self.unreadable.extend(other.unreadable);
        merge(&mut self.linked, other.linked);
    }
}

/// Adds the names of files that were met elsewhere.
pub(super) fn merge(all: &mut HashMap<Identity, Linked>, more: HashMap<Identity, Linked>) {
    for (identity, linked) in more {
        match all.get_mut(&identity) {
            Some(known) => known.met += linked.met,
            None => drop(all.insert(identity, linked)),
        }
    }
}

fn below(folder: &[u8], name: &CString) -> Vec<u8> {
    let slash: &[u8] = if folder.is_empty() { b"" } else { b"/" };
    [folder, slash, name.to_bytes()].concat()
}
