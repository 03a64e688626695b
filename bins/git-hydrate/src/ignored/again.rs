//! What an interrupted run left of an artefact.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Stat, fstat, readlinkat, statat};
use rustix::io::{Errno, pread};

use crate::copy;

/// What is in the place of an artefact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// All of it, with its time.
    Whole,
    /// Its beginning, or all of it without its time: nothing of anybody else's.
    Torn,
    /// Something else.
    Foreign,
}

/// Compares what is in the place with the donor's file.
pub(super) fn left_behind(from: copy::Place<'_>, there: copy::Place<'_>, donor: &Stat) -> Left {
    let Ok(now) = statat(there.0, there.1, AtFlags::SYMLINK_NOFOLLOW) else { return Left::Foreign };
    let kinds = (FileType::from_raw_mode(donor.st_mode), FileType::from_raw_mode(now.st_mode));
    let same_time = (donor.st_mtime, donor.st_mtime_nsec) == (now.st_mtime, now.st_mtime_nsec);
    match kinds {
        (FileType::Symlink, FileType::Symlink) => {
            let read = |place: copy::Place<'_>| readlinkat(place.0, place.1, Vec::new());
            match (read(from), read(there)) {
                (Ok(a), Ok(b)) if a == b && same_time => Left::Whole,
                (Ok(a), Ok(b)) if a == b => Left::Torn,
                _ => Left::Foreign,
            }
        }
        (FileType::RegularFile, FileType::RegularFile) => {
            // The time is set after the last byte.
            if same_time && now.st_size == donor.st_size {
                Left::Whole
            } else if begins_alike(from, there) {
                Left::Torn
            } else {
                Left::Foreign
            }
        }
        _ => Left::Foreign,
    }
}

/// Says whether the file that is there holds the beginning of the donor's, or all of it.
pub(super) fn begins_alike(from: copy::Place<'_>, there: copy::Place<'_>) -> bool {
    let (Ok(donor), Ok(file)) = (copy::open_to_read(from), copy::open_to_read(there)) else { return false };
    let (Ok(whole), Ok(part)) = (fstat(&donor), fstat(&file)) else { return false };
    if part.st_size > whole.st_size {
        return false;
    }
    let mut buffers = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut at = 0;
    while at < copy::size(&part) {
        let a = retry(|| pread(file.as_fd(), &mut buffers.0[..], at));
        let Ok(count @ 1..) = a else { return false };
        let mut got = 0;
        while got < count {
            let b = retry(|| pread(donor.as_fd(), &mut buffers.1[got..count], at + got as u64));
            let Ok(more @ 1..) = b else { return false };
            got += more;
        }
        if buffers.0[..count] != buffers.1[..count] {
            return false;
        }
        at += count as u64;
    }
    true
}

fn retry(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
