//! How much an artefact holds.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Size {
    /// Files and links.
    pub(super) files: u64,
    /// Bytes of the files, those of several names once.
    pub(super) bytes: u64,
}

/// Counts a file, or a folder with all that is in it; follows no link, and passes over what cannot be read.
pub(super) fn of(path: &Path) -> Size {
    let mut size = Size::default();
    let mut seen: HashSet<(u64, u64)> = HashSet::new();
    let mut queue: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(path) = queue.pop() {
        let Ok(facts) = fs::symlink_metadata(&path) else { continue };
        if facts.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            queue.extend(entries.map(|entry| entry.path()));
            continue;
        }
        if !facts.is_file() && !facts.is_symlink() {
            continue;
        }
        size.files += 1;
        if facts.is_file() && (facts.nlink() == 1 || seen.insert((facts.dev(), facts.ino()))) {
            size.bytes += facts.len();
        }
    }
    size
}
