//! `git task doctor`: finds what drifted, and mends what can be mended without losing work.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use shared::app::Context;
use shared::durable::{self, Lock};
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::registry::{self, Registry, Task};
use shared::repository::Repository;
use shared::{clock, refusal::Refusal};

use crate::fields::short_name;
use crate::{brief, worktree};
use shared::jobs;

/// A lock of git that is older than this and held by nobody was left behind.
const STALE_LOCK: Duration = Duration::from_secs(600);

/// Find what drifted between the registry, git and the jobs; exit 1 if something is left to mend
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Mend what can be mended; never removes work
    #[arg(long)]
    fix: bool,
}

/// One thing that is not as it should be.
#[derive(Debug, Serialize)]
struct Finding {
    kind: &'static str,
    name: String,
    message: String,
    fixed: bool,
    hint: Option<String>,
}

impl Finding {
    fn new(kind: &'static str, name: impl fmt::Display, message: impl fmt::Display) -> Finding {
        Finding { kind, name: name.to_string(), message: message.to_string(), fixed: false, hint: None }
    }

    fn hint(self, hint: impl fmt::Display) -> Finding {
        Finding { hint: Some(hint.to_string()), ..self }
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    findings: Vec<Finding>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let mark = if finding.fixed { "fixed" } else { "found" };
            writeln!(f, "{mark}: {}", Foreign(&finding.message))?;
            if let Some(hint) = finding.hint.as_ref().filter(|_| !finding.fixed) {
                writeln!(f, "       {}", Foreign(hint))?;
            }
        }
        if self.findings.is_empty() {
            writeln!(f, "all is as it should be")?;
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let registry = cx.registry()?;
    let mut findings = Vec::new();
    match registry_file(registry, args.fix)? {
        Some(finding) if !finding.fixed => {
            findings.push(finding);
            return answer(cx, findings);
        }
        finding => findings.extend(finding),
    }
    findings.extend(leftovers(registry, args.fix));
    if let Some(repository) = cx.find_repository()? {
        findings.extend(tasks(cx, repository, args.fix)?);
        findings.extend(git_locks(repository)?);
    }
    answer(cx, findings)
}

fn answer(cx: &Context, findings: Vec<Finding>) -> Result<Status, Failure> {
    let left = findings.iter().any(|finding| !finding.fixed);
    cx.output.answer(&Answer { findings })?;
    Ok(if left { Status::No } else { Status::Done })
}

/// A broken registry is put aside, never overwritten, and the previous generation takes its place.
fn registry_file(registry: &Registry, fix: bool) -> Result<Option<Finding>, Failure> {
    let Err(error) = registry.load() else { return Ok(None) };
    let mut finding = Finding::new("registry", registry.path().display(), format!("{error:#}"));
    let newer = error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.kind == "newer-registry");
    let previous = registry::load_file(&registry.previous_path()).ok().flatten();
    let (false, Some(_)) = (newer, &previous) else {
        return Ok(Some(finding.hint(if newer {
            "install the newer version of the programs"
        } else {
            "there is no good previous generation; move the file aside to start with no tasks, the log keeps all changes"
        })));
    };
    if fix {
        let _lock = Lock::acquire(&registry.lock_path(), durable::PATIENCE)?;
        let aside = registry.path().with_file_name(format!("tasks.json.broken-{}", clock::stamp(clock::now())));
        let good = durable::read(&registry.previous_path())?.context("the previous generation is gone")?;
        fs::rename(registry.path(), &aside).context("cannot move the broken file aside")?;
        durable::replace(registry.path(), &good, durable::Previous::Drop)?;
        finding.message =
            format!("{}; it is kept as '{}', the previous generation is back", finding.message, aside.display());
        finding.fixed = true;
        return Ok(Some(finding));
    }
    Ok(Some(finding.hint("'git task doctor --fix' keeps the broken file aside and restores the previous generation")))
}

/// Temporary files of commands that were killed.
fn leftovers(registry: &Registry, fix: bool) -> Vec<Finding> {
    let folder = registry.path().parent().unwrap_or(Path::new("."));
    let lock = if fix { Lock::try_acquire(&registry.lock_path()).ok().flatten() } else { None };
    let found = durable::leftovers(folder).into_iter().map(|path| {
        let finding = Finding::new("temporary", path.display(), format!("a killed command left '{}'", path.display()));
        let fixed = lock.is_some() && fs::remove_file(&path).is_ok();
        Finding { fixed, ..finding.hint("'git task doctor --fix' removes it") }
    });
    found.collect()
}

