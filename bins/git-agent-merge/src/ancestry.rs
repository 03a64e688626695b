//! Commits and trees where they are: in the repository, or in the folder of this run alone.

use std::collections::{HashSet, VecDeque};

use anyhow::{Context as _, Result, anyhow};
use gix::ObjectId;
use gix::objs::CommitRefIter;
use gix::odb::loose;
use shared::repository::Repository;

use shared::quarantine::Quarantine;

/// A branch that is further ahead than this is left to git.
const STEPS: usize = 64;

/// Reads an object.
pub(crate) fn read(repository: &Repository, made: &loose::Store, id: ObjectId) -> Result<Vec<u8>> {
    if let Some(object) = repository.gix.try_find_object(id).map_err(|e| anyhow!("{e:#}"))? {
        return Ok(object.detach().data);
    }
    let mut bytes = Vec::new();
    let found = made.try_find(&id, &mut bytes).map_err(|e| anyhow!("{e}"))?.is_some();
    found.then_some(bytes).with_context(|| format!("there is no object {id}"))
}

/// Says whether an object is in the repository, or in the folder of this run.
pub(crate) fn is_there(repository: &Repository, quarantine: &Quarantine, id: ObjectId) -> bool {
    let made = loose::Store::at(quarantine.objects(), repository.gix.object_hash());
    repository.gix.has_object(id) || made.contains(&id)
}

/// Returns the tree of a commit.
pub(crate) fn tree_of(repository: &Repository, quarantine: &Quarantine, commit: ObjectId) -> Result<ObjectId> {
    let made = loose::Store::at(quarantine.objects(), repository.gix.object_hash());
    let bytes = read(repository, &made, commit)?;
    Ok(CommitRefIter::from_bytes(&bytes, commit.kind()).tree_id()?)
}

/// Returns when a commit was made, in seconds.
pub(crate) fn time_of(repository: &Repository, made: &loose::Store, commit: ObjectId) -> Result<i64> {
    let bytes = read(repository, made, commit)?;
    let time = CommitRefIter::from_bytes(&bytes, commit.kind()).committer()?.seconds();
    Ok(time)
}

/// Says whether the base is among the commits that a commit was made on; "no" may mean that it is far away.
pub(crate) fn stands_on(repository: &Repository, quarantine: &Quarantine, commit: ObjectId, base: ObjectId) -> bool {
    let made = loose::Store::at(quarantine.objects(), repository.gix.object_hash());
    // Git replaces parents by these.
    let has_grafts = repository.common_dir().join("info/grafts").exists();
    !has_grafts && reaches(repository, &made, commit, base).unwrap_or(false)
}

fn reaches(repository: &Repository, made: &loose::Store, commit: ObjectId, base: ObjectId) -> Result<bool> {
    let since = time_of(repository, made, base)?;
    let mut next = VecDeque::from([commit]);
    let mut seen = HashSet::new();
    while let Some(id) = next.pop_front().filter(|_| seen.len() < STEPS) {
        if id == base {
            return Ok(true);
        }
        if !seen.insert(id) {
            continue;
        }
        let bytes = read(repository, made, id)?;
        let commit = || CommitRefIter::from_bytes(&bytes, id.kind());
        if commit().committer()?.seconds() >= since {
            next.extend(commit().parent_ids());
        }
    }
    Ok(false)
}
