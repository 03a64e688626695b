//! `git task show`: all that is known of one task.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::registry::Task;

use crate::{brief, fields, list};

/// Show all that is known of a task
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Task to show
    #[arg(add = clap_complete::ArgValueCompleter::new(shared::app::complete_task))]
    task: String,
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    task: Task,
    depends_on_slugs: Vec<String>,
    blocked_by: Vec<String>,
    blocks: Vec<String>,
    brief: Option<PathBuf>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = &self.task;
        let mut row = |name: &str, value: &str| match value {
            "" => Ok(()),
            value => writeln!(f, "{name:11} {}", Foreign(value)),
        };
        row("task", task.slug.as_str())?;
        row("title", &task.title)?;
        row("status", task.status.as_str())?;
        row("depends on", &self.depends_on_slugs.join(", "))?;
        row("waits for", &self.blocked_by.join(", "))?;
        row("blocks", &self.blocks.join(", "))?;
        row("priority", &if task.priority == 0 { String::new() } else { task.priority.to_string() })?;
        row("owner", task.owner.as_deref().unwrap_or_default())?;
        row("labels", &task.labels.join(", "))?;
        row("touches", &task.touches.join(", "))?;
        row("agent", task.agent.as_deref().unwrap_or_default())?;
        row("branch", task.branch.as_deref().map(fields::short_name).unwrap_or_default())?;
        row("base", task.base.as_ref().map(|base| fields::short_name(&base.name)).unwrap_or_default())?;
        row("worktree", task.worktree.as_deref().unwrap_or_default())?;
        row("brief", &self.brief.as_ref().map(|path| path.display().to_string()).unwrap_or_default())?;
        row("created", &task.created.to_string())?;
        row("updated", &task.updated.to_string())?;
        row("completed", &task.completed.map(|time| time.to_string()).unwrap_or_default())?;
        row("id", &task.id)?;
        if !task.goal.is_empty() {
            writeln!(f)?;
            for line in task.goal.lines() {
                writeln!(f, "    {}", Foreign(line))?;
            }
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let repository = cx.repository_unchecked()?;
    let tasks = cx.registry()?.load()?;
    let task = tasks.task(&repository.key(), &args.task)?;
    let blocks = tasks.tasks.iter().filter(|other| other.is_open() && other.depends_on.contains(&task.id));
    let answer = Answer {
        depends_on_slugs: tasks.slugs(&task.depends_on),
        blocked_by: list::blocked_by(&tasks, task),
        blocks: blocks.map(|other| other.slug.to_string()).collect(),
        brief: Some(brief::path(repository, &task.slug)).filter(|path| path.exists()),
        task: task.clone(),
    };
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}
