//! `git task complete`: the gate, the merge, and the end of a task.
//!
//! Everything is built beside the worktrees; the base moves by compare-and-swap. If the base moves
//! in between, all is planned anew, so that what lands is what was judged.

mod build;
mod gate;
mod land;

use std::fmt;
use std::path::PathBuf;

use anyhow::Context as _;
use gix::ObjectId;
use serde::Serialize;
use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;
use shared::landing::Checkout;
use shared::output::Foreign;
use shared::registry::{State, Task};

use crate::fields::{self, short_name};
use crate::{list, proof, worktree};
use shared::jobs;

/// How often a base that moves meanwhile is tried again.
const TRIES: u32 = 5;

/// Merge a task into its base: after a passing verdict on exactly what lands, without conflicts
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Task to complete
    #[arg(add = clap_complete::ArgValueCompleter::new(shared::app::complete_task))]
    task: String,
    /// How to bring it in; as task.merge says if not given
    #[arg(long, value_name = "how")]
    merge: Option<Method>,
    /// Run the checks first if there is no verdict yet
    #[arg(long, conflicts_with = "unvalidated")]
    validate: bool,
    /// Merge without a verdict; the log says so
    #[arg(long)]
    unvalidated: bool,
    /// Keep the task's worktree and branch
    #[arg(long)]
    keep_worktree: bool,
    /// Say what would happen and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// How a task comes into its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Method {
    /// A merge commit
    Merge,
    /// One commit with all changes
    Squash,
    /// Its commits replayed on the base
    Rebase,
}

/// What is to land.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) task: Task,
    pub(crate) branch: String,
    pub(crate) tip: ObjectId,
    pub(crate) base: String,
    pub(crate) old: ObjectId,
    pub(crate) method: Method,
}

#[derive(Debug, Serialize)]
struct Answer {
    task: String,
    base: String,
    commit: String,
    tree: String,
    method: Method,
    validated: bool,
    already_merged: bool,
    checkout: Option<Checkout>,
    backup: Option<String>,
    worktree_removed: Option<PathBuf>,
    unblocked: Vec<String>,
    dry_run: bool,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match (self.dry_run, self.already_merged) {
            (true, _) => "would merge",
            (false, true) => "was merged already:",
            (false, false) => "merged",
        };
        let base = Foreign(short_name(&self.base));
        writeln!(f, "{verb} {} into {base} as {}", self.task, self.commit.get(..12).unwrap_or(&self.commit))?;
        if let Some(backup) = &self.backup {
            writeln!(f, "its branch stays as {backup}")?;
        }
        if let Some(path) = &self.worktree_removed {
            writeln!(f, "removed the worktree {}", Foreign(&path.display().to_string()))?;
        }
        if !self.unblocked.is_empty() {
            writeln!(f, "ready now: {}", self.unblocked.join(", "))?;
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let plan = plan(cx, &args)?;
        refuse_unfinished_work(cx, &plan)?;
        refuse_empty(&plan)?;
        let built = build::build(cx, &plan)?;
        let validated = gate::pass(cx, &plan, &built, &args)?;
        if args.dry_run {
            let checkout = land::preview(cx, &plan, &built)?;
            cx.output.answer(&answer(&plan, &built, validated, checkout, true))?;
            return Ok(Status::Done);
        }
        match land::land(cx, &plan, &built)? {
            land::Landed::Moved { checkout, backup } => {
                let mut answer = answer(&plan, &built, validated, checkout, false);
                answer.backup = Some(backup);
                answer.unblocked = finish(cx, &plan, validated)?;
                if !args.keep_worktree {
                    answer.worktree_removed = clean_up(cx, &plan)?;
                }
                cx.output.answer(&answer)?;
                return Ok(Status::Done);
            }
            land::Landed::BaseMoved if tries < TRIES => {
                let base = short_name(&plan.base);
                cx.output.note(format!("'{base}' moved meanwhile; trying again on its new commit"));
            }
            land::Landed::BaseMoved => {
                let base = short_name(&plan.base);
                return Err(Failure::could_not(
                    "base-moved",
                    format!("'{base}' moved again and again; nothing is merged"),
                )
                .hint("run the command again"));
            }
        }
    }
}

fn plan(cx: &Context, args: &Args) -> Result<Plan, Failure> {
    let repository = cx.repository()?;
    let tasks = cx.registry()?.load()?;
    let task = tasks.task(&repository.key(), &args.task)?.clone();
    if !task.is_open() {
        return Err(Failure::could_not("not-open", format!("the task '{}' is {} already", task.slug, task.status)));
    }
    let waits = list::blocked_by(&tasks, &task);
    if !waits.is_empty() {
        return Err(Failure::could_not("blocked", format!("the task '{}' waits for {}", task.slug, waits.join(", "))));
    }
    let Some(branch) = task.branch.clone() else {
        return Err(Failure::could_not("no-branch", format!("the task '{}' has no branch yet", task.slug))
            .hint(format!("'git task worktree add {}' makes it", task.slug)));
    };
    let gone =
        |name: &str| Failure::could_not("unknown-revision", format!("the branch '{}' is gone", short_name(name)));
    let tip = repository.tip(&branch)?.ok_or_else(|| gone(&branch))?;
    let base = match &task.base {
        Some(base) => base.name.clone(),
        None => fields::find_base(cx, repository, None)?.name,
    };
    let old = repository.tip(&base)?.ok_or_else(|| gone(&base))?;
    let method = match args.merge {
        Some(method) => method,
        None => match cx.config()?.text("task.merge")?.as_deref() {
            Some("squash") => Method::Squash,
            Some("rebase") => Method::Rebase,
            Some(_) | None => Method::Merge,
        },
    };
    Ok(Plan { task, branch, tip, base, old, method })
}

