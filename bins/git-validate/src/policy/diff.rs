//! How large the change against the base is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use gix::attrs::search::{MetadataCollection, Outcome as Attributes};
use gix::attrs::{Search, StateRef};
use gix::bstr::ByteSlice;
use gix::glob::pattern::Case;
use imara_diff::{Algorithm, Diff, InternedInput};
use memchr::memchr;
use shared::failure::Failure;

use super::objects::{Blob, Objects};
use super::outcome::Gather;
use super::scope::Patterns;
use super::settings::DiffSize;
use super::tree::{Change, Side};
use super::{Ground, Outcome, Policy};
use crate::finding::Severity;

/// Of the largest files so many are named.
const NAMED: usize = 10;

/// What package managers write.
const LOCKFILES: &[&str] = &[
    "Cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "bun.lockb",
    "deno.lock",
    "poetry.lock",
    "Pipfile.lock",
    "pdm.lock",
    "uv.lock",
    "composer.lock",
    "Gemfile.lock",
    "go.sum",
    "flake.lock",
    "mix.lock",
    "Podfile.lock",
    "packages.lock.json",
];

/// Judges the size of the change.
pub(super) fn judge(ground: &Ground<'_>, policy: &Policy, asked: &DiffSize) -> Result<Outcome, Failure> {
    let mut gather = Gather::of(policy);
    let own: Vec<&Change> = ground.changes.iter().filter(|change| policy.scope.at(&change.path).is_some()).collect();
    let generated = Generated::read(ground, asked, !own.is_empty())?;
    let written: Vec<&Change> = own.iter().copied().filter(|change| !generated.is(&change.path)).collect();
    let moved = moved(&written);
    let sizes = ground.store.each(
        &written,
        || (),
        |objects, (), change| {
            if is_moved(change, &moved) { Ok((0, 0)) } else { lines(objects, change) }
        },
    )?;
    let sum = |of: fn(&(u64, u64)) -> u64| sizes.iter().map(of).sum::<u64>();
    let (added, removed) = (sum(|size| size.0), sum(|size| size.1));
    let (total, files) = (added + removed, written.len() as u64);
    gather.tally("files", files);
    gather.tally("lines-added", added);
    gather.tally("lines-removed", removed);
    gather.tally("generated-files", (own.len() - written.len()) as u64);
    if asked.max_files > 0 && files > asked.max_files {
        gather.add_whole(policy.severity, || {
            format!("{files} files are changed, at most {} are allowed", asked.max_files)
        });
    }
    if asked.max_lines > 0 && total > asked.max_lines {
        gather.add_whole(policy.severity, || {
            format!("{total} lines are changed (+{added} -{removed}), at most {} are allowed", asked.max_lines)
        });
        let mut largest: Vec<usize> = (0..written.len()).collect();
        largest.sort_by_key(|at| std::cmp::Reverse(sizes[*at].0 + sizes[*at].1));
        largest.truncate(NAMED);
        largest.sort_unstable();
        for at in largest {
            let (added, removed) = sizes[at];
            gather.add(&written[at].path, 0, Severity::Note, || format!("+{added} -{removed} lines"));
        }
    }
    Ok(gather.end())
}

/// Contents that are gone in one place and new in another.
fn moved(changes: &[&Change]) -> Vec<gix::ObjectId> {
    let id = |side: Side| side.map(|(_, id)| id);
    let mut gone: Vec<_> = changes.iter().filter(|change| change.new.is_none()).filter_map(|c| id(c.old)).collect();
    let mut come: Vec<_> = changes.iter().filter(|change| change.old.is_none()).filter_map(|c| id(c.new)).collect();
    gone.sort_unstable();
    come.sort_unstable();
    gone.retain(|id| come.binary_search(id).is_ok());
    gone
}

