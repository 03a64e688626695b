//! The removal of a job's folder: only files of ours, by name, and whole for everybody who looks.
//!
//! It is renamed to `<repository>/.gc/<slug>#<n>`, where no reader looks, and emptied there, the lock
//! last. What a crash leaves there is emptied by the next [`finish`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use shared::durable::{self, Lock};

use crate::job::{self, Job};
use crate::{link, live, queue};

/// In the folder of a repository: what is being removed.
const FOLDER: &str = ".gc";

/// What lies in a job's folder.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) bytes: u64,
    files: Vec<PathBuf>,
    /// Something that is not of ours.
    pub(crate) foreign: Option<PathBuf>,
}

/// Looks at what lies in a job's folder.
pub(crate) fn look(folder: &Path) -> Result<Contents> {
    let mut contents = Contents::default();
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list '{}'", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list '{}'", folder.display()))?;
        let facts = entry.metadata().with_context(|| format!("cannot look at '{}'", entry.path().display()))?;
        if facts.is_file() && entry.file_name().to_str().is_some_and(is_ours) {
            contents.bytes += facts.len();
            contents.files.push(entry.path());
        } else {
            contents.foreign = Some(entry.path());
        }
    }
    Ok(contents)
}

fn is_ours(name: &str) -> bool {
    let is_piece = || {
        let number = name.strip_prefix("output.");
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    job::FILES.contains(&name) || is_piece() || durable::is_temporary(name)
}

/// Removes a job's folder; the caller holds the job's lock, and the repository's.
pub(crate) fn remove(job: &Job) -> Result<()> {
    let repository = job.repository();
    job.keep_number()?;
    durable::private_folder(&repository.join(FOLDER))?;
    let away = repository.join(FOLDER).join(job.id());
    let named = || format!("cannot rename '{}' to '{}'", job.folder().display(), away.display());
    fs::rename(job.folder(), &away).with_context(named)?;
    live::remove(&repository, job);
    queue::remove(job);
    empty(&away)
}

/// Removes what an earlier removal left; returns each with its size, or why it stays.
pub(crate) fn finish(repository: &Path) -> Vec<(String, Result<u64>)> {
    let entries = fs::read_dir(repository.join(FOLDER)).into_iter().flatten().flatten();
    let finish = |folder: PathBuf| -> Result<u64> {
        // Whoever asks for a lock here would make it anew.
        let lock = folder.join(job::LOCK);
        let _lock = match lock.exists() {
            true => Some(Lock::try_acquire(&lock)?.with_context(|| format!("'{}' is held", lock.display()))?),
            false => None,
        };
        let bytes = look(&folder)?.bytes;
        empty(&folder)?;
        Ok(bytes)
    };
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), finish(entry.path()))).collect()
}

/// Removes the folder of removals, if nothing is left in it.
pub(crate) fn tidy(repository: &Path) {
    let _ = fs::remove_dir(repository.join(FOLDER));
}

fn empty(folder: &Path) -> Result<()> {
    let contents = look(folder)?;
    let (locks, files): (Vec<_>, Vec<_>) = contents.files.iter().partition(|file| file.ends_with(job::LOCK));
    for file in files.into_iter().chain(locks) {
        link::remove(file).with_context(|| format!("cannot remove '{}'", file.display()))?;
    }
    if let Some(foreign) = contents.foreign {
        bail!("'{}' is not of git-worker", foreign.display());
    }
    fs::remove_dir(folder).with_context(|| format!("cannot remove '{}'", folder.display()))
}
