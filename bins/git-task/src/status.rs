//! `git task status`: tasks, worktrees, jobs and verdicts on one page.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process;
use shared::registry::{State, Task, Tasks};
use shared::repository::Repository;

use crate::fields::short_name;
use crate::{list, proof, worktree};
use shared::jobs::{self, Job};

/// Show where the open tasks stand: worktree, job, verdict, ahead and behind
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Tasks of all repositories
    #[arg(short, long)]
    all: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    repositories: Vec<Section>,
}

#[derive(Debug, Serialize)]
struct Section {
    repo: String,
    tasks: Vec<Row>,
    done: usize,
    dropped: usize,
    /// Why the repository could not be looked at; its rows then hold only what the registry says.
    unreadable: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Row {
    task: String,
    title: String,
    status: String,
    blocked_by: Vec<String>,
    branch: Option<String>,
    worktree: Option<PathBuf>,
    worktree_missing: bool,
    changes: Option<usize>,
    ahead: Option<usize>,
    behind: Option<usize>,
    job: Option<Job>,
    verdict: Option<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, section) in self.repositories.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            section.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} open, {} done", Foreign(&self.repo), self.tasks.len(), self.done)?;
        if self.dropped > 0 {
            write!(f, ", {} dropped", self.dropped)?;
        }
        writeln!(f)?;
        if let Some(reason) = &self.unreadable {
            writeln!(f, "  cannot be looked at: {}", Foreign(reason))?;
        }
        let width = self.tasks.iter().map(|row| row.task.len()).max().unwrap_or(0);
        for row in &self.tasks {
            writeln!(f, "  {:width$}  {:7}  {}", row.task, row.status, row.facts().join("  "))?;
        }
        Ok(())
    }
}

impl Row {
    fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        if let (Some(ahead), Some(behind)) = (self.ahead, self.behind) {
            facts.push(format!("+{ahead}/-{behind}"));
        }
        match self.changes {
            Some(0) | None => {}
            Some(changes) => facts.push(format!("{changes} uncommitted")),
        }
        if self.worktree_missing {
            facts.push("worktree missing".into());
        }
        if let Some(job) = &self.job {
            facts.push(format!("job {} {}", Foreign(&job.id), Foreign(&job.state)));
        }
        if let Some(verdict) = &self.verdict {
            facts.push(format!("verdict {}", Foreign(verdict)));
        }
        if !self.blocked_by.is_empty() {
            facts.push(format!("after {}", self.blocked_by.join(", ")));
        }
        facts.push(Foreign(&self.title).to_string());
        facts
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let tasks = cx.registry()?.load()?;
    let jobs = jobs::list(cx.folder())?;
    let sections = if args.all {
        let mut keys: Vec<(&str, &str)> =
            tasks.tasks.iter().map(|task| (task.repo.key.as_str(), task.repo.path.as_str())).collect();
        keys.sort_unstable();
        keys.dedup_by_key(|(key, _)| *key);
        keys.into_iter().map(|(key, path)| of_repository(&tasks, &jobs, key, path)).collect()
    } else {
        let repository = cx.repository()?;
        let path = repository.main_worktree().unwrap_or_else(|| repository.common_dir().to_owned());
        vec![of_repository(&tasks, &jobs, &repository.key(), &path.display().to_string())]
    };
    cx.output.answer(&Answer { repositories: sections })?;
    Ok(Status::Done)
}

fn of_repository(tasks: &Tasks, jobs: &[Job], key: &str, path: &str) -> Section {
    let own: Vec<&Task> = tasks.tasks.iter().filter(|task| task.repo.key == key).collect();
    let count = |state: State| own.iter().filter(|task| task.status == state).count();
    let mut section = Section {
        repo: path.to_owned(),
        done: count(State::Done),
        dropped: count(State::Dropped),
        tasks: Vec::new(),
        unreadable: None,
    };
    let opened = open(Path::new(path), key);
    if let Err(failure) = &opened {
        section.unreadable = Some(failure.to_string());
    }
    let facts = opened.ok().and_then(|cx| Facts::gather(&cx, &own).map(|facts| (cx, facts)).ok());
    for task in own.into_iter().filter(|task| task.is_open()) {
        let mut row = Row {
            task: task.slug.to_string(),
            title: task.title.clone(),
            status: task.status.to_string(),
            blocked_by: list::blocked_by(tasks, task),
            branch: task.branch.as_deref().map(short_name).map(str::to_owned),
            worktree: task.worktree.as_ref().map(PathBuf::from),
            job: jobs.iter().find(|job| belongs(job, task)).cloned(),
            ..Row::default()
        };
        if let Some((cx, facts)) = &facts {
            facts.fill(cx, task, &mut row);
        }
        section.tasks.push(row);
    }
    section
}

