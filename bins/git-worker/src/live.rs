//! Which jobs of a repository have not ended, so that a launch need not read the finished ones.
//!
//! `<repository>/.live/<slug>#<n>`: an empty file, made by the launch under the repository's lock and
//! removed at the end. One that a crash left is removed by the next launch.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use shared::durable;

use crate::job::Job;
use crate::link;

/// Notes that a job lives.
pub(crate) fn add(folder: &Path, job: &Job) -> Result<()> {
    durable::private_folder(&folder.join(".live"))?;
    let path = path(folder, job);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot create '{}'", path.display()))?;
    Ok(())
}

/// Notes that a job has ended.
pub(crate) fn remove(folder: &Path, job: &Job) {
    let _ = link::remove(&path(folder, job));
}

/// Lists the jobs that live and forgets those that do not; call it under the repository's lock.
pub(crate) fn list(folder: &Path) -> Vec<Job> {
    let Ok(entries) = fs::read_dir(folder.join(".live")) else { return Vec::new() };
    let mut living = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let job = name.split_once('#').and_then(|(slug, number)| Job::at(&folder.join(slug).join(number)));
        match job {
            // A lock that cannot be asked is taken for held: rather refuse than share by accident.
            Some(job) if job.is_live().unwrap_or(true) => living.push(job),
            Some(_) | None => {
                let _ = link::remove(&entry.path());
            }
        }
    }
    living
}

fn path(folder: &Path, job: &Job) -> PathBuf {
    folder.join(".live").join(job.id())
}
