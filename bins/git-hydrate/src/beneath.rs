//! Folders and files below one root, never outside it.
//!
//! Every call is relative to an open folder and follows no link, so neither a name, nor a link in
//! a tree, nor somebody who swaps a folder for a link meanwhile can lead out of the root.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, Stat, mkdirat, openat, statat};
use rustix::io::{Errno, Result};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folder that nothing leaves.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
}

/// Says why a path may not be written below a root; `None` if it may.
pub(crate) fn refused(path: &[u8]) -> Option<&'static str> {
    if path.is_empty() || path.contains(&0) {
        return Some("it is empty or holds a NUL");
    }
    if path[0] == b'/' {
        return Some("it is absolute");
    }
    path.split(|b| *b == b'/').find_map(|part| match part {
        b"" => Some("it has an empty component"),
        b"." | b".." => Some("it has the component '.' or '..'"),
        _ if part.eq_ignore_ascii_case(b".git") => Some("it leads into a git folder"),
        _ => None,
    })
}

/// Splits a path into its folder (empty for the root) and its name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

impl Root {
    /// Opens the root itself; only here a link is followed.
    pub(crate) fn open(path: &Path) -> Result<Root> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Root { fd: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// Opens a folder below the root.
    pub(crate) fn folder(&self, path: &[u8]) -> Result<OwnedFd> {
        if path.is_empty() {
            return self.fd.try_clone().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::MFILE));
        }
        if refused(path).is_some() {
            return Err(Errno::PERM);
        }
        match self.folder_at_once(path) {
            // Too long a path for one call is walked as well.
            Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN | Errno::NAMETOOLONG) => self.folder_step_by_step(path),
            result => result,
        }
    }

    #[cfg(target_os = "linux")]
    fn folder_at_once(&self, path: &[u8]) -> Result<OwnedFd> {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.fd, path, FOLDER, Mode::empty(), resolve)
    }

    #[cfg(not(target_os = "linux"))]
    fn folder_at_once(&self, _path: &[u8]) -> Result<OwnedFd> {
        Err(Errno::NOSYS)
    }

    fn folder_step_by_step(&self, path: &[u8]) -> Result<OwnedFd> {
        let mut parts = path.split(|b| *b == b'/');
        let first = parts.next().unwrap_or_default();
        let mut folder = openat(&self.fd, first, FOLDER, Mode::empty())?;
        for part in parts {
            folder = openat(&folder, part, FOLDER, Mode::empty())?;
        }
        Ok(folder)
    }

    /// Opens a folder below the root and makes what is missing of it.
    pub(crate) fn make_folder(&self, path: &[u8]) -> Result<OwnedFd> {
        match self.folder(path) {
            Err(Errno::NOENT) => {}
            result => return result,
        }
        self.make_new_folder(path).map(|(folder, _)| folder)
    }

    /// Does the same for a folder that is probably missing; says whether it was.
    pub(crate) fn make_new_folder(&self, path: &[u8]) -> Result<(OwnedFd, bool)> {
        if path.is_empty() {
            return Ok((self.folder(path)?, false));
        }
        if refused(path).is_some() {
            return Err(Errno::PERM);
        }
        let (parent, name) = split(path);
        let parent = self.make_folder(parent)?;
        let is_new = match mkdirat(&parent, name, Mode::from_raw_mode(0o777)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(e) => return Err(e),
        };
        Ok((openat(&parent, name, FOLDER, Mode::empty())?, is_new))
    }

    /// Returns the open root.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Looks at the root.
    pub(crate) fn look_at_itself(&self) -> Result<Stat> {
        rustix::fs::fstat(&self.fd)
    }

    /// Looks at what is at a path, without following a link.
    pub(crate) fn look(&self, path: &[u8]) -> Result<Stat> {
        let (folder, name) = split(path);
        statat(self.folder(folder)?, name, AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// What to do about a folder that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make it.
    Make,
    /// Fail.
    Fail,
}

/// A place below a root that moves from folder to folder and keeps the last one open.
#[derive(Debug)]
pub(crate) struct Cursor<'r> {
    root: &'r Root,
    missing: Missing,
    at: Option<(Vec<u8>, OwnedFd)>,
}

impl<'r> Cursor<'r> {
    /// Makes a cursor.
    pub(crate) fn new(root: &'r Root, missing: Missing) -> Cursor<'r> {
        Cursor { root, missing, at: None }
    }

    /// Opens the folder that holds `path`, and returns it with the name in it.
    pub(crate) fn enter(&mut self, path: &[u8]) -> Result<(BorrowedFd<'_>, CString)> {
        if refused(path).is_some() {
            return Err(Errno::PERM);
        }
        let (folder, name) = split(path);
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        if self.at.as_ref().is_none_or(|(open, _)| open != folder) {
            // Close first: one folder is open at a time.
            self.at = None;
            let fd = match self.missing {
                Missing::Make => self.root.make_new_folder(folder)?.0,
                Missing::Fail => self.root.folder(folder)?,
            };
            self.at = Some((folder.to_vec(), fd));
        }
        match &self.at {
            Some((_, fd)) => Ok((fd.as_fd(), name)),
            None => Err(Errno::BADF),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for bad in ["", "/a", "a//b", "../a", "a/..", "./a", ".git", "a/.GIT/hooks/x", "a/", "a\0b"] {
            assert!(refused(bad.as_bytes()).is_some(), "{bad:?}");
        }
        for good in ["a", "-a", "a b/\nc", "..a", ".gitignore", ".git2/x"] {
            assert!(refused(good.as_bytes()).is_none(), "{good:?}");
        }
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let room = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(room.path().join("root")).unwrap();
        std::fs::create_dir_all(room.path().join("outside")).unwrap();
        std::os::unix::fs::symlink("../outside", room.path().join("root/link")).unwrap();
        let root = Root::open(&room.path().join("root")).unwrap();
        for path in [&b"link/x"[..], b"link"] {
            assert!(root.make_folder(path).is_err());
            assert!(root.folder_step_by_step(path).is_err());
        }
        assert_eq!(std::fs::read_dir(room.path().join("outside")).unwrap().count(), 0);
        assert!(root.make_folder(b"a/b/c").is_ok());
    }
}
