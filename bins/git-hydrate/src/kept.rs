//! What is in the worktree already: left by an interrupted run, or somebody's, whom `--force` moves aside.
//!
//! Nothing is thrown away but a torn file of an interrupted run: one that holds nothing but the beginning of what it was to
//! become. What differs in any other way is moved aside, below the shared git folder, where it
//! outlives the worktree.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use gix::bstr::{BStr, ByteSlice};
use gix::index::File;
use gix::index::entry::Mode;
use rustix::fs::{AtFlags, FileType, RenameFlags, Stat, renameat_with, unlinkat};
use rustix::io::Errno;
use shared::refusal::Refusal;

use crate::answer::Skipped;
use crate::beneath::{self, Cursor, Missing, Root};
use crate::cloning::{self, Cloning};
use crate::copy::{self, Copier, Refused, Wanted};
use crate::donor::{Donor, equal_pairs};
use crate::index::{self, Draft};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// The entries whose files are right.
    pub(crate) right: Vec<usize>,
    /// The files that were moved aside, and where they are now.
    pub(crate) moved: Vec<Skipped>,
}

/// Whose files are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    /// Those of a run that was interrupted; some may be torn.
    Ours,
    /// Those of somebody, whom `--force` told to step aside.
    Theirs,
}

/// Settles every file that is there already; afterwards `base` holds the facts of the right ones.
pub(crate) fn settle(
    (repo, root, aside): (&gix::Repository, &Root, &Path),
    draft: &Draft,
    base: &mut File,
    donor: Option<&Donor>,
    past: Past,
) -> Result<Settled> {
    let mut settled = Settled::default();
    let Present { files, in_the_way } = present(root, base)?;
    for path in &in_the_way {
        let path: &BStr = path.as_slice().into();
        if past == Past::Ours {
            bail!(refuse_in_the_way(path));
        }
        settled.move_aside(root, path, &root.look(path)?, aside)?;
    }
    if files.is_empty() {
        return Ok(settled);
    }
    // By git's rules: a filter or line ends may lie between the file and its blob. Exit 1 is "some differ".
    draft.git().ask(["update-index", "-q", "--refresh"])?;
    *base = draft.load()?;
    for (n, facts) in files {
        let entry = &base.entries()[n];
        let path: &BStr = entry.path(base);
        if entry.stat == index::facts(&facts) {
            settled.right.push(n);
        } else if past == Past::Ours && is_torn(repo, root, path, entry.id, &facts) {
            let mut at = Cursor::new(root, Missing::Fail);
            let (folder, name) = at.enter(path)?;
            unlinkat(folder, &name, AtFlags::empty()).with_context(|| format!("cannot remove the torn '{path}'"))?;
        } else {
            settled.move_aside(root, path, &facts, aside)?;
        }
    }
    if let Some(donor) = donor {
        set_times(root, base, donor, &settled.right);
    }
    Ok(settled)
}

impl Settled {
    fn move_aside(&mut self, root: &Root, path: &BStr, facts: &Stat, aside: &Path) -> Result<()> {
        let to = move_aside(root, path, facts, aside).with_context(|| format!("cannot move '{path}' aside"))?;
        self.moved.push(Skipped::new(path, format!("it differed, and is now '{}'", to.display())));
        Ok(())
    }
}

/// What is where the files of the index go.
#[derive(Debug, Default)]
struct Present {
    /// The entries that have a file or link in their place.
    files: Vec<(usize, Stat)>,
    /// Whatever else is in their place or on the way there.
    in_the_way: BTreeSet<Vec<u8>>,
}

/// Looks for what is there.
fn present(root: &Root, base: &File) -> Result<Present> {
    let mut present = Present::default();
    let mut at = Cursor::new(root, Missing::Fail);
    for (n, entry) in base.entries().iter().enumerate() {
        if index::is_left_out(entry) || index::is_submodule(entry) {
            continue;
        }
        let path: &BStr = entry.path(base);
        let look =
            at.enter(path).and_then(|(folder, name)| rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW));
        match look {
            Ok(facts) => match FileType::from_raw_mode(facts.st_mode) {
                FileType::RegularFile | FileType::Symlink => present.files.push((n, facts)),
                _ => drop(present.in_the_way.insert(path.to_vec())),
            },
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => present.in_the_way.extend(first_that_is_no_folder(root, path)),
            Err(e) => return Err(e).with_context(|| format!("cannot look at '{path}'")),
        }
    }
    Ok(present)
}

/// Returns the first part of the way to a path that is not a folder.
fn first_that_is_no_folder(root: &Root, path: &[u8]) -> Option<Vec<u8>> {
    let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    let is_folder = |facts: Stat| FileType::from_raw_mode(facts.st_mode) == FileType::Directory;
    ends.map(|end| &path[..end]).find(|part| root.look(part).is_ok_and(|facts| !is_folder(facts))).map(<[u8]>::to_vec)
}

