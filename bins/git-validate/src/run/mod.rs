//! `git validate`: what the note does not answer is run, and noted.

mod child;
mod exact;
mod files;
mod fix;
mod ignored;
mod live;
mod output;
mod own;
mod pool;
mod reports;
mod round;
mod seed;
mod signals;
mod slot;
mod written;

use std::collections::BTreeMap;

use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;

use crate::checks::Check;
use crate::gate::{self, Choice, Gate};
use crate::journal::Journal;
use crate::policy::{self, Policy};
use crate::render::{Form, end_of, worst};
use crate::subject::{From, Subject};
use crate::verdict::{Answer, CheckStatus, Kind, Line, Row, Source, Verdict, bound, judge};
use crate::{note, who};

use child::Ended;
use files::Files;
pub(crate) use fix::{Fix, Fixed, sweep};
use pool::Job;
use round::Round;

/// As much is noted of what a check that passed has printed, in bytes.
const SAID: usize = 240;

/// What to judge, and how.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    choice: Choice,
    /// Run the checks again, whatever is noted
    #[arg(short, long)]
    force: bool,
    /// Neither look for the verdict in the note nor write it there
    #[arg(long)]
    no_cache: bool,
    /// Begin no other check after the first that does not pass
    #[arg(long)]
    fail_fast: bool,
    /// Run as many checks at the same time, instead of validate.jobs
    #[arg(short, long, value_name = "n")]
    jobs: Option<usize>,
    /// Mend what fails by the checks' own fix commands, on a copy, and bring the difference back
    #[arg(long, value_name = "how", num_args = 0..=1, require_equals = true, default_missing_value = "apply")]
    fix: Option<Fix>,
    /// Show all that the checks print
    #[arg(short, long)]
    verbose: bool,
    /// Answer as JSON, with a line for each event while the checks run and the answer as the last
    #[arg(long, conflicts_with = "Form")]
    jsonl: bool,
    #[command(flatten)]
    form: Form,
    /// Say which checks would run and run none
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Args {
    /// Judges one subject, as a hook does.
    pub(crate) fn of(from: From, choice: Choice) -> Args {
        Args { from, choice, ..Args::default() }
    }

    /// Says whether anything of it was asked for.
    pub(crate) fn is_given(&self) -> bool {
        let switches = [self.force, self.no_cache, self.fail_fast, self.verbose, self.jsonl, self.dry_run];
        self.from.is_given()
            || self.choice.is_given()
            || self.form.is_given()
            || self.jobs.is_some()
            || self.fix.is_some()
            || switches.contains(&true)
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    if let Some(how) = args.fix {
        return run_fix(cx, args, how);
    }
    let mut answers = Vec::new();
    let mut recorded = Ok(());
    for from in args.from.each(cx)? {
        let subject = from.find(cx)?;
        let gate = Gate::of(cx, &subject, &args.choice)?;
        let (answer, kept) = judge_subject(cx, &args, &gate, subject)?;
        recorded = recorded.and(kept);
        let stop = args.fail_fast && answer.verdict != Verdict::Pass;
        answers.push(answer);
        if stop {
            break;
        }
    }
    print(cx, &args, &answers)?;
    // What was found out is told, also when it could not be kept.
    recorded?;
    if args.dry_run {
        return Ok(Status::Done);
    }
    Ok(status(worst(&answers)))
}

/// The exit of a verdict.
pub(crate) fn status(verdict: Verdict) -> Status {
    match verdict {
        Verdict::Pass => Status::Done,
        Verdict::Fail | Verdict::TimedOut | Verdict::None => Status::No,
        Verdict::Broken | Verdict::NoChecks => Status::CouldNot,
    }
}

/// Judges, mends what failed, judges again, and brings the difference to the user's files.
fn run_fix(cx: &Context, mut args: Args, how: Fix) -> Result<Status, Failure> {
    if !args.from.is_given() {
        args.from = From::worktree();
    }
    if args.from.revision().is_some() && (how == Fix::Apply || args.from.is_range()) {
        return Err(Failure::usage("--fix changes the worktree or the index: give --worktree or --staged"));
    }
    let subject = args.from.find(cx)?;
    let gate = Gate::of(cx, &subject, &args.choice)?;
    let (mut answer, mut recorded) = judge_subject(cx, &args, &gate, subject)?;
    let failed = |name: &str| answer.checks.iter().any(|row| row.name == name && row.status == Some(CheckStatus::Fail));
    let fixable: Vec<&(Check, String)> =
        gate.checks.iter().filter(|(check, _)| !check.fix.is_empty() && failed(&check.name)).collect();
    if args.dry_run {
        for (check, _) in fixable {
            cx.output.note(format!("'{}' has failed: its fix would run", check.name));
        }
        print(cx, &args, std::slice::from_ref(&answer))?;
        return Ok(Status::Done);
    }
    let mut tree = answer.subject.tree;
    if !fixable.is_empty() {
        let files = Files::of(cx, &answer.subject, &fixable)?;
        let jobs: Vec<Job<'_>> = fixable
            .iter()
            .filter_map(|(check, _)| Some(Job { check, files: files.of_check(check)?, blocked: None }))
            .collect();
        tree = fix::mend(cx, &answer.subject, &jobs)?;
    }
    if how == Fix::Suggest {
        recorded?;
        fix::suggest(cx, &answer.subject, tree)?;
        return Ok(status(answer.verdict));
    }
    if tree != answer.subject.tree {
        let before = answer.subject.clone();
        let after = Subject { tree, ..before.clone() };
        let (again, kept) = judge_subject(cx, &args, &Gate::of(cx, &after, &args.choice)?, after)?;
        recorded = recorded.and(kept);
        let (applied, left) = fix::apply(cx, &before, tree)?;
        let by = fixable.iter().map(|(check, _)| check.name.clone()).collect();
        // What could not be brought back is as bad as it was.
        answer = if left.is_empty() { again } else { answer };
        answer.fixed = Some(Fixed { tree: tree.to_string(), by, applied, left });
    }
    print(cx, &args, std::slice::from_ref(&answer))?;
    recorded?;
    Ok(status(answer.verdict))
}

fn print(cx: &Context, args: &Args, answers: &[Answer]) -> Result<(), Failure> {
    if args.jsonl {
        return answers.iter().try_for_each(|answer| cx.output.document(answer));
    }
    args.form.print(cx, answers, args.from.is_range())
}

type Recorded = Result<(), Failure>;

fn judge_subject(cx: &Context, args: &Args, gate: &Gate, subject: Subject) -> Result<(Answer, Recorded), Failure> {
    if gate.is_empty() {
        return Err(Failure::could_not("no-checks", "no checks are configured, so nothing can be validated")
            .hint("'git validate init' proposes some for what is in this repository"));
    }
    let mut noted = if args.no_cache { Vec::new() } else { gate.known(cx, subject.tree)? };
    if args.force {
        // Checks run again, but nobody is asked again for his opinion.
        noted.retain(|noted| Kind::of(&noted.line.check) == Kind::Review);
    }
    let mut answer = gate.answer(subject, &noted);
    gate.watch(cx, &mut answer)?;
    gate.sum_up(cx, &mut answer)?;
    let is_open = |row: &Row| row.kind != Kind::Review && !row.is_settled();
    if args.dry_run || !answer.checks.iter().any(is_open) {
        // What would run counts as not run.
        answer.checks.iter_mut().filter(|row| is_open(row)).for_each(|row| row.status = None);
        answer.verdict = judge(&answer.checks);
        return Ok((answer, Ok(())));
    }
    args.from.note_changes(cx);
    let mut lines = judge_policies(cx, gate, &answer)?;
    add(&mut answer, &lines);
    let checked = run_checks(cx, args, gate, &mut answer)?;
    lines.extend(checked);
    answer.cached = false;
    // What has ended is worth keeping, also when a signal has ended the rest.
    let recorded = if args.no_cache { Ok(()) } else { record(cx, gate, &answer.subject, &lines) };
    signals::refuse_if_interrupted()?;
    gate.sum_up(cx, &mut answer)?;
    answer.verdict = judge(&answer.checks);
    Ok((answer, recorded))
}

/// Judges the policies that have no answer yet.
///
/// # Errors
/// When the tree cannot be read.
pub(crate) fn judge_policies(cx: &Context, gate: &Gate, answer: &Answer) -> Result<Vec<Line>, Failure> {
    let is_open = |name: &str| answer.checks.iter().any(|row| row.name == name && !row.is_settled());
    let open: Vec<&(Policy, String)> = gate.policies.iter().filter(|(policy, _)| is_open(&policy.name())).collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let begin = std::time::Instant::now();
    let policies: Vec<&Policy> = open.iter().map(|(policy, _)| policy).collect();
    let outcomes = policy::judge(gate::scene(cx, &answer.subject), &policies)?;
    let duration = begin.elapsed() / u32::try_from(open.len()).unwrap_or(1).max(1);
    let lines = open.iter().zip(outcomes).map(|((policy, key), outcome)| {
        let mut line = line(&policy.name(), key, &Ended { duration, ..Ended::of(outcome) });
        bound(&mut line.findings, &mut line.counts);
        line
    });
    Ok(lines.collect())
}

/// Puts results into an answer.
pub(crate) fn add(answer: &mut Answer, lines: &[Line]) {
    for line in lines {
        if let Some(row) = answer.checks.iter_mut().find(|row| row.name == line.check) {
            *row = Row::of(line, Source::Own, false);
        }
    }
    if !lines.is_empty() {
        answer.verdict = judge(&answer.checks);
    }
}

/// Runs the checks that have no answer yet and puts it into the rows; what may be noted is returned.
fn run_checks(cx: &Context, args: &Args, gate: &Gate, answer: &mut Answer) -> Result<Vec<Line>, Failure> {
    let is_open = |name: &str| answer.checks.iter().any(|row| row.name == name && !row.is_settled());
    let open: Vec<&(Check, String)> = gate.checks.iter().filter(|(check, _)| is_open(&check.name)).collect();
    let mut lines = Vec::new();
    let mut jobs = Vec::new();
    let files = Files::of(cx, &answer.subject, &open)?;
    for (check, key) in &open {
        match files.of_check(check) {
            None => {
                let line = line(&check.name, key, &Ended::nothing_to_do());
                lines.push(line);
            }
            Some(files) => {
                let not_passed = |need: &&String| {
                    let row = answer.checks.iter().find(|row| row.name == **need);
                    row.is_some_and(|row| row.status == Some(CheckStatus::Fail))
                };
                jobs.push(Job { check, files, blocked: check.needs.iter().find(not_passed).cloned() });
            }
        }
    }
    add(answer, &lines);
    let is_failed = answer.checks.iter().any(|row| row.status == Some(CheckStatus::Fail));
    if jobs.is_empty() || (args.fail_fast && is_failed) {
        return Ok(lines);
    }
    let ended = Round { cx, args, subject: &answer.subject }.run(&jobs)?;
    for (job, ended) in jobs.iter().zip(ended) {
        let Some(ended) = ended else { continue };
        let Some((check, key)) = open.iter().find(|(check, _)| check.name == job.check.name) else { continue };
        let line = line(&check.name, key, &ended);
        if let Some(row) = answer.checks.iter_mut().find(|row| row.name == check.name) {
            *row = Row { log: ended.log.clone(), ..Row::of(&line, Source::Own, false) };
        }
        if ended.is_answer {
            lines.push(line);
        }
    }
    Ok(lines)
}

/// Keeps what was found out: in the tree's note, and by their keys what holds in other trees as well.
fn record(cx: &Context, gate: &Gate, subject: &Subject, lines: &[Line]) -> Recorded {
    if lines.is_empty() {
        return Ok(());
    }
    let journal = Journal::of(cx.repository()?)?;
    for (check, _) in gate.checks.iter().filter(|(check, _)| !check.inputs.mean_all()) {
        if let Some(line) = lines.iter().find(|line| line.check == check.name && line.status.is_settled()) {
            journal.keep_by_inputs(line)?;
        }
    }
    note::write(cx, subject.tree, lines)
}

fn line(name: &str, key: &str, ended: &Ended) -> Line {
    Line {
        schema: 1,
        check: name.to_owned(),
        key: key.to_owned(),
        status: ended.status,
        duration_ms: ended.duration.as_millis().try_into().unwrap_or(u64::MAX),
        tail: if ended.status == CheckStatus::Pass { end_of(&ended.tail, SAID).to_owned() } else { ended.tail.clone() },
        reason: ended.reason.clone(),
        findings: ended.findings.clone(),
        counts: ended.counts.clone(),
        by: who::am_i(),
        time: clock::now(),
        review: None,
    }
}

impl Ended {
    fn of(outcome: policy::Outcome) -> Ended {
        let counts: BTreeMap<String, u64> = outcome.counts;
        Ended { findings: outcome.findings, counts, ..Ended::new(outcome.status, outcome.reason) }
    }

    fn nothing_to_do() -> Ended {
        Ended::new(CheckStatus::Skipped, None)
    }
}
