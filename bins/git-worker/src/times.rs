//! When what was printed, so that `logs --since` finds its place.
//!
//! One line for each stretch of output: its first moment, the last moment of the one before, and
//! where it begins among all that was printed. The longer a job lives the longer the stretches
//! are, so that the file stays small: a thousandth of the job's age, at least a twentieth of a second.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use shared::{clock, durable};

/// The shortest stretch, in milliseconds.
const SHORTEST: i64 = 50;

/// The file at which is written; made when something is first printed.
#[derive(Debug)]
pub(crate) struct Times {
    path: PathBuf,
    file: Option<File>,
    first: i64,
    begun: i64,
    last: i64,
}

impl Times {
    /// Prepares the file.
    pub(crate) fn new(path: PathBuf) -> Times {
        Times { path, file: None, first: 0, begun: 0, last: 0 }
    }

    /// Notes where the end is.
    pub(crate) fn end(&mut self, place: u64) {
        if self.file.is_some() {
            self.begun = i64::MIN / 2;
            self.note(place);
        }
    }

    /// Notes that something is printed at this place; a disk without room loses the note.
    pub(crate) fn note(&mut self, place: u64) {
        let now = clock::now().as_millisecond();
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
            self.file = options.open(&self.path).ok();
            (self.first, self.begun, self.last) = (now, i64::MIN / 2, now);
        }
        let stretch = ((now - self.first) / 1000).max(SHORTEST);
        if now.saturating_sub(self.begun) >= stretch {
            if let Some(file) = &mut self.file {
                let _ = file.write_all(format!("{now} {} {place}\n", self.last).as_bytes());
            }
            self.begun = now;
        }
        self.last = now;
    }
}

/// Finds the place of what was printed since a time; none if nothing was noted, beyond all if nothing was printed.
pub(crate) fn find(path: &Path, since: Timestamp, last_write: Option<Timestamp>) -> Option<u64> {
    if last_write.is_some_and(|last| last < since) {
        return Some(u64::MAX);
    }
    let since = since.as_millisecond();
    let text = durable::read(path).ok()??;
    let text = String::from_utf8_lossy(&text);
    let mut before = 0;
    let mut any = false;
    for line in text.lines() {
        let mut fields = line.split(' ').map(|field| field.parse::<i64>().ok());
        let (Some(Some(begun)), Some(Some(last)), Some(Some(place))) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let place = u64::try_from(place).unwrap_or_default();
        if begun >= since {
            // What came before may reach into the time that is asked for.
            return Some(if any && last >= since { before } else { place });
        }
        (before, any) = (place, true);
    }
    any.then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_moment_is_where_its_stretch_begins() {
        let path = std::env::temp_dir().join(format!("git-worker-times-{}", std::process::id()));
        let lines = b"1000 1000 0\n2000 1100 50\n3000 2900 90\nbroken\n9000 3000 120\n";
        durable::replace(&path, lines, durable::Previous::Drop).unwrap();
        let at = |ms| find(&path, Timestamp::from_millisecond(ms).unwrap(), None);
        let found = [0, 1000, 1050, 1500, 2000, 2500, 3000, 4000, 9000, 9001].map(at);
        let expected = [0, 0, 0, 50, 50, 50, 90, 120, 120, 120];
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found, expected.map(Some));
    }
}
