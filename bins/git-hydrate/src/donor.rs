//! The donor: the worktree that files are taken from.
//!
//! Of a worktree of the same repository, the index is git's own word for what a file holds. A worktree
//! of another repository has an index of others, and settings of its own: there every file is hashed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use gix::bstr::BStr;
use gix::index::entry::{Flags, Stage, stat};
use gix::index::{Entry, File, State};
use rustix::fs::Stat;
use rustix::io::Errno;
use shared::failure::Failure;
use shared::process::Git;
use shared::repository::{Repository, Worktree};

use crate::answer::Skipped;
use crate::beneath::{self, Cursor, Missing, Root};
use crate::{copy, index, neighbour};

/// A worktree that can give.
#[derive(Debug)]
pub(crate) struct Donor {
    /// The worktree.
    pub(crate) worktree: Worktree,
    /// Its index.
    pub(crate) index: File,
    /// Its folder.
    pub(crate) root: Root,
    rules: stat::Options,
    /// The folder that all worktrees of its repository share.
    common_dir: PathBuf,
    /// Whether its repository is that of the target.
    pub(crate) is_ours: bool,
}

/// What the index says about the donor's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The facts agree, and the file is older than the index.
    Facts,
    /// The facts agree, but it could have been written again within the same tick, or the index is not ours.
    Content,
}

/// Chooses the worktree with the most files in common; the main one if several have as many.
///
/// Other repositories are looked at only if this one has no other worktree. A worktree that is filled and
/// cannot be read is noted in `passed_over`.
pub(crate) fn choose(
    repository: &Repository,
    own: &Path,
    base: &State,
    from: Option<&Path>,
    passed_over: &mut Vec<Skipped>,
) -> Result<Option<Donor>, Failure> {
    let others = repository.worktrees()?.into_iter().filter(|w| w.git_dir != own);
    if let Some(from) = from {
        return named(repository, others, from).map(Some);
    }
    let open = |worktree: Worktree| {
        let (path, is_filled) = (worktree.path.clone(), worktree.git_dir.join("index").exists());
        let opened = Donor::open(repository, worktree, Whose::Ours);
        if let Some(error) = opened.as_ref().err().filter(|_| is_filled && path.exists()) {
            let reason = format!("as a donor: {error:#}");
            passed_over.push(Skipped::new(path.as_os_str().as_encoded_bytes(), reason));
        }
        opened.ok()
    };
    let ours = best(base, others.filter_map(open));
    if ours.is_some() {
        return Ok(ours);
    }
    let neighbours = neighbour::find(repository);
    let opened =
        neighbours.iter().filter(|other| other.gix.object_hash() == repository.gix.object_hash()).flat_map(|other| {
            let worktrees = other.worktrees().unwrap_or_default();
            worktrees.into_iter().filter_map(|worktree| Donor::open(other, worktree, Whose::Others).ok())
        });
    Ok(best(base, opened))
}

fn best(base: &State, donors: impl Iterator<Item = Donor>) -> Option<Donor> {
    let wanted = base.entries().len();
    let mut best: Option<(usize, Donor)> = None;
    for donor in donors {
        let equal = equal_pairs(base, &donor.index).len();
        if best.as_ref().is_none_or(|(most, _)| equal > *most) {
            best = Some((equal, donor));
        }
        if equal == wanted {
            break;
        }
    }
    best.map(|(_, donor)| donor)
}

fn named(repository: &Repository, mut others: impl Iterator<Item = Worktree>, from: &Path) -> Result<Donor, Failure> {
    let path = from
        .canonicalize()
        .map_err(|e| Failure::could_not("no-donor", format!("cannot look at '{}': {e}", from.display())))?;
    let cannot = |e: anyhow::Error| Failure::could_not("no-donor", format!("{e:#}"));
    if let Some(worktree) = others.find(|w| w.path == path) {
        return Donor::open(repository, worktree, Whose::Ours).map_err(cannot);
    }
    let other = neighbour::open(&path).filter(|other| other.common_dir() != repository.common_dir());
    let worktrees = other.iter().flat_map(|other| other.worktrees().unwrap_or_default());
    let (Some(worktree), Some(other)) = ({ worktrees }.find(|w| w.path == path), &other) else {
        let message =
            format!("'{}' is not another worktree, of this repository or of one that it can read", from.display());
        return Err(Failure::could_not("no-donor", message).hint("'git worktree list' shows those of this repository"));
    };
    if other.gix.object_hash() != repository.gix.object_hash() {
        let message = format!("the repository of '{}' has another object format", from.display());
        return Err(Failure::could_not("no-donor", message));
    }
    Donor::open(other, worktree, Whose::Others).map_err(cannot)
}

/// Whose worktree it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    Others,
}

impl Donor {
    fn open(repository: &Repository, worktree: Worktree, whose: Whose) -> Result<Donor> {
        if !belongs(repository, &worktree) {
            anyhow::bail!("'{}' is not the worktree that the repository lists there", worktree.path.display());
        }
        let index = index::load(&worktree.git_dir.join("index"), repository.gix.object_hash())?;
        let root = Root::open(&worktree.path)?;
        let config = repository.gix.config_snapshot();
        let trust_ctime = config.boolean("core.trustctime").unwrap_or(true);
        let rules = stat::Options { trust_ctime, check_stat: true, use_nsec: true, use_stdev: false };
        let common_dir = repository.common_dir().to_owned();
        Ok(Donor { worktree, index, root, rules, common_dir, is_ours: whose == Whose::Ours })
    }

