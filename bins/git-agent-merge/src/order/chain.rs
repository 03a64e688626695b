//! The members of a set, merged on top of each other.

use std::collections::BTreeMap;

use shared::failure::Failure;

use super::graph::Graph;
use crate::answer::Verdict;
use crate::batch::Question;
use crate::names::Side;
use crate::oracle::{Oracle, Outcome};

/// How far it went.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Who is merged, in order.
    pub(super) merged: Vec<usize>,
    /// Who was not, though it conflicts with none of the others alone, and what git said.
    pub(super) failed: BTreeMap<usize, Outcome>,
    /// What all of them merge to.
    pub(super) tree: Option<gix::ObjectId>,
}

/// Merges them as they are planned, and then whoever can still come in.
pub(super) fn merge(
    oracle: &mut Oracle<'_>,
    sides: &[Side],
    graph: &Graph,
    planned: &[usize],
) -> Result<Chain, Failure> {
    let mut chain = Chain::default();
    let mut top = oracle.base.commit;
    let mut done: Vec<Question> = Vec::new();
    let mut waiting = planned.to_vec();
    let mut is_second_round = false;
    loop {
        for at in std::mem::take(&mut waiting) {
            let is_ready = graph.needs[at].iter().all(|need| chain.merged.contains(need));
            let conflicts = graph.conflicts[at].iter().any(|other| chain.merged.contains(other));
            if !is_ready || conflicts {
                continue;
            }
            let question = Question { base: None, ours: top, theirs: sides[at].commit };
            let outcome = oracle.ask_after(&done, &[question])?.swap_remove(0);
            match (outcome.verdict, outcome.tree) {
                (Verdict::Clean, Some(tree)) => {
                    // A tree that is known from an earlier run has to be made before it is merged with.
                    if !oracle.is_there(tree)? {
                        done.push(question);
                    }
                    top = oracle.commit(tree, [top, sides[at].commit])?;
                    chain.tree = Some(tree);
                    chain.merged.push(at);
                }
                _ => _ = chain.failed.insert(at, outcome),
            }
        }
        if chain.failed.is_empty() || is_second_round {
            return Ok(chain);
        }
        is_second_round = true;
        let left = |at: &usize| graph.allowed[*at] && !chain.merged.contains(at) && !chain.failed.contains_key(at);
        waiting = (0..sides.len()).filter(left).collect();
    }
}
