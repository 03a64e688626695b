//! Files that survive a crash: locks, whole replacement, appended lines.
//!
//! The lock is a file beside, never renamed: a lock on the file that is replaced protects nothing.
//! Order of a replacement: temporary file, fsync, rename, fsync of the directory.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;

/// How long a lock is waited for unless the caller knows better.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Temporary files older than this are left over from a crash.
const STALE: Duration = Duration::from_secs(3600);

const TEMPORARY: &str = ".tmp-codex-agents-";

/// A held lock; dropping it, or the death of the process, lets it go.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Waits for the lock at `path`, at most `patience`.
    ///
    /// # Errors
    /// When the file cannot be opened or locked, or the wait is over.
    pub fn acquire(path: &Path, patience: Duration) -> Result<Lock> {
        let end = Instant::now() + patience;
        let mut pause = Duration::from_micros(500);
        loop {
            if let Some(lock) = Lock::try_acquire(path)? {
                return Ok(lock);
            }
            if Instant::now() >= end {
                bail!("'{}' is locked by another process for over {} s", path.display(), patience.as_secs());
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(8));
        }
    }

    /// Takes the lock at `path` if nobody holds it.
    ///
    /// # Errors
    /// When the file cannot be opened or locked.
    pub fn try_acquire(path: &Path) -> Result<Option<Lock>> {
        let file = open_private(path, OpenOptions::new().read(true).write(true).create(true))
            .with_context(|| format!("cannot open the lock '{}'", path.display()))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Lock { file })),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Interrupted => {}
                Err(TryLockError::Error(e)) => {
                    return Err(e).with_context(|| format!("cannot lock '{}'", path.display()));
                }
            }
        }
    }

    /// Returns the open lock file, to hand it to a child that is to hold the lock as well.
    pub fn into_file(self) -> File {
        self.file
    }
}

/// Says whether some process holds the lock at `path`; a file that does not exist is held by nobody.
///
/// # Errors
/// When the file cannot be opened or asked.
pub fn is_locked(path: &Path) -> Result<bool> {
    let file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e).with_context(|| format!("cannot open the lock '{}'", path.display())),
    };
    loop {
        // Shared, so that two who ask do not see each other.
        match file.try_lock_shared() {
            Ok(()) => return Ok(false),
            Err(TryLockError::WouldBlock) => return Ok(true),
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Interrupted => {}
            Err(TryLockError::Error(e)) => {
                return Err(e).with_context(|| format!("cannot ask for the lock '{}'", path.display()));
            }
        }
    }
}

/// Blocks until nobody holds the lock at `path` exclusively.
///
/// # Errors
/// When the file cannot be opened or locked.
pub fn wait_unlocked(path: &Path) -> Result<()> {
    let file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).with_context(|| format!("cannot open the lock '{}'", path.display())),
    };
    loop {
        match file.lock_shared() {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e).with_context(|| format!("cannot wait for '{}'", path.display())),
        }
    }
}

/// Reads a whole file; `None` only if there is no such file.
///
/// # Errors
/// Every other failure to read, a link that leads nowhere too, so that it is never taken for an empty file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) => none_if_missing(path, e),
    }
}

/// Reads a file that somebody else may have made: a plain one, and at most `limit` bytes of it.
///
/// # Errors
/// As [`read`], and when it is a pipe or device: a link to one would be read forever.
pub fn read_foreign(path: &Path, limit: usize) -> Result<Option<Vec<u8>>> {
    // A pipe that nobody writes to must not be waited for, nor a terminal become ours.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) {
        Ok(file) => file,
        Err(e) => return none_if_missing(path, e),
    };
    let mut bytes = Vec::new();
    let read = file.metadata().and_then(|facts| match facts.is_file() {
        true => file.take(limit as u64).read_to_end(&mut bytes),
        false => Err(io::Error::other("it is no plain file")),
    });
    read.with_context(|| format!("cannot read '{}'", path.display()))?;
    Ok(Some(bytes))
}

fn none_if_missing<T>(path: &Path, error: io::Error) -> Result<Option<T>> {
    let is_missing = error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err();
    if is_missing { Ok(None) } else { Err(error).with_context(|| format!("cannot read '{}'", path.display())) }
}

