//! What became of each line that a side added: kept, changed into another, or gone.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// One of the two sides of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    /// The branch that is to be merged.
    Ours,
    /// What it is merged with.
    Theirs,
    /// Where both come from; both still have the line.
    Base,
}

/// A line that one side added and the result does not have as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub(crate) side: Side,
    /// Its number in that side's file, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) how: How,
    /// Why, in the words of whoever resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// In what way it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    /// A new line of the result has all its words.
    Combined,
    /// It is gone, and whoever resolved it says so.
    Named,
    /// It is gone.
    Unnamed,
}

/// Finds the lines that a side added to the base and that the result lacks, and those of the base that both keep.
///
/// Lines are compared without regard to white space at their ends and to how much there is of it
/// inside. `elsewhere` are further files of the result, into which a line may have moved.
pub(crate) fn lost(base: &[u8], ours: &[u8], theirs: &[u8], result: &[u8], elsewhere: &[&[u8]]) -> Vec<Lost> {
    let [in_base, in_ours, in_theirs, mut left] = [base, ours, theirs, result].map(counts);
    let mut moved = HashMap::new();
    for file in elsewhere {
        for (line, count) in counts(file) {
            *moved.entry(line).or_insert(0) += count;
        }
    }
    let new_lines = new_lines(&[&in_base, &in_ours, &in_theirs], result);
    // What stays of the base uses up its lines first.
    let mut gone: HashMap<String, usize> = HashMap::new();
    for (line, count) in &in_base {
        let stays = *count.min(in_ours.get(line).unwrap_or(&0)).min(in_theirs.get(line).unwrap_or(&0));
        let there = left.entry(line.clone()).or_insert(0);
        gone.insert(line.clone(), stays.saturating_sub(*there + moved.get(line).unwrap_or(&0)));
        *there = there.saturating_sub(stays);
    }
    let mut all = Vec::new();
    for (side, content, own) in [(Side::Ours, ours, &in_ours), (Side::Theirs, theirs, &in_theirs)] {
        let mut missing: HashMap<String, usize> = HashMap::new();
        for (line, count) in own {
            // What both sides added may be there once.
            let wanted = count.saturating_sub(*in_base.get(line).unwrap_or(&0));
            let there = left.get(line).unwrap_or(&0) + moved.get(line).unwrap_or(&0);
            if wanted > there {
                missing.insert(line.clone(), wanted - there);
            }
        }
        all.extend(named(side, content, missing, &new_lines));
    }
    all.extend(named(Side::Base, base, gone, &new_lines));
    all
}

/// Finds missing lines in their file; the last ones of several equal lines are called the missing ones.
fn named(
    side: Side,
    content: &[u8],
    mut missing: HashMap<String, usize>,
    new_lines: &[HashMap<String, usize>],
) -> Vec<Lost> {
    let lines: Vec<&[u8]> = content.split(|byte| *byte == b'\n').collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate().rev() {
        let key = key(line);
        if let Some(count) = missing.get_mut(&key).filter(|count| **count > 0) {
            *count -= 1;
            let how = if is_combined(&key, new_lines) { How::Combined } else { How::Unnamed };
            let text = String::from_utf8_lossy(line).trim_end().to_owned();
            found.push(Lost { side, line: at + 1, text, how, why: None });
        }
    }
    found.reverse();
    found
}

/// The line with its white space in the simplest form; nothing for a blank one.
fn key(line: &[u8]) -> String {
    String::from_utf8_lossy(line).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn counts(content: &[u8]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for line in content.split(|byte| *byte == b'\n') {
        let key = key(line);
        if !key.is_empty() {
            *counts.entry(key).or_insert(0) += 1;
        }
    }
    counts
}

/// The words of each line of the result that no side has.
fn new_lines(sides: &[&HashMap<String, usize>], result: &[u8]) -> Vec<HashMap<String, usize>> {
    let keys = result.split(|byte| *byte == b'\n').map(key).filter(|key| !key.is_empty());
    keys.filter(|key| sides.iter().all(|side| !side.contains_key(key))).map(|key| words(&key)).collect()
}

/// Says whether a new line has every word of this one.
fn is_combined(line: &str, new_lines: &[HashMap<String, usize>]) -> bool {
    let own = words(line);
    !own.is_empty() && new_lines.iter().any(|new| own.iter().all(|(word, count)| new.get(word).unwrap_or(&0) >= count))
}

fn words(line: &str) -> HashMap<String, usize> {
    let mut words = HashMap::new();
    for word in line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()) {
        *words.entry(word.to_owned()).or_insert(0) += 1;
    }
    words
}

/// Says whether a line has something of its own to say; a lone brace has not.
pub(crate) fn is_telling(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(base: &str, ours: &str, theirs: &str, result: &str) -> Vec<(Side, usize, How)> {
        let lost = lost(base.as_bytes(), ours.as_bytes(), theirs.as_bytes(), result.as_bytes(), &[]);
        lost.into_iter().map(|lost| (lost.side, lost.line, lost.how)).collect()
    }

    #[test]
    fn a_line_that_one_side_added_is_missed() {
        assert_eq!(names("a\n", "a\nb\n", "a\nc\n", "a\nb\nc\n"), []);
        assert_eq!(names("a\n", "a\nb\n", "a\nc\n", "a\nc\n"), [(Side::Ours, 2, How::Unnamed)]);
        assert_eq!(names("a\n", "a\nb\n", "a\nc\n", "a\n  b\n\tc\n"), [], "moved to the right");
        assert_eq!(names("a\n", "a\nb\n", "a\nb\n", "a\nb\n"), [], "added by both");
        assert_eq!(names("a\n", "", "a\nc\n", "c\n"), [], "deleted by one");
    }

    #[test]
    fn equal_lines_are_counted() {
        assert_eq!(names("x\n", "x\nx\n", "x\ny\n", "x\ny\n"), [(Side::Ours, 2, How::Unnamed)]);
        assert_eq!(names("x\n", "x\nx\n", "x\ny\n", "x\nx\ny\n"), []);
        // A line that the other side took out must not stand for the one that was added.
        assert_eq!(names("x\n", "x\nx\n", "y\n", "x\ny\n"), []);
    }

    #[test]
    fn a_line_that_both_sides_keep_is_missed_too() {
        assert_eq!(names("a\nb\n", "a\nb\nc\n", "a\nb\n", "a\nc\n"), [(Side::Base, 2, How::Unnamed)]);
        assert_eq!(names("a\nb\n", "a\nc\n", "a\nb\n", "a\nc\n"), [], "one side took it out");
    }

    #[test]
    fn two_changes_of_one_line_may_become_one_line() {
        let lost = names("f(a)\n", "f(a, b)\n", "f(a, c)\n", "f(a, b, c)\n");
        assert_eq!(lost, [(Side::Ours, 1, How::Combined), (Side::Theirs, 1, How::Combined)]);
        let lost = names("f(a)\n", "f(a, b)\n", "f(a, c)\n", "f(a, d)\n");
        assert_eq!(lost, [(Side::Ours, 1, How::Unnamed), (Side::Theirs, 1, How::Unnamed)]);
    }

    #[test]
    fn a_line_may_move_to_another_file() {
        assert!(lost(b"a\n", b"a\nb\n", b"a\n", b"a\n", &[b"b\n"]).is_empty());
    }
}
