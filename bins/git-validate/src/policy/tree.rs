//! Trees of the object database: all files of one, and what differs between two.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use gix::ObjectId;
use gix::objs::TreeRefIter;
use gix::objs::tree::EntryMode;

use super::objects::Objects;

/// Deeper than git itself goes (`core.maxTreeDepth`).
const DEEPEST: usize = 2048;

/// All files of a tree, in its order.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The first is the top; a folder stands behind the one that holds it.
    pub(crate) folders: Vec<Folder>,
    pub(crate) files: Vec<File>,
    paths: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: Vec<u8>,
    pub(crate) parent: usize,
}

/// A file, link or submodule.
#[derive(Debug)]
pub(crate) struct File {
    from: usize,
    to: usize,
    pub(crate) folder: usize,
    pub(crate) mode: EntryMode,
    pub(crate) id: ObjectId,
}

impl Tree {
    /// The tree without anything in it.
    pub(crate) fn empty() -> Tree {
        Tree { folders: vec![Folder { path: Vec::new(), parent: 0 }], files: Vec::new(), paths: Vec::new() }
    }

    /// Reads a tree and all below it.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(crate) fn read(objects: &Objects, id: ObjectId) -> Result<Tree> {
        let mut tree = Tree::empty();
        let mut open = vec![(0, entries(objects, id)?.into_iter())];
        while let Some((folder, rest)) = open.last_mut() {
            let folder = *folder;
            let Some(entry) = rest.next() else {
                open.pop();
                continue;
            };
            if !entry.mode.is_tree() {
                tree.add(folder, &entry);
                continue;
            }
            if open.len() >= DEEPEST {
                bail!("the tree is nested deeper than {DEEPEST} folders");
            }
            let path = joined(&tree.folders[folder].path, &entry.name);
            tree.folders.push(Folder { path, parent: folder });
            open.push((tree.folders.len() - 1, entries(objects, entry.id)?.into_iter()));
        }
        Ok(tree)
    }

    fn add(&mut self, folder: usize, entry: &Entry) {
        let from = self.paths.len();
        let above = &self.folders[folder].path;
        if !above.is_empty() {
            self.paths.extend_from_slice(above);
            self.paths.push(b'/');
        }
        self.paths.extend_from_slice(&entry.name);
        self.files.push(File { from, to: self.paths.len(), folder, mode: entry.mode, id: entry.id });
    }

    /// The path of one of its files.
    pub(crate) fn path(&self, file: &File) -> &[u8] {
        &self.paths[file.from..file.to]
    }
}

struct Entry {
    name: Vec<u8>,
    mode: EntryMode,
    id: ObjectId,
}

fn entries(objects: &Objects, id: ObjectId) -> Result<Vec<Entry>> {
    let mut buffer = Vec::new();
    let data = objects.tree(id, &mut buffer)?;
    let own = |entry: gix::objs::tree::EntryRef<'_>| Entry {
        name: entry.filename.to_vec(),
        mode: entry.mode,
        id: entry.oid.to_owned(),
    };
    let all: Result<Vec<Entry>, _> = TreeRefIter::from_bytes(data, id.kind()).map(|entry| entry.map(own)).collect();
    all.map_err(|e| anyhow::anyhow!("{e}")).with_context(|| format!("the tree {id} is broken"))
}

fn joined(above: &[u8], name: &[u8]) -> Vec<u8> {
    if above.is_empty() { name.to_vec() } else { [above, b"/", name].concat() }
}

/// Finds the file at a path of a tree.
///
/// # Errors
/// When a tree cannot be read.
pub(crate) fn file_at(objects: &Objects, tree: ObjectId, path: &str) -> Result<Option<ObjectId>> {
    let mut id = tree;
    let mut is_folder = true;
    for name in path.split('/') {
        let found = if is_folder { entries(objects, id)? } else { Vec::new() };
        let Some(entry) = found.into_iter().find(|entry| entry.name == name.as_bytes()) else { return Ok(None) };
        (id, is_folder) = (entry.id, entry.mode.is_tree());
        if entry.mode.is_link() || entry.mode.is_commit() {
            return Ok(None);
        }
    }
    Ok((!is_folder).then_some(id))
}

/// One side of a change.
pub(crate) type Side = Option<(EntryMode, ObjectId)>;

/// A path that differs between two trees.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) path: Vec<u8>,
    pub(crate) old: Side,
    pub(crate) new: Side,
}

/// Lists the files that differ, in the order of the tree; only folders that differ are read.
///
/// # Errors
/// When a tree cannot be read.
pub(crate) fn changes(objects: &Objects, old: ObjectId, new: ObjectId) -> Result<Vec<Change>> {
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), Some(old), Some(new), 0)];
    while let Some((path, old, new, depth)) = open.pop() {
        if depth > DEEPEST {
            bail!("the tree is nested deeper than {DEEPEST} folders");
        }
        let read = |id: Option<ObjectId>| id.map_or_else(|| Ok(Vec::new()), |id| entries(objects, id));
        let (old, new) = (read(old)?, read(new)?);
        let mut before: HashMap<Vec<u8>, (EntryMode, ObjectId)> =
            old.into_iter().map(|entry| (entry.name, (entry.mode, entry.id))).collect();
        let mut pairs: Vec<(Vec<u8>, Side, Side)> = Vec::new();
        for entry in new {
            let other = before.remove(&entry.name);
            let own = (entry.mode, entry.id);
            if other != Some(own) {
                pairs.push((entry.name, other, Some(own)));
            }
        }
        pairs.extend(before.into_iter().map(|(name, side)| (name, Some(side), None)));
        for (name, old, new) in pairs {
            let path = joined(&path, &name);
            let folder = |side: Side| side.filter(|(mode, _)| mode.is_tree()).map(|(_, id)| id);
            let file = |side: Side| side.filter(|(mode, _)| !mode.is_tree());
            if folder(old).is_some() || folder(new).is_some() {
                open.push((path.clone(), folder(old), folder(new), depth + 1));
            }
            if file(old).is_some() || file(new).is_some() {
                found.push(Change { path, old: file(old), new: file(new) });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