/// Whether the replaced content stays as `<name>.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Previous {
    /// It stays, one generation.
    Keep,
    /// It goes.
    Drop,
}

/// Replaces the file at `path` as a whole, durably, readable for this user only; a link is replaced, not followed.
///
/// # Errors
/// When a step fails; then the old content is still there.
pub fn replace(path: &Path, bytes: &[u8], previous: Previous) -> Result<()> {
    replace_file(path, bytes, previous, 0o600)
}

/// Replaces a file like [`replace`], with the mode that a file of a worktree has.
///
/// # Errors
/// When a step fails; then the old content is still there.
pub fn replace_public(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    replace_file(path, bytes, Previous::Drop, mode)
}

/// Replaces a file like [`replace`], behind the link if it is one: a user may keep it elsewhere.
///
/// Only for files in folders that nobody writes to but the user.
///
/// # Errors
/// When a step fails, then the old content is still there; or the link leads nowhere.
pub fn replace_behind_link(path: &Path, bytes: &[u8], previous: Previous) -> Result<()> {
    replace_file(&through_link(path)?, bytes, previous, 0o600)
}

/// Replaces a file like [`replace_behind_link`], with the mode that a file of a worktree has.
///
/// # Errors
/// As [`replace_behind_link`].
pub fn replace_public_behind_link(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    replace_file(&through_link(path)?, bytes, Previous::Drop, mode)
}

fn replace_file(path: &Path, bytes: &[u8], previous: Previous, mode: u32) -> Result<()> {
    let folder = parent(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let write = || -> Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(&format!("{TEMPORARY}{name}-"))
            .permissions(fs::Permissions::from_mode(mode))
            .tempfile_in(folder)
            .context("cannot create a temporary file beside it")?;
        file.write_all(bytes).context("cannot write the new content")?;
        retry(|| file.as_file().sync_all()).context("cannot flush the new content to disk")?;
        if previous == Previous::Keep {
            keep_previous(path)?;
        }
        file.persist(path).map_err(|e| e.error).context("cannot rename the new content over it")?;
        Ok(())
    };
    write().with_context(|| format!("cannot write '{}'", path.display()))?;
    // The change is made; a folder that cannot be flushed makes it no less made.
    let _ = sync_folder(folder);
    Ok(())
}

/// Links the present content to `<name>.1` by a rename, so that there is one at every moment.
fn keep_previous(path: &Path) -> Result<()> {
    let mut kept = path.as_os_str().to_owned();
    kept.push(".1");
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}{}", &TEMPORARY[1..], std::process::id()));
    let _ = fs::remove_file(&beside);
    match fs::hard_link(path, &beside) {
        Ok(()) => fs::rename(&beside, &kept).context("cannot keep the previous generation"),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        // A file system without hard links: a copy does as well.
        Err(_) => fs::copy(path, &beside)
            .and_then(|_| fs::rename(&beside, &kept))
            .context("cannot keep the previous generation"),
    }
}

/// Appends one line durably; a torn last line of an earlier crash is ended first.
///
/// # Errors
/// When the line cannot be written in full.
pub fn append_line(path: &Path, line: &str) -> Result<()> {
    let appended = append(path, line).and_then(|file| retry(|| file.sync_data()));
    appended.with_context(|| format!("cannot append to '{}'", path.display()))
}

/// Appends one line without a flush, for what a crash of the machine may take; never waits for another program.
///
/// # Errors
/// When it cannot be written, or is no file.
pub fn append_line_unflushed(path: &Path, line: &str) -> Result<()> {
    append(path, line).map(drop).with_context(|| format!("cannot append to '{}'", path.display()))
}

/// Appends one line with one write; a line that a crash tore is ended first.
fn append(path: &Path, line: &str) -> io::Result<File> {
    let mut file = open_private(path, OpenOptions::new().read(true).append(true).create(true))?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = format!("{line}\n");
    if facts.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            bytes.insert(0, '\n');
        }
    }
    file.write_all(bytes.as_bytes())?;
    Ok(file)
}

/// Makes a folder and its missing parents, for this user only.
///
/// # Errors
/// When it cannot be made, belongs to somebody else, or others may write to it.
pub fn private_folder(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create the folder '{}'", path.display()))?;
    let facts = fs::metadata(path).with_context(|| format!("cannot look at '{}'", path.display()))?;
    if facts.uid() != rustix::process::geteuid().as_raw() {
        bail!("the folder '{}' belongs to another user", path.display());
    }
    if facts.mode() & 0o022 != 0 {
        bail!("the folder '{}' may be written by others: take that right away first", path.display());
    }
    Ok(())
}

