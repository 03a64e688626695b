//! The verdicts on trees, each asked once, and the halving that finds the first bad one.

use std::collections::HashMap;

use gix::ObjectId;
use shared::app::Context;
use shared::failure::Failure;

use crate::validation::{self, Red, Verdict};

/// The one that asks, and counts.
#[derive(Debug)]
pub(crate) struct Prover<'a> {
    cx: &'a Context,
    base: ObjectId,
    known: HashMap<ObjectId, Verdict>,
    asked: usize,
}

impl<'a> Prover<'a> {
    pub(crate) fn new(cx: &'a Context, base: ObjectId) -> Prover<'a> {
        Prover { cx, base, known: HashMap::new(), asked: 0 }
    }

    /// How often git-validate was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked
    }

    /// Returns the verdict on a tree; `what` is said while it is found out.
    pub(crate) fn verdict(&mut self, tree: ObjectId, what: &str) -> Result<Verdict, Failure> {
        if let Some(known) = self.known.get(&tree) {
            return Ok(known.clone());
        }
        self.asked += 1;
        self.cx.output.note(format!("validation {}: {what}", self.asked));
        let verdict = validation::ask(self.cx, self.base, tree)?;
        self.known.insert(tree, verdict.clone());
        Ok(verdict)
    }

    /// Returns why a tree is not good, if it is not.
    pub(crate) fn red(&mut self, tree: ObjectId, what: &str) -> Result<Option<Red>, Failure> {
        match self.verdict(tree, what)? {
            Verdict::Pass => Ok(None),
            Verdict::Red(red) => Ok(Some(red)),
            Verdict::NoChecks => {
                Err(Failure::could_not("no-checks", "the checks went away while the train was validated"))
            }
        }
    }
}

/// Finds the first bad one of the steps 1 to `last`: `last` is bad, and so is all that follows a bad one.
pub(crate) fn first_bad(last: usize, mut is_bad: impl FnMut(usize) -> Result<bool, Failure>) -> Result<usize, Failure> {
    let (mut good, mut bad) = (0, last);
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        if is_bad(middle)? {
            bad = middle;
        } else {
            good = middle;
        }
    }
    Ok(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bad_step_is_found_in_as_few_questions_as_there_are_halvings() {
        for last in 1..=64_usize {
            for first in 1..=last {
                let mut asked = 0;
                let found = first_bad(last, |step| {
                    asked += 1;
                    Ok(step >= first)
                });
                assert_eq!(found.unwrap(), first);
                assert!(asked <= last.next_power_of_two().ilog2(), "{first} of {last}: {asked}");
            }
        }
    }
}
