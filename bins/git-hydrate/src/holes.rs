//! Copying a file with holes, so that it keeps them.

use std::os::fd::BorrowedFd;

use rustix::fs::{SeekFrom, Stat, fstat, ftruncate, seek};
use rustix::io::{Errno, pread, pwrite};

use crate::copy::{CHANGED, How, Refused};

/// Below this size holes save next to nothing.
const WORTH: u64 = 16 * 1024;

/// Says whether a file takes so little space that it is likely to have holes.
pub(crate) fn may_be_in(facts: &Stat) -> bool {
    let size = crate::copy::size(facts);
    size >= WORTH && (facts.st_blocks as u64) * 512 < size
}

/// Copies the data of a file that has holes; `None` if it has none, or the file system does not tell.
pub(crate) fn copy(
    source: BorrowedFd<'_>,
    made: BorrowedFd<'_>,
    size: u64,
    buffer: &mut [u8],
) -> Option<Result<How, Refused>> {
    if size < WORTH || fstat(source).is_ok_and(|facts| !may_be_in(&facts)) {
        return None;
    }
    match next_data(source, 0) {
        Err(Errno::NXIO) | Ok(_) => Some(copy_data(source, made, size, buffer).map(|()| How::Copied)),
        Err(_) => None,
    }
}

fn copy_data(source: BorrowedFd<'_>, made: BorrowedFd<'_>, size: u64, buffer: &mut [u8]) -> Result<(), Refused> {
    let mut at = 0;
    while at < size {
        let begin = match next_data(source, at) {
            Ok(begin) => begin,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(_) => return Err(Refused::Donor("cannot be read")),
        };
        let end = seek(source, SeekFrom::Hole(begin)).map_err(|_| Refused::Donor(CHANGED))?.min(size);
        copy_range(source, made, (begin, end), buffer)?;
        at = end.max(begin);
    }
    ftruncate(made, size).map_err(Refused::Target)
}

fn next_data(source: BorrowedFd<'_>, at: u64) -> Result<u64, Errno> {
    seek(source, SeekFrom::Data(at))
}

fn copy_range(
    source: BorrowedFd<'_>,
    made: BorrowedFd<'_>,
    (mut at, end): (u64, u64),
    buffer: &mut [u8],
) -> Result<(), Refused> {
    while at < end {
        let wanted = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let count = match pread(source, &mut buffer[..wanted], at) {
            Ok(0) => return Err(Refused::Donor(CHANGED)),
            Ok(count) => count,
            Err(Errno::INTR) => continue,
            Err(_) => return Err(Refused::Donor("cannot be read")),
        };
        let mut written = 0;
        while written < count {
            match pwrite(made, &buffer[written..count], at + written as u64) {
                Ok(0) => return Err(Refused::Target(Errno::IO)),
                Ok(more) => written += more,
                Err(Errno::INTR) => {}
                Err(e) => return Err(Refused::Target(e)),
            }
        }
        at += count as u64;
    }
    Ok(())
}
