//! `git task worktree add`: a branch and a filled worktree for a task.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gix::ObjectId;
use serde::Serialize;
use shared::app::{self, Context};
use shared::exit::Status;
use shared::failure::Failure;
use shared::process;
use shared::registry::{Base, State, Task};
use shared::repository::{Repository, Worktree};

use crate::{fields, list};

/// Make a branch and a filled worktree for a task, and print its path
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Task that gets the worktree
    #[arg(add = clap_complete::ArgValueCompleter::new(shared::app::complete_task))]
    task: String,
    /// Where to make it; as task.worktree-dir says if not given
    #[arg(long, value_name = "path", value_hint = clap::ValueHint::DirPath)]
    path: Option<PathBuf>,
    /// Say what would be made and make nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// What is to be made.
#[derive(Debug)]
struct Plan {
    task: Task,
    base: Base,
    branch: String,
    start: ObjectId,
    /// The commit of the base that the branch starts from; the branch may have work on top of it already.
    from: ObjectId,
    path: PathBuf,
    made: Made,
}

/// How much of it is there already, made by a command that was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Nothing,
    Branch,
    Worktree,
}

#[derive(Debug, Serialize)]
struct Answer {
    task: String,
    branch: String,
    base: Base,
    worktree: PathBuf,
    hydrate: Option<serde_json::Value>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.worktree.display())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let repository = cx.repository()?;
    let plan = plan(cx, repository, &args)?;
    let hydrate = if args.dry_run { None } else { apply(cx, repository, &plan)? };
    cx.output.answer(&Answer {
        task: plan.task.slug.to_string(),
        branch: plan.branch,
        base: Base { commit: Some(plan.from.to_string()), ..plan.base },
        worktree: plan.path,
        hydrate,
    })?;
    Ok(Status::Done)
}

fn plan(cx: &Context, repository: &Repository, args: &Args) -> Result<Plan, Failure> {
    let tasks = cx.registry()?.load()?;
    let task = tasks.task(&repository.key(), &args.task)?.clone();
    if !task.is_open() {
        return Err(Failure::could_not("not-open", format!("the task '{}' is {}", task.slug, task.status)));
    }
    let waits = list::blocked_by(&tasks, &task);
    if !waits.is_empty() {
        return Err(Failure::could_not("blocked", format!("the task '{}' waits for {}", task.slug, waits.join(", ")))
            .hint("'git task edit <task> --depends-on …' changes what it waits for"));
    }
    let base = match &task.base {
        Some(base) => base.clone(),
        None => fields::find_base(cx, repository, None)?,
    };
    let branch = match &task.branch {
        Some(branch) => branch.clone(),
        None => format!("refs/heads/{}{}", cx.config()?.text("task.branch-prefix")?.unwrap_or_default(), task.slug),
    };
    let existing = repository.worktree_of(&branch)?;
    let path = match (&args.path, &existing) {
        (_, Some(worktree)) => worktree.path.clone(),
        (Some(path), None) => app::plain(&cx.folder().join(path)),
        (None, None) => cx.worktree_path(task.slug.as_str())?,
    };
    let tip = repository.tip(&branch)?;
    let made = match (&existing, tip) {
        (Some(worktree), _) => own_or_refuse(&task, worktree)?,
        (None, Some(_)) => Made::Branch,
        (None, None) => Made::Nothing,
    };
    if made != Made::Worktree && path.symlink_metadata().is_ok() {
        return Err(Failure::could_not("exists", format!("'{}' is there already", path.display()))
            .hint("'--path <path>' makes the worktree elsewhere"));
    }
    let start = match tip {
        Some(tip) => tip,
        None => repository.tip(&base.name)?.ok_or_else(|| {
            let short = fields::short_name(&base.name);
            Failure::could_not("unknown-revision", format!("the base branch '{short}' is gone"))
                .hint("'git task edit <task> --base <branch>' names another")
        })?,
    };
    let from = match (tip, repository.tip(&base.name)?) {
        (Some(tip), Some(base)) => fork(cx, tip, base)?.unwrap_or(tip),
        (Some(_) | None, _) => start,
    };
    Ok(Plan { task, base, branch, start, from, path, made })
}

/// Returns where two commits part, the newest place if there are several.
fn fork(cx: &Context, one: ObjectId, other: ObjectId) -> Result<Option<ObjectId>, Failure> {
    let found = cx.git()?.reading().ask(["merge-base", &one.to_string(), &other.to_string()])?;
    Ok(ObjectId::from_hex(found.text().as_bytes()).ok().filter(|_| found.code == 0))
}

