//! Paths that lead into the donor, rewritten to lead to the same place in the worktree.
//!
//! Absolute symbolic links are made anew as they are copied. In a Python virtual environment the
//! texts that hold its path are written anew after the copy: beside, then renamed, because the file
//! itself may share its extents or its inode with another.

mod text;
mod venv;

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use gix::bstr::ByteSlice;
use rustix::fs::{AtFlags, Stat, readlinkat, statat, symlinkat};
use rustix::io::Errno;

use crate::beneath::Root;
use crate::copy::{self, How, Place, Refused};

pub(crate) use venv::{Text, may_hold_paths, rewrite};

/// From where to where.
#[derive(Debug)]
pub(crate) struct Relink {
    /// The spellings of the donor's path that are known.
    from: BTreeSet<Vec<u8>>,
    /// Which folder the donor is, whatever its spelling.
    donor: (u64, u64),
    to: Vec<u8>,
}

impl Relink {
    /// Prepares it; `given` is the donor's path as the user wrote it.
    pub(crate) fn new(donor: &Path, given: Option<&Path>, to: &Path) -> anyhow::Result<Relink> {
        let facts = std::fs::metadata(donor)?;
        let donor_id = (facts.dev(), facts.ino());
        let spellings = [Some(donor), given].into_iter().flatten().filter(|path| path.is_absolute());
        let from = spellings.map(|path| trimmed(path.as_os_str().as_bytes()).to_vec()).collect();
        Ok(Relink { from, donor: donor_id, to: to.as_os_str().as_bytes().to_vec() })
    }

    /// Returns where a link of the donor is to lead; `None` if that stays as it is.
    pub(crate) fn place_of(&self, link: Place<'_>) -> Option<Vec<u8>> {
        let target = readlinkat(link.0, link.1, Vec::new()).ok()?;
        let rest = self.inside(target.as_bytes())?;
        Some([self.to.as_slice(), rest].concat())
    }

    /// Returns what follows the donor's folder in an absolute path, with its slash.
    fn inside<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        if path.first() != Some(&b'/') || is_at_or_below(path, &self.to) {
            return None;
        }
        let ends = (1..=path.len()).filter(|end| *end == path.len() || path[*end] == b'/');
        let end = ends.into_iter().find(|end| {
            let folder = &path[..*end];
            self.from.contains(folder) || self.is_donor(folder)
        })?;
        let rest = &path[end..];
        stays_inside(rest).then_some(rest)
    }

    fn is_donor(&self, folder: &[u8]) -> bool {
        let folder = folder.to_path_lossy();
        std::fs::metadata(folder).is_ok_and(|facts| (facts.dev(), facts.ino()) == self.donor)
    }
}

/// Makes a link that was rewritten; one that is there from an earlier run is as good.
pub(crate) fn make_link(
    leads_to: &[u8],
    place: Place<'_>,
    donor: &Stat,
    resumes: bool,
) -> Result<(Stat, How), Refused> {
    match symlinkat(leads_to, place.0, place.1) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            let there = readlinkat(place.0, place.1, Vec::new());
            if !resumes || there.is_ok_and(|there| there.as_bytes() != leads_to) {
                return Err(Refused::Exists);
            }
        }
        Err(e) => return Err(Refused::Target(e)),
    }
    match copy::set_time(place, copy::mtime(donor)) {
        Ok(facts) => Ok((facts, How::Linked)),
        Err(_) => statat(place.0, place.1, AtFlags::SYMLINK_NOFOLLOW)
            .map(|facts| (facts, How::Linked))
            .map_err(Refused::Target),
    }
}

/// Says whether the rest of a path never climbs out of the donor, and not into its git folder.
fn stays_inside(rest: &[u8]) -> bool {
    let rest = rest.to_path_lossy();
    let mut depth = 0;
    for part in rest.components() {
        match part {
            Component::Normal(name) if depth == 0 && name.eq_ignore_ascii_case(".git") => return false,
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    true
}

fn is_at_or_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

/// A path without slashes at its end.
fn trimmed(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(1, |at| at + 1);
    &path[..end.min(path.len())]
}

/// Opens for reading what may hold the donor's path, of either root.
fn read_small(root: &Root, path: &[u8]) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut cursor = crate::beneath::Cursor::new(root, crate::beneath::Missing::Fail);
    let (folder, name) = cursor.enter(path).ok()?;
    let file = std::fs::File::from(copy::open_to_read((folder, &name)).ok()?);
    let mut bytes = Vec::new();
    file.take(venv::LARGEST + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= venv::LARGEST).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_rewritten_only_if_it_stays_inside() {
        for good in ["", "/a", "/a/../b", "/a/.git", "/"] {
            assert!(stays_inside(good.as_bytes()), "{good}");
        }
        for bad in ["/..", "/a/../../b", "/.git", "/.GIT/config"] {
            assert!(!stays_inside(bad.as_bytes()), "{bad}");
        }
    }
}