fn tasks(cx: &Context, repository: &Repository, fix: bool) -> Result<Vec<Finding>, Failure> {
    let key = repository.key();
    let all = cx.registry()?.load()?;
    let jobs = jobs::list(cx.folder()).unwrap_or_default();
    let mut findings = Vec::new();
    for task in all.tasks.iter().filter(|task| task.repo.key == key && task.is_open()) {
        findings.extend(worktree_of(cx, repository, task, fix)?);
        findings.extend(branch_of(repository, task)?);
        findings.extend(brief_of(repository, task, fix));
        let latest = jobs.iter().find(|job| job.task.as_deref() == Some(&task.id));
        if let Some(job) = latest.filter(|job| job.state == "lost") {
            let message = format!("the job {} of '{}' is lost; its worktree is as it left it", job.id, task.slug);
            findings.push(
                Finding::new("job", &job.id, message)
                    .hint(format!("'git worker stop {}' ends what it may have left running", job.id)),
            );
        }
    }
    if let Some(cycle) = all.find_cycle() {
        findings.push(Finding::new(
            "cycle",
            &cycle[0],
            format!("these tasks wait for each other: {}", cycle.join(" -> ")),
        ));
    }
    Ok(findings)
}

fn worktree_of(cx: &Context, repository: &Repository, task: &Task, fix: bool) -> Result<Option<Finding>, Failure> {
    let Some(path) = task.worktree.as_ref().map(PathBuf::from) else {
        let Some(branch) = &task.branch else { return Ok(None) };
        // An interrupted `worktree add` left a worktree that the registry does not know.
        let Some(found) = repository.worktree_of(branch)?.filter(|found| !found.is_main) else { return Ok(None) };
        let message = format!("the worktree '{}' of '{}' is not recorded", found.path.display(), task.slug);
        return Ok(Some(
            Finding::new("worktree", &task.slug, message)
                .hint(format!("'git task worktree add {}' takes it over", task.slug)),
        ));
    };
    let listed = worktree::find(repository, &path)?;
    match (listed, path.symlink_metadata().is_ok()) {
        (Some(_), true) => Ok(None),
        (None, true) => {
            let message = format!("'{}' of '{}' is no worktree of this repository any more", path.display(), task.slug);
            Ok(Some(
                Finding::new("worktree", &task.slug, message).hint("'git worktree repair' mends one that was moved"),
            ))
        }
        (listed, false) => {
            let message = format!("the worktree '{}' of '{}' is gone", path.display(), task.slug);
            let finding = Finding::new("worktree", &task.slug, message);
            if listed.is_some_and(|worktree| worktree.locked.is_some()) {
                return Ok(Some(finding.hint("it is locked: it may be on a disk that is not there now")));
            }
            if fix {
                worktree::forget(cx, task, "doctor: worktree gone")?;
            }
            Ok(Some(Finding {
                fixed: fix,
                ..finding.hint("'git task doctor --fix' takes it out of the registry; the branch stays")
            }))
        }
    }
}

fn branch_of(repository: &Repository, task: &Task) -> Result<Option<Finding>, Failure> {
    let Some(branch) = &task.branch else { return Ok(None) };
    if repository.tip(branch)?.is_some() {
        return Ok(None);
    }
    let message = format!("the branch '{}' of '{}' is gone", short_name(branch), task.slug);
    Ok(Some(Finding::new("branch", &task.slug, message).hint(format!(
        "'git for-each-ref refs/backup/{} refs/worker/{}' shows what was kept of it",
        task.slug, task.slug
    ))))
}

fn brief_of(repository: &Repository, task: &Task, fix: bool) -> Option<Finding> {
    if brief::path(repository, &task.slug).exists() {
        return None;
    }
    let fixed = fix && brief::create(repository, task).is_ok();
    let finding = Finding::new("brief", &task.slug, format!("the brief of '{}' is missing", task.slug));
    Some(Finding { fixed, ..finding.hint("'git task doctor --fix' makes it anew from the registry") })
}

/// Lock files of git that a killed process left; git itself says to remove them by hand, and so do we.
fn git_locks(repository: &Repository) -> Result<Vec<Finding>, Failure> {
    let mut folders = vec![repository.common_dir().to_owned()];
    folders.extend(repository.worktrees()?.into_iter().map(|worktree| worktree.git_dir));
    folders.sort();
    folders.dedup();
    let mut stack: Vec<PathBuf> = vec![repository.common_dir().join("refs")];
    let mut locks = Vec::new();
    for folder in &folders {
        locks.extend(locks_in(folder, &mut Vec::new()));
    }
    while let Some(folder) = stack.pop() {
        locks.extend(locks_in(&folder, &mut stack));
    }
    Ok(locks
        .into_iter()
        .map(|path| {
            let message = format!("'{}' is over ten minutes old: a git that was killed left it", path.display());
            Finding::new("lock", path.display(), message)
                .hint("make sure that no git runs in this repository, then remove the file")
        })
        .collect())
}

fn locks_in(folder: &Path, below: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    let mut locks = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(facts) = entry.metadata() else { continue };
        let old = || facts.modified().ok().and_then(|time| time.elapsed().ok()).is_some_and(|age| age > STALE_LOCK);
        if facts.is_dir() {
            below.push(entry.path());
        } else if entry.file_name().as_encoded_bytes().ends_with(b".lock") && old() {
            locks.push(entry.path());
        }
    }
    locks
}
