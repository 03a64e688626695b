//! `git task log`: what changed in the registry.

use std::fmt;

use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::registry::{Change, TaskChange};

/// Show the changes of the registry, the newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only changes of this task
    #[arg(add = clap_complete::ArgValueCompleter::new(shared::app::complete_task))]
    task: Option<String>,
    /// Changes of all repositories
    #[arg(short, long, conflicts_with = "task")]
    all: bool,
    /// Show at most this many
    #[arg(short = 'm', long, value_name = "number", default_value_t = 50)]
    max_count: usize,
}

#[derive(Debug, Serialize)]
struct Answer {
    changes: Vec<Change>,
    unreadable: usize,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            let (who, what) = (Foreign(&change.who), Foreign(&change.what));
            writeln!(f, "{:>5}  {}  {who}  {what}", change.generation, change.time)?;
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let registry = cx.registry()?;
    let log = registry.log()?;
    let key = if args.all { None } else { Some(cx.repository_unchecked()?.key()) };
    let id = match (&args.task, &key) {
        (Some(name), Some(key)) => Some(registry.load()?.task(key, name)?.id.clone()),
        (Some(_) | None, _) => None,
    };
    let fits = |change: &TaskChange| {
        let repo = change.after.as_ref().or(change.before.as_ref()).map(|task| &task.repo.key);
        id.as_ref().is_none_or(|id| change.id == *id) && (key.is_none() || repo == key.as_ref())
    };
    let newest = log.changes.into_iter().rev().filter(|change| change.tasks.iter().any(fits));
    let answer = Answer { changes: newest.take(args.max_count).collect(), unreadable: log.unreadable };
    if answer.unreadable > 0 {
        cx.output.warn(format!("{} lines of '{}' cannot be read", answer.unreadable, registry.log_path().display()));
    }
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}
