//! `git task list`: the tasks, filtered.

use std::fmt;

use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::registry::{State, Task, Tasks};

/// List the open tasks of this repository
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only tasks in this state; may be given several times
    #[arg(long, value_name = "state")]
    status: Vec<State>,
    /// Only tasks that can start now
    #[arg(long, conflicts_with = "status")]
    ready: bool,
    /// Only tasks with this label; may be given several times
    #[arg(long = "label", value_name = "word")]
    labels: Vec<String>,
    /// Only tasks of this owner
    #[arg(long, value_name = "name")]
    owner: Option<String>,
    /// Tasks of all repositories
    #[arg(short, long)]
    all: bool,
    /// Done and dropped tasks too
    #[arg(long)]
    closed: bool,
    /// Print slugs only, each ended by NUL
    #[arg(short = 'z')]
    nul: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    tasks: Vec<Row>,
    #[serde(skip)]
    all: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    task: Task,
    blocked_by: Vec<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.tasks.iter().map(|row| row.task.slug.as_str().len()).max().unwrap_or(0);
        for row in &self.tasks {
            let task = &row.task;
            write!(f, "{:width$}  {:7}  {}", task.slug, task.status, Foreign(&task.title))?;
            if !row.blocked_by.is_empty() {
                write!(f, "  (after {})", row.blocked_by.join(", "))?;
            }
            if self.all {
                write!(f, "  [{}]", Foreign(&task.repo.path))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let key = if args.all { None } else { Some(cx.repository_unchecked()?.key()) };
    let tasks = cx.registry()?.load()?;
    let answer = Answer { tasks: select(&tasks, key.as_deref(), &args), all: args.all };
    if args.nul && !cx.output.is_json() {
        let names: String = answer.tasks.iter().map(|row| format!("{}\0", row.task.slug)).collect();
        cx.output.raw(names.as_bytes())?;
    } else {
        cx.output.answer(&answer)?;
    }
    Ok(Status::Done)
}

fn select(tasks: &Tasks, key: Option<&str>, args: &Args) -> Vec<Row> {
    let in_state = |task: &Task| match &args.status[..] {
        [] if args.ready => task.status == State::Ready,
        [] => args.closed || task.is_open(),
        states => states.contains(&task.status),
    };
    let mut rows: Vec<Row> = tasks
        .tasks
        .iter()
        .filter(|task| key.is_none_or(|key| task.repo.key == key))
        .filter(|task| in_state(task))
        .filter(|task| args.labels.iter().all(|label| task.labels.contains(label)))
        .filter(|task| args.owner.is_none() || task.owner == args.owner)
        .map(|task| Row { blocked_by: blocked_by(tasks, task), task: task.clone() })
        .collect();
    // The order in which to start them; among equals the oldest first.
    rows.sort_by_key(|row| std::cmp::Reverse(row.task.priority));
    rows
}

/// Returns the slugs of the tasks that this one still waits for.
pub(crate) fn blocked_by(tasks: &Tasks, task: &Task) -> Vec<String> {
    let waits = |id: &&String| tasks.by_id(id).is_none_or(|task| task.status != State::Done);
    let ids: Vec<String> =
        if task.is_open() { task.depends_on.iter().filter(waits).cloned().collect() } else { Vec::new() };
    tasks.slugs(&ids)
}
