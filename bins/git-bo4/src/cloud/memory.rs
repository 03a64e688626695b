//! What is known of a task from earlier looks: which number a diff has, and since when nothing more came.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How often in a row a task is not there before it counts as vanished: the list may be late.
const VANISHED: u32 = 2;

/// Kept with a run from look to look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    /// Hashes of the diffs that have a number, in the order of these from 1.
    numbered: Vec<String>,
    still: Option<Still>,
    /// How many looks in a row did not find the task.
    missed: u32,
}

/// What was seen of an ended task, and since when it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Still {
    since: Timestamp,
    seen: Vec<String>,
}

impl Memory {
    /// Gives each of these diffs its number: that of before, or a new one. The same diff twice has two numbers.
    ///
    /// A diff that takes the place of one that is gone takes its number, if there are no more variants than `total`.
    pub(crate) fn number(&mut self, hashes: &[String], total: usize) -> Vec<usize> {
        let mut is_taken = vec![false; self.numbered.len()];
        let mut places = Vec::new();
        for hash in hashes {
            let known = (0..is_taken.len()).find(|place| !is_taken[*place] && self.numbered[*place] == *hash);
            if let Some(place) = known {
                is_taken[place] = true;
            }
            places.push(known);
        }
        for (hash, place) in hashes.iter().zip(&mut places).filter(|(_, place)| place.is_none()) {
            let gone = is_taken.iter().position(|is_taken| !is_taken).filter(|_| is_taken.len() >= total);
            let new = gone.unwrap_or(is_taken.len());
            if gone.is_none() {
                self.numbered.push(String::new());
                is_taken.push(false);
            }
            self.numbered[new].clone_from(hash);
            is_taken[new] = true;
            *place = Some(new);
        }
        places.into_iter().flatten().map(|place| place + 1).collect()
    }

    /// Says whether what an ended task shows is all that comes of it, and remembers what it showed.
    pub(crate) fn settles(&mut self, seen: &[String], total: usize, now: Timestamp, settle: Duration) -> bool {
        let before = self.still.take();
        let previous = before.as_ref().map(|still| still.seen.as_slice()).unwrap_or_default();
        let is_same = before.is_some() && previous == seen;
        // A clock that was set back begins again.
        let since = before.as_ref().filter(|still| is_same && still.since <= now).map_or(now, |still| still.since);
        let is_settled = is_settled(before.as_ref().map(|_| previous), seen, since, now, total, settle);
        self.still = Some(Still { since, seen: seen.to_vec() });
        is_settled
    }

    /// Forgets since when nothing more came, because the task goes on.
    pub(crate) fn goes_on(&mut self) {
        self.still = None;
    }

    /// Counts a look that did not find the task, and says whether it has vanished.
    pub(crate) fn misses(&mut self) -> bool {
        self.missed = self.missed.saturating_add(1);
        self.missed >= VANISHED
    }

    /// Notes that the task is there.
    pub(crate) fn found(&mut self) {
        self.missed = 0;
    }
}

/// Says whether no more can come: all is there, or what there is has not changed for long enough.
pub(crate) fn is_settled(
    previous: Option<&[String]>,
    now_seen: &[String],
    since: Timestamp,
    now: Timestamp,
    total: usize,
    settle: Duration,
) -> bool {
    let is_still = previous.is_some_and(|previous| previous == now_seen);
    let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    now_seen.len() >= total || (is_still && passed >= settle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_diff_keeps_its_number_however_the_backend_counts() {
        let mut memory = Memory::default();
        assert_eq!(memory.number(&hashes("b d"), 4), [1, 2]);
        assert_eq!(memory.number(&hashes("a b c d"), 4), [3, 1, 4, 2]);
        assert_eq!(memory.number(&hashes("c"), 4), [4]);
        let kept = serde_json::to_string(&memory).unwrap();
        let mut memory: Memory = serde_json::from_str(&kept).unwrap();
        assert_eq!(memory.number(&hashes("a b c d"), 4), [3, 1, 4, 2]);
    }

    #[test]
    fn the_same_diff_twice_has_two_numbers() {
        let mut memory = Memory::default();
        assert_eq!(memory.number(&hashes("a"), 3), [1]);
        assert_eq!(memory.number(&hashes("a a b"), 3), [1, 2, 3]);
        assert_eq!(memory.number(&hashes("b a a"), 3), [3, 1, 2]);
    }

    #[test]
    fn what_takes_the_place_of_a_diff_that_is_gone_takes_its_number() {
        let mut memory = Memory::default();
        assert_eq!(memory.number(&hashes("a b"), 2), [1, 2]);
        assert_eq!(memory.number(&hashes("a c"), 2), [1, 2]);
        assert_eq!(memory.number(&hashes("c b"), 2), [2, 1]);
        assert_eq!(memory.number(&hashes("c b d"), 2), [2, 1, 3]);
    }

    #[test]
    fn nothing_more_is_waited_for_once_all_is_there_or_long_enough_nothing_came() {
        let settle = Duration::from_secs(10);
        let mut memory = Memory::default();
        assert!(!memory.settles(&hashes("a"), 2, at(0), settle));
        assert!(!memory.settles(&hashes("a"), 2, at(9), settle));
        assert!(memory.settles(&hashes("a"), 2, at(10), settle));
        assert!(memory.settles(&hashes("a b"), 2, at(11), settle));
        let mut memory = Memory::default();
        assert!(!memory.settles(&hashes("a"), 3, at(0), settle));
        assert!(!memory.settles(&hashes("a b"), 3, at(30), settle), "something came");
        memory.goes_on();
        assert!(!memory.settles(&hashes("a b"), 3, at(50), settle), "it went on");
        assert!(!memory.settles(&hashes("a b"), 3, at(-500), settle), "the clock was set back");
        assert!(memory.settles(&hashes("a b"), 3, at(-490), settle));
        assert!(!memory.settles(&hashes(""), 3, at(-400), settle));
        assert!(memory.settles(&hashes(""), 3, at(-300), settle), "nothing at all is still as well");
    }

    #[test]
    fn a_task_has_vanished_when_two_looks_in_a_row_miss_it() {
        let mut memory = Memory::default();
        assert!(!memory.misses());
        memory.found();
        assert!(!memory.misses());
        assert!(memory.misses());
    }
}
