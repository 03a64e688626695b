//! All that is known of a run, as one value: for people as text, Markdown or a page, for programs as JSON.

mod advice;
pub(crate) mod args;
pub(crate) mod html;
pub(crate) mod markdown;
mod text;
mod words;

use anyhow::Result;
use gix::ObjectId;
use jiff::Timestamp;
use serde::Serialize;
use shared::process::Git;

use crate::record::{Backend, Kickoff, Phase, Picked, Run, State, Variant};
use crate::review::change::{self, FileChange};
use crate::review::findings::{Check, Duel, Metric, Place, Review, Risk, Row, Similar, Size};

/// What is known of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) run: String,
    pub(crate) title: String,
    pub(crate) task: Option<String>,
    pub(crate) backend: Backend,
    pub(crate) env: Option<String>,
    pub(crate) base: String,
    pub(crate) base_commit: String,
    pub(crate) best_of: usize,
    pub(crate) lanes: Vec<String>,
    pub(crate) round: u32,
    pub(crate) previous: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) kickoff: Kickoff,
    pub(crate) phase: Phase,
    pub(crate) reason: Option<String>,
    pub(crate) picked: Option<Picked>,
    /// When it was reviewed, if it was.
    pub(crate) reviewed: Option<Timestamp>,
    pub(crate) metric: Option<String>,
    pub(crate) lower_is_better: bool,
    pub(crate) judged: bool,
    pub(crate) variants: Vec<Line>,
    /// The best first; empty without a review.
    pub(crate) ranking: Vec<Place>,
    pub(crate) similar: Vec<Similar>,
    pub(crate) duels: Vec<Duel>,
    /// What nobody has looked at, or what speaks against the choice.
    pub(crate) residual: Vec<String>,
    pub(crate) next: Vec<Step>,
}

/// What is known of one variant.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) variant: usize,
    pub(crate) place: Option<usize>,
    pub(crate) state: State,
    pub(crate) reason: Option<String>,
    pub(crate) lane: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) model: Option<String>,
    /// The short name of its branch, if there can be one.
    pub(crate) branch: Option<String>,
    pub(crate) commit: Option<String>,
    /// `applies`, or why it does not; none if there is nothing to apply.
    pub(crate) apply: Option<String>,
    /// None without a review.
    pub(crate) verdict: Option<String>,
    pub(crate) problem: Option<String>,
    pub(crate) checks: Vec<Check>,
    pub(crate) metric: Metric,
    pub(crate) size: Option<Size>,
    pub(crate) tokens: Option<u64>,
    pub(crate) seconds: Option<f64>,
    pub(crate) risks: Vec<Risk>,
    /// Its agent's last words.
    pub(crate) message: Option<String>,
}

/// Something to do, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    pub(crate) command: String,
    pub(crate) why: String,
}

/// The files of one variant, for the page.
#[derive(Debug, Clone)]
pub(crate) struct Changes {
    pub(crate) number: usize,
    pub(crate) files: Vec<FileChange>,
}

impl Changes {
    /// Reads what a variant changes in the base.
    ///
    /// # Errors
    /// When git cannot compare the two.
    pub(crate) fn load(git: &Git, number: usize, base: ObjectId, commit: ObjectId) -> Result<Changes> {
        Ok(Changes { number, files: change::load(git, base, commit)? })
    }
}

impl Report {
    /// Puts together what the record and the review say.
    pub(crate) fn of(run: &Run, review: Option<&Review>) -> Report {
        let ranking = review.map(|review| review.ranking.clone()).unwrap_or_default();
        let line = |variant: &Variant| {
            let row = review.and_then(|review| review.rows.iter().find(|row| row.number == variant.number));
            let place = ranking.iter().find(|place| place.variant == variant.number).and_then(|place| place.place);
            Line::of(run, variant, row, place)
        };
        let mut report = Report {
            variants: run.variants.iter().map(line).collect(),
            run: run.run.clone(),
            title: run.title.clone(),
            task: run.task.clone(),
            backend: run.backend,
            env: run.env.clone(),
            base: run.base.clone(),
            base_commit: run.base_commit.clone(),
            best_of: run.best_of,
            lanes: run.lane_words(),
            round: run.round,
            previous: run.previous.clone(),
            created: run.created,
            kickoff: run.kickoff,
            phase: run.phase,
            reason: run.reason.clone(),
            picked: run.picked.clone(),
            reviewed: review.map(|review| review.time),
            metric: review.and_then(|review| review.metric.clone()),
            lower_is_better: review.is_some_and(|review| review.lower_is_better),
            judged: review.is_some_and(|review| review.judged),
            ranking,
            similar: review.map(|review| review.similar.clone()).unwrap_or_default(),
            duels: review.map(|review| review.duels.clone()).unwrap_or_default(),
            residual: Vec::new(),
            next: Vec::new(),
        };
        report.residual = advice::residual(&report);
        report.next = advice::next(&report);
        report
    }

