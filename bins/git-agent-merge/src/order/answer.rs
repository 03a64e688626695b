//! What `order` answers, for people and for programs.

use std::fmt;

use serde::Serialize;
use shared::output::Foreign;

use super::Wish;
use super::chain::Chain;
use crate::answer::{BaseRow, Verdict};
use crate::conflict::{Conflict, Kind};
use crate::forecast::Forecast;
use crate::matrix;
use crate::names::Side;
use crate::oracle::Oracle;

/// The order, and how many of it merge together.
#[derive(Debug, Serialize)]
pub(super) struct Order {
    base: BaseRow,
    /// Whether it is sure that no larger set merges together.
    exact: bool,
    /// What those that merge together merge to.
    tree: Option<String>,
    order: Vec<Place>,
}

/// One place in the order.
#[derive(Debug, Serialize)]
struct Place {
    position: usize,
    name: String,
    task: Option<String>,
    #[serde(rename = "ref")]
    branch: Option<String>,
    commit: String,
    dirty: bool,
    /// Whether it merges on top of those before it.
    merges: bool,
    /// Names that have to come before.
    needs: Vec<String>,
    /// Open tasks that have to come before and were not asked about.
    waits_for: Vec<String>,
    conflicts: Vec<With>,
    why: String,
}

/// What it conflicts with.
#[derive(Debug, Serialize)]
struct With {
    with: Whom,
    name: String,
    verdict: Verdict,
    files: Vec<File>,
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Whom {
    /// The base.
    Base,
    /// Another branch.
    Branch,
    /// All before it together, though none of them alone.
    Before,
}

#[derive(Debug, Serialize)]
struct File {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    kind: Kind,
}

impl Order {
    pub(super) fn new(
        oracle: &Oracle<'_>,
        sides: &[Side],
        found: &Forecast,
        wishes: &[Wish],
        chain: &Chain,
        rest: &[usize],
        is_exact: bool,
    ) -> Order {
        let base = BaseRow { name: oracle.base.name.clone(), commit: oracle.base.commit.to_string() };
        let names = |places: &[usize]| places.iter().map(|at| sides[*at].name.clone()).collect::<Vec<_>>();
        let places = chain.merged.iter().chain(rest).enumerate().map(|(position, at)| {
            let (side, wish) = (&sides[*at], &wishes[*at]);
            let merges = chain.merged.contains(at);
            let conflicts = conflicts(*at, &base, sides, found, chain);
            let missing: Vec<usize> = wish.needs.iter().copied().filter(|need| !chain.merged.contains(need)).collect();
            Place {
                position: position + 1,
                name: side.name.clone(),
                task: side.task.clone(),
                branch: side.branch.clone(),
                commit: side.commit.to_string(),
                dirty: side.dirty,
                merges,
                why: why(merges, &conflicts, wish, &names(&wish.needs), &names(&missing)),
                needs: names(&wish.needs),
                waits_for: wish.waits_for.clone(),
                conflicts,
            }
        });
        Order {
            order: places.collect(),
            base,
            exact: is_exact && chain.failed.is_empty(),
            tree: chain.tree.map(|tree| tree.to_string()),
        }
    }
}

fn conflicts(at: usize, base: &BaseRow, sides: &[Side], found: &Forecast, chain: &Chain) -> Vec<With> {
    let short = base.name.strip_prefix("refs/heads/").unwrap_or(&base.name);
    let own = (Whom::Base, short, &found.merged[at]);
    let pairs = found.pairs.iter().filter(|pair| pair.a == at || pair.b == at).map(|pair| {
        let other = if pair.a == at { pair.b } else { pair.a };
        (Whom::Branch, sides[other].name.as_str(), &pair.outcome)
    });
    let before = chain.failed.get(&at).map(|outcome| (Whom::Before, "those before it together", outcome));
    let all = std::iter::once(own).chain(pairs).chain(before);
    let bad = all.filter(|(_, _, outcome)| matches!(outcome.verdict, Verdict::Conflict | Verdict::CouldNotTell));
    let with = bad.map(|(with, name, outcome)| With {
        with,
        name: name.to_owned(),
        verdict: outcome.verdict,
        files: outcome.conflicts.iter().map(file).collect(),
        reason: outcome.reason.clone(),
    });
    with.collect()
}

fn file(conflict: &Conflict) -> File {
    File { path: conflict.path.clone(), path_bytes: conflict.path_bytes.clone(), kind: conflict.kind }
}

fn why(merges: bool, conflicts: &[With], wish: &Wish, needs: &[String], missing: &[String]) -> String {
    let mut words = Vec::new();
    let list: Vec<String> = conflicts.iter().map(With::to_string).collect();
    match (merges, conflicts.is_empty()) {
        (true, true) => words.push("conflicts with none".to_owned()),
        (true, false) => words.push(format!("comes first, though it {}", list.join("; it "))),
        (false, true) => {}
        (false, false) => words.extend(list),
    }
    match (needs.is_empty(), missing.is_empty()) {
        (true, _) => {}
        (false, true) => words.push(format!("after {}, which it depends on", needs.join(", "))),
        (false, false) => words.push(format!("depends on {}, which does not merge", missing.join(", "))),
    }
    if wish.priority != 0 {
        words.push(format!("priority {}", wish.priority));
    }
    if !wish.waits_for.is_empty() {
        words.push(format!("waits for {}, which is not among these", wish.waits_for.join(", ")));
    }
    words.join("; ")
}

impl fmt::Display for With {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.verdict == Verdict::CouldNotTell { "could not be told with" } else { "conflicts with" };
        write!(f, "{how} {}", self.name)?;
        let paths = matrix::names(self.files.iter().map(|file| file.path.as_str()));
        if !paths.is_empty() {
            write!(f, " in {paths}")?;
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.order.iter().map(|place| place.name.chars().count()).max().unwrap_or(0);
        for place in &self.order {
            let sign = if place.merges { "merges" } else { "stays" };
            let (position, name) = (place.position, Foreign(&place.name));
            let dirty = if place.dirty { "  (with uncommitted work)" } else { "" };
            writeln!(f, "{position:>3} {name:width$}  {sign:<6}  {}{dirty}", Foreign(&place.why))?;
        }
        let merged = self.order.iter().filter(|place| place.merges).count();
        let base = Foreign(self.base.name.strip_prefix("refs/heads/").unwrap_or(&self.base.name));
        if self.order.is_empty() {
            return Ok(());
        }
        write!(f, "{merged} of {} merge into {base} on top of each other in this order", self.order.len())?;
        match (self.exact, merged == self.order.len()) {
            (_, true) | (true, false) => writeln!(f),
            (false, false) => writeln!(f, "; there may be a larger set"),
        }
    }
}
