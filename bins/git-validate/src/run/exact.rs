//! Whether the files of a slot are what its index says: one look at every file and folder.
//!
//! A file is unchanged if all that the file system says of it is as when git wrote it, and git wrote
//! it before the index (`read-cache.c`, racy entries); one for which that does not hold is read and
//! hashed. Git does the same, with one processor and once per command.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice};
use gix::index::entry::{Flags, Mode};
use rustix::fs::{AtFlags, Dir, FileType, Mode as RawMode, OFlags, Stat, fstat, openat, statat};
use sha2::{Digest, Sha256};
use shared::repository::in_words;

use crate::stat::{Written, is_as_noted};

/// Beyond this many files to be hashed git is asked instead, which remembers what it has found.
const MOST_HASHED: usize = 5000;

/// What was seen of a slot.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether the index is that of the tree that was asked for, and every file is as there.
    pub(super) changed: bool,
    /// Paths that the index does not know, folders as a whole.
    pub(super) strange: Vec<PathBuf>,
    /// The hash of all rules of the tree on what is ignored.
    pub(super) rules: Vec<u8>,
    /// The hash of all attributes of the tree.
    pub(super) attributes: Vec<u8>,
}

/// One folder of the index.
#[derive(Debug, Default)]
struct Folder {
    /// Where its files stand in the index.
    files: Vec<usize>,
    folders: HashSet<Vec<u8>>,
    /// Whether nothing but a commit is known of it.
    is_submodule: bool,
}

/// Looks at all files and folders; fails if the index is not that of the tree, or cannot be read.
pub(super) fn look(top: &Path, index: &Path, tree: ObjectId) -> Result<Seen> {
    let known = open(index, tree.kind())?;
    let root = known.tree().context("the index of the slot knows no tree")?;
    ensure!(root.num_entries.is_some() && root.id == tree, "the index of the slot is that of another tree");
    look_at(top, index, &known, Reach::All)
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The files that the index knows, and what it does not know.
    Known,
    /// What the index does not know.
    Strange,
    /// All that stands there, and whether its owner may read and write it.
    All,
}

/// Looks at the files that the index knows, whatever tree it is of; rights do not count.
pub(super) fn look_after(top: &Path, index: &Path, hash: gix::hash::Kind) -> Result<Seen> {
    look_at(top, index, &open(index, hash)?, Reach::Known)
}

/// Lists what the index does not know in the folders that it knows, as far as they are there; and pipes and the like instead of files that it knows.
pub(super) fn strange(top: &Path, index: &Path, hash: gix::hash::Kind) -> Result<Vec<PathBuf>> {
    let seen = look_at(top, index, &open(index, hash)?, Reach::Strange)?;
    ensure!(!seen.changed, "a folder of the slot cannot be read");
    Ok(seen.strange)
}

/// Gives the owner back the right to read and write what the index knows, and submodules their folders.
pub(super) fn put_right(top: &Path, index: &Path, hash: gix::hash::Kind) -> Result<()> {
    let index = open(index, hash)?;
    // A folder comes before what is in it, so nothing is reached through a link.
    for (path, folder) in folders(&index) {
        let place = top.join(OsStr::from_bytes(&path));
        if folder.is_submodule && !place.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
            let _ = fs::remove_file(&place);
            fs::create_dir(&place).with_context(|| format!("cannot create '{}'", place.display()))?;
        }
        give(&place, 0o700)?;
        for at in folder.files {
            let path = index.entries()[at].path(&index);
            give(&top.join(OsStr::from_bytes(path)), 0o600)?;
        }
    }
    Ok(())
}

/// Says whether it is neither a file nor a folder nor a link; of some file systems one has to ask more, git too.
fn is_special(kind: FileType) -> bool {
    !(kind.is_file() || kind.is_dir() || kind.is_symlink() || kind == FileType::Unknown)
}

