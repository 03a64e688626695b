//! One file or link: cloned or copied from folder to folder, with its mode and its time.
//!
//! Cloning is `FICLONE` on open files: the crates that clone take paths, and a path can be swapped.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gix::ObjectId;
use rustix::fs::{
    Advice, AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fadvise, fchmod, fstat, futimens,
    openat, readlinkat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::{Errno, pread, read, write};

use crate::cloning::Cloning;
use crate::holes;

const BUFFER: usize = 256 * 1024;

/// How a file was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It shares its extents with the donor's.
    Cloned,
    /// Its bytes were copied.
    Copied,
    /// It is a symbolic link.
    Linked,
}

/// Why a file was not made; then nothing of it is left in the target.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The donor's file is not, or no longer, what it should be.
    Donor(&'static str),
    /// The target already has something of this name.
    Exists,
    /// The target cannot be written, or this process cannot go on.
    Target(Errno),
    /// It would have to be cloned, and cannot be.
    Cloning(Errno),
}

/// A place: an open folder and a name in it.
pub(crate) type Place<'p> = (BorrowedFd<'p>, &'p CStr);

/// What the donor's file must be.
pub(crate) struct Wanted<'w> {
    /// Says whether the file has the facts that were expected.
    pub(crate) facts: &'w dyn Fn(&Stat) -> bool,
    /// The blob that it must hold, where the facts alone do not prove it.
    pub(crate) blob: Option<ObjectId>,
    /// Called with the open file and its facts before it is read.
    pub(crate) before: Option<&'w Before<'w>>,
}

/// What is to happen before a file is read.
pub(crate) type Before<'b> = dyn Fn(BorrowedFd<'_>, &Stat) + 'b;

/// What makes files; each thread has its own.
#[derive(Debug)]
pub(crate) struct Copier<'a> {
    buffer: Vec<u8>,
    /// Shared by all threads.
    cloning: &'a Cloning,
    /// Whether clones are to be read into memory.
    warms: bool,
}

/// Why a file is refused that was written meanwhile.
pub(crate) const CHANGED: &str = "changed while it was copied";
const UNREADABLE: &str = "cannot be read";

impl<'a> Copier<'a> {
    /// Makes a copier.
    pub(crate) fn new(cloning: &'a Cloning) -> Copier<'a> {
        Copier { buffer: vec![0; BUFFER], cloning, warms: false }
    }

    /// Lets the kernel read each clone into memory meanwhile, as far as [`Cloning::warms`] allows.
    pub(crate) fn warming(self) -> Copier<'a> {
        Copier { warms: true, ..self }
    }

    /// Makes a regular file like the donor's.
    pub(crate) fn file(&mut self, from: Place<'_>, to: Place<'_>, wanted: &Wanted<'_>) -> Result<(Stat, How), Refused> {
        let source = open_to_read(from)?;
        let before = fstat(&source).map_err(Refused::Target)?;
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile || !(wanted.facts)(&before) {
            return Err(Refused::Donor(CHANGED));
        }
        if let Some(wait) = wanted.before {
            wait(source.as_fd(), &before);
        }
        let whole = size(&before);
        let in_memory = whole <= BUFFER as u64 && !self.cloning.covers(whole) && !holes::may_be_in(&before);
        let right = match wanted.blob {
            _ if in_memory => self.read_whole(source.as_fd(), whole, wanted.blob)?,
            Some(blob) => hash_file(source.as_fd(), &before, blob.kind()) == Some(blob),
            None => true,
        };
        if !right {
            return Err(Refused::Donor(CHANGED));
        }
        let mode = before.st_mode & 0o777;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(to.0, to.1, flags, Mode::from_raw_mode(mode)).map_err(target)?;
        let filled = if in_memory {
            write_all(made.as_fd(), &self.buffer[..whole as usize]).map(|()| How::Copied).map_err(Refused::Target)
        } else {
            self.fill(source.as_fd(), made.as_fd(), whole)
        };
        let finished = filled.and_then(|how| {
            let after = fstat(&source).map_err(Refused::Target)?;
            if !same(&before, &after) {
                return Err(Refused::Donor(CHANGED));
            }
            Ok((finish(&made, mode, mtime(&before)).map_err(Refused::Target)?, how))
        });
        if finished.is_err() {
            let _ = unlinkat(to.0, to.1, AtFlags::empty());
        }
        finished
    }

