//! Which variants are essentially the same.
//!
//! What counts is which lines a change adds and removes in which file, not where in it: two attempts
//! that put the same lines in another order are the same for whoever has to choose.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};

use super::change::FileChange;
use super::findings::Similar;

/// From this share on two variants are essentially the same.
const SAME: f64 = 0.95;

/// The lines that a change adds and removes, each with how often it does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    counts: HashMap<u64, u32>,
    total: u64,
}

impl Lines {
    /// Takes the lines of a change that was read.
    pub(crate) fn of(files: &[FileChange]) -> Lines {
        let mut lines = Lines::default();
        for file in files {
            let (added, removed) = file.lines();
            added.iter().for_each(|line| lines.add(&(b'+', &file.path, line.trim_ascii())));
            removed.iter().for_each(|line| lines.add(&(b'-', file.old_name(), line.trim_ascii())));
            if added.is_empty() && removed.is_empty() {
                // Binary, not read, in another order or only with another mode: the same if it becomes the same.
                lines.add(&(b'=', &file.path, &file.new_id, file.new_mode));
            }
        }
        lines
    }

    fn add(&mut self, line: &impl std::hash::Hash) {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        *self.counts.entry(hasher.finish()).or_default() += 1;
        self.total += 1;
    }

    /// Returns how much two have in common, from 0 to 1 (the measure of Dice).
    pub(crate) fn share(&self, other: &Lines) -> f64 {
        if self.total + other.total == 0 {
            return 1.0;
        }
        let (small, large) = if self.counts.len() < other.counts.len() { (self, other) } else { (other, self) };
        let both = |(line, count): (&u64, &u32)| u64::from(*count.min(large.counts.get(line).unwrap_or(&0)));
        let common: u64 = small.counts.iter().map(both).sum();
        ratio(2 * common, self.total + other.total)
    }
}

/// Compares each variant with each other one; `trees` tells which are equal without a look.
pub(crate) fn pairs(variants: &[(usize, String, Lines)]) -> Vec<Similar> {
    let mut found = Vec::new();
    for (at, (one, tree, lines)) in variants.iter().enumerate() {
        for (other, other_tree, other_lines) in &variants[at + 1..] {
            let share = if tree == other_tree { 1.0 } else { lines.share(other_lines) };
            found.push(Similar { one: *one, other: *other, share, same: share >= SAME });
        }
    }
    found
}

#[expect(clippy::cast_precision_loss, reason = "no change has so many lines")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::super::analysis::tests::file;
    use super::*;

    fn share(a: &[FileChange], b: &[FileChange]) -> f64 {
        let (one, other) = (Lines::of(a), Lines::of(b));
        assert!((one.share(&other) - other.share(&one)).abs() < f64::EPSILON);
        one.share(&other)
    }

    #[test]
    fn the_same_lines_in_the_same_files_are_the_same() {
        let a = [file("a", Some("1\n2\n"), Some("1\nx\ny\n2\n"))];
        let b = [file("a", Some("1\n2\n"), Some("x\n1\n2\n  y\n"))];
        assert!((share(&a, &b) - 1.0).abs() < f64::EPSILON);
        assert!(share(&a, &[file("b", Some("1\n2\n"), Some("1\nx\ny\n2\n"))]) < f64::EPSILON);
        assert!(share(&a, &[]) < f64::EPSILON);
        assert!((share(&[], &[]) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_share_is_that_of_the_changed_lines() {
        let a = [file("a", Some(""), Some("1\n2\n3\n"))];
        let b = [file("a", Some(""), Some("1\n2\n3\n4\n5\n"))];
        assert!((share(&a, &b) - 0.75).abs() < f64::EPSILON);
        // An added line is not the same as a removed one.
        assert!(share(&[file("a", Some("x\n"), None)], &[file("a", None, Some("x\n"))]) < f64::EPSILON);
    }

    #[test]
    fn binary_files_are_the_same_if_they_become_the_same() {
        let a = [file("a", None, Some("\0one"))];
        assert!((share(&a, &a.clone()) - 1.0).abs() < f64::EPSILON);
        assert!(share(&a, &[file("a", None, Some("\0two"))]) < f64::EPSILON);
    }

    #[test]
    fn pairs_of_one_tree_are_the_same() {
        let lines = Lines::of(&[file("a", None, Some("x\n"))]);
        let all =
            [(1, "t".to_owned(), lines.clone()), (2, "t".to_owned(), Lines::default()), (3, "u".to_owned(), lines)];
        let found = pairs(&all);
        assert_eq!(
            found.iter().map(|pair| (pair.one, pair.other, pair.same)).collect::<Vec<_>>(),
            [(1, 2, true), (1, 3, true), (2, 3, false)]
        );
    }

    #[test]
    fn many_lines_are_compared_at_once() {
        let text = |seed: usize| (0..10_000).map(|n| format!("line {}\n", n * seed)).collect::<String>();
        let texts: Vec<String> = (1..=8).map(text).collect();
        let start = std::time::Instant::now();
        let all: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(n, text)| (n, n.to_string(), Lines::of(&[file("a", None, Some(text))])))
            .collect();
        assert_eq!(pairs(&all).len(), 28);
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }
}
