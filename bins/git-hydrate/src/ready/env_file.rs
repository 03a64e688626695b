//! The file that holds a worktree's own values, for a shell (`. file`) and for readers of `.env` files.

use std::ffi::{CString, OsString};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use shared::app::Context;
use shared::own_folder;

use crate::beneath::{self, Root};
use crate::copy;
use crate::target::Target;

/// The first line; a file that begins so is ours to write anew.
const MARK: &str =
    "# Written by git hydrate for this worktree; it is written anew when the worktree is filled again.\n";

/// Writes it; says why not, where it may not be written.
pub(super) fn write(
    cx: &Context,
    target: &Target,
    path: &str,
    variables: &[(String, OsString)],
) -> Result<Option<&'static str>> {
    if let Some(why) = beneath::refused(path.as_bytes()) {
        return Ok(Some(why));
    }
    let below_own = path.starts_with(&format!("{}/", own_folder::FOLDER));
    if below_own && !is_ignored(target, path)? {
        own_folder::hide(cx.repository()?.common_dir())?;
    }
    if !is_ignored(target, path)? {
        return Ok(Some("it is not ignored in this worktree"));
    }
    let root = super::open_root(target)?;
    match write_below(&root, path.as_bytes(), &content(variables), below_own) {
        Err(Errno::EXIST) => Ok(Some("it exists already, and is not git-hydrate's")),
        Err(Errno::LOOP | Errno::NOTDIR) => Ok(Some("something else is in the place of its folder")),
        result => result.map(|()| None).with_context(|| format!("cannot write '{path}'")),
    }
}

fn is_ignored(target: &Target, path: &str) -> Result<bool> {
    let input = [path.as_bytes(), b"\0"].concat();
    let done = target.git.clone().reading().ask_with(["check-ignore", "-z", "--stdin"], &input)?;
    anyhow::ensure!(done.code <= 1, "'git check-ignore': {}", done.stderr);
    Ok(!done.stdout.is_empty())
}

fn content(variables: &[(String, OsString)]) -> Vec<u8> {
    let mut content = MARK.as_bytes().to_vec();
    for (name, value) in variables {
        content.extend_from_slice(name.as_bytes());
        content.push(b'=');
        content.extend(quoted(value.as_bytes()).unwrap_or_default());
        content.push(b'\n');
    }
    content
}

/// Quotes a value so that sh and the readers of `.env` files take it alike; `None` if no way is common to all.
pub(super) fn quoted(value: &[u8]) -> Option<Vec<u8>> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_./:@%+,-".contains(b);
    if value.iter().any(|b| b.is_ascii_control()) {
        return None;
    }
    if !value.is_empty() && value.iter().all(plain) {
        return Some(value.to_vec());
    }
    let quote: &[u8] = match value.contains(&b'\'') {
        false => b"'",
        true if value.iter().any(|b| b"\"\\$`".contains(b)) => return None,
        true => b"\"",
    };
    Some([quote, value, quote].concat())
}

/// Writes beside and renames, all below the root.
fn write_below(root: &Root, path: &[u8], content: &[u8], below_own: bool) -> Result<(), Errno> {
    let (folder, name) = beneath::split(path);
    if below_own {
        let _ = mkdirat(&root.folder(b"")?, own_folder::FOLDER, Mode::RWXU);
    }
    let folder = root.make_folder(folder)?;
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    if !is_ours_or_none(&folder, &name)? {
        return Err(Errno::EXIST);
    }
    let beside = c".hydrate-env";
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // A run that was killed may have left it.
    let _ = unlinkat(&folder, beside, AtFlags::empty());
    let made = openat(&folder, beside, flags, Mode::RUSR | Mode::WUSR)?;
    let write = || {
        let mut file = std::fs::File::from(made);
        file.write_all(content).and_then(|()| file.sync_all()).map_err(|e| errno(&e))?;
        renameat(&folder, beside, &folder, &name)
    };
    let written = write();
    if written.is_err() {
        let _ = unlinkat(&folder, beside, AtFlags::empty());
    }
    written
}

fn is_ours_or_none(folder: &OwnedFd, name: &CString) -> Result<bool, Errno> {
    use rustix::fs::{FileType, fstat, statat};
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(true),
        Ok(facts) if FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile => {}
        Ok(_) => return Ok(false),
        Err(e) => return Err(e),
    }
    let Ok(file) = copy::open_to_read((folder.as_fd(), name)) else { return Ok(false) };
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(false);
    }
    let mut start = Vec::new();
    let mut file = std::fs::File::from(file).take(MARK.len() as u64);
    file.read_to_end(&mut start).map_err(|e| errno(&e))?;
    Ok(start == MARK.as_bytes())
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_as_every_reader_takes_it() {
        let text = |value: &str| quoted(value.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(text("http://localhost:1234/x").as_deref(), Some("http://localhost:1234/x"));
        assert_eq!(text("").as_deref(), Some("''"));
        assert_eq!(text("a b $HOME \"x\" `y` \\").as_deref(), Some("'a b $HOME \"x\" `y` \\'"));
        assert_eq!(text("it's #1").as_deref(), Some("\"it's #1\""));
        assert_eq!((text("it's $1"), text("a\nb"), text("\u{1b}")), (None, None, None));
    }
}
