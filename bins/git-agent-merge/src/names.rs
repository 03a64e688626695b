//! From names to commits, before git's merge is asked: it answers a bad name like a conflict.

use gix::ObjectId;
use shared::app::Context;
use shared::failure::Failure;
use shared::registry::{Task, Tasks};
use shared::repository::Repository;

/// One side of a merge.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    /// As it was asked for: a slug, a branch, a revision.
    pub(crate) name: String,
    /// The slug of its task, if it is one.
    pub(crate) task: Option<String>,
    /// The full name of its branch, if it is one.
    pub(crate) branch: Option<String>,
    /// Its commit; with `--dirty` a commit of the worktree as it is.
    pub(crate) commit: ObjectId,
    /// Whether the commit holds work that is in no commit of the repository.
    pub(crate) dirty: bool,
}

/// What everything is merged into.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    /// As it was asked for, or the full name of the branch.
    pub(crate) name: String,
    pub(crate) commit: ObjectId,
}

/// Finds the sides that are asked for, each once, by name: the same answer in whatever order they were asked for.
pub(crate) fn sides(cx: &Context, names: &[String], all: bool) -> Result<Vec<Side>, Failure> {
    let mut sides = found(cx, names, all)?;
    sides.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(once(sides))
}

/// Finds the sides that are asked for, each once, as they were named.
pub(crate) fn sides_as_named(cx: &Context, names: &[String], all: bool) -> Result<Vec<Side>, Failure> {
    found(cx, names, all).map(once)
}

fn found(cx: &Context, names: &[String], all: bool) -> Result<Vec<Side>, Failure> {
    let repository = cx.repository()?;
    let tasks = cx.registry()?.load()?;
    let key = repository.key();
    let mut sides = Vec::new();
    for name in names {
        if is_pattern(name) {
            sides.extend(matching(repository, &tasks, &key, name)?);
        } else {
            sides.push(side(repository, &tasks, &key, name)?);
        }
    }
    if all {
        let open = tasks.tasks.iter().filter(|task| task.repo.key == key && task.is_open());
        for task in open {
            sides.extend(of_task(repository, task)?);
        }
    }
    if names.is_empty() && !all {
        sides.push(current(repository, &tasks, &key)?);
    }
    Ok(sides)
}

fn once(mut sides: Vec<Side>) -> Vec<Side> {
    let mut seen = std::collections::HashSet::new();
    sides.retain(|side| seen.insert(side.branch.clone().unwrap_or_else(|| side.commit.to_string())));
    sides
}

/// Says whether a name stands for several branches; no branch has one of these characters in its name.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '[']) && !name.contains([':', '^', '{', '~'])
}