/// Removes temporary files that a crash left in `folder` more than an hour ago; call it under the lock.
pub fn sweep(folder: &Path) {
    for path in leftovers(folder) {
        let _ = fs::remove_file(path);
    }
}

/// Says whether a file name is that of a temporary file, which a crash may have left.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// Lists temporary files that a crash left in `folder` more than an hour ago.
pub fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let stale = |entry: &fs::DirEntry| {
        let age = entry.metadata().ok()?.modified().ok()?.elapsed().ok()?;
        (entry.file_name().to_string_lossy().contains(&TEMPORARY[1..]) && age > STALE).then(|| entry.path())
    };
    entries.flatten().filter_map(|entry| stale(&entry)).collect()
}

/// Flushes a folder, so that a rename in it is on disk.
///
/// # Errors
/// When the folder cannot be opened or flushed.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = File::open(folder)?;
    retry(|| folder.sync_all())
}

fn retry(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Opens a file of ours: mode 0600, never through a link.
fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path)
}

/// Finds the file behind a link, or the path itself if it is none.
fn through_link(path: &Path) -> Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_symlink() => {
            fs::canonicalize(path).with_context(|| format!("'{}' is a link that leads nowhere", path.display()))
        }
        Ok(_) | Err(_) => Ok(path.to_owned()),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_keeps_one_generation() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("f");
        for n in ["1", "2", "3"] {
            replace(&path, n.as_bytes(), Previous::Keep).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "3");
        assert_eq!(fs::read_to_string(room.path().join("f.1")).unwrap(), "2");
        assert_eq!(fs::read_dir(room.path()).unwrap().count(), 2);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn only_who_says_so_writes_behind_a_link() {
        let room = tempfile::tempdir().unwrap();
        let (file, link) = (room.path().join("file"), room.path().join("link"));
        replace(&file, b"old", Previous::Drop).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace_behind_link(&link, b"behind", Previous::Drop).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"behind");
        replace_public_behind_link(&link, b"public", 0o644).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"public");
        for replace in
            [|path: &Path| replace(path, b"new", Previous::Drop), |path: &Path| replace_public(path, b"new", 0o644)]
        {
            fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink(&file, &link).unwrap();
            replace(&link).unwrap();
            assert!(link.symlink_metadata().unwrap().is_file());
            assert_eq!((fs::read(&file).unwrap(), fs::read(&link).unwrap()), (b"public".to_vec(), b"new".to_vec()));
        }
    }

    #[test]
    fn a_torn_line_does_not_swallow_the_next() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("log");
        replace(&path, b"whole\ntor", Previous::Drop).unwrap();
        append_line(&path, "next").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\ntor\nnext\n");
    }

    #[test]
    fn a_lock_is_seen_until_it_is_dropped() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("lock");
        assert!(!is_locked(&path).unwrap());
        let lock = Lock::acquire(&path, Duration::ZERO).unwrap();
        assert!(is_locked(&path).unwrap());
        assert!(Lock::try_acquire(&path).unwrap().is_none());
        drop(lock);
        assert!(!is_locked(&path).unwrap());
    }

    #[test]
    fn only_a_missing_file_reads_as_none() {
        let room = tempfile::tempdir().unwrap();
        let none = room.path().join("none");
        let link = room.path().join("link");
        std::os::unix::fs::symlink(&none, &link).unwrap();
        for read in [read, |path: &Path| read_foreign(path, 9)] {
            assert!(read(&none).unwrap().is_none());
            assert!(read(&link).is_err() && read(room.path()).is_err());
        }
    }

    #[test]
    fn a_foreign_file_is_read_up_to_its_limit_and_a_device_not_at_all() {
        let room = tempfile::tempdir().unwrap();
        let link = room.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert!(read_foreign(&link, 9).is_err());
        let path = room.path().join("f");
        replace(&path, b"0123456789", Previous::Drop).unwrap();
        assert_eq!(read_foreign(&path, 4).unwrap().unwrap(), b"0123");
    }
}
