//! `git bo4 branch`: each completed variant as a branch, made of objects alone.

use std::fmt;

use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

use crate::harvest;
use crate::record::{Run, State, Variant, id};
use crate::store::Store;
use crate::watch;

/// Make a branch bo4/<run>/var<N> of each completed variant, from the recorded base
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run, or the beginning of its name; the newest if not given
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::cli::complete_run))]
    run: Option<String>,
    /// Say what would be made and make nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    run: String,
    base_commit: String,
    dry_run: bool,
    branches: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    variant: usize,
    outcome: Outcome,
    branch: Option<String>,
    commit: Option<String>,
    why: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Made,
    /// It was there at this commit.
    Kept,
    /// It is there with other content, and stays.
    Taken,
    /// What the variant made cannot be applied to the base.
    DoesNotApply,
    /// It failed, was cancelled, or has not ended.
    Skipped,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Made => "made",
            Outcome::Kept => "kept",
            Outcome::Taken => "taken",
            Outcome::DoesNotApply => "does not apply",
            Outcome::Skipped => "skipped",
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.branches {
            write!(f, "variant {}  {}", row.variant, row.outcome.as_str())?;
            if let Some(branch) = &row.branch {
                write!(f, "  {branch}")?;
            }
            match &row.why {
                Some(why) => writeln!(f, "  {}", Foreign(why))?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

impl Answer {
    /// Says whether every completed variant has its branch.
    pub(crate) fn is_whole(&self) -> bool {
        !self.branches.iter().any(|row| matches!(row.outcome, Outcome::Taken | Outcome::DoesNotApply))
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let store = Store::find(cx, args.run.as_deref())?;
    if !args.dry_run {
        watch::catch_up(cx, &store)?;
    }
    let answer = make(cx, &store, args.dry_run)?;
    cx.output.answer(&answer)?;
    Ok(if answer.is_whole() { Status::Done } else { Status::No })
}

/// Makes the branches; one that cannot be made does not keep the others from it.
pub(crate) fn make(cx: &Context, store: &Store, dry_run: bool) -> Result<Answer, Failure> {
    let mut held = store.hold()?;
    if !dry_run {
        harvest::all(cx, &mut held)?;
    }
    let run = &held.run;
    let mut branches = Vec::new();
    for variant in &run.variants {
        branches.push(one(cx, run, variant, dry_run)?);
    }
    Ok(Answer { run: run.run.clone(), base_commit: run.base_commit.clone(), dry_run, branches })
}

fn one(cx: &Context, run: &Run, variant: &Variant, dry_run: bool) -> Result<Row, Failure> {
    let row = |outcome, why| Row { variant: variant.number, outcome, branch: None, commit: None, why };
    if variant.state != State::Completed {
        let why = variant.reason.clone().unwrap_or_else(|| format!("it is {}", variant.state));
        return Ok(row(Outcome::Skipped, Some(why)));
    }
    if let Some(problem) = &variant.problem {
        return Ok(row(Outcome::DoesNotApply, Some(problem.clone())));
    }
    let Some(commit) = &variant.commit else {
        return Ok(row(Outcome::Skipped, Some("it has made nothing".to_owned())));
    };
    let (name, wanted) = (run.branch(variant.number), id(commit)?);
    let short = name.strip_prefix("refs/heads/").unwrap_or(&name).to_owned();
    let row = Row { branch: Some(short), commit: Some(commit.clone()), ..row(Outcome::Made, None) };
    match cx.repository()?.tip(&name)? {
        Some(now) if now == wanted => Ok(Row { outcome: Outcome::Kept, ..row }),
        Some(now) => {
            let why = Some(format!("it is there already, at {now}, and stays"));
            Ok(Row { outcome: Outcome::Taken, why, ..row })
        }
        None if dry_run => Ok(row),
        None => match harvest::put(&cx.git()?, &name, wanted, &format!("bo4: variant {}", variant.number)) {
            Ok(()) => Ok(row),
            Err(error) => Ok(Row { outcome: Outcome::Taken, why: Some(format!("{error:#}")), ..row }),
        },
    }
}
