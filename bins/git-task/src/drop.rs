//! `git task drop`: give a task up; its branch stays.

use std::fmt;

use anyhow::{Result, bail};
use serde::Serialize;
use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;
use shared::refusal::Refusal;
use shared::registry::{State, Task, Tasks};

/// Give a task up; its branch stays
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Task to give up
    #[arg(add = clap_complete::ArgValueCompleter::new(shared::app::complete_task))]
    task: String,
    /// Say what would change and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    task: Task,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dropped {}", self.task.slug)?;
        match &self.task.branch {
            Some(branch) => write!(f, "; its branch '{}' stays", crate::fields::short_name(branch)),
            None => Ok(()),
        }
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let key = cx.repository_unchecked()?.key();
    let registry = cx.registry()?;
    let edit = |tasks: &mut Tasks| apply(tasks, &key, &args.task);
    let task = if args.dry_run {
        edit(&mut registry.load()?)?
    } else {
        registry.change(|task: &Task| format!("drop {}", task.slug), edit)?
    };
    cx.output.answer(&Answer { task })?;
    Ok(Status::Done)
}

fn apply(tasks: &mut Tasks, key: &str, name: &str) -> Result<Task> {
    let task = tasks.task(key, name)?;
    let (id, slug) = (task.id.clone(), task.slug.clone());
    if !task.is_open() {
        bail!(Refusal::new("not-open", format!("the task '{slug}' is {} already", task.status)));
    }
    if let Some(worktree) = &task.worktree {
        bail!(
            Refusal::new("has-worktree", format!("the task '{slug}' has a worktree at '{worktree}'"))
                .hint(format!("'git task worktree remove {slug}' removes it if nothing is lost by that"))
        );
    }
    let waiting: Vec<&str> = tasks
        .tasks
        .iter()
        .filter(|other| other.is_open() && other.depends_on.contains(&id))
        .map(|other| other.slug.as_str())
        .collect();
    if !waiting.is_empty() {
        bail!(
            Refusal::new("needed", format!("other tasks wait for '{slug}': {}", waiting.join(", ")))
                .hint("'git task edit <task> --depends-on …' changes what a task waits for")
        );
    }
    let Some(task) = tasks.by_id_mut(&id) else { bail!("the task '{id}' is gone") };
    task.status = State::Dropped;
    task.completed = Some(clock::now());
    Ok(task.clone())
}
