//! `git agent-merge order`: which of the branches merge together, in which order, and why.
//!
//! The largest set of branches of which no two conflict is merged on top of each other, really, one
//! by one: three that merge pair by pair need not merge together. What a task depends on comes first.

mod answer;
mod chain;
mod graph;

use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::registry::{Task, Tasks};

use crate::answer::Verdict;
use crate::check::{self, Which};
use crate::forecast::{Forecast, forecast};
use crate::names::{Base, Side};
use crate::oracle::Oracle;
use answer::Order;
use graph::Graph;

/// In which order do they merge with the fewest conflicts, and how many merge together?
///
/// The largest set of branches that merge on top of each other comes first, each after what its task depends on; then the
/// others, those with the fewest conflicts first. Nothing is touched.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
}

pub(crate) fn run(cx: &Context, args: &Args) -> Result<Status, Failure> {
    let (mut oracle, sides) = check::open(cx, &args.which)?;
    let found = forecast(&mut oracle, &sides)?;
    let wishes = wishes(cx, &sides)?;
    let graph = graph(&found, &wishes);
    let largest = graph::largest(&graph);
    let planned = sorted(&graph, &found, &sides, |at| largest.members[at]);
    let chain = chain::merge(&mut oracle, &sides, &graph, &planned)?;
    let rest = after(&graph, &sides, &chain.merged);
    let order = Order::new(&oracle, &sides, &found, &wishes, &chain, &rest, largest.is_exact);
    oracle.close()?;
    cx.output.answer(&order)?;
    let verdicts = found.merged.iter().chain(found.pairs.iter().map(|pair| &pair.outcome)).chain(chain.failed.values());
    match check::status(verdicts.map(|outcome| outcome.verdict)) {
        Status::CouldNot => Ok(Status::CouldNot),
        _ if rest.is_empty() => Ok(Status::Done),
        _ => Ok(Status::No),
    }
}

/// Puts sides into this order, by their places; those that do not merge with the others come last.
pub(crate) fn best(cx: &Context, base: Base, sides: &[Side]) -> Result<Vec<usize>, Failure> {
    let mut oracle = Oracle::open(cx, base, true)?;
    let found = forecast(&mut oracle, sides)?;
    let graph = graph(&found, &wishes(cx, sides)?);
    let largest = graph::largest(&graph);
    let planned = sorted(&graph, &found, sides, |at| largest.members[at]);
    let mut order = chain::merge(&mut oracle, sides, &graph, &planned)?.merged;
    oracle.close()?;
    order.extend(after(&graph, sides, &order));
    Ok(order)
}

/// What the registry says of a branch's task.
#[derive(Debug, Clone, Default)]
struct Wish {
    priority: i64,
    /// The places of those that have to be merged before.
    needs: Vec<usize>,
    /// Open tasks that have to be merged before and were not asked about.
    waits_for: Vec<String>,
}

fn wishes(cx: &Context, sides: &[Side]) -> Result<Vec<Wish>, Failure> {
    let tasks: Tasks = cx.registry()?.load()?;
    let key = cx.repository()?.key();
    let find = |side: &Side| side.task.as_ref().and_then(|slug| tasks.find(&key, slug));
    let own: Vec<Option<&Task>> = sides.iter().map(find).collect();
    let wish = |task: &&Task| {
        let place = |id: &String| own.iter().position(|other| other.is_some_and(|other| other.id == *id));
        let elsewhere = task.depends_on.iter().filter(|id| place(id).is_none());
        let open = elsewhere.filter_map(|id| tasks.tasks.iter().find(|other| other.id == *id && other.is_open()));
        Wish {
            priority: task.priority,
            needs: task.depends_on.iter().filter_map(place).collect(),
            waits_for: open.map(|other| other.slug.to_string()).collect(),
        }
    };
    Ok(own.iter().map(|task| task.as_ref().map(wish).unwrap_or_default()).collect())
}

fn graph(found: &Forecast, wishes: &[Wish]) -> Graph {
    let mut conflicts = vec![Vec::new(); wishes.len()];
    // Two of which nobody knows are kept apart too.
    let apart = |verdict| matches!(verdict, Verdict::Conflict | Verdict::CouldNotTell);
    for pair in found.pairs.iter().filter(|pair| apart(pair.outcome.verdict)) {
        conflicts[pair.a].push(pair.b);
        conflicts[pair.b].push(pair.a);
    }
    Graph {
        conflicts,
        needs: wishes.iter().map(|wish| wish.needs.clone()).collect(),
        allowed: found.merged.iter().map(|outcome| outcome.verdict == Verdict::Clean).collect(),
        priorities: wishes.iter().map(|wish| wish.priority).collect(),
    }
}

/// The chosen ones: after what they need, by priority, those that share the fewest paths first, by name.
fn sorted(graph: &Graph, found: &Forecast, sides: &[Side], chosen: impl Fn(usize) -> bool) -> Vec<usize> {
    let members: Vec<usize> = (0..sides.len()).filter(|at| chosen(*at)).collect();
    let shared = |at: usize| -> usize {
        let Some(own) = found.changes.get(&at) else { return 0 };
        let others = members.iter().filter(|other| **other != at).filter_map(|other| found.changes.get(other));
        others.map(|other| own.shared_with(other)).sum()
    };
    let mut keyed: Vec<(i64, usize, usize)> =
        members.iter().map(|at| (-graph.priorities[*at], shared(*at), *at)).collect();
    keyed.sort_unstable();
    after_needs(graph, keyed.into_iter().map(|(_, _, at)| at).collect())
}

/// Those that do not merge with the set: the fewest conflicts with it first.
fn after(graph: &Graph, sides: &[Side], merged: &[usize]) -> Vec<usize> {
    let mut rest: Vec<usize> = (0..sides.len()).filter(|at| !merged.contains(at)).collect();
    let conflicts = |at: usize| graph.conflicts[at].iter().filter(|other| merged.contains(other)).count();
    rest.sort_by_key(|at| (!graph.allowed[*at], conflicts(*at), -graph.priorities[*at], *at));
    after_needs(graph, rest)
}

/// Keeps the order but for those that need one that comes later; a circle is left as it is.
fn after_needs(graph: &Graph, mut waiting: Vec<usize>) -> Vec<usize> {
    let mut sorted = Vec::new();
    while !waiting.is_empty() {
        let is_free = |at: &usize| !graph.needs[*at].iter().any(|need| need != at && waiting.contains(need));
        let next = waiting.iter().position(is_free).unwrap_or(0);
        sorted.push(waiting.remove(next));
    }
    sorted
}
