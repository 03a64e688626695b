//! `git task undo`: take a change of the registry back.

use std::fmt;

use anyhow::{Result, bail};
use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::refusal::Refusal;
use shared::registry::{Change, State, Task, TaskChange, Tasks};

/// Take back a change of the registry: the last one of this repository, or the one with this number
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of the change, as 'git task log' shows it
    #[arg(value_name = "number")]
    generation: Option<u64>,
    /// Say what would change and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    undone: Change,
    notes: Vec<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "undone {}: {}", self.undone.generation, shared::output::Foreign(&self.undone.what))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let key = cx.repository_unchecked()?.key();
    let registry = cx.registry()?;
    let log = registry.log()?;
    let own = |change: &&Change| change.tasks.iter().all(|task| repo_key(task) == Some(key.as_str()));
    let found = match args.generation {
        Some(number) => log.changes.iter().find(|change| change.generation == number).filter(own),
        None => log.changes.iter().rev().find(own),
    };
    let Some(change) = found.cloned() else {
        return Err(Failure::could_not("no-change", "there is no such change of this repository's tasks")
            .hint("'git task log' shows the changes"));
    };
    let edit = |tasks: &mut Tasks| revert(tasks, &change);
    if args.dry_run {
        edit(&mut registry.load()?)?;
    } else {
        registry.change(|()| format!("undo {} ({})", change.generation, change.what), edit)?;
    }
    let notes = notes(&change);
    cx.output.answer(&Answer { undone: change, notes })?;
    Ok(Status::Done)
}

fn revert(tasks: &mut Tasks, change: &Change) -> Result<()> {
    for task in &change.tasks {
        let now = tasks.by_id(&task.id);
        if now != task.after.as_ref() {
            bail!(
                Refusal::new("changed-since", format!("the task '{}' has changed since", name(task)))
                    .hint("'git task log' shows the later changes; undo those first")
            );
        }
    }
    for task in &change.tasks {
        match (&task.before, tasks.by_id_mut(&task.id)) {
            // Where the worktree and branch are is a fact of git, which no undo changes.
            (Some(before), Some(now)) => {
                *now = Task { worktree: now.worktree.take(), branch: now.branch.take(), ..before.clone() };
            }
            (Some(before), None) => tasks.tasks.push(before.clone()),
            (None, _) => refuse_removal(tasks, task)?,
        }
    }
    crate::add::refuse_cycle(tasks)
}

/// A task that was added is taken away only if nothing hangs on it.
fn refuse_removal(tasks: &mut Tasks, task: &TaskChange) -> Result<()> {
    let needed = tasks.tasks.iter().any(|other| other.id != task.id && other.depends_on.contains(&task.id));
    let has_worktree = task.after.as_ref().is_some_and(|task| task.worktree.is_some());
    if needed || has_worktree {
        bail!(Refusal::new("needed", format!("the task '{}' has a worktree, or others wait for it", name(task))));
    }
    tasks.tasks.retain(|other| other.id != task.id);
    Ok(())
}

/// Only the registry goes back; what git holds stays, and the user is told.
fn notes(change: &Change) -> Vec<String> {
    let merged = |task: &&Task| task.status == State::Done;
    let done = change.tasks.iter().filter(|task| task.before.is_some());
    done.filter_map(|task| task.after.as_ref())
        .filter(merged)
        .map(|task| format!("'{}' stays merged; its branch is under refs/backup/{}/", task.slug, task.slug))
        .collect()
}

fn repo_key(task: &TaskChange) -> Option<&str> {
    task.after.as_ref().or(task.before.as_ref()).map(|task| task.repo.key.as_str())
}

fn name(task: &TaskChange) -> String {
    task.after.as_ref().or(task.before.as_ref()).map_or_else(|| task.id.clone(), |task| task.slug.to_string())
}
