//! `git validate`: what the note does not answer is run, and noted.

mod child;
mod output;
mod own;
mod pool;
mod slot;

use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

use crate::checks::{self, Check};
use crate::note;
use crate::show::{noted, of_line};
use crate::subject::{From, Subject};
use crate::verdict::{Answer, Line, Verdict, judge};

use child::Ended;
use pool::Pool;
use slot::Slot;

/// What to judge, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    from: From,
    /// Run only this check; may be given several times
    #[arg(long = "check", value_name = "name")]
    only: Vec<String>,
    /// Run the checks again, whatever is noted
    #[arg(short, long)]
    force: bool,
    /// Say which checks would run and run none
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Args {
    /// Judges one subject by all checks, as a hook does.
    pub(crate) fn of(from: From) -> Args {
        Args { from, only: Vec::new(), force: false, dry_run: false }
    }

    /// Says whether anything of it was asked for.
    pub(crate) fn is_given(&self) -> bool {
        self.from.is_given() || !self.only.is_empty() || self.force || self.dry_run
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let checks = chosen(checks::configured(cx)?, &args.only)?;
    let subject = args.from.find(cx)?;
    let (answer, recorded) = judge_subject(cx, &args, &checks, subject)?;
    cx.output.answer(&answer)?;
    // What was found out is told, also when it could not be kept.
    recorded?;
    if args.dry_run {
        return Ok(Status::Done);
    }
    Ok(match answer.verdict {
        Verdict::Pass => Status::Done,
        Verdict::Fail | Verdict::TimedOut | Verdict::None => Status::No,
        Verdict::Broken | Verdict::NoChecks => Status::CouldNot,
    })
}

fn chosen(checks: Vec<Check>, only: &[String]) -> Result<Vec<Check>, Failure> {
    if checks.is_empty() {
        return Err(Failure::could_not("no-checks", "no checks are configured, so nothing can be validated")
            .hint("add [[checks]] to .codex-agent/config.toml; 'git task init' makes it with an example"));
    }
    if let Some(unknown) = only.iter().find(|name| !checks.iter().any(|check| check.name == **name)) {
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        return Err(Failure::usage(format!(
            "there is no check '{}'; there are {}",
            unknown.escape_debug(),
            names.join(", ")
        )));
    }
    Ok(checks.into_iter().filter(|check| only.is_empty() || only.contains(&check.name)).collect())
}

type Recorded = Result<(), Failure>;

fn judge_subject(cx: &Context, args: &Args, checks: &[Check], subject: Subject) -> Result<(Answer, Recorded), Failure> {
    let lines = if args.force { Vec::new() } else { note::read(cx.repository()?, subject.tree)? };
    let mut answer = noted(subject, checks, &lines);
    let open: Vec<&Check> =
        checks.iter().zip(&answer.checks).filter(|(_, row)| !row.is_settled()).map(|(check, _)| check).collect();
    if open.is_empty() {
        return Ok((answer, Ok(())));
    }
    if args.dry_run {
        // What would run counts as not run.
        let lines: Vec<Line> =
            lines.into_iter().filter(|line| !open.iter().any(|check| check.name == line.check)).collect();
        return Ok((noted(answer.subject, checks, &lines), Ok(())));
    }
    args.from.note_changes(cx);
    let results = run_checks(cx, &answer.subject, &open)?;
    // What has ended is worth keeping, also when a signal has ended the rest.
    let recorded = if results.is_empty() { Ok(()) } else { note::write(cx, answer.subject.tree, &results) };
    pool::refuse_if_interrupted()?;
    for line in &results {
        if let Some(row) = answer.checks.iter_mut().find(|row| row.name == line.check) {
            *row = of_line(line, false);
        }
    }
    answer.cached = false;
    answer.verdict = judge(&answer.checks);
    Ok((answer, recorded))
}

/// Runs the checks whose business the tree is; the rest is skipped, and what a signal ended is left out.
fn run_checks(cx: &Context, subject: &Subject, open: &[&Check]) -> Result<Vec<Line>, Failure> {
    let paths =
        if open.iter().any(|check| !check.paths.is_empty()) { checks::paths_of(cx, subject.tree)? } else { Vec::new() };
    let mut concerned = Vec::new();
    for check in open {
        if check.concerns(&paths)? {
            concerned.push(*check);
        }
    }
    let ended = if concerned.is_empty() { Vec::new() } else { run_concerned(cx, subject, &concerned)? };
    let lines = open.iter().filter_map(|check| match concerned.iter().position(|other| other.name == check.name) {
        Some(at) => ended[at].as_ref().map(|ended| line(check, ended)),
        None => Some(line(check, &Ended::skipped())),
    });
    Ok(lines.collect())
}

fn run_concerned(cx: &Context, subject: &Subject, checks: &[&Check]) -> Result<Vec<Option<Ended>>, Failure> {
    let slot = Slot::take(cx)?;
    slot.fill(cx, subject)?;
    let ended = Pool::new(cx, &slot, subject)?.run(checks)?;
    let changed = slot.changed(cx);
    if let Some(first) = changed.first() {
        let first = Foreign(first);
        let more = if changed.len() == 1 { String::new() } else { format!(" and {} more", changed.len() - 1) };
        cx.output.warn(format!("the checks changed files of the tree, in their copy: '{first}'{more}"));
    }
    slot.release();
    Ok(ended)
}

fn line(check: &Check, ended: &Ended) -> Line {
    Line {
        schema: 1,
        check: check.name.clone(),
        key: check.key.clone(),
        status: ended.status,
        duration_ms: ended.duration.as_millis().try_into().unwrap_or(u64::MAX),
        tail: ended.tail.clone(),
        reason: ended.reason.clone(),
        time: clock::now(),
    }
}
