//! Whether a file was written within the present tick of the clock.
//!
//! Then the times of the file would not tell of one more write in that tick, so that a copy could be
//! torn and look whole. Such a file is tried again a little later.

use std::time::Duration;

use rustix::fs::Stat;
use rustix::time::{ClockId, clock_gettime};

/// More than a tick of any kernel (100 Hz).
pub(super) const PAUSE: Duration = Duration::from_millis(12);

/// How often a file is tried that is written meanwhile.
pub(super) const TRIES: u32 = 6;

/// Says whether the file may have been written in this tick.
pub(super) fn is_fresh(facts: &Stat) -> bool {
    #[cfg(target_os = "linux")]
    let clock = ClockId::RealtimeCoarse;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Realtime;
    let now = clock_gettime(clock);
    #[expect(clippy::unnecessary_cast, reason = "the fields differ from system to system")]
    let changed = (facts.st_ctime as i64, facts.st_ctime_nsec as i64);
    let now = (now.tv_sec, now.tv_nsec);
    // A time far ahead is from another clock, and says nothing.
    changed >= now && changed < (now.0 + 1, now.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_fresh_for_a_moment() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("f");
        // The first tick may end between the two calls.
        let is_seen = (0..100).any(|n| {
            let mut file = std::fs::File::create(&path).unwrap();
            std::io::Write::write_all(&mut file, &[n]).unwrap();
            is_fresh(&rustix::fs::fstat(&file).unwrap())
        });
        assert!(is_seen);
        std::thread::sleep(PAUSE * 2);
        assert!(!is_fresh(&rustix::fs::stat(&path).unwrap()));
    }
}
