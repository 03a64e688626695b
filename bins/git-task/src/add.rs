//! `git task add`: new tasks, one by flags or many as JSON.

use std::fmt;
use std::io::Read;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;
use shared::refusal::Refusal;
use shared::registry::{Base, Repo, State, Task, Tasks};
use shared::repository::Repository;
use shared::slug::Slug;

use crate::brief;
use crate::fields::{self, Fields};

/// A batch may not be larger, in bytes.
const MAX_BATCH: u64 = 64 << 20;

/// Add a task and print its slug
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One line that says what the task is
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    title: Option<String>,
    /// Name of the task; made from the title if not given
    #[arg(long, value_name = "slug", conflicts_with = "batch")]
    slug: Option<Slug>,
    #[command(flatten)]
    fields: Fields,
    /// Read tasks from standard input: a JSON list of objects with title, slug, goal, depends_on and so on; all are added or none
    #[arg(long)]
    batch: bool,
    /// Say what would be added and add nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// One task as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
struct Wanted {
    title: String,
    slug: Option<Slug>,
    fields: Fields,
}

/// By hand, because serde cannot refuse unknown names beside flattened ones.
impl TryFrom<Map<String, Value>> for Wanted {
    type Error = String;

    fn try_from(mut map: Map<String, Value>) -> Result<Self, String> {
        let title = map.remove("title").ok_or("a task has no 'title'")?;
        let slug = map.remove("slug").unwrap_or_default();
        Ok(Wanted {
            title: serde_json::from_value(title).map_err(|e| format!("'title': {e}"))?,
            slug: serde_json::from_value(slug).map_err(|e| format!("'slug': {e}"))?,
            fields: serde_json::from_value(Value::Object(map)).map_err(|e| e.to_string())?,
        })
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    tasks: Vec<Task>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tasks.iter().try_for_each(|task| writeln!(f, "{}", task.slug))
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let repository = cx.repository_unchecked()?;
    let wanted = match args.title {
        Some(title) => vec![Wanted { title, slug: args.slug, fields: args.fields }],
        None if args.fields.is_empty() => read_batch()?,
        None => return Err(Failure::usage("with '--batch' the fields stand in the JSON, not in flags")),
    };
    let bases = wanted
        .iter()
        .map(|task| fields::find_base(cx, repository, task.fields.base.as_deref()))
        .collect::<Result<Vec<Base>, Failure>>()?;
    let repo = repo_of(repository)?;
    let edit = |tasks: &mut Tasks| append(tasks, &repo, &wanted, &bases);
    let registry = cx.registry()?;
    let answer = if args.dry_run {
        let mut tasks = registry.load()?;
        let added = edit(&mut tasks)?;
        tasks.settle();
        Answer { tasks: pick(&tasks, &added) }
    } else {
        let added = registry.change(
            |added: &Vec<Task>| format!("add {}", slugs(added)),
            |tasks| {
                let added = edit(tasks)?;
                tasks.settle();
                Ok(pick(tasks, &added))
            },
        )?;
        for task in &added {
            if let Err(failure) = brief::create(repository, task) {
                cx.output.warn(format!("the task is added, but not its brief: {failure}"));
            }
        }
        Answer { tasks: added }
    };
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

/// Adds the tasks, then their dependencies, so that they may name each other in any order.
fn append(tasks: &mut Tasks, repo: &Repo, wanted: &[Wanted], bases: &[Base]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for task in wanted {
        let title = fields::checked_title(&task.title)?;
        let id = tasks.new_id()?;
        let slug = fields::slug_for(&title, task.slug.as_ref(), &id);
        let free = tasks.free_slug(&repo.key, slug.clone());
        if task.slug.is_some() && free != slug {
            bail!(
                Refusal::new("slug-taken", format!("there is a task '{slug}' already"))
                    .hint(format!("'--slug {free}' is free"))
            );
        }
        tasks.tasks.push(new_task(id.clone(), free, repo.clone(), title));
        ids.push(id);
    }
    for ((id, task), base) in ids.iter().zip(wanted).zip(bases) {
        task.fields.write(tasks, id, Some(base))?;
    }
    refuse_cycle(tasks)?;
    Ok(ids)
}

/// Refuses dependencies that lead back to where they start, and names them.
pub(crate) fn refuse_cycle(tasks: &Tasks) -> Result<()> {
    match tasks.find_cycle() {
        Some(cycle) => bail!(Refusal::new("cycle", format!("these tasks wait for each other: {}", cycle.join(" -> ")))),
        None => Ok(()),
    }
}

fn new_task(id: String, slug: Slug, repo: Repo, title: String) -> Task {
    let now = clock::now();
    Task {
        id,
        slug,
        repo,
        title,
        goal: String::new(),
        status: State::Planned,
        priority: 0,
        owner: None,
        labels: Vec::new(),
        depends_on: Vec::new(),
        branch: None,
        base: None,
        worktree: None,
        agent: None,
        checks: Vec::new(),
        touches: Vec::new(),
        created: now,
        updated: now,
        completed: None,
        unknown: Map::new(),
    }
}

fn repo_of(repository: &Repository) -> Result<Repo, Failure> {
    let path = repository.main_worktree().unwrap_or_else(|| repository.common_dir().to_owned());
    let path = path.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::could_not("path", format!("the path of this repository is not UTF-8: '{}'", path.display()))
    })?;
    Ok(Repo { key: repository.key(), path, unknown: Map::new() })
}

fn read_batch() -> Result<Vec<Wanted>, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_BATCH)
        .read_to_string(&mut text)
        .map_err(|e| Failure::could_not("batch", format!("cannot read standard input: {e}")))?;
    serde_json::from_str(&text)
        .map_err(|e| Failure::could_not("batch", format!("standard input is no list of tasks: {e}")))
}

fn pick(tasks: &Tasks, ids: &[String]) -> Vec<Task> {
    ids.iter().filter_map(|id| tasks.by_id(id).cloned()).collect()
}

fn slugs(tasks: &[Task]) -> String {
    tasks.iter().map(|task| task.slug.as_str()).collect::<Vec<_>>().join(" ")
}
