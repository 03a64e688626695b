//! The order of the variants, and a sentence for each place.
//!
//! What cannot win is set aside first; only then are metric, judge and size looked at. Nothing that
//! depends on the order of the lanes counts.

mod why;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use super::findings::{Duel, Metric, Place, Row, Similar, Weight};
use crate::record::{Run, State, Variant};

/// Orders the variants of a run, the best first; `trees` decides where nothing else does.
pub(crate) fn rank(
    run: &Run,
    rows: &[Row],
    similar: &[Similar],
    duels: &[Duel],
    lower_is_better: bool,
    trees: &BTreeMap<usize, String>,
) -> Vec<Place> {
    let row = |variant: &Variant| rows.iter().find(|row| row.number == variant.number);
    let all = run.variants.iter().map(|variant| (variant, row(variant), bars(variant, row(variant))));
    let (can, cannot): (Vec<_>, Vec<_>) = all.partition(|(_, _, bars)| bars.is_empty());
    let numbers: BTreeSet<usize> = can.iter().map(|(variant, _, _)| variant.number).collect();
    let mut entries: Vec<Entry<'_>> = can
        .iter()
        .filter_map(|(_, row, _)| Some(Entry::of((*row)?, duels, &numbers, lower_is_better, trees)))
        .collect();
    entries.sort_by(|a, b| a.compare(b).0);
    let mut places: Vec<Place> = (0..entries.len())
        .map(|at| Place {
            place: Some(at + 1),
            variant: entries[at].row.number,
            reason: why::reason(&entries, at, similar),
        })
        .collect();
    let mut cannot: Vec<Place> = cannot
        .into_iter()
        .map(|(variant, _, bars)| Place {
            place: None,
            variant: variant.number,
            reason: format!("cannot win: {}", why::some(&bars)),
        })
        .collect();
    cannot.sort_by_key(|place| place.variant);
    places.append(&mut cannot);
    places
}

/// Returns why a variant cannot win, whatever else speaks for it.
pub(crate) fn bars(variant: &Variant, row: Option<&Row>) -> Vec<String> {
    let because = |words: &str| match &variant.reason {
        Some(reason) => format!("{words} ({reason})"),
        None => words.to_owned(),
    };
    match variant.state {
        State::Pending => return vec!["has not begun".to_owned()],
        State::InProgress => return vec!["has not ended".to_owned()],
        State::Failed => return vec![because("failed")],
        State::Cancelled => return vec![because("was cancelled")],
        State::Completed => {}
    }
    if let Some(problem) = &variant.problem {
        return vec![format!("does not apply to the base ({problem})")];
    }
    if variant.commit.is_none() {
        return vec!["has no work to show".to_owned()];
    }
    let Some(row) = row else { return vec!["is not reviewed".to_owned()] };
    match row.size {
        None => return vec!["has no work to show".to_owned()],
        Some(size) if size.files == 0 => return vec!["changes nothing".to_owned()],
        Some(_) => {}
    }
    let mut bars = verdict(row);
    bars.extend(row.risks.iter().filter(|risk| risk.weight == Weight::Bars).map(|risk| risk.text.clone()));
    bars
}

/// What speaks against a variant in its verdict.
fn verdict(row: &Row) -> Vec<String> {
    if matches!(row.verdict.as_str(), "pass" | "no-checks" | "not-validated") {
        return Vec::new();
    }
    let bad = row.checks.iter().filter_map(|check| {
        let verb = match check.status.as_str() {
            "fail" => "fails",
            "timed-out" => "timed out",
            "broken" => "could not run",
            _ => return None,
        };
        Some(format!("check '{}' {verb}", check.name))
    });
    let bad: Vec<String> = bad.collect();
    if !bad.is_empty() {
        return bad;
    }
    let why = row.problem.as_ref().map(|problem| format!(" ({problem})")).unwrap_or_default();
    vec![format!("its verdict is '{}'{why}", row.verdict)]
}

/// A variant that can win, and what counts for it.
struct Entry<'a> {
    row: &'a Row,
    passes: bool,
    serious: Vec<&'a str>,
    /// The more the better; none if unscored.
    score: Option<f64>,
    duels: isize,
    code: usize,
    files: usize,
    lines: usize,
    tree: Option<&'a String>,
}

