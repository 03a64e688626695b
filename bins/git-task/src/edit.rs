//! `git task edit`: change a task by flags or in an editor.

use std::fmt;
use std::io::{IsTerminal, Write};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::refusal::Refusal;
use shared::registry::{Base, State, Task, Tasks};
use shared::repository::{Scope, Setting};

use crate::fields::{self, Fields};

/// Change a task: by flags, or in the editor if none is given
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Task to change
    #[arg(add = clap_complete::ArgValueCompleter::new(shared::app::complete_task))]
    task: String,
    /// One line that says what the task is
    #[arg(long, value_name = "text")]
    title: Option<String>,
    /// How far it is: planned, ready, active or review
    #[arg(long, value_name = "state")]
    status: Option<State>,
    #[command(flatten)]
    fields: Fields,
    /// Say what would change and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// What stands in the editor.
#[derive(Debug, Serialize, Deserialize)]
struct Sheet {
    title: String,
    status: State,
    #[serde(flatten)]
    fields: Fields,
}

#[derive(Debug, Serialize)]
struct Answer {
    task: Task,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.task.slug)
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let repository = cx.repository_unchecked()?;
    let key = repository.key();
    let registry = cx.registry()?;
    let before = registry.load()?.task(&key, &args.task)?.clone();
    let sheet = if args.fields.is_empty() && args.title.is_none() && args.status.is_none() {
        in_editor(cx, &registry.load()?, &before)?
    } else {
        Sheet {
            title: args.title.unwrap_or_else(|| before.title.clone()),
            status: args.status.unwrap_or(before.status),
            fields: args.fields,
        }
    };
    let base = match &sheet.fields.base {
        Some(name) => Some(fields::find_base(cx, repository, Some(name))?),
        None => None,
    };
    let edit = |tasks: &mut Tasks| apply(tasks, &before, &sheet, base.as_ref());
    let task = if args.dry_run {
        edit(&mut registry.load()?)?
    } else {
        registry.change(|task: &Task| format!("edit {}", task.slug), edit)?
    };
    cx.output.answer(&Answer { task })?;
    Ok(Status::Done)
}

fn apply(tasks: &mut Tasks, before: &Task, sheet: &Sheet, base: Option<&Base>) -> Result<Task> {
    let title = fields::checked_title(&sheet.title)?;
    if matches!(sheet.status, State::Done | State::Dropped) && sheet.status != before.status {
        bail!(
            Refusal::new("wrong-status", "a task is not edited to be done or dropped")
                .hint("'git task complete' and 'git task drop' do that")
        );
    }
    if base.is_some() && before.branch.is_some() && base.map(|b| &b.name) != before.base.as_ref().map(|b| &b.name) {
        // The branch has started from another commit; only where it goes changes.
        let commit = before.base.as_ref().and_then(|base| base.commit.clone());
        let moved = base.map(|base| Base { commit, ..base.clone() });
        sheet.fields.write(tasks, &before.id, moved.as_ref())?;
    } else {
        let base = base.filter(|base| Some(&base.name) != before.base.as_ref().map(|base| &base.name));
        sheet.fields.write(tasks, &before.id, base)?;
    }
    let Some(task) = tasks.by_id_mut(&before.id) else { bail!("the task '{}' is gone", before.slug) };
    task.title = title;
    if sheet.status != before.status {
        task.status = sheet.status;
    }
    let task = task.clone();
    crate::add::refuse_cycle(tasks)?;
    Ok(task)
}

fn in_editor(cx: &Context, tasks: &Tasks, task: &Task) -> Result<Sheet, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::could_not("no-terminal", "there is no terminal for the editor")
            .hint("flags such as '--title' change a task without one"));
    }
    let sheet = Sheet {
        title: task.title.clone(),
        status: task.status,
        fields: Fields {
            goal: Some(task.goal.clone()),
            depends_on: Some(tasks.slugs(&task.depends_on)),
            priority: Some(task.priority),
            labels: Some(task.labels.clone()),
            owner: Some(task.owner.clone().unwrap_or_default()),
            base: task.base.as_ref().map(|base| fields::short_name(&base.name).to_owned()),
            agent: Some(task.agent.clone().unwrap_or_default()),
            touches: Some(task.touches.clone()),
        },
    };
    let text = toml::to_string_pretty(&sheet).context("cannot write the task for the editor")?;
    let edited = run_editor(cx, &text)?;
    toml::from_str(&edited).map_err(|e| Failure::could_not("edit", format!("cannot read what was edited: {e}")))
}

/// Runs the editor as git chooses it, but for what the repository's own configuration says.
fn run_editor(cx: &Context, text: &str) -> Result<String, Failure> {
    let mut file =
        tempfile::Builder::new().prefix("git-task-").suffix(".toml").tempfile().context("cannot create a file")?;
    file.write_all(text.as_bytes()).context("cannot write the file to edit")?;
    let configured = || {
        let own = cx.repository_unchecked().ok()?.settings("core");
        let usable = |s: &Setting| s.key == "editor" && s.scope != Scope::Repository && !s.value.is_empty();
        own.into_iter().rev().find(usable).map(|s| s.value)
    };
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let editor =
        variable("GIT_EDITOR").or_else(configured).or_else(|| variable("VISUAL")).or_else(|| variable("EDITOR"));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // The user's own words, which may hold arguments: a shell reads them, as git does.
    let status = shared::process::command("sh")
        .args(["-c", &format!("{editor} \"$@\""), "editor"])
        .arg(file.path())
        .status()
        .with_context(|| format!("cannot start the editor '{editor}'"))?;
    if !status.success() {
        return Err(Failure::could_not("edit", "the editor failed; nothing is changed"));
    }
    Ok(std::fs::read_to_string(file.path()).context("cannot read what was edited")?)
}
