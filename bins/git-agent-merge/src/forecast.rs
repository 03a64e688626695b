//! Each branch against the base, then each against each other.
//!
//! First every branch is merged with the base; one that conflicts there is named once and pairs with
//! nobody. Pairs whose changes cannot meet are clean; the rest is asked with the base as their
//! common base, so that no old conflict with the base shows up again in every pair.

use std::collections::HashMap;

use gix::ObjectId;
use shared::failure::Failure;

use crate::answer::{Answer, BaseRow, BranchRow, PairRow, Verdict};
use crate::names::Side;
use crate::oracle::{Oracle, Outcome};
use crate::overlap::Changes;

/// All that was found out about some sides.
pub(crate) struct Forecast {
    /// Each with the base, in the order of the sides.
    pub(crate) merged: Vec<Outcome>,
    /// Each two of them.
    pub(crate) pairs: Vec<Pair>,
    /// What each changes in the base, of those that merge with it.
    pub(crate) changes: HashMap<usize, Changes>,
}

/// Two sides, by their places, and what was found out about them.
pub(crate) struct Pair {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) outcome: Outcome,
}

/// Finds out about all sides and pairs.
pub(crate) fn forecast(oracle: &mut Oracle<'_>, sides: &[Side]) -> Result<Forecast, Failure> {
    let commits: Vec<ObjectId> = sides.iter().map(|side| side.commit).collect();
    let merged = oracle.merge(&commits)?;
    let trees: Vec<Option<ObjectId>> = merged.iter().map(|outcome| outcome.tree).collect();
    let places: Vec<usize> = (0..sides.len()).filter(|at| trees[*at].is_some()).collect();
    let mut changes = HashMap::new();
    if places.len() > 1 {
        let clean: Vec<ObjectId> = places.iter().filter_map(|at| trees[*at]).collect();
        changes = places.iter().copied().zip(oracle.changes(&clean)?).collect();
    }
    let mut pairs = Vec::new();
    let mut asked = Vec::new();
    let mut questions = Vec::new();
    for a in 0..sides.len() {
        for b in a + 1..sides.len() {
            let verdict = match (trees[a], trees[b], changes.get(&a), changes.get(&b)) {
                (Some(ours), Some(theirs), Some(x), Some(y)) => {
                    if x.may_meet(y) {
                        asked.push(pairs.len());
                        questions.push((ours, theirs));
                    }
                    Verdict::Clean
                }
                _ => Verdict::Skipped,
            };
            pairs.push(Pair { a, b, outcome: Outcome { verdict, tree: None, conflicts: Vec::new(), reason: None } });
        }
    }
    let sources: HashMap<ObjectId, ObjectId> =
        trees.iter().zip(&commits).filter_map(|(tree, commit)| Some(((*tree)?, *commit))).collect();
    let answers = oracle.ask_pairs(&questions, &|tree| sources.get(&tree).copied())?;
    asked.into_iter().zip(answers).for_each(|(at, answer)| pairs[at].outcome = answer);
    Ok(Forecast { merged, pairs, changes })
}

impl Forecast {
    /// Puts it as rows.
    pub(crate) fn answer(self, oracle: &Oracle<'_>, sides: &[Side]) -> Answer {
        let base = BaseRow { name: oracle.base.name.clone(), commit: oracle.base.commit.to_string() };
        let branches = sides.iter().zip(self.merged).map(|(side, outcome)| branch_row(side, outcome)).collect();
        let pairs = self.pairs.into_iter().map(|Pair { a, b, outcome }| PairRow {
            a: sides[a].name.clone(),
            b: sides[b].name.clone(),
            verdict: outcome.verdict,
            tree: outcome.tree.map(|tree| tree.to_string()),
            conflicts: outcome.conflicts,
            reason: outcome.reason,
        });
        Answer { base, branches, pairs: pairs.collect() }
    }
}

/// The row of one side.
pub(crate) fn branch_row(side: &Side, outcome: Outcome) -> BranchRow {
    BranchRow {
        name: side.name.clone(),
        task: side.task.clone(),
        branch: side.branch.clone(),
        commit: side.commit.to_string(),
        dirty: side.dirty,
        verdict: outcome.verdict,
        tree: outcome.tree.map(|tree| tree.to_string()),
        conflicts: outcome.conflicts,
        reason: outcome.reason,
    }
}