/// What two variants differ in first, by the weight of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Verdict,
    Serious,
    Metric,
    Judge,
    Code,
    Files,
    Lines,
    Nothing,
}

impl<'a> Entry<'a> {
    fn of(
        row: &'a Row,
        duels: &[Duel],
        numbers: &BTreeSet<usize>,
        lower_is_better: bool,
        trees: &'a BTreeMap<usize, String>,
    ) -> Entry<'a> {
        let size = row.size.unwrap_or_default();
        let score = match row.metric {
            Metric::Scored { value } if value.is_finite() => Some(if lower_is_better { -value } else { value }),
            Metric::Scored { .. } | Metric::Unscored { .. } | Metric::None => None,
        };
        let fair = duels
            .iter()
            .filter(|duel| duel.one != duel.other && numbers.contains(&duel.one) && numbers.contains(&duel.other));
        let points = fair.filter_map(|duel| {
            let winner = duel.winner.filter(|winner| [duel.one, duel.other].contains(winner))?;
            let is_in = [duel.one, duel.other].contains(&row.number);
            is_in.then_some(if winner == row.number { 1 } else { -1 })
        });
        let serious = row.risks.iter().filter(|risk| risk.weight == Weight::Serious).map(|risk| risk.text.as_str());
        Entry {
            row,
            passes: row.verdict == "pass",
            serious: serious.collect(),
            score,
            duels: points.sum(),
            code: size.code,
            files: size.files,
            lines: size.added + size.removed,
            tree: trees.get(&row.number),
        }
    }

    /// Says which comes first, and what decides it.
    fn compare(&self, other: &Entry<'_>) -> (Ordering, By) {
        let by_score = match (self.score, other.score) {
            (Some(one), Some(two)) => two.total_cmp(&one),
            (one, two) => two.is_some().cmp(&one.is_some()),
        };
        let all = [
            (Reverse(self.passes).cmp(&Reverse(other.passes)), By::Verdict),
            (self.serious.is_empty().cmp(&other.serious.is_empty()).reverse(), By::Serious),
            (by_score, By::Metric),
            (Reverse(self.duels).cmp(&Reverse(other.duels)), By::Judge),
            (self.code.cmp(&other.code), By::Code),
            (self.files.cmp(&other.files), By::Files),
            (self.lines.cmp(&other.lines), By::Lines),
        ];
        let decided = all.into_iter().find(|(order, _)| *order != Ordering::Equal);
        // Trees are the same work in whatever lane it was done; only equal work is told apart by number.
        let last = || self.tree.cmp(&other.tree).then(self.row.number.cmp(&other.row.number));
        decided.unwrap_or_else(|| (last(), By::Nothing))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::findings::{Check, Risk, Size};
    use super::*;

    /// A run of so many variants, all completed.
    pub(crate) fn run(count: usize) -> Run {
        let variant = |number: usize| {
            serde_json::json!({
                "number": number, "state": "completed", "commit": "1".repeat(40), "agent": "codex", "tokens": 1200,
                "seconds": 61.5, "lane": 0,
            })
        };
        serde_json::from_value(serde_json::json!({
            "schema": 1, "run": "r1", "title": "Do it", "backend": "local", "base": "main",
            "base_commit": "2".repeat(40), "best_of": count,
            "lanes": [{"runs": {"agent": "codex"}, "model": null, "count": count, "prompt": null}],
            "prompt_hash": "3".repeat(64), "timeout_ms": 0, "created": "2026-03-01T09:30:00Z", "kickoff": "done",
            "logged": true, "phase": "ready", "variants": (1..=count).map(variant).collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    /// A variant that passes and changes so many lines of code.
    pub(crate) fn row(number: usize, code: usize) -> Row {
        let size = Size { files: 1, added: code, code, ..Size::default() };
        let check =
            Check { name: "test".to_owned(), status: "pass".to_owned(), seconds: Some(1.5), tail: String::new() };
        Row {
            commit: None,
            number,
            verdict: "pass".to_owned(),
            checks: vec![check],
            metric: Metric::None,
            size: Some(size),
            risks: Vec::new(),
            problem: None,
        }
    }

    pub(crate) fn failing(number: usize, code: usize) -> Row {
        let mut row = Row { verdict: "fail".to_owned(), ..row(number, code) };
        "fail".clone_into(&mut row.checks[0].status);
        row
    }

    pub(crate) fn risky(number: usize, weight: Weight, text: &str) -> Row {
        let risk = Risk { weight, kind: "tests-removed".to_owned(), path: None, text: text.to_owned() };
        Row { risks: vec![risk], ..row(number, 1) }
    }

    pub(crate) fn duel(one: usize, other: usize, winner: Option<usize>) -> Duel {
        Duel { one, other, winner, answers: Vec::new(), why: Vec::new(), problem: None }
    }

    fn scored(number: usize, code: usize, value: f64) -> Row {
        Row { metric: Metric::Scored { value }, ..row(number, code) }
    }

    fn order(rows: &[Row], duels: &[Duel], lower: bool) -> Vec<(usize, Option<usize>)> {
        let trees = rows.iter().map(|row| (row.number, format!("tree {}", 9 - row.number))).collect();
        let places = rank(&run(rows.len()), rows, &[], duels, lower, &trees);
        places.into_iter().map(|place| (place.variant, place.place)).collect()
    }

    fn reasons(run: &Run, rows: &[Row], similar: &[Similar], duels: &[Duel]) -> Vec<String> {
        let places = rank(run, rows, similar, duels, false, &BTreeMap::new());
        places.into_iter().map(|place| place.reason).collect()
    }

    #[test]
    fn a_broken_attempt_can_never_win() {
        let mut run = run(8);
        run.variants[4].state = State::Failed;
        run.variants[4].reason = Some("timed out".to_owned());
        run.variants[5].problem = Some("'a.rs' is not as it was".to_owned());
        run.variants[6].commit = None;
        let broken = [
            Row { metric: Metric::Scored { value: 1e9 }, ..failing(2, 1) },
            Row { metric: Metric::Scored { value: 1e9 }, ..risky(3, Weight::Bars, "removes 2 tests") },
            Row { metric: Metric::Scored { value: 1e9 }, size: Some(Size::default()), ..row(4, 0) },
            scored(5, 1, 1e9),
            scored(6, 1, 1e9),
            scored(7, 1, 1e9),
        ];
        let rows: Vec<Row> = [scored(1, 5000, 0.0)].into_iter().chain(broken).collect();
        // A judge who always prefers the other one.
        let duels: Vec<Duel> = (2..=8).map(|other| duel(1, other, Some(other))).collect();
        let places = rank(&run, &rows, &[], &duels, false, &BTreeMap::new());
        assert_eq!((places[0].variant, places[0].place), (1, Some(1)));
        assert_eq!(places[0].reason, "passes all checks; no other can win");
        assert!(places[1..].iter().all(|place| place.place.is_none()));
        let said: Vec<&str> = places[1..].iter().map(|place| place.reason.as_str()).collect();
        assert_eq!(
            said,
            [
                "cannot win: check 'test' fails",
                "cannot win: removes 2 tests",
                "cannot win: changes nothing",
                "cannot win: failed (timed out)",
                "cannot win: does not apply to the base ('a.rs' is not as it was)",
                "cannot win: has no work to show",
                "cannot win: is not reviewed",
            ]
        );
    }

    #[test]
    fn the_same_order_comes_of_any_order_of_the_rows() {
        let rows = [row(1, 12), failing(2, 1), row(3, 87), risky(4, Weight::Serious, "x"), row(5, 12), row(6, 30)];
        let duels = [duel(3, 6, Some(3)), duel(1, 2, Some(2))];
        let wanted = [(3, Some(1)), (5, Some(2)), (1, Some(3)), (6, Some(4)), (4, Some(5)), (2, None)];
        let mut order_of: Vec<usize> = (0..rows.len()).collect();
        let mut tried = 0;
        permute(&mut order_of, 0, &mut |at| {
            let rows: Vec<Row> = at.iter().map(|at| rows[*at].clone()).collect();
            assert_eq!(order(&rows, &duels, false), wanted, "{at:?}");
            tried += 1;
        });
        assert_eq!(tried, 720);
    }

    fn permute(all: &mut Vec<usize>, from: usize, each: &mut impl FnMut(&[usize])) {
        if from == all.len() {
            return each(all);
        }
        for at in from..all.len() {
            all.swap(from, at);
            permute(all, from + 1, each);
            all.swap(from, at);
        }
    }

    #[test]
    fn the_order_does_not_depend_on_which_lane_did_what() {
        // The same two pieces of work under swapped numbers: the tree decides, not the number.
        let first = |trees: [&str; 2]| {
            let trees = (1..).zip(trees.map(str::to_owned)).collect();
            let places = rank(&run(2), &[row(1, 5), row(2, 5)], &[], &[], false, &trees);
            trees[&places[0].variant].clone()
        };
        assert_eq!((first(["aa", "bb"]), first(["bb", "aa"])), ("aa".to_owned(), "aa".to_owned()));
    }

    #[test]
    fn each_thing_counts_before_the_next() {
        let first = |rows: &[Row], duels: &[Duel], lower| order(rows, duels, lower)[0].0;
        let unchecked = Row { verdict: "no-checks".to_owned(), ..scored(1, 1, 9.0) };
        assert_eq!(first(&[unchecked, risky(2, Weight::Serious, "x")], &[duel(1, 2, Some(1))], false), 2);
        let serious = Row { metric: Metric::Scored { value: 9.0 }, ..risky(1, Weight::Serious, "x") };
        assert_eq!(first(&[serious, row(2, 50)], &[duel(1, 2, Some(1))], false), 2);
        assert_eq!(first(&[scored(1, 1, 3.0), scored(2, 50, 4.0)], &[duel(1, 2, Some(1))], false), 2);
        assert_eq!(first(&[scored(1, 50, 3.0), scored(2, 1, 4.0)], &[], true), 1);
        let unscored = Row { metric: Metric::Unscored { why: "failed".to_owned() }, ..row(1, 1) };
        assert_eq!(first(&[unscored, scored(2, 50, -4.0)], &[], false), 2);
        assert_eq!(first(&[row(1, 1), row(2, 50)], &[duel(2, 1, Some(2))], false), 2);
        assert_eq!(
            first(&[row(1, 1), row(2, 50)], &[duel(2, 1, None), duel(2, 2, Some(2)), duel(1, 2, Some(7))], false),
            1
        );
        let files = Row { size: Some(Size { files: 2, added: 5, code: 5, ..Size::default() }), ..row(1, 5) };
        assert_eq!(first(&[files, row(2, 5)], &[], false), 2);
        let with_tests = Row { size: Some(Size { files: 1, added: 9, code: 5, ..Size::default() }), ..row(1, 5) };
        assert_eq!(first(&[with_tests, row(2, 5)], &[], false), 2);
    }

    #[test]
    fn each_place_says_why() {
        let similar = [Similar { one: 1, other: 3, share: 0.97, same: true }];
        let said = reasons(&run(3), &[row(1, 12), row(2, 87), row(3, 13)], &similar, &[]);
        assert_eq!(
            said,
            [
                "passes all checks; smallest change of 3 (12 lines, next 13)",
                "below variant 1: larger (13 lines against 12); essentially the same as variant 1",
                "below variant 3: larger (87 lines against 13)",
            ]
        );
        let said = reasons(&run(2), &[row(1, 12), row(2, 87)], &[], &[duel(1, 2, Some(2))]);
        assert_eq!(
            said,
            [
                "passes all checks; preferred by the judge (+1, next -1)",
                "below variant 2: the judge prefers others (-1 against +1)",
            ]
        );
        let said = reasons(&run(2), &[risky(1, Weight::Serious, "adds a key"), row(2, 3)], &[], &[]);
        assert_eq!(
            said,
            ["passes all checks; no serious risk, unlike variant 1", "below variant 2: serious risk: adds a key",]
        );
        let unchecked = Row { verdict: "no-checks".to_owned(), ..row(1, 3) };
        assert_eq!(reasons(&run(1), &[unchecked], &[], &[]), ["there are no checks to pass; no other can win"]);
    }
}
