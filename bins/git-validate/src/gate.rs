//! What is asked of one subject: the checks and policies, each with its key, and what is known of them.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use anyhow::Result;
use gix::ObjectId;
use shared::app::Context;
use shared::config::REPOSITORY_FILE;
use shared::failure::Failure;

use crate::checks::key::Keys;
use crate::checks::{self, Check, Stage};
use crate::journal::Journal;
use crate::note::{self, Noted};
use crate::policy::{self, Outcome, Policy, Reached, Scene};
use crate::subject::Subject;
use crate::tree::{self, File};
use crate::verdict::{Answer, Kind, Line, REVIEW, Row, Source, Verdict, judge};

/// Which of the checks and policies are asked.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Choice {
    /// Ask only this check or policy, and what it needs; may be given several times
    #[arg(long = "check", value_name = "name")]
    only: Vec<String>,
    /// Ask only the checks of this stage and those of no stage, and all policies
    #[arg(long, value_name = "stage")]
    stage: Option<Stage>,
}

impl Choice {
    pub(crate) fn of(stage: Stage) -> Choice {
        Choice { only: Vec::new(), stage: Some(stage) }
    }

    pub(crate) fn one(name: &str) -> Choice {
        Choice { only: vec![name.to_owned()], stage: None }
    }

    pub(crate) fn is_given(&self) -> bool {
        !self.only.is_empty() || self.stage.is_some()
    }
}

/// What is asked of a subject.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate {
    pub(crate) checks: Vec<(Check, String)>,
    pub(crate) policies: Vec<(Policy, String)>,
    /// Those that nobody has to ask for; they are told of only if they find something.
    implicit: Vec<Policy>,
    /// Whether one of those was asked for by its name all the same.
    is_named: bool,
    /// Those about what checks report.
    reported: Vec<Policy>,
}

impl Gate {
    /// Finds out what is asked of a subject.
    ///
    /// # Errors
    /// When the settings cannot be understood or wait for trust, or a name is chosen that is none.
    pub(crate) fn of(cx: &Context, subject: &Subject, choice: &Choice) -> Result<Gate, Failure> {
        let checks = checks::configured(cx)?;
        let policies = policy::configured(cx)?;
        if let Some(unknown) = choice.only.iter().find(|name| !is_named(&checks, &policies, name)) {
            let names = checks.iter().map(|check| check.name.clone()).chain(policies.iter().map(Policy::name));
            let names = names.collect::<Vec<_>>().join(", ");
            return Err(Failure::usage(format!("there is no check '{}'; there are {names}", unknown.escape_debug())));
        }
        let is_named = |policy: &Policy| choice.only.contains(&policy.name());
        let needs_reports = policies.iter().any(|policy| policy.is_about_reports() && is_named(policy));
        let wanted = wanted(&checks, choice, needs_reports);
        // Who is not asked now, at another stage, would have reported the rest.
        let is_partial = checks.iter().any(|check| check.reports_coverage() && !wanted.contains(&check.name));
        let scene = scene(cx, subject);
        let files: OnceCell<Vec<File>> = OnceCell::new();
        let list = || -> Result<&[File]> {
            if let Some(files) = files.get() {
                return Ok(files);
            }
            let read = tree::files(cx.repository().map_err(anyhow::Error::new)?, subject.tree)?;
            Ok(files.get_or_init(|| read))
        };
        let mut keys = Keys::new(cx, subject.base);
        let mut gate = Gate::default();
        for check in checks.into_iter().filter(|check| wanted.contains(&check.name)) {
            let key = keys.of(&check, &list)?;
            gate.checks.push((check, key));
        }
        keys.save();
        let is_chosen = |policy: &Policy| choice.only.is_empty() || is_named(policy);
        let chosen = policies.into_iter().filter(is_chosen);
        let (implicit, asked): (Vec<Policy>, Vec<Policy>) = chosen.partition(Policy::is_implicit);
        gate.is_named = !choice.only.is_empty() && !implicit.is_empty();
        gate.implicit = implicit;
        let (reported, asked): (Vec<Policy>, Vec<Policy>) = asked.into_iter().partition(Policy::is_about_reports);
        gate.reported = if is_partial { Vec::new() } else { reported };
        gate.policies = asked.into_iter().map(|policy| (policy.clone(), policy.key(scene))).collect();
        Ok(gate)
    }

