//! What an interrupted run left in the worktree, told from what somebody did since.
//!
//! Nothing is thrown away but a torn file: one that holds nothing but the beginning of what it was to
//! become. What differs in any other way is moved aside, below the shared git folder, where it
//! outlives the worktree.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use gix::bstr::{BStr, ByteSlice};
use gix::index::File;
use gix::index::entry::Mode;
use rustix::fs::{AtFlags, FileType, RenameFlags, Stat, renameat_with, unlinkat};
use rustix::io::Errno;
use shared::refusal::Refusal;

use crate::answer::Skipped;
use crate::beneath::{self, Cursor, Missing, Root};
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

/// Settles every file that is there already; afterwards `base` holds the facts of the right ones.
pub(crate) fn settle(
    repo: &gix::Repository,
    root: &Root,
    draft: &Draft,
    base: &mut File,
    donor: Option<&Donor>,
    aside: &Path,
) -> Result<Settled> {
    let present = present(root, base)?;
    if present.is_empty() {
        return Ok(Settled::default());
    }
    // By git's rules: a filter or line ends may lie between the file and its blob. Exit 1 is "some differ".
    draft.git().ask(["update-index", "-q", "--refresh"])?;
    *base = draft.load()?;
    let mut settled = Settled::default();
    for (n, facts) in present {
        let entry = &base.entries()[n];
        let path: &BStr = entry.path(base);
        if entry.stat == index::facts(&facts) {
            settled.right.push(n);
        } else if is_torn(repo, root, path, entry.id, &facts) {
            let mut at = Cursor::new(root, Missing::Fail);
            let (folder, name) = at.enter(path)?;
            unlinkat(folder, &name, AtFlags::empty()).with_context(|| format!("cannot remove the torn '{path}'"))?;
        } else {
            let to = move_aside(root, path, &facts, aside).with_context(|| format!("cannot move '{path}' aside"))?;
            settled.moved.push(Skipped::new(path, format!("it differed, and is now '{}'", to.display())));
        }
    }
    if let Some(donor) = donor {
        set_times(root, base, donor, &settled.right);
    }
    Ok(settled)
}

/// Lists the entries that have something in their place.
fn present(root: &Root, base: &File) -> Result<Vec<(usize, Stat)>> {
    let mut present = Vec::new();
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
                FileType::RegularFile | FileType::Symlink => present.push((n, facts)),
                _ => bail!(in_the_way(path)),
            },
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => bail!(in_the_way(path)),
            Err(e) => return Err(e).with_context(|| format!("cannot look at '{path}'")),
        }
    }
    Ok(present)
}

fn in_the_way(path: &BStr) -> Refusal {
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
    let clones = AtomicBool::new(false);
    let mut copier = Copier::new(&clones);
    let wanted = Wanted { facts: &|_| true, blob: None };
    let is_link = FileType::from_raw_mode(facts.st_mode) == FileType::Symlink;
    let made = if is_link { copier.link(from, to, &wanted) } else { copier.file(from, to, &wanted) };
    match made {
        Ok(_) if is_link => {}
        Ok(_) => {
            let copied = copy::open_to_read(to).map_err(|_| Errno::IO)?;
            rustix::fs::fsync(&copied)?;
        }
        Err(Refused::Exists) => return Err(Errno::EXIST),
        Err(Refused::Target(e)) => return Err(e),
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
