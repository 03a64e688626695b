//! Files of the worktree in place of blobs: reading is cheaper than inflating.
//!
//! A file counts only if the index proves that it is the blob, and if git converts nothing on the way
//! between the two.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice};
use gix::index::entry::{Flags, Mode};
use rustix::fs::{Mode as RawMode, OFlags, fstat, open};
use shared::repository::Repository;

use super::objects::LARGEST;
use crate::stat::{Written, is_as_noted};
use crate::user_file;

/// Fewer contents than this are not worth an index.
const FEW: usize = 500;

/// So many files are tried before it is known whether it pays.
const TRIAL: usize = 100;

/// What makes git convert a file: words of gitattributes(5).
const CONVERTING: &[&str] = &["text", "crlf", "eol", "filter", "ident", "encoding"];

/// The worktree, as its index knows it.
pub(super) struct Checkout {
    top: PathBuf,
    index: gix::index::File,
    written: Written,
    tried: AtomicUsize,
    fitting: AtomicUsize,
}

impl Checkout {
    /// Opens the worktree for reading so many contents; nothing if that is not sure, or does not pay.
    pub(super) fn of(repository: &Repository, count: usize) -> Option<Checkout> {
        let top = repository.work_tree().filter(|_| count >= FEW)?.to_owned();
        let path = repository.git_dir().join("index");
        let facts = fs::metadata(&path).ok()?;
        let hash = repository.gix.object_hash();
        let index = gix::index::File::at(&path, hash, true, gix::index::decode::Options::default()).ok()?;
        if index.link().is_some() || converts(repository, &top, &index) {
            return None;
        }
        let written = (facts.mtime(), facts.mtime_nsec());
        Some(Checkout { top, index, written, tried: AtomicUsize::new(0), fitting: AtomicUsize::new(0) })
    }

    /// Reads the file of that path if it is the blob; false if the blob has to be asked for.
    pub(super) fn read(&self, path: &[u8], id: ObjectId, buffer: &mut Vec<u8>) -> bool {
        let tried = self.tried.fetch_add(1, Ordering::Relaxed);
        if tried > TRIAL && self.fitting.load(Ordering::Relaxed) * 2 < tried {
            return false;
        }
        let is_read = self.try_read(path, id, buffer).is_some();
        self.fitting.fetch_add(usize::from(is_read), Ordering::Relaxed);
        is_read
    }

    fn try_read(&self, path: &[u8], id: ObjectId, buffer: &mut Vec<u8>) -> Option<()> {
        let entry = self.index.entry_by_path(path.as_bstr())?;
        let odd = Flags::ASSUME_VALID | Flags::SKIP_WORKTREE | Flags::INTENT_TO_ADD;
        let is_file = matches!(entry.mode, Mode::FILE | Mode::FILE_EXECUTABLE);
        if entry.id != id || !is_file || entry.flags.intersects(odd) || u64::from(entry.stat.size) > LARGEST {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let place = self.top.join(std::ffi::OsStr::from_bytes(path));
        let file = File::from(open(place, flags, RawMode::empty()).ok()?);
        buffer.resize(entry.stat.size as usize, 0);
        (&file).read_exact(buffer).ok()?;
        // After the reading, so that a change before or during it is seen; the size is looked at as well.
        let found = fstat(&file).ok()?;
        is_as_noted(&entry.stat, &found, self.written).then_some(())
    }
}

/// Says whether git may write other bytes into the worktree than a blob has.
fn converts(repository: &Repository, top: &Path, index: &gix::index::File) -> bool {
    let core = repository.settings("core");
    let is_set = |key: &str| core.iter().rev().find(|setting| setting.key == key);
    if is_set("autocrlf").is_some_and(|setting| setting.value != "false") || is_set("attributesfile").is_some() {
        return true;
    }
    let usual = user_file::of(&core, "attributesfile", "attributes");
    let elsewhere = [repository.common_dir().join("info/attributes"), usual, PathBuf::from("/etc/gitattributes")];
    if elsewhere.iter().any(|path| path.exists()) {
        return true;
    }
    let is_converting = |path: &Path| match fs::read(path) {
        Ok(bytes) => CONVERTING.iter().any(|word| bytes.find(word).is_some()),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    let mut last: &BStr = b"/".as_bstr();
    index.entries().iter().any(|entry| {
        let path = entry.path(index);
        let folder = path.rfind_byte(b'/').map_or(&path[..0], |slash| &path[..slash]).as_bstr();
        // One look for each folder, whether git tracks what is there or not.
        let is_new = std::mem::replace(&mut last, folder) != folder;
        is_new && is_converting(&top.join(std::ffi::OsStr::from_bytes(folder)).join(".gitattributes"))
    })
}
