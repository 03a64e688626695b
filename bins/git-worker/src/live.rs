//! Which jobs of a repository have not ended, so that a launch need not read the finished ones.
//!
//! `<repository>/.live/<slug>#<n>`: an empty file, made by the launch under the repository's lock and
//! removed at the end. One that a crash left is removed by the next launch.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use shared::durable;

use crate::job::Job;
use crate::{empty, index, link};

/// Notes that a job lives.
pub(crate) fn add(folder: &Path, job: &Job) -> Result<()> {
    durable::private_folder(&folder.join(".live"))?;
    empty::make(&path(folder, job))
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
        match job_of(folder, &entry) {
            // A lock that cannot be asked is taken for held: rather refuse than share by accident.
            Some(job) if job.is_live().unwrap_or(true) => living.push(job),
            other => {
                // A crash came between its end and the noting of it, or it is lost.
                if let Some((job, record)) = other.and_then(|job| Some((job.clone(), job.read().ok()?))) {
                    index::add_locked(folder, &job, &record);
                }
                let _ = link::remove(&entry.path());
            }
        }
    }
    living
}

/// Lists the jobs of a repository that are noted as living, some of which may have ended; forgets nothing.
pub(crate) fn noted(folder: &Path) -> Vec<Job> {
    let entries = fs::read_dir(folder.join(".live")).into_iter().flatten().flatten();
    entries.filter_map(|entry| job_of(folder, &entry)).collect()
}

/// Lists the jobs of all repositories that live; forgets nothing, since it holds no lock.
pub(crate) fn everywhere(jobs: &Path) -> Vec<Job> {
    let Ok(repositories) = fs::read_dir(jobs) else { return Vec::new() };
    let mut living = Vec::new();
    for folder in repositories.flatten().map(|entry| entry.path()) {
        living.extend(noted(&folder).into_iter().filter(|job| job.is_live().unwrap_or(false)));
    }
    living
}

fn job_of(folder: &Path, entry: &fs::DirEntry) -> Option<Job> {
    let name = entry.file_name().into_string().ok()?;
    let (slug, number) = name.split_once('#')?;
    Job::at(&folder.join(slug).join(number))
}

fn path(folder: &Path, job: &Job) -> PathBuf {
    folder.join(".live").join(job.id())
}