fn give(path: &Path, rights: u32) -> Result<()> {
    let facts = path.symlink_metadata().with_context(|| format!("cannot look at '{}'", path.display()))?;
    ensure!(rights == 0o600 || facts.is_dir(), "'{}' is no folder", path.display());
    let mode = facts.permissions().mode();
    if facts.is_symlink() || mode & rights == rights {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode | rights))
        .with_context(|| format!("cannot give the right to write '{}'", path.display()))
}

/// Opens the index; a link that a check has put there leads to somebody else's.
fn open(index: &Path, hash: gix::hash::Kind) -> Result<gix::index::File> {
    ensure!(index.symlink_metadata().is_ok_and(|facts| facts.is_file()), "the index of the slot is gone");
    let options = gix::index::decode::Options::default();
    gix::index::File::at(index, hash, true, options)
        .map_err(|e| anyhow!("cannot read the index of the slot: {}", in_words(&e)))
}

fn look_at(top: &Path, path: &Path, index: &gix::index::File, reach: Reach) -> Result<Seen> {
    ensure!(top.symlink_metadata().is_ok_and(|facts| facts.is_dir()), "'{}' is no folder", top.display());
    let written = fs::metadata(path).context("cannot look at the index of the slot")?;
    let written = (written.mtime(), written.mtime_nsec());
    let folders = folders(index);
    let (mut rules, mut attributes, mut plain) = (Sha256::new(), Sha256::new(), true);
    for entry in index.entries() {
        plain &= !entry.flags.intersects(Flags::ASSUME_VALID | Flags::SKIP_WORKTREE | Flags::INTENT_TO_ADD)
            && entry.stage_raw() == 0;
        let path = entry.path(index);
        for (name, hasher) in [(".gitignore", &mut rules), (".gitattributes", &mut attributes)] {
            if path.strip_suffix(name.as_bytes()).is_some_and(|folder| folder.is_empty() || folder.ends_with(b"/")) {
                hasher.update(path);
                hasher.update(entry.id.as_bytes());
            }
        }
    }
    ensure!(plain, "the index of the slot is no plain one");
    let all: Vec<(&Vec<u8>, &Folder)> = folders.iter().collect();
    let next = AtomicUsize::new(0);
    let hashed = AtomicUsize::new(0);
    let looker = Looker { top, index, reach, written, hashed: &hashed };
    let parts: Vec<Seen> = thread::scope(|scope| {
        let work = || {
            let mut seen = Seen::default();
            // A few at a time, so that the processors end together.
            while let (from, false) = (next.fetch_add(8, Ordering::Relaxed), seen.changed) {
                let Some(part) = all.get(from..all.len().min(from + 8)).filter(|part| !part.is_empty()) else { break };
                part.iter().for_each(|(path, folder)| looker.folder(path, folder, &mut seen));
            }
            seen
        };
        let width = thread::available_parallelism().map_or(1, usize::from).min(all.len().div_ceil(8)).max(1);
        let others: Vec<_> = (1..width).map(|_| scope.spawn(work)).collect();
        let mut parts = vec![work()];
        // A thread that failed has proved nothing.
        parts.extend(others.into_iter().map(|other| other.join().unwrap_or(Seen { changed: true, ..Seen::default() })));
        parts
    });
    let (rules, attributes) = (rules.finalize().to_vec(), attributes.finalize().to_vec());
    let mut seen = Seen { rules, attributes, ..Seen::default() };
    for part in parts {
        seen.changed |= part.changed;
        seen.strange.extend(part.strange);
    }
    seen.strange.sort();
    Ok(seen)
}

/// Sorts the entries of the index by their folders.
fn folders(index: &gix::index::File) -> BTreeMap<Vec<u8>, Folder> {
    let mut folders: BTreeMap<Vec<u8>, Folder> = BTreeMap::from([(Vec::new(), Folder::default())]);
    let mut last: Vec<u8> = Vec::new();
    for (at, entry) in index.entries().iter().enumerate() {
        let path = entry.path(index);
        let folder = path.rfind_byte(b'/').map_or(&path[..0], |slash| &path[..slash]);
        if folder != last.as_slice() {
            last = folder.to_vec();
            enter(&mut folders, folder);
        }
        if entry.mode == Mode::COMMIT {
            enter(&mut folders, path);
            folders.entry(path.to_vec()).or_default().is_submodule = true;
        } else {
            folders.entry(last.clone()).or_default().files.push(at);
        }
    }
    folders
}