    /// Reads a small file into the buffer; says whether it is as long as expected, and the blob that is wanted.
    fn read_whole(&mut self, source: BorrowedFd<'_>, size: u64, blob: Option<ObjectId>) -> Result<bool, Refused> {
        let mut at = 0;
        while (at as u64) < size {
            match read(source, &mut self.buffer[at..]) {
                Ok(0) => return Ok(false),
                Ok(count) => at += count,
                Err(Errno::INTR) => {}
                Err(_) => return Err(Refused::Donor(UNREADABLE)),
            }
        }
        let right = |blob: ObjectId| hash_bytes(&self.buffer[..at], blob.kind()) == Some(blob);
        Ok(at as u64 == size && blob.is_none_or(right))
    }

    /// Makes a symbolic link like the donor's.
    pub(crate) fn link(&self, from: Place<'_>, to: Place<'_>, wanted: &Wanted<'_>) -> Result<(Stat, How), Refused> {
        let look = || statat(from.0, from.1, AtFlags::SYMLINK_NOFOLLOW).map_err(donor);
        let before = look()?;
        let leads_to = readlinkat(from.0, from.1, Vec::new()).map_err(donor)?;
        let unchanged = (wanted.facts)(&before) && same(&before, &look()?);
        let right = wanted.blob.is_none_or(|blob| hash_bytes(leads_to.as_bytes(), blob.kind()) == Some(blob));
        if !unchanged || !right {
            return Err(Refused::Donor(CHANGED));
        }
        symlinkat(&leads_to, to.0, to.1).map_err(target)?;
        let finish = || {
            utimensat(to.0, to.1, &times(mtime(&before)), AtFlags::SYMLINK_NOFOLLOW)?;
            statat(to.0, to.1, AtFlags::SYMLINK_NOFOLLOW)
        };
        Ok((finish().map_err(Refused::Target)?, How::Linked))
    }

    fn fill(&mut self, source: BorrowedFd<'_>, made: BorrowedFd<'_>, size: u64) -> Result<How, Refused> {
        if self.cloning.covers(size) {
            match clone(source, made) {
                Ok(()) => {
                    if self.warms && self.cloning.warms(size) {
                        // Only advice: that it was not taken is no failure.
                        let _ = fadvise(made, 0, None, Advice::WillNeed);
                    }
                    return Ok(How::Cloned);
                }
                Err(e @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS)) => return Err(Refused::Target(e)),
                Err(e) => self.cloning.refused(e)?,
            }
        }
        if let Some(copied) = holes::copy(source, made, size, &mut self.buffer) {
            return copied;
        }
        let mut total: u64 = 0;
        loop {
            let count = match read(source, &mut self.buffer[..]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(_) => return Err(Refused::Donor(UNREADABLE)),
            };
            total += count as u64;
            write_all(made, &self.buffer[..count]).map_err(Refused::Target)?;
            // A file that grows while it is read would never end.
            if total >= size {
                break;
            }
        }
        if total == size { Ok(How::Copied) } else { Err(Refused::Donor(CHANGED)) }
    }
}

/// Gives an existing file or link a time of modification.
pub(crate) fn set_time(place: Place<'_>, time: Timespec) -> Result<Stat, Errno> {
    utimensat(place.0, place.1, &times(time), AtFlags::SYMLINK_NOFOLLOW)?;
    statat(place.0, place.1, AtFlags::SYMLINK_NOFOLLOW)
}

