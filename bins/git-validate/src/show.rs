//! `git validate show`: the verdict that is noted, and nothing run.

use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;

use crate::checks::{self, Check};
use crate::note;
use crate::subject::{From, Subject};
use crate::verdict::{Answer, CheckStatus, Line, Row, Verdict, judge};

/// Show the verdict on a tree as it is noted, without running anything
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    from: From,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let checks = checks::configured(cx)?;
    let subject = args.from.find(cx)?;
    let lines = note::read(cx.repository()?, subject.tree)?;
    let answer = noted(subject, &checks, &lines);
    cx.output.answer(&answer)?;
    Ok(if answer.verdict == Verdict::Pass { Status::Done } else { Status::No })
}

/// What the note says of the checks as they are configured now.
pub(crate) fn noted(subject: Subject, checks: &[Check], lines: &[Line]) -> Answer {
    let rows: Vec<Row> = checks.iter().map(|check| row(check, lines)).collect();
    Answer { subject, verdict: judge(&rows), cached: true, checks: rows }
}

fn row(check: &Check, lines: &[Line]) -> Row {
    match lines.iter().rev().find(|line| line.check == check.name && line.key == check.key) {
        Some(line) => of_line(line, true),
        None => Row {
            name: check.name.clone(),
            key: check.key.clone(),
            status: None,
            cached: false,
            duration_ms: None,
            time: None,
            reason: None,
            tail: String::new(),
        },
    }
}

/// The row of a check that was run, now or before.
pub(crate) fn of_line(line: &Line, cached: bool) -> Row {
    Row {
        name: line.check.clone(),
        key: line.key.clone(),
        status: Some(line.status),
        cached,
        duration_ms: Some(line.duration_ms),
        time: Some(line.time),
        reason: line.reason.clone(),
        tail: line.tail.clone(),
    }
}

impl Row {
    /// Says whether the result stands; what timed out or could not run is run again.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.status, Some(CheckStatus::Pass | CheckStatus::Fail | CheckStatus::Skipped))
    }
}
