//! The fields of a task as a request names them: by flags, as JSON, or in an editor.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use shared::app::Context;
use shared::failure::Failure;
use shared::refusal::Refusal;
use shared::registry::{Base, Tasks};
use shared::repository::Repository;
use shared::slug::Slug;

/// A title may not be longer, in characters.
const MAX_TITLE: usize = 500;

/// What a request says of a task; what it leaves out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(crate) struct Fields {
    /// What is to be reached, in as many words as it takes
    #[arg(long, value_name = "text")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<String>,
    /// Task that has to be done before; may be given several times, or '' for none
    #[arg(long = "depends-on", value_name = "task", add = clap_complete::ArgValueCompleter::new(shared::app::complete_task))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) depends_on: Option<Vec<String>>,
    /// The higher, the sooner
    #[arg(long, value_name = "number", allow_negative_numbers = true)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<i64>,
    /// Word to find it by; may be given several times, or '' for none
    #[arg(long = "label", value_name = "word")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<Vec<String>>,
    /// Who answers for it
    #[arg(long, value_name = "name")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    /// Branch that it starts from and merges into
    #[arg(long, value_name = "branch")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<String>,
    /// Agent that is to do it
    #[arg(long, value_name = "name")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    /// Path that it will change; may be given several times, or '' for none
    #[arg(long, value_name = "path")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) touches: Option<Vec<String>>,
}

impl Fields {
    /// Says whether the request names no field at all.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Fields::default()
    }

    /// Writes the fields into a task whose repository and slug are known.
    pub(crate) fn write(&self, tasks: &mut Tasks, id: &str, base: Option<&Base>) -> Result<()> {
        let repo_key = tasks.by_id(id).map(|task| task.repo.key.clone()).unwrap_or_default();
        let depends_on = match &self.depends_on {
            Some(names) => Some(
                names
                    .iter()
                    .filter(|name| !name.is_empty())
                    .map(|name| tasks.task(&repo_key, name).map(|task| task.id.clone()))
                    .collect::<Result<Vec<String>>>()?,
            ),
            None => None,
        };
        let Some(task) = tasks.by_id_mut(id) else { bail!("the task '{id}' is gone") };
        let words = |list: &Option<Vec<String>>| {
            list.as_ref().map(|list| list.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>())
        };
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        if let Some(mut ids) = depends_on {
            ids.dedup();
            task.depends_on = ids;
        }
        if let Some(goal) = &self.goal {
            task.goal = goal.clone();
        }
        if let Some(priority) = self.priority {
            task.priority = priority;
        }
        if let Some(labels) = words(&self.labels) {
            task.labels = labels;
        }
        if let Some(touches) = words(&self.touches) {
            task.touches = touches;
        }
        if let Some(owner) = &self.owner {
            task.owner = some(owner);
        }
        if let Some(agent) = &self.agent {
            task.agent = some(agent);
        }
        if let Some(base) = base {
            task.base = Some(base.clone());
        }
        Ok(())
    }
}

/// Returns the title if it can be one: a line of 1 to 500 characters without control characters.
pub(crate) fn checked_title(title: &str) -> Result<String> {
    let title = title.trim();
    if title.is_empty() {
        bail!(Refusal::new("wrong-title", "a task needs a title"));
    }
    if title.chars().count() > MAX_TITLE || title.chars().any(char::is_control) {
        bail!(Refusal::new("wrong-title", format!("a title is one line of at most {MAX_TITLE} characters")));
    }
    Ok(title.to_owned())
}

/// Returns the slug that a request asks for, or one made from the title.
pub(crate) fn slug_for(title: &str, wanted: Option<&Slug>, id: &str) -> Slug {
    let made = || Slug::from_text(title).or_else(|| Slug::from_text(&format!("task-{id}")));
    wanted.cloned().or_else(made).expect("an id of plain characters makes a slug")
}

/// Returns the base that a name means: that branch, or the configured one, or the main worktree's.
pub(crate) fn find_base(cx: &Context, repository: &Repository, name: Option<&str>) -> Result<Base, Failure> {
    let configured = match name {
        Some(name) => Some(name.to_owned()),
        None => cx.config()?.text("task.base")?,
    };
    let full = match configured {
        Some(name) if name.starts_with("refs/heads/") => name,
        Some(name) => format!("refs/heads/{name}"),
        None => default_base(repository)?,
    };
    let branch = Base { name: full, commit: None, unknown: serde_json::Map::new() };
    if repository.tip(&branch.name)?.is_none() {
        let short = shared::output::escape(short_name(&branch.name)).into_owned();
        return Err(Failure::could_not("unknown-revision", format!("there is no branch '{short}'"))
            .hint("'--base <branch>' or 'git config codex-agents.task.base <branch>' names another"));
    }
    Ok(branch)
}

/// Returns a branch's name without `refs/heads/`.
pub(crate) fn short_name(full: &str) -> &str {
    full.strip_prefix("refs/heads/").unwrap_or(full)
}

fn default_base(repository: &Repository) -> Result<String, Failure> {
    let main = repository.worktrees()?.into_iter().find(|worktree| worktree.is_main).and_then(|main| main.branch);
    let head = || repository.gix.head_name().ok().flatten().map(|name| name.as_bstr().to_string());
    main.or_else(head).ok_or_else(|| {
        Failure::could_not("detached", "the main worktree is on no branch that a task could start from")
            .hint("'--base <branch>' names one")
    })
}