fn refuse_in_the_way(path: &BStr) -> Refusal {
    let name = path.to_string().escape_debug().to_string();
    Refusal::new("not-empty", format!("something that is not ours is in the place of '{name}'"))
        .hint("move it elsewhere; then 'git hydrate' completes what it began")
}

/// Says whether the file holds the beginning of its blob and nothing else, so that no word of anybody is lost with it.
fn is_torn(repo: &gix::Repository, root: &Root, path: &BStr, blob: gix::ObjectId, facts: &Stat) -> bool {
    let check = || -> Option<bool> {
        if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
            return None;
        }
        if copy::size(facts) == 0 {
            return Some(true);
        }
        let whole = repo.find_blob(blob).ok()?;
        let mut at = Cursor::new(root, Missing::Fail);
        let (folder, name) = at.enter(path).ok()?;
        let file = copy::open_to_read((folder, &name)).ok()?;
        Some(copy::begins_like(file.as_fd(), facts, &whole.data))
    };
    check() == Some(true)
}

/// Moves a file to `aside`, under a name that is free.
fn move_aside(root: &Root, path: &BStr, facts: &Stat, aside: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(aside).with_context(|| format!("cannot create '{}'", aside.display()))?;
    let kept = Root::open(aside)?;
    let (folder, name) = beneath::split(path);
    let to = kept.make_folder(folder)?;
    let mut at = Cursor::new(root, Missing::Fail);
    let (from, old) = at.enter(path)?;
    for n in 0..1000 {
        let mut new = name.to_vec();
        if n > 0 {
            new.extend_from_slice(format!(".{n}").as_bytes());
        }
        let free = CString::new(new.clone())?;
        let moved = match renameat_with(from, &old, &to, &free, RenameFlags::NOREPLACE) {
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS) => copy_aside((from, &old), (to.as_fd(), &free), facts),
            result => result,
        };
        match moved {
            Ok(()) => return Ok(aside.join(bytes_path(folder)).join(bytes_path(&new))),
            Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
    }
    bail!("'{}' is full of files of this name", aside.display())
}

/// To another file system: the copy is on disk before the original goes.
fn copy_aside(from: copy::Place<'_>, to: copy::Place<'_>, facts: &Stat) -> Result<(), Errno> {
    let cloning = Cloning::new(cloning::Mode::Copy, from.0, None);
    let mut copier = Copier::new(&cloning);
    let wanted = Wanted { facts: &|_| true, blob: None, before: None };
    let is_link = FileType::from_raw_mode(facts.st_mode) == FileType::Symlink;
    let made = if is_link { copier.link(from, to, &wanted) } else { copier.file(from, to, &wanted) };
    match made {
        Ok(_) if is_link => {}
        Ok(_) => {
            let copied = copy::open_to_read(to).map_err(|_| Errno::IO)?;
            rustix::fs::fsync(&copied)?;
        }
        Err(Refused::Exists) => return Err(Errno::EXIST),
        Err(Refused::Target(e) | Refused::Cloning(e)) => return Err(e),
        Err(Refused::Donor(_)) => return Err(Errno::AGAIN),
    }
    unlinkat(from.0, from.1, AtFlags::empty())
}

/// A run that died between a file's content and its time left the time of the copy: it gets the donor's.
fn set_times(root: &Root, base: &mut File, donor: &Donor, right: &[usize]) {
    let pairs = equal_pairs(base, &donor.index);
    let mut at = Cursor::new(root, Missing::Fail);
    for n in right {
        let Ok(pair) = pairs.binary_search_by_key(n, |(n, _)| *n) else { continue };
        let theirs = &donor.index.entries()[pairs[pair].1];
        let entry = &base.entries()[*n];
        let path: Vec<u8> = entry.path(base).to_vec();
        let is_exact = entry.mode != Mode::SYMLINK && entry.stat.size == theirs.stat.size;
        if !is_exact || entry.stat.mtime == theirs.stat.mtime || donor.proof(theirs).is_none() {
            continue;
        }
        let Some(facts) = donor.root.look(&path).ok().filter(|facts| donor.is_as_remembered(theirs, facts)) else {
            continue;
        };
        let Ok((folder, name)) = at.enter(&path) else { continue };
        if let Ok(now) = copy::set_time((folder, &name), copy::mtime(&facts)) {
            base.entries_mut()[*n].stat = index::facts(&now);
        }
    }
}

fn bytes_path(bytes: &[u8]) -> PathBuf {
    bytes.to_path().map(Path::to_owned).unwrap_or_default()
}
