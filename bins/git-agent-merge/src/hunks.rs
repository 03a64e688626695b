//! The hunks of a conflicted file, each with the three sides.

use anyhow::{Context as _, Result};
use gix::ObjectId;
use serde::{Deserialize, Serialize};
use shared::process::Git;

use crate::conflict::{Conflict, Kind};

/// More than this many files of a pair are named without their hunks.
const MAX_FILES: usize = 100;
/// A larger merged file is named without its hunks, in bytes.
const MAX_SIZE: usize = 4 << 20;
/// Longer than any line of markers that a file may hold itself.
const MARKER: usize = 61;

/// Lines that both sides changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hunk {
    /// Where it starts in the merged file, from 1, with our side in the place of earlier hunks.
    pub(crate) line: usize,
    /// Up to three lines before it.
    pub(crate) before: String,
    pub(crate) base: String,
    pub(crate) ours: String,
    pub(crate) theirs: String,
    /// Up to three lines behind it.
    pub(crate) after: String,
}

/// Adds the hunks to the files whose content conflicts.
pub(crate) fn fill(git: &Git, conflicts: &mut [Conflict]) -> Result<()> {
    let mut empty = None;
    for conflict in conflicts
        .iter_mut()
        .filter(|c| matches!(c.kind, Kind::Content | Kind::AddAdd | Kind::RenameRename))
        .take(MAX_FILES)
    {
        let [base, Some((ours_mode, ours)), Some((theirs_mode, theirs))] = conflict.stages else { continue };
        if !(is_file(ours_mode) && is_file(theirs_mode)) {
            continue;
        }
        let base = match (base, empty) {
            (Some((_, id)), _) | (None, Some(id)) => id,
            (None, None) => *empty.insert(empty_blob(git)?),
        };
        let size = format!("--marker-size={MARKER}");
        let done = git.ask([
            "merge-file",
            "-p",
            "--object-id",
            "--diff3",
            &size,
            &ours.to_string(),
            &base.to_string(),
            &theirs.to_string(),
        ])?;
        // 255 says that it is binary or could not be read; the path is named all the same.
        if done.code < 255 && done.stdout.len() <= MAX_SIZE {
            conflict.hunks = parse(&done.stdout);
        }
    }
    Ok(())
}

fn is_file(mode: u32) -> bool {
    mode & 0o170_000 == 0o100_000
}

fn empty_blob(git: &Git) -> Result<ObjectId> {
    let id = git.feed(["hash-object", "-w", "--stdin"], b"")?.text();
    ObjectId::from_hex(id.as_bytes()).context("'git hash-object' named no object")
}

fn parse(merged: &[u8]) -> Vec<Hunk> {
    enum Part {
        Common,
        Ours,
        Base,
        Theirs,
    }
    let marker = |line: &str, sign: char| {
        let signs = line.bytes().take_while(|byte| char::from(*byte) == sign).count();
        signs == MARKER && matches!(line.as_bytes().get(MARKER), Some(b' ' | b'\n' | b'\r') | None)
    };
    let text = String::from_utf8_lossy(merged);
    let mut part = Part::Common;
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut common: Vec<&str> = Vec::new();
    let mut number = 1;
    for line in text.split_inclusive('\n') {
        let open = hunks.last_mut();
        match (&part, open) {
            (Part::Common, _) if marker(line, '<') => {
                let before = common[common.len().saturating_sub(3)..].concat();
                let blank = String::new;
                hunks.push(Hunk {
                    line: number,
                    before,
                    base: blank(),
                    ours: blank(),
                    theirs: blank(),
                    after: blank(),
                });
                common.clear();
                part = Part::Ours;
            }
            (Part::Common, open) => {
                if let Some(hunk) = open.filter(|_| common.len() < 3) {
                    hunk.after.push_str(line);
                }
                common.push(line);
                number += 1;
            }
            (Part::Ours, _) if marker(line, '|') => part = Part::Base,
            (Part::Base, _) if marker(line, '=') => part = Part::Theirs,
            (Part::Theirs, _) if marker(line, '>') => part = Part::Common,
            (Part::Ours, Some(hunk)) => {
                hunk.ours.push_str(line);
                number += 1;
            }
            (Part::Base, Some(hunk)) => hunk.base.push_str(line),
            (Part::Theirs, Some(hunk)) => hunk.theirs.push_str(line),
            (Part::Ours | Part::Base | Part::Theirs, None) => {}
        }
    }
    hunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks_come_with_three_sides_and_what_stands_around() {
        let m = |sign: &str| sign.repeat(MARKER);
        let text = format!(
            "1\n2\n3\n4\n{} a\nours\n{} b\nbase\n<<<<<<< not a marker\n{}\ntheirs\n{} c\n5\n",
            m("<"),
            m("|"),
            m("="),
            m(">")
        );
        let hunks = parse(text.as_bytes());
        assert_eq!(hunks.len(), 1);
        let hunk = &hunks[0];
        assert_eq!((hunk.line, hunk.before.as_str(), hunk.after.as_str()), (5, "2\n3\n4\n", "5\n"));
        assert_eq!((hunk.ours.as_str(), hunk.theirs.as_str()), ("ours\n", "theirs\n"));
        assert_eq!(hunk.base, "base\n<<<<<<< not a marker\n");
    }
}
