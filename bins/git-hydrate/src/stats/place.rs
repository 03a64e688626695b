//! Where the bytes of a file lie on its disk, and which of them lie there for another file too.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{Stat, fstatfs};

/// The file systems that share extents and say which: Btrfs, XFS, bcachefs, OCFS2.
const SHARING: [u64; 4] = [0x9123_683e, 0x5846_5342, 0xca45_1a4e, 0x7461_636f];

/// A file system, and whether it says what is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Volume {
    /// The same number for all that lies on the same disk.
    key: i128,
    /// Whether it shares extents and names them.
    pub(super) tells: bool,
}

/// The volumes met so far, by the device number of their files.
#[derive(Debug, Default)]
pub(super) struct Volumes(HashMap<i128, Volume>);

impl Volumes {
    /// Returns the volume of an open folder.
    pub(super) fn of(&mut self, folder: impl AsFd, facts: &Stat) -> Volume {
        let device = i128::from(facts.st_dev);
        *self.0.entry(device).or_insert_with(|| {
            let kind = fstatfs(&folder).map_or(0, |f| f.f_type as u64 & 0xffff_ffff);
            let tells = cfg!(target_os = "linux") && SHARING.contains(&kind);
            Volume { key: mounted(folder).filter(|_| tells).unwrap_or(device), tells }
        })
    }
}

/// Returns the device of the whole file system: on Btrfs each subvolume has a device number of its own.
fn mounted(folder: impl AsFd) -> Option<i128> {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", folder.as_fd().as_raw_fd())).ok()?;
    let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().to_owned();
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(&id))?;
    let (major, minor) = line.split(' ').nth(2)?.split_once(':')?;
    Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?).into())
}

/// A stretch of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stretch {
    volume: i128,
    start: u64,
    end: u64,
}

/// What some files take on disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Space {
    /// Theirs alone.
    own: Vec<Stretch>,
    /// Another file's as well.
    shared: Vec<Stretch>,
    /// Bytes without a known place; nobody else's as far as is known.
    placeless: u64,
}

impl Space {
    /// Counts bytes whose place is not known.
    pub(super) fn add_placeless(&mut self, bytes: u64) {
        self.placeless += bytes;
    }

    /// Adds what other files take.
    pub(super) fn append(&mut self, other: &Space) {
        self.own.extend(&other.own);
        self.shared.extend(&other.shared);
        self.placeless += other.placeless;
    }

    /// Counts the bytes that are shared, each place once.
    pub(super) fn shared(&self) -> u64 {
        covered(self.shared.clone())
    }

    /// Counts all bytes, each place once.
    pub(super) fn all(&self) -> u64 {
        covered([self.own.as_slice(), &self.shared].concat()) + self.placeless
    }

    /// Asks where an open file lies; where that is not told, its blocks count as its own.
    #[cfg(target_os = "linux")]
    pub(super) fn add_file(&mut self, file: impl AsFd, facts: &Stat, volume: Volume) {
        use fiemap::{Fiemap, FiemapExtentFlags as Flags};
        let mut told = Space::default();
        for extent in Fiemap::new(&file) {
            let Ok(extent) = extent else {
                return self.add_placeless(blocks(facts));
            };
            if extent.fe_flags.intersects(Flags::UNKNOWN | Flags::DELALLOC | Flags::DATA_INLINE) {
                told.placeless += extent.fe_length.min(crate::copy::size(facts));
                continue;
            }
            let end = extent.fe_physical.saturating_add(extent.fe_length);
            let stretch = Stretch { volume: volume.key, start: extent.fe_physical, end };
            if extent.fe_flags.contains(Flags::SHARED) { &mut told.shared } else { &mut told.own }.push(stretch);
        }
        self.append(&told);
    }

    /// Counts a file's blocks: nothing tells where they lie.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn add_file(&mut self, _file: impl AsFd, facts: &Stat, _volume: Volume) {
        self.add_placeless(blocks(facts));
    }
}

/// Returns the bytes of a file's blocks.
pub(super) fn blocks(facts: &Stat) -> u64 {
    u64::try_from(facts.st_blocks).unwrap_or(0) * 512
}

fn covered(mut stretches: Vec<Stretch>) -> u64 {
    stretches.sort_unstable();
    let mut total = 0;
    let mut reached = (0, 0);
    for stretch in stretches {
        let start = if reached.0 == stretch.volume { stretch.start.max(reached.1) } else { stretch.start };
        if stretch.end > start {
            total += stretch.end - start;
            reached = (stretch.volume, stretch.end);
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_twice_in_one_place_counts_once() {
        let at = |volume, start, end| Stretch { volume, start, end };
        assert_eq!(covered(Vec::new()), 0);
        assert_eq!(covered(vec![at(1, 0, 10), at(1, 0, 10), at(2, 0, 10)]), 20);
        assert_eq!(covered(vec![at(1, 5, 15), at(1, 0, 10), at(1, 12, 13), at(1, 20, 30)]), 25);
        assert_eq!(covered(vec![at(0, 5, 15), at(0, 5, 20)]), 15);
    }
}