fn belongs(job: &Job, task: &Task) -> bool {
    job.task.as_deref() == Some(&task.id)
}

/// Opens a repository anew, as its own context: several may be shown on one page.
fn open(path: &Path, key: &str) -> Result<Context, Failure> {
    let global = shared::app::Global { directory: vec![path.to_owned()], quiet: true, ..Default::default() };
    let cx = Context::open(&global)?;
    let found: &Repository = cx.repository()?;
    if found.key() != key {
        return Err(Failure::could_not("moved", "another repository is there now"));
    }
    Ok(cx)
}

/// What is asked once for all tasks of a repository.
struct Facts {
    verdicts: HashMap<String, String>,
}

impl Facts {
    fn gather(cx: &Context, tasks: &[&Task]) -> Result<Facts, Failure> {
        let repository = cx.repository()?;
        let tips = tasks.iter().filter(|task| task.is_open()).filter_map(|task| task.branch.clone());
        let existing: Vec<String> = tips.filter(|branch| repository.tip(branch).ok().flatten().is_some()).collect();
        Ok(Facts { verdicts: verdicts(cx, &existing).unwrap_or_default() })
    }

    fn fill(&self, cx: &Context, task: &Task, row: &mut Row) {
        if let Some(counts) = ahead_behind(cx, task).ok().flatten() {
            (row.ahead, row.behind) = (Some(counts.0), Some(counts.1));
        }
        row.verdict = task.branch.as_ref().and_then(|branch| self.verdicts.get(branch)).cloned();
        let Some(path) = &row.worktree else { return };
        let found = cx.repository().and_then(|repository| worktree::find(repository, path)).ok().flatten();
        match found.filter(|worktree| worktree.path.exists()) {
            Some(worktree) => row.changes = proof::changes(cx, &worktree).ok().map(|changes| changes.len()),
            None => row.worktree_missing = true,
        }
    }
}

/// Counts the commits of the branch that the base lacks, and the other way round.
fn ahead_behind(cx: &Context, task: &Task) -> Result<Option<(usize, usize)>, Failure> {
    let (Some(branch), Some(base)) = (&task.branch, &task.base) else { return Ok(None) };
    let repository = cx.repository()?;
    let (Some(tip), Some(base)) = (repository.tip(branch)?, repository.tip(&base.name)?) else { return Ok(None) };
    let counts = cx.git()?.run(["rev-list", "--left-right", "--count", &format!("{tip}...{base}")])?.text();
    Ok(counts.split_once('\t').and_then(|(ahead, behind)| Some((ahead.parse().ok()?, behind.parse().ok()?))))
}

/// Asks git-validate for the verdict of each branch; nothing where it is not installed or cannot tell.
fn verdicts(cx: &Context, branches: &[String]) -> anyhow::Result<HashMap<String, String>> {
    let Some(program) = process::suite_program("git-validate") else { return Ok(HashMap::new()) };
    let mut verdicts = HashMap::new();
    for branch in branches {
        let mut command = process::command(&program);
        process::scrub(&mut command).args(["show", "--json", branch]).current_dir(cx.folder());
        let output = command.output().context("cannot start git-validate")?;
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if let Some(verdict) = answer["verdict"].as_str().filter(|verdict| !matches!(*verdict, "none" | "no-checks")) {
            verdicts.insert(branch.clone(), verdict.to_owned());
        }
    }
    Ok(verdicts)
}