    /// Returns the variant that was picked, or else the best.
    pub(crate) fn winner(&self) -> Option<&Line> {
        let best = || self.ranking.iter().find(|place| place.place == Some(1)).map(|place| place.variant);
        self.picked.as_ref().map(|picked| picked.variant).or_else(best).and_then(|number| self.line(number))
    }

    pub(crate) fn line(&self, number: usize) -> Option<&Line> {
        self.variants.iter().find(|line| line.variant == number)
    }

    /// Returns the variants in the order of the ranking, or by number without one.
    pub(crate) fn in_order(&self) -> Vec<&Line> {
        let mut lines: Vec<&Line> = self.variants.iter().collect();
        let place = |line: &&Line| self.ranking.iter().position(|place| place.variant == line.variant);
        lines.sort_by_key(|line| place(line).unwrap_or(usize::MAX));
        lines
    }
}

impl Line {
    fn of(run: &Run, variant: &Variant, row: Option<&Row>, place: Option<usize>) -> Line {
        let applies = || variant.commit.as_ref().map(|_| "applies".to_owned());
        let lane = variant.lane.and_then(|lane| run.lanes.get(lane));
        let branch = run.branch(variant.number);
        Line {
            variant: variant.number,
            place,
            state: variant.state,
            reason: variant.reason.clone(),
            lane: lane.map(ToString::to_string),
            agent: variant.agent.clone(),
            model: variant.model.clone(),
            branch: (variant.state == State::Completed && variant.commit.is_some() && variant.problem.is_none())
                .then(|| branch.strip_prefix("refs/heads/").unwrap_or(&branch).to_owned()),
            commit: variant.commit.clone(),
            apply: variant.problem.clone().or_else(applies),
            verdict: row.map(|row| row.verdict.clone()),
            problem: row.and_then(|row| row.problem.clone()),
            checks: row.map(|row| row.checks.clone()).unwrap_or_default(),
            metric: row.map_or(Metric::None, |row| row.metric.clone()),
            size: row.and_then(|row| row.size),
            tokens: variant.tokens,
            seconds: variant.seconds,
            risks: row.map(|row| row.risks.clone()).unwrap_or_default(),
            message: variant.message.clone(),
        }
    }

    /// Counts the checks that passed, those that failed, and the others.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for check in &self.checks {
            counts[match check.status.as_str() {
                "pass" => 0,
                "fail" | "timed-out" => 1,
                _ => 2,
            }] += 1;
        }
        counts
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::review::findings::Weight;
    use crate::review::rank::{self, tests as ranked};

    /// A run of four: good, larger, failing, and one that removes tests; with a message that would be markup.
    pub(crate) fn report() -> Report {
        let mut run = ranked::run(4);
        run.variants[0].message = Some("<script>alert(1)</script> \u{202e}| done".to_owned());
        let rows = vec![
            ranked::row(1, 12),
            ranked::row(2, 87),
            ranked::failing(3, 3),
            ranked::risky(4, Weight::Bars, "removes 2 tests"),
        ];
        let similar = vec![Similar { one: 1, other: 2, share: 0.2, same: false }];
        let ranking = rank::rank(&run, &rows, &similar, &[], false, &std::collections::BTreeMap::new());
        let review = Review {
            run: run.run.clone(),
            base_commit: run.base_commit.clone(),
            time: run.created,
            metric: None,
            lower_is_better: false,
            judged: false,
            how: None,
            rows,
            similar,
            duels: Vec::new(),
            ranking,
        };
        Report::of(&run, Some(&review))
    }

    #[test]
    fn a_report_holds_what_record_and_review_say() {
        let report = report();
        assert_eq!(report.winner().map(|line| line.variant), Some(1));
        assert_eq!(report.lanes, ["codex:4"]);
        let line = &report.variants[2];
        assert_eq!((line.verdict.as_deref(), line.counts(), line.place), (Some("fail"), [0, 1, 0], None));
        assert_eq!((line.branch.as_deref(), line.apply.as_deref()), (Some("bo4/r1/var3"), Some("applies")));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["variants"][0]["size"]["code"], 12);
        assert_eq!(json["next"][0]["command"], "git bo4 show r1 --variant 1");
    }

    #[test]
    fn without_a_review_it_is_a_report_all_the_same() {
        let report = Report::of(&ranked::run(2), None);
        assert!(report.ranking.is_empty() && report.winner().is_none() && report.variants[0].verdict.is_none());
        assert_eq!(report.next[0].command, "git bo4 review r1");
    }
}
