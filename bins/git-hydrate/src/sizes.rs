//! Whether the donor's files have the size of their blobs, and what an earlier run knew about that.
//!
//! Converted under older attributes, a file still agrees with its index; its size tells. To learn the size
//! of a packed blob is a tenth of what filling costs, and its answer follows from the index alone, so the
//! checksum of the last index whose every file was verbatim is kept.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use gix::ObjectId;
use gix::index::Entry;
use gix::index::entry::Mode;
use rustix::fs::OFlags;

use crate::donor::{Donor, Proof};

/// What is known about one donor.
pub(crate) struct Sizes<'s> {
    repo: &'s gix::Repository,
    path: PathBuf,
    index: Option<ObjectId>,
    files: usize,
    verbatim: usize,
    is_known: bool,
}

impl<'s> Sizes<'s> {
    /// Looks up what an earlier run kept.
    pub(crate) fn load(repo: &'s gix::Repository, donor: &Donor) -> Sizes<'s> {
        let path = repo.common_dir().join("hydrate-verbatim");
        let index = donor.index.checksum().filter(|sum| !sum.is_null());
        let kept = std::fs::read(&path).unwrap_or_default();
        let is_known = index.is_some_and(|sum| kept == sum.to_string().as_bytes());
        let is_file = |entry: &&Entry| entry.mode != Mode::COMMIT && entry.mode != Mode::DIR;
        let files = donor.index.entries().iter().filter(is_file).count();
        Sizes { repo, path, index, files, verbatim: 0, is_known }
    }

    /// Says whether the file of this entry has the size of its blob, or will be hashed anyway.
    pub(crate) fn agree(&mut self, theirs: &Entry, proof: Proof) -> bool {
        if proof == Proof::Content || self.is_known {
            return true;
        }
        let is_verbatim = self.repo.find_header(theirs.id).is_ok_and(|blob| blob.size() as u32 == theirs.stat.size);
        self.verbatim += usize::from(is_verbatim);
        is_verbatim
    }

    /// Keeps the index's checksum for the next run if every one of its files was found verbatim.
    pub(crate) fn remember(&self) {
        let Some(index) = self.index.filter(|_| !self.is_known && self.verbatim == self.files) else { return };
        let keep = || -> std::io::Result<()> {
            let flags = OFlags::NOFOLLOW.bits().cast_signed();
            let mut file =
                File::options().write(true).create(true).truncate(true).custom_flags(flags).open(&self.path)?;
            file.write_all(index.to_string().as_bytes())
        };
        // Without it, or with half of it, the next run only asks again.
        let _ = keep();
    }
}
