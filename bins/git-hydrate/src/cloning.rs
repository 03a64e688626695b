//! Which files are cloned, and which are copied.
//!
//! A clone shares its extents with the donor's file and takes no space, but its first read comes from
//! the disk: the pages that the kernel keeps belong to the other file. A copy is in memory at once.
//! So small files are copied, and where "small" ends was measured for each file system; of tracked files
//! that are cloned, the kernel is asked to read the pages in the background.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gix::bstr::BStr;
use rustix::io::Errno;
use shared::refusal::Refusal;

use crate::copy::Refused;

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Clone where it pays, copy the rest
    Auto,
    /// Clone every file, and fail where that cannot be
    Reflink,
    /// Copy every file
    Copy,
}

/// Which files are cloned.
#[derive(Debug)]
pub(crate) struct Cloning {
    mode: Mode,
    /// The size, in bytes, from which a file is cloned.
    from: u64,
    /// Whether the file system has refused.
    refused: AtomicBool,
    /// The bytes of clones that may still be read into memory.
    warmth: AtomicU64,
}

const KIB: u64 = 1024;

/// So much of the clones, in bytes, is read into memory; a larger tree would only push itself out again.
const WARMTH: u64 = 512 * 1024 * KIB;

/// The file systems that clone, by the number that `statfs` gives them (`linux/magic.h`), with the size from
/// which that pays (`tests/bench/hydrate threshold`).
const CLONE_FROM: [(u64, u64); 2] = [(0x5846_5342, 64 * KIB), (0x9123_683e, 16 * KIB)];

/// For those that were not measured: bcachefs, ZFS, overlays of one that clones.
const OTHERS_CLONE_FROM: u64 = 64 * KIB;

impl Cloning {
    /// Decides for files that are made on the file system of `folder`; `from` overrides what was measured.
    pub(crate) fn new(mode: Mode, folder: impl AsFd, from: Option<u64>) -> Cloning {
        let system = rustix::fs::fstatfs(folder).map_or(0, |facts| facts.f_type as u64);
        let measured =
            CLONE_FROM.iter().find(|(magic, _)| *magic == system).map_or(OTHERS_CLONE_FROM, |(_, from)| *from);
        let from = match mode {
            Mode::Auto => from.unwrap_or(measured),
            Mode::Reflink => 1,
            Mode::Copy => u64::MAX,
        };
        Cloning { mode, from, refused: AtomicBool::new(false), warmth: AtomicU64::new(WARMTH) }
    }

    /// Says whether a file of this size is to be cloned.
    pub(crate) fn covers(&self, size: u64) -> bool {
        size >= self.from && !self.refused.load(Ordering::Relaxed)
    }

    /// Says whether a clone of this size may be read into memory, and takes it off what may be.
    pub(crate) fn warms(&self, size: u64) -> bool {
        let take = |left: u64| left.checked_sub(size);
        self.warmth.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Returns the size from which files are cloned; `None` if none is, or none could be.
    pub(crate) fn from(&self) -> Option<u64> {
        let clones = self.mode != Mode::Copy && !self.refused.load(Ordering::Relaxed);
        clones.then_some(self.from)
    }

    /// Takes note that a file could not be cloned; it is copied then, unless that is not wanted.
    pub(crate) fn refused(&self, error: Errno) -> Result<(), Refused> {
        if self.mode == Mode::Reflink {
            return Err(Refused::Cloning(error));
        }
        // These concern this one file.
        if !matches!(error, Errno::INVAL | Errno::TXTBSY | Errno::PERM) {
            self.refused.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Makes the failure of a run that may only clone.
pub(crate) fn cannot(path: &BStr, error: Errno) -> Refusal {
    let name = path.to_string().escape_debug().to_string();
    let why = match error {
        Errno::XDEV => "the donor is on another file system".to_owned(),
        Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS => "this file system shares no extents".to_owned(),
        other => other.to_string(),
    };
    Refusal::new("cannot-clone", format!("cannot clone '{name}': {why}"))
        .hint("'--mode=auto' copies where it cannot clone")
}