    /// Says whether nobody has asked for anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.policies.is_empty() && self.reported.is_empty() && !self.is_named
    }

    /// What is known: from the note, and of checks that name their inputs from any tree that had them.
    ///
    /// # Errors
    /// When notes or journal cannot be read.
    pub(crate) fn known(&self, cx: &Context, tree: ObjectId) -> Result<Vec<Noted>, Failure> {
        let mut noted = note::read(cx, tree)?;
        for (check, key) in self.checks.iter().filter(|(check, _)| !check.inputs.mean_all()) {
            let is_noted = |noted: &Noted| noted.line.check == check.name && noted.line.key == *key;
            if noted.iter().any(|noted| is_noted(noted) && noted.source != Source::Foreign) {
                continue;
            }
            let line = Journal::of(cx.repository()?)?.by_inputs(key)?;
            noted.extend(line.filter(|line| line.check == check.name).map(|line| Noted { line, source: Source::Own }));
        }
        Ok(noted)
    }

    /// Puts together what is known; whatever nobody vouches for does not count.
    pub(crate) fn answer(&self, subject: Subject, noted: &[Noted]) -> Answer {
        let checks = self.checks.iter().map(|(check, key)| row(&check.name, key, noted));
        let mut rows: Vec<Row> =
            checks.chain(self.policies.iter().map(|(policy, key)| row(&policy.name(), key, noted))).collect();
        rows.extend(review(noted));
        let verdict = if self.is_empty() { Verdict::NoChecks } else { judge(&rows) };
        Answer { subject, verdict, cached: true, checks: rows, fixed: None }
    }

    /// Judges what the checks have reported, once all of them have an answer.
    ///
    /// # Errors
    /// When the notes of the base cannot be read.
    pub(crate) fn sum_up(&self, cx: &Context, answer: &mut Answer) -> Result<(), Failure> {
        let is_open = answer.checks.iter().any(|row| row.kind == Kind::Check && row.status.is_none());
        for policy in &self.reported {
            answer.checks.retain(|row| row.name != policy.name());
            let mut row = Row::open(&policy.name(), "");
            if !is_open {
                let mut own = Reached::default();
                answer.checks.iter().filter(|row| row.kind == Kind::Check).for_each(|row| own.add(&row.counts));
                let base = answer.subject.base.map(|base| noted_of(cx, base)).transpose()?;
                if let Some(outcome) = policy.judge_reports(own, base) {
                    let (status, findings, counts) = (Some(outcome.status), outcome.findings, outcome.counts);
                    row = Row { status, findings, counts, source: Some(Source::Own), ..row };
                }
            }
            answer.checks.push(row);
        }
        if !self.is_empty() {
            answer.verdict = judge(&answer.checks);
        }
        Ok(())
    }

    /// Adds what the policies find that nobody has to ask for.
    ///
    /// # Errors
    /// When the trees cannot be read.
    pub(crate) fn watch(&self, cx: &Context, answer: &mut Answer) -> Result<(), Failure> {
        if self.implicit.is_empty() || !(self.is_named || changes_settings(cx, &answer.subject)?) {
            return Ok(());
        }
        let policies: Vec<&Policy> = self.implicit.iter().collect();
        let outcomes = policy::judge(scene(cx, &answer.subject), &policies)?;
        let is_told = |outcome: &Outcome| self.is_named || !outcome.findings.is_empty();
        for (policy, outcome) in policies.iter().zip(outcomes).filter(|(_, outcome)| is_told(outcome)) {
            let row = Row::open(&policy.name(), "");
            let (status, findings) = (Some(outcome.status), outcome.findings);
            answer.checks.push(Row { status, findings, source: Some(Source::Own), reason: outcome.reason, ..row });
        }
        answer.verdict = judge(&answer.checks);
        // It depends on what the user has agreed to, so it is not noted.
        answer.cached &= !self.is_named;
        Ok(())
    }
}