/// Adds a folder and all above it.
fn enter(folders: &mut BTreeMap<Vec<u8>, Folder>, path: &[u8]) {
    let mut path = path;
    while !path.is_empty() {
        let (above, name) = match path.rfind_byte(b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&path[..0], path),
        };
        folders.entry(path.to_vec()).or_default();
        if !folders.entry(above.to_vec()).or_default().folders.insert(name.to_vec()) {
            return;
        }
        path = above;
    }
}

struct Looker<'a> {
    top: &'a Path,
    index: &'a gix::index::File,
    reach: Reach,
    /// When the index was written.
    written: Written,
    hashed: &'a AtomicUsize,
}

impl Looker<'_> {
    fn folder(&self, path: &[u8], folder: &Folder, seen: &mut Seen) {
        let place = self.top.join(OsStr::from_bytes(path));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(handle) = openat(rustix::fs::CWD, &place, flags, RawMode::empty()) else {
            seen.changed |= self.reach != Reach::Strange;
            return;
        };
        if self.reach == Reach::All {
            seen.changed |= !fstat(handle.as_fd()).is_ok_and(|found| found.st_mode & 0o700 == 0o700);
        }
        let mut known: Vec<&[u8]> = folder.folders.iter().map(Vec::as_slice).collect();
        for at in &folder.files {
            let entry = &self.index.entries()[*at];
            let name = entry.path(self.index);
            let name = if path.is_empty() { name } else { name[path.len() + 1..].as_bstr() };
            known.push(name);
            if self.reach == Reach::Strange {
                continue;
            }
            let found = statat(handle.as_fd(), name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW);
            seen.changed |= !found.is_ok_and(|found| self.is_same(entry, &found, &place, name));
            if seen.changed {
                return;
            }
        }
        known.sort_unstable();
        let Ok(names) = Dir::read_from(handle.as_fd()) else {
            seen.changed = true;
            return;
        };
        for name in names {
            let Ok(name) = name else {
                seen.changed = true;
                return;
            };
            let (kind, name) = (name.file_type(), name.file_name().to_bytes());
            let is_special = self.reach == Reach::Strange && is_special(kind);
            let own = path.is_empty() && name == b".git";
            if name != b"." && name != b".." && !own && (is_special || known.binary_search(&name).is_err()) {
                seen.strange.push(Path::new(OsStr::from_bytes(path)).join(OsStr::from_bytes(name)));
            }
        }
    }

    fn is_same(&self, entry: &gix::index::Entry, found: &Stat, folder: &Path, name: &BStr) -> bool {
        let kind = FileType::from_raw_mode(found.st_mode);
        let executable = found.st_mode & 0o100 != 0;
        let fits = match entry.mode {
            Mode::FILE => kind.is_file() && !executable,
            Mode::FILE_EXECUTABLE => kind.is_file() && executable,
            Mode::SYMLINK => kind.is_symlink(),
            _ => false,
        };
        let is_open = kind.is_symlink() || found.st_mode & 0o600 == 0o600;
        fits && is_open && (is_as_noted(&entry.stat, found, self.written) || self.hashes_to(entry, folder, name))
    }

    fn hashes_to(&self, entry: &gix::index::Entry, folder: &Path, name: &BStr) -> bool {
        if self.hashed.fetch_add(1, Ordering::Relaxed) >= MOST_HASHED {
            return false;
        }
        let path = folder.join(OsStr::from_bytes(name));
        let bytes = match entry.mode {
            Mode::SYMLINK => fs::read_link(&path).map(|target| target.into_os_string().into_encoded_bytes()),
            _ => fs::read(&path),
        };
        let hash = |bytes: &[u8]| gix::objs::compute_hash(entry.id.kind(), gix::objs::Kind::Blob, bytes).ok();
        bytes.ok().and_then(|bytes| hash(&bytes)) == Some(entry.id)
    }
}
