//! Other repositories on this machine that can give: those whose objects this one borrows, and the one it was cloned from.
//!
//! What they say about their files is not believed: see [`crate::donor`].

use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice;
use shared::repository::Repository;

/// Finds them; what cannot be opened is none.
pub(crate) fn find(repository: &Repository) -> Vec<Repository> {
    let mut all: Vec<Repository> = Vec::new();
    for folder in borrowed(repository).into_iter().chain(cloned_from(repository)) {
        let Some(found) = open(&folder) else { continue };
        let is_new = all.iter().all(|other| other.common_dir() != found.common_dir());
        if is_new && found.common_dir() != repository.common_dir() {
            all.push(found);
        }
    }
    all
}

/// Opens the repository of a worktree or git folder, as git would: not one of another user.
pub(crate) fn open(folder: &Path) -> Option<Repository> {
    let folder = folder.canonicalize().ok()?;
    let from = if folder.ends_with(".git") { folder.parent()? } else { folder.as_path() };
    Repository::open(from).ok()
}

/// The git folders of `objects/info/alternates` (gitrepository-layout(5)).
fn borrowed(repository: &Repository) -> Vec<PathBuf> {
    let objects = repository.common_dir().join("objects");
    let Ok(list) = std::fs::read(objects.join("info/alternates")) else { return Vec::new() };
    let path = |line: &[u8]| line.to_path().ok().map(Path::to_owned);
    list.lines()
        .filter(|line| !line.is_empty() && !line.starts_with(b"#") && !line.starts_with(b"\""))
        .filter_map(|line| objects.join(path(line)?).parent().map(Path::to_owned))
        .collect()
}

/// The folder that `remote.origin.url` names, if it names one.
fn cloned_from(repository: &Repository) -> Option<PathBuf> {
    let config = repository.gix.config_snapshot();
    let url = config.string("remote.origin.url")?;
    let path = url.strip_prefix(b"file://").unwrap_or(&url).to_path().ok()?;
    path.is_absolute().then(|| path.to_owned())
}
