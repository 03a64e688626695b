//! The way from a worktree to its job's log: `.codex-worker/log.txt`, unseen by git.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use shared::own_folder::FOLDER;

const NAME: &str = "log.txt";

/// Points `.codex-worker/log.txt` of a worktree at a log; what is not ours there stays as it is.
pub(crate) fn point(worktree: &Path, log: &Path, jobs: &Path) -> Result<()> {
    let open = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::openat(CWD, worktree, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    match rustix::fs::mkdirat(&top, FOLDER, Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(e) => return Err(e).with_context(|| format!("cannot create '{FOLDER}'")),
    }
    // Never through a link that somebody put there.
    let folder = rustix::fs::openat(&top, FOLDER, open, Mode::empty())
        .with_context(|| format!("'{FOLDER}' in the worktree is no folder"))?;
    match rustix::fs::readlinkat(&folder, NAME, Vec::new()) {
        Ok(target) if is_below(target.to_bytes(), jobs) => {}
        Ok(_) | Err(rustix::io::Errno::INVAL) => bail!("'{FOLDER}/{NAME}' in the worktree is not ours"),
        Err(rustix::io::Errno::NOENT) => {}
        Err(e) => return Err(e).with_context(|| format!("cannot look at '{FOLDER}/{NAME}'")),
    }
    let beside = format!(".{NAME}.{}", std::process::id());
    let _ = rustix::fs::unlinkat(&folder, &beside, AtFlags::empty());
    rustix::fs::symlinkat(log, &folder, &beside).map_err(std::io::Error::from)?;
    rustix::fs::renameat(&folder, &beside, &folder, NAME).map_err(std::io::Error::from)?;
    Ok(())
}

fn is_below(target: &[u8], jobs: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(target)).starts_with(jobs)
}

/// Makes a link of ours lead elsewhere, whole at every moment; one at a time, under a lock.
pub(crate) fn replace(link: &Path, target: &Path) -> std::io::Result<()> {
    let mut beside = link.as_os_str().to_owned();
    beside.push(".new");
    remove(beside.as_ref())?;
    std::os::unix::fs::symlink(target, &beside)?;
    fs::rename(&beside, link)
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        Ok(()) | Err(_) => Ok(()),
    }
}