    /// Returns git for reading in its worktree.
    pub(crate) fn git(&self) -> Result<Git> {
        let git = Git::at(&self.worktree.path)?.pinned(&self.worktree.git_dir, Some(&self.worktree.path));
        Ok(git.env("GIT_COMMON_DIR", &self.common_dir).reading())
    }

    /// Says whether the donor's file can be taken for this entry of its index, and what proves it.
    pub(crate) fn proof(&self, entry: &Entry) -> Option<Proof> {
        let blind = Flags::SKIP_WORKTREE | Flags::ASSUME_VALID | Flags::INTENT_TO_ADD;
        if entry.stage() != Stage::Unconflicted || entry.flags.intersects(blind) {
            return None;
        }
        let must_read = !self.is_ours || entry.stat.is_racy(self.index.timestamp(), self.rules);
        Some(if must_read { Proof::Content } else { Proof::Facts })
    }

    /// Says whether a file has the facts that the index remembers.
    pub(crate) fn is_as_remembered(&self, entry: &Entry, now: &Stat) -> bool {
        let executable = now.st_mode & 0o100 != 0;
        let kind = match now.st_mode & 0o170_000 {
            0o120_000 => entry.mode == gix::index::entry::Mode::SYMLINK,
            0o100_000 if executable => entry.mode == gix::index::entry::Mode::FILE_EXECUTABLE,
            0o100_000 => entry.mode == gix::index::entry::Mode::FILE,
            _ => false,
        };
        kind && entry.stat.matches(&index::facts(now), self.rules)
    }

    /// Says whether the file of this entry is provably what the index says.
    fn is_unmodified(&self, entry: &Entry, path: &[u8]) -> bool {
        let Some(proof) = self.proof(entry) else { return false };
        let look = || -> Option<bool> {
            let mut cursor = Cursor::new(&self.root, Missing::Fail);
            let (folder, name) = cursor.enter(path).ok()?;
            let file = copy::open_to_read((folder, &name)).ok()?;
            let facts = rustix::fs::fstat(&file).ok()?;
            if !self.is_as_remembered(entry, &facts) {
                return None;
            }
            use std::os::fd::AsFd;
            let right =
                proof == Proof::Facts || copy::hash_file(file.as_fd(), &facts, entry.id.kind()) == Some(entry.id);
            right.then_some(true)
        };
        look().is_some()
    }
}

/// Lists the pairs of entries (of `base`, of `donor`) with the same path, blob and mode.
pub(crate) fn equal_pairs(base: &State, donor: &State) -> Vec<(usize, usize)> {
    let mut pairs = Vec::with_capacity(base.entries().len());
    let theirs = donor.entries();
    let mut at = 0;
    for (n, entry) in base.entries().iter().enumerate() {
        let path: &BStr = entry.path(base);
        while at < theirs.len() && theirs[at].path(donor) < path {
            at += 1;
        }
        let Some(other) = theirs.get(at) else { break };
        if other.path(donor) == path && other.id == entry.id && other.mode == entry.mode {
            pairs.push((n, at));
        }
    }
    pairs
}

/// Where the attributes of the donor are those of the target, folder by folder.
pub(crate) struct SameAttributes<'d> {
    base: &'d State,
    donor: &'d Donor,
    known: HashMap<Vec<u8>, bool>,
}

impl<'d> SameAttributes<'d> {
    /// Prepares the comparison.
    pub(crate) fn new(base: &'d State, donor: &'d Donor) -> SameAttributes<'d> {
        SameAttributes { base, donor, known: HashMap::new() }
    }

    /// Says whether every `.gitattributes` from the root to this folder is the same, in the donor's worktree too.
    pub(crate) fn hold_in(&mut self, folder: &[u8]) -> bool {
        if let Some(known) = self.known.get(folder) {
            return *known;
        }
        let above = folder.is_empty() || self.hold_in(beneath::split(folder).0);
        let same = above && self.agree_at(folder);
        self.known.insert(folder.to_vec(), same);
        same
    }

    fn agree_at(&self, folder: &[u8]) -> bool {
        let mut path = folder.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(b".gitattributes");
        let name: &BStr = path.as_slice().into();
        let wanted = self.base.entry_by_path(name);
        match (wanted, self.donor.index.entry_by_path(name)) {
            (None, None) => matches!(self.donor.root.look(&path), Err(Errno::NOENT | Errno::NOTDIR)),
            (Some(a), Some(b)) => {
                let plain = a.mode == gix::index::entry::Mode::FILE;
                plain && a.id == b.id && a.mode == b.mode && self.donor.is_unmodified(b, &path)
            }
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// Says whether the folder that the list names is still this worktree, and no other one that took its place.
fn belongs(repository: &Repository, worktree: &Worktree) -> bool {
    let dot_git = worktree.path.join(".git");
    let leads_to = match std::fs::read(&dot_git) {
        Ok(text) => {
            use std::os::unix::ffi::OsStrExt;
            let text = text.strip_prefix(b"gitdir: ").unwrap_or_default();
            let end = text.iter().rposition(|b| !b.is_ascii_whitespace()).map_or(0, |at| at + 1);
            worktree.path.join(Path::new(std::ffi::OsStr::from_bytes(&text[..end])))
        }
        Err(_) => dot_git,
    };
    // A submodule names its folder; a main worktree elsewhere is none that we know.
    let named = repository.gix.config_snapshot().trusted_path("core.worktree").ok().flatten();
    let is_named = |path: &Path| repository.common_dir().join(path).canonicalize().is_ok_and(|p| p == worktree.path);
    let elsewhere = worktree.is_main && named.is_some_and(|path| !is_named(&path));
    !elsewhere && leads_to.canonicalize().is_ok_and(|path| path == worktree.git_dir)
}
