//! The brief of a task: a page that a person or agent fills in, kept in the repository's git folder.

use std::path::PathBuf;

use shared::durable::{self, Previous};
use shared::failure::Failure;
use shared::registry::Task;
use shared::repository::Repository;
use shared::slug::Slug;

/// Returns where the brief of a task is, whether it is there or not.
pub(crate) fn path(repository: &Repository, slug: &Slug) -> PathBuf {
    repository.common_dir().join("codex-agents/briefs").join(format!("{slug}.md"))
}

/// Makes the stub of a brief; one that is there stays as it is.
pub(crate) fn create(repository: &Repository, task: &Task) -> Result<(), Failure> {
    let path = path(repository, &task.slug);
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        durable::private_folder(folder)?;
    }
    let mut text = format!("# {}\n\n## Goal\n\n{}\n", task.title, task.goal);
    if !task.touches.is_empty() {
        text.push_str("\n## Paths\n\n");
        for touched in &task.touches {
            text.push_str(&format!("- {touched}\n"));
        }
    }
    text.push_str("\n## Acceptance\n\n");
    durable::replace(&path, text.as_bytes(), Previous::Drop)?;
    Ok(())
}