/// What is not committed would neither land nor stay.
fn refuse_unfinished_work(cx: &Context, plan: &Plan) -> Result<(), Failure> {
    let repository = cx.repository()?;
    let Some(path) = plan.task.worktree.as_ref().map(PathBuf::from) else { return Ok(()) };
    let Some(worktree) = worktree::find(repository, &path)?.filter(|worktree| worktree.path.exists()) else {
        return Ok(());
    };
    if let Some(job) = jobs::find_live(&jobs::list(cx.folder())?, &worktree.path) {
        let message = format!("the job {} still works on '{}'", Foreign(&job.id), plan.task.slug);
        return Err(Failure::could_not("live-job", message)
            .hint(format!("'git worker wait {}' waits for its end", plan.task.slug)));
    }
    let changes = proof::changes(cx, &worktree)?;
    if changes.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = changes.iter().take(20).map(ToString::to_string).collect();
    let message =
        format!("the worktree of '{}' has work that is in no commit:\n  {}", plan.task.slug, shown.join("\n  "));
    Err(Failure::could_not("uncommitted", message)
        .details(serde_json::json!({ "losses": changes }))
        .hint(format!("commit it, or put it aside, in '{}'", worktree.path.display())))
}

/// Asked after the unfinished work: what is only not committed yet is not nothing.
fn refuse_empty(plan: &Plan) -> Result<(), Failure> {
    let slug = &plan.task.slug;
    if plan.task.base.as_ref().and_then(|base| base.commit.as_ref()) != Some(&plan.tip.to_string()) {
        return Ok(());
    }
    Err(Failure::no("empty", format!("there is nothing to merge: the branch of '{slug}' has no commits"))
        .hint(format!("'git task drop {slug}' gives the task up")))
}

fn answer(plan: &Plan, built: &build::Built, validated: bool, checkout: Option<Checkout>, dry_run: bool) -> Answer {
    Answer {
        task: plan.task.slug.to_string(),
        base: plan.base.clone(),
        commit: built.commit.to_string(),
        tree: built.tree.to_string(),
        method: plan.method,
        validated,
        already_merged: built.commit == plan.old,
        checkout,
        backup: None,
        worktree_removed: None,
        unblocked: Vec::new(),
        dry_run,
    }
}

/// Records the end of the task; returns the tasks that can start now.
fn finish(cx: &Context, plan: &Plan, validated: bool) -> Result<Vec<String>, Failure> {
    let unblocked = cx.registry()?.change(
        |_| format!("complete {}{}", plan.task.slug, if validated { "" } else { " (unvalidated)" }),
        |tasks| {
            let ready = |tasks: &shared::registry::Tasks| -> Vec<String> {
                let own = tasks.tasks.iter().filter(|task| task.status == State::Ready);
                own.map(|task| task.slug.to_string()).collect()
            };
            let before = ready(tasks);
            let task = tasks.by_id_mut(&plan.task.id).context("the task was removed meanwhile")?;
            task.status = State::Done;
            task.completed = Some(clock::now());
            tasks.settle();
            let mut unblocked = ready(tasks);
            unblocked.retain(|slug| !before.contains(slug));
            Ok(unblocked)
        },
    )?;
    Ok(unblocked)
}

/// Removes the worktree with its proof, then the branch, which stays reachable under `refs/backup/`.
fn clean_up(cx: &Context, plan: &Plan) -> Result<Option<PathBuf>, Failure> {
    let repository = cx.repository()?;
    let path = plan.task.worktree.as_ref().map(PathBuf::from);
    let own = match &path {
        Some(path) => worktree::find(repository, path)?,
        None => None,
    };
    if let Some(worktree) = &own
        && let Err(failure) = worktree::remove(cx, &plan.task, worktree, false, false)
    {
        cx.output.warn(format!("the task is merged, and its worktree stays: {failure}"));
        return Ok(None);
    }
    let tip = plan.tip.to_string();
    if repository.worktree_of(&plan.branch)?.is_none() || own.is_some() {
        // Only if the branch is still where it was when it was backed up.
        if let Err(error) = cx.git()?.run(["update-ref", "-d", &plan.branch, &tip]) {
            cx.output.warn(format!("the task is merged, and its branch stays: {error:#}"));
        }
    }
    cx.registry()?.change(
        |()| format!("worktree remove {}", plan.task.slug),
        |tasks| {
            if let Some(task) = tasks.by_id_mut(&plan.task.id) {
                task.worktree = None;
            }
            Ok(())
        },
    )?;
    Ok(own.and(path))
}
