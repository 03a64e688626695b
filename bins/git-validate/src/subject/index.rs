//! The tree that an index is, without asking git where the index itself knows.
//!
//! Git keeps in the index which folders have not changed since a tree was written of them
//! (`cache-tree.c`). Only the others are written, as `git write-tree` would. Whatever is unusual is
//! left to git.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice};
use gix::index::entry::{Flags, Mode, Stage};
use gix::index::extension::Tree;
use gix::objs::tree::{Entry, EntryKind};
use gix::prelude::Write as _;
use shared::repository::{Repository, in_words};

/// A folder that is nested deeper is git's business.
const DEPTH: usize = 500;

/// Returns the tree; nothing if git has to be asked.
pub(super) fn tree(repository: &Repository, index: &Path) -> Option<ObjectId> {
    let hash = repository.gix.object_hash();
    let index = gix::index::File::at(index, hash, true, gix::index::decode::Options::default()).ok()?;
    let root = index.tree()?;
    if root.num_entries.is_some() {
        return repository.gix.has_object(root.id).then_some(root.id);
    }
    let odd = Flags::INTENT_TO_ADD | Flags::REMOVE;
    let plain = |entry: &gix::index::Entry| {
        entry.stage() == Stage::Unconflicted && entry.mode != Mode::DIR && !entry.flags.intersects(odd)
    };
    if index.link().is_some() || !index.entries().iter().all(plain) {
        return None;
    }
    let writer = Writer { repository, index: &index };
    writer.folder(0, index.entries().len(), b"".as_bstr(), Some(root), 0).ok()
}

struct Writer<'a> {
    repository: &'a Repository,
    index: &'a gix::index::File,
}

impl Writer<'_> {
    /// Writes the folder of the entries `from..to`, whose paths all begin with `prefix`.
    fn folder(&self, from: usize, to: usize, prefix: &BStr, known: Option<&Tree>, depth: usize) -> Result<ObjectId> {
        ensure!(depth < DEPTH, "too deep");
        let path = |at: usize| self.index.entries()[at].path(self.index);
        let mut entries: Vec<Entry> = Vec::new();
        let mut at = from;
        while at < to {
            let rest = &path(at)[prefix.len()..];
            let Some(slash) = rest.find_byte(b'/') else {
                entries.push(self.file(at, rest.as_bstr())?);
                at += 1;
                continue;
            };
            let name = &rest[..slash];
            let inner = &path(at)[..prefix.len() + slash + 1];
            let end = at + self.index.entries()[at..to].partition_point(|e| e.path(self.index).starts_with(inner));
            let known = known.and_then(|tree| tree.children.iter().find(|child| child.name.as_slice() == name));
            let whole = known.filter(|tree| tree.num_entries.is_some_and(|count| count as usize == end - at));
            let oid = match whole.filter(|tree| self.repository.gix.has_object(tree.id)) {
                Some(tree) => tree.id,
                None => self.folder(at, end, inner.as_bstr(), known, depth + 1)?,
            };
            entries.push(Entry { mode: EntryKind::Tree.into(), filename: name.into(), oid });
            at = end;
        }
        entries.sort();
        let tree = gix::objs::Tree { entries };
        let mut bytes = Vec::new();
        gix::objs::WriteTo::write_to(&tree, &mut bytes)?;
        let id = gix::objs::compute_hash(self.repository.gix.object_hash(), gix::objs::Kind::Tree, &bytes)
            .map_err(|e| anyhow!(in_words(&e)))?;
        if !self.repository.gix.has_object(id) {
            self.repository.gix.objects.write_buf(gix::objs::Kind::Tree, &bytes).map_err(|e| anyhow!(in_words(&e)))?;
        }
        Ok(id)
    }

    fn file(&self, at: usize, name: &BStr) -> Result<Entry> {
        let entry = &self.index.entries()[at];
        let mode = entry.mode.to_tree_entry_mode().ok_or_else(|| anyhow!("an unknown mode"))?;
        // Git refuses an index that names what is not there; a submodule's commit is elsewhere.
        ensure!(mode.is_commit() || self.repository.gix.has_object(entry.id), "an object is missing");
        Ok(Entry { mode, filename: name.into(), oid: entry.id })
    }
}