/// What the newest result of each check on a tree says was reached.
fn noted_of(cx: &Context, tree: ObjectId) -> Result<Reached, Failure> {
    let mut noted = note::read(cx, tree)?;
    noted.retain(|noted| noted.source != Source::Foreign);
    // In a note that was united with another the last line need not be the newest.
    noted.sort_by_key(|noted| noted.line.time);
    let last: BTreeMap<String, Line> = noted.into_iter().map(|noted| (noted.line.check.clone(), noted.line)).collect();
    let mut reached = Reached::default();
    last.values().for_each(|line| reached.add(&line.counts));
    Ok(reached)
}

/// Says whether the settings that a tree holds are not those of its base.
fn changes_settings(cx: &Context, subject: &Subject) -> Result<bool, Failure> {
    let repository = cx.repository()?;
    let settings = |tree| repository.gix.rev_parse_single(format!("{tree}:{REPOSITORY_FILE}").as_str()).ok();
    Ok(subject.base.is_some_and(|base| settings(base) != settings(subject.tree)))
}

/// What a policy sees of a subject.
pub(crate) fn scene<'a>(cx: &'a Context, subject: &'a Subject) -> Scene<'a> {
    Scene { cx, tree: subject.tree, base: subject.base, message: subject.message.as_deref() }
}

fn is_named(checks: &[Check], policies: &[Policy], name: &str) -> bool {
    checks.iter().any(|check| check.name == name) || policies.iter().any(|policy| policy.name() == name)
}

/// The names of the checks that are asked: those chosen, of the stage, and what they or the policies about reports need.
fn wanted(checks: &[Check], choice: &Choice, needs_reports: bool) -> Vec<String> {
    let is_named = |check: &Check| choice.only.contains(&check.name) || (needs_reports && check.reports_coverage());
    let is_chosen = |check: &&Check| (choice.only.is_empty() || is_named(check)) && check.is_of(choice.stage);
    let mut wanted: Vec<String> = checks.iter().filter(is_chosen).map(|check| check.name.clone()).collect();
    let mut at = 0;
    while at < wanted.len() {
        let needs = checks.iter().find(|check| check.name == wanted[at]).map(|check| check.needs.clone());
        for need in needs.unwrap_or_default() {
            if !wanted.contains(&need) {
                wanted.push(need);
            }
        }
        at += 1;
    }
    wanted
}

/// The last review that somebody vouches for, whoever was asked.
fn review(noted: &[Noted]) -> Option<Row> {
    let reviews = noted.iter().filter(|noted| noted.line.check == REVIEW && noted.source != Source::Foreign);
    reviews.max_by_key(|noted| noted.line.time).map(|noted| Row::of(&noted.line, noted.source, true))
}

fn row(name: &str, key: &str, noted: &[Noted]) -> Row {
    // In a note that was united with another the last line need not be the newest.
    let newest = |counts: bool| {
        let fitting = noted.iter().filter(|noted| noted.line.check == name && noted.line.key == key);
        let fitting = fitting.filter(|noted| (noted.source != Source::Foreign) == counts);
        fitting.max_by_key(|noted| noted.line.time)
    };
    if let Some(found) = newest(true) {
        return Row::of(&found.line, found.source, true);
    }
    let mut row = Row::open(name, key);
    if let (Some(foreign), false) = (newest(false), Kind::of(name) == Kind::Policy) {
        row.source = Some(Source::Foreign);
        row.by = Some(foreign.line.by.clone());
        let status = foreign.line.status.word();
        row.reason = Some(format!("noted as {status}, but this host has not run it and nobody allowed has signed it"));
    }
    row
}
