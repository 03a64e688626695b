//! Whether the times of a file tell of every write to it while it is copied.
//!
//! A write sets the file's time when it begins. So a copy is whole if no write was under way when it
//! began and the time is the same at its end, provided that the time is older than the clock's tick:
//! one more write in the same tick would not show. What is still fresh is tried again a little later.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::fs::{SeekFrom, Stat, seek};
use rustix::time::{ClockId, clock_gettime};

/// More than a tick of any kernel (100 Hz).
pub(super) const PAUSE: Duration = Duration::from_millis(12);

/// How often a file is tried that is written meanwhile.
pub(super) const TRIES: u32 = 6;

/// No single write takes so long, in seconds.
const LONGEST_WRITE: i64 = 60;

/// A moment, by the clock that the kernel sets the times of files by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(i64, i64);

impl Moment {
    /// Returns the present one; take it before the first look at a file.
    pub(super) fn now() -> Moment {
        #[cfg(target_os = "linux")]
        let clock = ClockId::RealtimeCoarse;
        #[cfg(not(target_os = "linux"))]
        let clock = ClockId::Realtime;
        let now = clock_gettime(clock);
        Moment(now.tv_sec, now.tv_nsec)
    }

    /// Waits until no write is under way that began before this moment.
    pub(super) fn let_writes_end(self, file: BorrowedFd<'_>, facts: &Stat) {
        #[expect(clippy::unnecessary_cast, reason = "the fields differ from system to system")]
        let changed = facts.st_ctime as i64;
        if changed < self.0 - LONGEST_WRITE {
            return;
        }
        // Looking for a hole takes the lock that a write holds (ext4, Btrfs, tmpfs); on XFS reading does.
        if seek(file, SeekFrom::Hole(0)).is_ok() {
            let _ = seek(file, SeekFrom::Start(0));
        }
    }

    /// Says whether a file was last changed before this moment.
    pub(super) fn is_after(self, facts: &Stat) -> bool {
        #[expect(clippy::unnecessary_cast, reason = "the fields differ from system to system")]
        let changed = (facts.st_ctime as i64, facts.st_ctime_nsec as i64);
        // A time far ahead is from another clock, and says nothing.
        changed < (self.0, self.1) || changed >= (self.0 + 1, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_fresh_for_a_moment() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("f");
        let moment = Moment::now();
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), b"x").unwrap();
        assert!(!moment.is_after(&rustix::fs::stat(&path).unwrap()));
        std::thread::sleep(PAUSE);
        assert!(Moment::now().is_after(&rustix::fs::stat(&path).unwrap()));
    }
}