/// A worktree of the task's branch is the task's if no other place is recorded.
fn own_or_refuse(task: &Task, worktree: &Worktree) -> Result<Made, Failure> {
    if worktree.is_main || task.worktree.as_ref().is_some_and(|path| Path::new(path) == worktree.path) {
        let message = format!("the branch of '{}' is checked out at '{}' already", task.slug, worktree.path.display());
        let failure = Failure::could_not("exists", message);
        if worktree.path.exists() {
            return Err(failure);
        }
        return Err(failure.hint(format!(
            "that folder is gone: 'git worktree repair <path>' tells git where it is now, or 'git task worktree remove {}' forgets it",
            task.slug
        )));
    }
    Ok(Made::Worktree)
}

fn apply(cx: &Context, repository: &Repository, plan: &Plan) -> Result<Option<serde_json::Value>, Failure> {
    if plan.made != Made::Worktree {
        make(cx, repository, plan)?;
    }
    record(cx, plan)?;
    fill(cx, repository, &plan.path)
}

fn make(cx: &Context, repository: &Repository, plan: &Plan) -> Result<(), Failure> {
    if let Some(folder) = plan.path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create '{}'", folder.display()))?;
    }
    let git = cx.git()?;
    let short = fields::short_name(&plan.branch);
    let start = plan.start.to_string();
    let _lock = super::lock(repository)?;
    let mut arguments: Vec<&std::ffi::OsStr> =
        ["worktree", "add", "--no-checkout", "--quiet"].iter().map(|text| text.as_ref()).collect();
    match plan.made {
        Made::Nothing => {
            arguments.extend(["--no-track", "-b", short].iter().map(|text| AsRef::<std::ffi::OsStr>::as_ref(*text)));
            arguments.extend([plan.path.as_os_str(), start.as_ref()]);
        }
        Made::Branch | Made::Worktree => arguments.extend([plan.path.as_os_str(), short.as_ref()]),
    }
    git.run(arguments)?;
    Ok(())
}

fn record(cx: &Context, plan: &Plan) -> Result<(), Failure> {
    let path = plan.path.to_str().ok_or_else(|| {
        Failure::could_not("path", format!("the path of the worktree is not UTF-8: '{}'", plan.path.display()))
    })?;
    cx.registry()?.change(
        |()| format!("worktree add {}", plan.task.slug),
        |tasks| {
            let task = tasks.by_id_mut(&plan.task.id).context("the task was removed meanwhile")?;
            task.branch = Some(plan.branch.clone());
            task.base = Some(Base { commit: Some(plan.from.to_string()), ..plan.base.clone() });
            task.worktree = Some(path.to_owned());
            if matches!(task.status, State::Planned | State::Ready) {
                task.status = State::Active;
            }
            Ok(())
        },
    )?;
    Ok(())
}

/// Fills the worktree by git-hydrate, or by git where that is not installed.
fn fill(cx: &Context, repository: &Repository, path: &Path) -> Result<Option<serde_json::Value>, Failure> {
    let Some(program) = process::suite_program("git-hydrate") else {
        let worktree = super::find(repository, path)?.context("the worktree that was just made is not listed")?;
        cx.git_in(&worktree)?.run(["read-tree", "-m", "-u", "HEAD"])?;
        return Ok(None);
    };
    let mut command = process::command(program);
    process::scrub(&mut command).arg("-C").arg(path).current_dir(path);
    // For people it speaks for itself, with its progress and its reasons.
    if cx.output.is_json() {
        command.arg("--json");
    } else {
        command.stderr(std::process::Stdio::inherit());
    }
    let output = command.output().context("cannot start git-hydrate")?;
    if output.status.success() {
        if !cx.output.is_json() {
            cx.output.note(String::from_utf8_lossy(&output.stdout).trim_end());
        }
        return Ok(serde_json::from_slice(&output.stdout).ok());
    }
    // For people it has said it itself, and nothing was caught.
    let reason = Some(process::told(&output.stderr).message).filter(|words| !words.is_empty());
    let reason = reason.map(|words| format!(": {words}")).unwrap_or_default();
    let message = format!("the worktree '{}' is made but not filled{reason}", path.display());
    Err(Failure::could_not("hydrate", message).hint(format!("'git -C {} hydrate' goes on with it", path.display())))
}