/// The branches that a pattern means, as for 'git branch --list': local ones, else those of remotes, or any full names.
fn matching(repository: &Repository, tasks: &Tasks, key: &str, pattern: &str) -> Result<Vec<Side>, Failure> {
    let roots: &[&str] = if pattern.starts_with("refs/") { &[""] } else { &["refs/heads/", "refs/remotes/"] };
    let refs = repository.gix.references().map_err(anyhow::Error::from)?;
    for root in roots {
        let whole = format!("{root}{pattern}");
        let mut found = Vec::new();
        for reference in refs.all().map_err(anyhow::Error::from)?.flatten() {
            let full = reference.name().as_bstr();
            // A slash is a letter like others, as it is to git.
            if gix::glob::wildmatch(whole.as_str().into(), full, gix::glob::wildmatch::Mode::empty())
                && !full.ends_with(b"/HEAD")
            {
                let full = full.to_string();
                let known = root.is_empty() || full.starts_with("refs/heads/");
                let name = if known { full.strip_prefix("refs/heads/").unwrap_or(&full) } else { &full[root.len()..] };
                found.push(side(repository, tasks, key, name)?);
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let message = format!("no branch matches '{}'", pattern.escape_debug());
    Err(Failure::could_not("no-match", message).hint("'git branch --list --all' shows which there are"))
}

fn side(repository: &Repository, tasks: &Tasks, key: &str, name: &str) -> Result<Side, Failure> {
    if let Some(task) = tasks.find(key, name).filter(|task| task.repo.key == key) {
        return of_task(repository, task)?.ok_or_else(|| {
            Failure::could_not("no-branch", format!("the task '{name}' has no branch yet"))
                .hint(format!("'git task worktree add {name}' makes it"))
        });
    }
    let (branch, commit) = branch_or_revision(repository, name)?;
    let task = tasks
        .tasks
        .iter()
        .find(|task| task.repo.key == key && task.is_open() && task.branch.is_some() && task.branch == branch);
    Ok(Side { name: name.to_owned(), task: task.map(|task| task.slug.to_string()), branch, commit, dirty: false })
}

/// The full name of a branch, if it is one, and the commit.
fn branch_or_revision(repository: &Repository, name: &str) -> Result<(Option<String>, ObjectId), Failure> {
    let full = format!("refs/heads/{name}");
    let Ok(Some(tip)) = repository.tip(&full) else { return Ok((None, repository.commit(name)?)) };
    let is_commit = repository.gix.find_header(tip).is_ok_and(|header| header.kind() == gix::objs::Kind::Commit);
    let commit = if is_commit { tip } else { repository.commit(&full)? };
    Ok((Some(full), commit))
}

fn of_task(repository: &Repository, task: &Task) -> Result<Option<Side>, Failure> {
    let Some(branch) = &task.branch else { return Ok(None) };
    let Some(commit) = repository.tip(branch)? else { return Ok(None) };
    let slug = task.slug.to_string();
    Ok(Some(Side { name: slug.clone(), task: Some(slug), branch: Some(branch.clone()), commit, dirty: false }))
}

/// The branch of the worktree that the command runs in.
fn current(repository: &Repository, tasks: &Tasks, key: &str) -> Result<Side, Failure> {
    let head = repository.gix.head_name().ok().flatten().map(|name| name.as_bstr().to_string());
    let name = head.as_deref().map_or("HEAD", |name| name.strip_prefix("refs/heads/").unwrap_or(name));
    side(repository, tasks, key, name)
}

/// Finds the base: the one that is named, or that of the only task asked for, or the configured one.
pub(crate) fn base(cx: &Context, onto: Option<&str>, sides: &[Side]) -> Result<Base, Failure> {
    let repository = cx.repository()?;
    let named = match onto {
        Some(name) => Some(name.to_owned()),
        None => match base_of_tasks(cx, repository, sides)? {
            Some(base) => Some(base),
            None => cx.config()?.text("task.base")?,
        },
    };
    let name = match named {
        Some(name) => name,
        None => main_branch(repository)?,
    };
    let (full, commit) = branch_or_revision(repository, &name)?;
    Ok(Base { name: full.unwrap_or(name), commit })
}

fn base_of_tasks(cx: &Context, repository: &Repository, sides: &[Side]) -> Result<Option<String>, Failure> {
    let tasks = cx.registry()?.load()?;
    let key = repository.key();
    let slugs = sides.iter().filter_map(|side| side.task.as_deref());
    let mut bases: Vec<String> =
        slugs.filter_map(|slug| tasks.find(&key, slug)?.base.as_ref().map(|base| base.name.clone())).collect();
    bases.sort();
    bases.dedup();
    match &bases[..] {
        [] => Ok(None),
        [base] => Ok(Some(base.clone())),
        several => Err(Failure::could_not(
            "several-bases",
            format!("these tasks have different bases: {}", several.join(", ")),
        )
        .hint("'--onto <base>' names the one to check against")),
    }
}

fn main_branch(repository: &Repository) -> Result<String, Failure> {
    let main = repository.worktrees()?.into_iter().find(|worktree| worktree.is_main).and_then(|main| main.branch);
    let head = || repository.gix.head_name().ok().flatten().map(|name| name.as_bstr().to_string());
    main.or_else(head).ok_or_else(|| {
        Failure::could_not("detached", "the main worktree is on no branch to check against")
            .hint("'--onto <base>' names one")
    })
}

/// Returns the name of a branch as people write it.
pub(crate) fn short(name: &str) -> &str {
    name.strip_prefix("refs/heads/").unwrap_or(name)
}