fn is_moved(change: &Change, moved: &[gix::ObjectId]) -> bool {
    let is = |side: Side| side.is_some_and(|(_, id)| moved.binary_search(&id).is_ok());
    match (change.old, change.new) {
        (Some((_, old)), Some((_, new))) => old == new,
        (old, new) => is(old) || is(new),
    }
}

/// The lines that are added and removed; none of what is no text.
fn lines(objects: &Objects, change: &Change) -> Result<(u64, u64)> {
    let (old, new) = (content(objects, change.old)?, content(objects, change.new)?);
    let (Some(old), Some(new)) = (old, new) else { return Ok((0, 0)) };
    let count = |data: &[u8]| {
        let ends = memchr::memchr_iter(b'\n', data).count();
        (ends + usize::from(data.last().is_some_and(|last| *last != b'\n'))) as u64
    };
    if old.is_empty() || new.is_empty() {
        return Ok((count(&new), count(&old)));
    }
    let input = InternedInput::new(&old[..], &new[..]);
    let diff = Diff::compute(Algorithm::Histogram, &input);
    Ok((u64::from(diff.count_additions()), u64::from(diff.count_removals())))
}

/// The content of one side, empty where there is none; nothing if it is no text.
fn content(objects: &Objects, side: Side) -> Result<Option<Vec<u8>>> {
    let Some((_, id)) = side.filter(|(mode, _)| !mode.is_commit()) else { return Ok(Some(Vec::new())) };
    objects.blob(id, |blob| match blob {
        Blob::Data(data) => memchr(0, &data[..data.len().min(8000)]).is_none().then(|| data.to_vec()),
        Blob::TooLarge(_) => None,
    })
}

/// What nobody wrote.
struct Generated<'a> {
    lockfiles: Patterns,
    configured: &'a Patterns,
    attributes: Search,
    collection: MetadataCollection,
}

impl<'a> Generated<'a> {
    /// Reads the attributes of the tree that is judged.
    fn read(ground: &Ground<'_>, asked: &'a DiffSize, is_needed: bool) -> Result<Generated<'a>, Failure> {
        let lines: Vec<String> = LOCKFILES.iter().map(|name| (*name).to_owned()).collect();
        let lockfiles = Patterns::parse("policies.diff-size.generated", &lines)?;
        let (mut attributes, mut collection) = (Search::default(), MetadataCollection::default());
        let mut files: Vec<_> = ground.tree.files.iter().filter(|file| is_needed && file.mode.is_blob()).collect();
        files.retain(|file| {
            let path = ground.tree.path(file);
            path == b".gitattributes" || path.ends_with(b"/.gitattributes")
        });
        // A deeper one is stronger, and the last one wins.
        files.sort_by_key(|file| ground.tree.path(file).iter().filter(|byte| **byte == b'/').count());
        for file in files {
            let path = PathBuf::from(OsStr::from_bytes(ground.tree.path(file)));
            ground.objects.blob(file.id, |blob| {
                if let Blob::Data(data) = blob {
                    let root = Some(Path::new(""));
                    // What is no pattern is passed over, as git does.
                    let _ = attributes.add_patterns_buffer(data, path, root, &mut collection, true);
                }
            })?;
        }
        Ok(Generated { lockfiles, configured: &asked.generated, attributes, collection })
    }

    fn is(&self, path: &[u8]) -> bool {
        if self.lockfiles.matches(path) || self.configured.matches(path) {
            return true;
        }
        if self.attributes.num_pattern_lists() == 0 {
            return false;
        }
        let mut found = Attributes::default();
        found.initialize_with_selection(&self.collection, ["linguist-generated"]);
        self.attributes.pattern_matching_relative_path(path.as_bstr(), Case::Sensitive, Some(false), &mut found);
        found.iter_selected().any(|hit| match hit.assignment.state {
            StateRef::Set => true,
            StateRef::Value(value) => value.as_bstr() == "true",
            StateRef::Unset | StateRef::Unspecified => false,
        })
    }
}
