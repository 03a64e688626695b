//! Whether a file is as git left it, by what the index remembers of it.

use gix::index::entry::Stat;

/// When an index was written: seconds and nanoseconds.
pub(crate) type Written = (i64, i64);

/// Says whether all that the file system says of a file is as when the index took note of it.
///
/// A file that was written as late as the index may have changed once more in the same moment
/// (`read-cache.c`, racy entries): of such a one nothing is sure.
pub(crate) fn is_as_noted(noted: &Stat, found: &rustix::fs::Stat, written: Written) -> bool {
    let time = |time: gix::index::entry::stat::Time| (i64::from(time.secs), i64::from(time.nsecs));
    let mtime = (found.st_mtime, found.st_mtime_nsec as i64);
    // The index holds the lower half of each number.
    let half = |number: u64| number as u32;
    noted.size == half(found.st_size as u64)
        && noted.ino == half(found.st_ino)
        && noted.uid == found.st_uid
        && noted.gid == found.st_gid
        && time(noted.mtime) == mtime
        && time(noted.ctime) == (found.st_ctime, found.st_ctime_nsec as i64)
        && mtime < written
}
