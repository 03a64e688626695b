//! Where a job runs: a worktree of the repository, found without asking anything inside it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use shared::refusal::Refusal;
use shared::registry::Task;
use shared::repository::{Repository, Worktree};
use shared::slug::Slug;

/// A worktree to run in.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) worktree: PathBuf,
    pub(crate) git_dir: PathBuf,
    /// Full name of its branch; none if detached.
    pub(crate) branch: Option<String>,
}

impl Place {
    /// Returns the worktree that the command runs in.
    pub(crate) fn here(repository: &Repository) -> Result<Place> {
        let Some(worktree) = repository.work_tree() else {
            bail!(Refusal::new("no-worktree", "this repository is bare: there is no worktree to run in"))
        };
        let head = repository.gix.head_name().context("cannot read HEAD")?;
        let branch = head.map(|name| name.as_bstr().to_string());
        Ok(Place { worktree: worktree.to_owned(), git_dir: repository.git_dir().to_owned(), branch })
    }

    /// Returns the worktree of the repository that holds a folder.
    pub(crate) fn holding(repository: &Repository, folder: &Path) -> Result<Place> {
        let missing = |why: String| Refusal::new("no-worktree", why);
        let real = folder
            .canonicalize()
            .map_err(|e| missing(format!("cannot use the worktree '{}': {e}", folder.display())))?;
        // The innermost one: worktrees may lie in each other.
        let holding = repository.worktrees()?.into_iter().filter(|worktree| real.starts_with(&worktree.path));
        match holding.max_by_key(|worktree| worktree.path.as_os_str().len()) {
            Some(Worktree { path, git_dir, branch, .. }) => Ok(Place { worktree: path, git_dir, branch }),
            None => bail!(missing(format!("'{}' is in no worktree of this repository", folder.display()))),
        }
    }

    /// Returns the worktree of a task.
    pub(crate) fn of_task(repository: &Repository, task: &Task) -> Result<Place> {
        let Some(path) = &task.worktree else {
            let hint = format!("'git task worktree add {}' makes one", task.slug);
            bail!(Refusal::new("no-worktree", format!("task '{}' has no worktree", task.slug)).hint(hint))
        };
        let real = Path::new(path).canonicalize();
        let real = real.with_context(|| format!("cannot use the worktree '{path}' of task '{}'", task.slug))?;
        let place = Place::holding(repository, &real)?;
        if place.worktree != real {
            bail!(Refusal::new("no-worktree", format!("'{path}' of task '{}' is no worktree any more", task.slug)))
        }
        Ok(place)
    }

    /// Returns a name for what runs here: that of the branch, or else of the folder.
    pub(crate) fn slug(&self) -> Slug {
        let branch = self.branch.as_deref().map(|name| name.strip_prefix("refs/heads/").unwrap_or(name));
        let folder = self.worktree.file_name().map(|name| name.to_string_lossy().into_owned());
        let named = branch.and_then(Slug::from_text).or_else(|| folder.as_deref().and_then(Slug::from_text));
        named.unwrap_or_else(|| "job".parse().expect("'job' is a slug"))
    }
}
