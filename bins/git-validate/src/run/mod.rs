//! `git validate`: what the note does not answer is run, and noted.

mod output;
mod pool;
mod slot;

use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;

use crate::checks::{self, Check};
use crate::note;
use crate::show::{noted, of_line};
use crate::subject::{From, Subject};
use crate::verdict::{Answer, CheckStatus, Line, Verdict, judge};

use pool::{Ended, Pool};
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
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let checks = chosen(checks::configured(cx)?, &args.only)?;
    let subject = args.from.find(cx)?;
    args.from.warn_of_changes(cx);
    let answer = judge_subject(cx, &args, &checks, subject)?;
    cx.output.answer(&answer)?;
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

fn judge_subject(cx: &Context, args: &Args, checks: &[Check], subject: Subject) -> Result<Answer, Failure> {
    let lines = if args.force { Vec::new() } else { note::read(cx.repository()?, subject.tree)? };
    let mut answer = noted(subject, checks, &lines);
    let open: Vec<&Check> =
        checks.iter().zip(&answer.checks).filter(|(_, row)| !row.is_settled()).map(|(check, _)| check).collect();
    if open.is_empty() || args.dry_run {
        return Ok(answer);
    }
    let results = run_checks(cx, &answer.subject, &open)?;
    note::write(cx, answer.subject.tree, &results)?;
    for line in &results {
        if let Some(row) = answer.checks.iter_mut().find(|row| row.name == line.check) {
            *row = of_line(line, false);
        }
    }
    answer.cached = false;
    answer.verdict = judge(&answer.checks);
    Ok(answer)
}

fn run_checks(cx: &Context, subject: &Subject, open: &[&Check]) -> Result<Vec<Line>, Failure> {
    let paths =
        if open.iter().any(|check| !check.paths.is_empty()) { checks::paths_of(cx, subject.tree)? } else { Vec::new() };
    let mut concerned = Vec::new();
    for check in open {
        if check.concerns(&paths)? {
            concerned.push(*check);
        }
    }
    let ended = if concerned.is_empty() {
        Vec::new()
    } else {
        let slot = Slot::take(cx)?;
        slot.fill(cx, subject)?;
        let ended = Pool::new(cx, &slot, subject)?.run(&concerned)?;
        slot.release();
        ended
    };
    Ok(open
        .iter()
        .map(|check| match concerned.iter().position(|other| other.name == check.name) {
            Some(at) => line(check, &ended[at]),
            None => line(check, &Ended::skipped()),
        })
        .collect())
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

impl Ended {
    fn skipped() -> Ended {
        Ended { status: CheckStatus::Skipped, duration: std::time::Duration::ZERO, tail: String::new(), reason: None }
    }
}
