//! What a tree holds, and how it differs from another, read without a checkout.

use std::collections::HashMap;

use anyhow::{Result, anyhow};
use gix::ObjectId;
use gix::bstr::BString;
use gix::objs::tree::EntryMode;
use shared::repository::{Repository, in_words};

/// One file, link or submodule of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: BString,
    pub(crate) mode: EntryMode,
    pub(crate) id: ObjectId,
}

/// Lists all files of a tree, in the order of an index.
///
/// # Errors
/// When a tree is missing or broken.
pub(crate) fn files(repository: &Repository, tree: ObjectId) -> Result<Vec<File>> {
    differing(repository, None, tree)
}

/// Lists the files of a tree that another one has not, or has otherwise, in the order of an index.
///
/// # Errors
/// When a tree is missing or broken.
pub(crate) fn differing(repository: &Repository, base: Option<ObjectId>, tree: ObjectId) -> Result<Vec<File>> {
    // A stack of our own, since a hostile tree may be deep.
    let mut open = vec![(BString::default(), base, tree)];
    open.retain(|(_, base, tree)| *base != Some(*tree));
    let mut files = Vec::new();
    while let Some((prefix, base, tree)) = open.pop() {
        for entry in level(repository, &prefix, base, tree)? {
            match entry {
                Level::Folder(path, base, tree) => open.push((path, base, tree)),
                Level::File(file) => files.push(file),
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

enum Level {
    Folder(BString, Option<ObjectId>, ObjectId),
    File(File),
}

fn level(repository: &Repository, prefix: &BString, base: Option<ObjectId>, tree: ObjectId) -> Result<Vec<Level>> {
    let old = base.map(|base| entries(repository, base)).transpose()?.unwrap_or_default();
    let old: HashMap<BString, (EntryMode, ObjectId)> =
        old.into_iter().map(|(name, mode, id)| (name, (mode, id))).collect();
    let mut found = Vec::new();
    for (name, mode, id) in entries(repository, tree)? {
        let before = old.get(&name);
        if before == Some(&(mode, id)) {
            continue;
        }
        let mut path = prefix.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        if mode.is_tree() {
            let base = before.filter(|(mode, _)| mode.is_tree()).map(|(_, id)| *id);
            found.push(Level::Folder(path, base, id));
        } else {
            found.push(Level::File(File { path, mode, id }));
        }
    }
    Ok(found)
}

fn entries(repository: &Repository, tree: ObjectId) -> Result<Vec<(BString, EntryMode, ObjectId)>> {
    let object =
        repository.gix.find_tree(tree).map_err(|e| anyhow!("cannot read the tree {tree}: {}", in_words(&e)))?;
    let entries = object.decode().map_err(|e| anyhow!("the tree {tree} is broken: {}", in_words(&e)))?.entries;
    Ok(entries.iter().map(|entry| (entry.filename.to_owned(), entry.mode, entry.oid.to_owned())).collect())
}