/// Gives an open file or folder a time of modification.
pub(crate) fn set_open_time(open: impl AsFd, time: Timespec) -> Result<(), Errno> {
    futimens(open, &times(time))
}

/// Returns the time of modification.
pub(crate) fn mtime(facts: &Stat) -> Timespec {
    Timespec { tv_sec: facts.st_mtime as _, tv_nsec: facts.st_mtime_nsec as _ }
}

/// Returns the size.
pub(crate) fn size(facts: &Stat) -> u64 {
    facts.st_size.try_into().unwrap_or(0)
}

/// Says whether the same file has not been written in between.
pub(crate) fn same(a: &Stat, b: &Stat) -> bool {
    let key = |s: &Stat| (s.st_dev, s.st_ino, s.st_size, s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
    key(a) == key(b)
}

/// Opens the donor's file; a pipe that took its place does not block.
pub(crate) fn open_to_read(from: Place<'_>) -> Result<OwnedFd, Refused> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    openat(from.0, from.1, flags, Mode::empty()).map_err(donor)
}

/// Returns the id of the blob that a file's bytes make; `None` if it cannot be read or changes size.
pub(crate) fn hash_file(file: BorrowedFd<'_>, facts: &Stat, kind: gix::hash::Kind) -> Option<ObjectId> {
    let mut hasher = gix::hash::hasher(kind);
    hasher.update(&gix::objs::encode::loose_header(gix::objs::Kind::Blob, size(facts)));
    let mut buffer = vec![0; BUFFER.min(size(facts) as usize + 1)];
    let mut at: u64 = 0;
    loop {
        match pread(file, &mut buffer[..], at) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(&buffer[..count]);
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    (at == size(facts)).then(|| hasher.try_finalize().ok())?
}

/// Says whether a file is shorter than `whole` and holds its beginning.
pub(crate) fn begins_like(file: BorrowedFd<'_>, facts: &Stat, whole: &[u8]) -> bool {
    let Some(start) = usize::try_from(size(facts)).ok().filter(|n| *n < whole.len()).map(|n| &whole[..n]) else {
        return false;
    };
    let mut buffer = vec![0; BUFFER.min(start.len() + 1)];
    let mut at = 0;
    loop {
        match pread(file, &mut buffer[..], at as u64) {
            Ok(0) => return at == start.len(),
            Ok(count) if start.get(at..at + count) == Some(&buffer[..count]) => at += count,
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return false,
        }
    }
}

fn hash_bytes(bytes: &[u8], kind: gix::hash::Kind) -> Option<ObjectId> {
    gix::objs::compute_hash(kind, gix::objs::Kind::Blob, bytes).ok()
}

#[cfg(target_os = "linux")]
fn clone(source: BorrowedFd<'_>, made: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::ioctl_ficlone(made, source)
}

#[cfg(not(target_os = "linux"))]
fn clone(_source: BorrowedFd<'_>, _made: BorrowedFd<'_>) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(file, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn finish(made: &OwnedFd, mode: u32, time: Timespec) -> Result<Stat, Errno> {
    futimens(made, &times(time))?;
    let facts = fstat(made)?;
    if facts.st_mode & 0o777 == mode {
        return Ok(facts);
    }
    fchmod(made, Mode::from_raw_mode(mode))?;
    fstat(made)
}

fn times(time: Timespec) -> Timestamps {
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ }, last_modification: time }
}

fn target(error: Errno) -> Refused {
    if error == Errno::EXIST { Refused::Exists } else { Refused::Target(error) }
}

/// A failure to open the donor's file; what is this process's own trouble stays a failure.
fn donor(error: Errno) -> Refused {
    match error {
        Errno::NOENT | Errno::NOTDIR => Refused::Donor("vanished"),
        Errno::LOOP | Errno::NXIO => Refused::Donor(CHANGED),
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => Refused::Target(error),
        _ => Refused::Donor(UNREADABLE),
    }
}
