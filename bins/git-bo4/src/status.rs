//! `git bo4 status` and `list`: how far runs are, as their records say it.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

use crate::record::{Backend, Kickoff, Phase, Run, State};
use crate::store::{self, Store};
use crate::{local, log};

/// Show a run and its variants
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run, or the beginning of its name; the newest if not given
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::cli::complete_run))]
    run: Option<String>,
    /// Show the record as it is, without a look at the jobs
    #[arg(long)]
    no_refresh: bool,
}

/// List the runs of this repository, the newest first
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// List no more than so many
    #[arg(short = 'm', long, value_name = "n")]
    max_count: Option<usize>,
}

/// A run, as every command that is about one says it.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    run: String,
    title: String,
    task: Option<String>,
    backend: Backend,
    task_id: Option<String>,
    env: Option<String>,
    base: String,
    base_commit: String,
    best_of: usize,
    lanes: Vec<String>,
    phase: Phase,
    kickoff: Kickoff,
    reason: Option<String>,
    created: Timestamp,
    previous: Option<String>,
    round: u32,
    picked: Option<usize>,
    dry_run: bool,
    variants: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    number: usize,
    label: Option<String>,
    agent: Option<String>,
    model: Option<String>,
    state: State,
    reason: Option<String>,
    job: Option<String>,
    worktree: Option<String>,
    tokens: Option<u64>,
    seconds: Option<f64>,
    commit: Option<String>,
    problem: Option<String>,
}

impl Answer {
    pub(crate) fn of(run: &Run) -> Answer {
        Answer {
            run: run.run.clone(),
            title: run.title.clone(),
            task: run.task.clone(),
            backend: run.backend,
            task_id: run.task_id.clone(),
            env: run.env.clone(),
            base: run.base.clone(),
            base_commit: run.base_commit.clone(),
            best_of: run.best_of,
            lanes: run.lane_words(),
            phase: run.phase,
            kickoff: run.kickoff,
            reason: run.reason.clone(),
            created: run.created,
            previous: run.previous.clone(),
            round: run.round,
            picked: run.picked.as_ref().map(|picked| picked.variant),
            dry_run: false,
            variants: run.variants.iter().map(row).collect(),
        }
    }

    /// The answer of a run that was not begun.
    pub(crate) fn dry(run: &Run) -> Answer {
        Answer { dry_run: true, ..Answer::of(run) }
    }
}

fn row(variant: &crate::record::Variant) -> Row {
    Row {
        number: variant.number,
        label: variant.label.clone(),
        agent: variant.agent.clone(),
        model: variant.model.clone(),
        state: variant.state,
        reason: variant.reason.clone(),
        job: variant.job.clone(),
        worktree: variant.worktree.as_ref().map(|path| path.display().to_string()),
        tokens: variant.tokens,
        seconds: variant.seconds,
        commit: variant.commit.clone(),
        problem: variant.problem.clone(),
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dry_run {
            let s = if self.best_of == 1 { "" } else { "s" };
            write!(f, "would make {} attempt{s} from {}", self.best_of, Foreign(&self.base))?;
            let who = if self.lanes.is_empty() { self.backend.as_str().to_owned() } else { self.lanes.join(", ") };
            return writeln!(f, ": {}", Foreign(&who));
        }
        write!(f, "{}  {}  {}", self.run, self.phase, Foreign(&self.title))?;
        if let Some(picked) = self.picked {
            write!(f, "  (picked variant {picked})")?;
        }
        writeln!(f)?;
        if let Some(reason) = &self.reason {
            writeln!(f, "  {}", Foreign(reason))?;
        }
        let width = self.variants.iter().map(|row| who(row).chars().count()).max().unwrap_or(0);
        for row in &self.variants {
            write!(f, "  {:>2}  {:width$}  {:<11}", row.number, Foreign(&who(row)), row.state)?;
            if let Some(seconds) = row.seconds {
                write!(f, "  {seconds:.0}s")?;
            }
            if let Some(tokens) = row.tokens {
                write!(f, "  {tokens} tokens")?;
            }
            if let Some(words) = row.problem.as_ref().or(row.reason.as_ref()) {
                write!(f, "  {}", Foreign(words))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn who(row: &Row) -> String {
    let name = row.label.as_deref().or(row.agent.as_deref()).unwrap_or("agent");
    match &row.model {
        Some(model) => format!("{name}@{model}"),
        None => name.to_owned(),
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let store = Store::find(cx, args.run.as_deref())?;
    let mut run = store.run()?;
    // Jobs are on this machine; what is far away is looked at by who watches. Nothing is written either way.
    if run.backend == Backend::Local && !run.phase.is_over() && !args.no_refresh {
        local::see(cx, &mut run)?;
    }
    cx.output.answer(&Answer::of(&run))?;
    Ok(Status::Done)
}

#[derive(Debug, Serialize)]
struct List {
    runs: Vec<Listed>,
    /// Lines of the log and records that cannot be read.
    broken: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Listed {
    run: String,
    created: Timestamp,
    backend: Backend,
    task: Option<String>,
    task_id: Option<String>,
    base: String,
    best_of: usize,
    title: String,
    /// None if only the log knows it.
    phase: Option<Phase>,
    picked: Option<usize>,
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.runs.iter().map(|row| row.run.len()).max().unwrap_or(0);
        for row in &self.runs {
            let phase = row.phase.map_or("unknown", Phase::as_str);
            let picked = row.picked.map(|variant| format!("  (picked variant {variant})")).unwrap_or_default();
            let age = clock::age(row.created);
            writeln!(
                f,
                "{:width$}  {age:>4}  {phase:<11}  best of {:<2}  {}{picked}",
                Foreign(&row.run),
                row.best_of,
                Foreign(&row.title)
            )?;
        }
        Ok(())
    }
}

pub(crate) fn list(cx: &Context, args: ListArgs) -> Result<Status, Failure> {
    let (lines, torn) = log::load(cx)?;
    let (records, mut broken) = store::runs(cx)?;
    if torn > 0 {
        broken.push(format!("{torn} lines of the log cannot be read"));
    }
    let mut runs: Vec<Listed> = records.iter().map(listed).collect();
    let known: std::collections::BTreeSet<&str> = records.iter().map(|run| run.run.as_str()).collect();
    runs.extend(lines.into_iter().filter(|line| !known.contains(line.run.as_str())).map(|line| Listed {
        run: line.run,
        created: line.created,
        backend: line.backend,
        task: line.task,
        task_id: line.task_id,
        base: line.base,
        best_of: line.best_of,
        title: line.title,
        phase: None,
        picked: None,
    }));
    runs.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.run.cmp(&b.run)));
    runs.truncate(args.max_count.unwrap_or(usize::MAX));
    for words in &broken {
        cx.output.warn(Foreign(words));
    }
    cx.output.answer(&List { runs, broken })?;
    Ok(Status::Done)
}

fn listed(run: &Run) -> Listed {
    Listed {
        run: run.run.clone(),
        created: run.created,
        backend: run.backend,
        task: run.task.clone(),
        task_id: run.task_id.clone(),
        base: run.base.clone(),
        best_of: run.best_of,
        title: run.title.clone(),
        phase: Some(run.phase),
        picked: run.picked.as_ref().map(|picked| picked.variant),
    }
}
