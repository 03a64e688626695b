//! A throw-away folder for the objects that a merge writes.
//!
//! The repository lends its objects and gets none. The folder is in memory where there is one, and
//! is removed at the end; one of a killed run is removed by the next, once its lock is free.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::app::Context;
use crate::durable::{self, Lock};
use crate::failure::Failure;
use crate::process::Git;
use anyhow::{Context as _, Result};
use tempfile::TempDir;

const PREFIX: &str = "codex-agents-merge-";
const LOCK: &str = "lock";

/// The folder, held until it is dropped.
#[derive(Debug)]
pub struct Quarantine {
    folder: TempDir,
    _lock: Lock,
}

impl Quarantine {
    /// Makes one, after removing those that killed runs left.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Quarantine> {
        let parent = parent();
        sweep(&parent);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .with_context(|| format!("cannot create a folder in '{}'", parent.display()))?;
        // Held before it has its name: a lock that is there and not held is that of a killed run.
        let (unnamed, named) = (folder.path().join("lock.new"), folder.path().join(LOCK));
        let lock = Lock::acquire(&unnamed, durable::PATIENCE)?;
        fs::rename(&unnamed, &named).context("cannot name the lock of a folder for objects")?;
        fs::create_dir(folder.path().join("objects")).context("cannot create a folder for objects")?;
        Ok(Quarantine { folder, _lock: lock })
    }

    /// Returns the folder, for other files that are to go with it.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the folder of the objects.
    pub fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    /// Makes a git write its objects here.
    ///
    /// # Errors
    /// As [`Context::repository`].
    pub fn hold(&self, cx: &Context, git: Git) -> Result<Git, Failure> {
        let objects = cx.repository()?.common_dir().join("objects");
        let git = git.env("GIT_OBJECT_DIRECTORY", self.objects());
        Ok(git.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(&objects)))
    }
}

/// A path with a colon would read as two; git takes it in double quotes, escaped as in C.
pub fn quoted(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_encoded_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b':' | b'"')) {
        return path.as_os_str().to_owned();
    }
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            0x20..0x7f => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\{other:03o}")),
        }
    }
    text.push('"');
    text.into()
}

fn parent() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let memory = [runtime, Some(PathBuf::from("/dev/shm"))];
    let usable = |path: &PathBuf| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok() && path.is_dir();
    memory.into_iter().flatten().find(usable).unwrap_or_else(std::env::temp_dir)
}

#[expect(clippy::disallowed_methods, reason = "the folder holds objects that can be made again, and nobody uses it")]
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let Ok(facts) = entry.path().symlink_metadata() else { continue };
        if !ours || !facts.is_dir() || facts.uid() != rustix::process::geteuid().as_raw() {
            continue;
        }
        let lock = entry.path().join(LOCK);
        // Without a lock it may be one that is just being made.
        let made =
            lock.exists() || facts.modified().is_ok_and(|time| time.elapsed().is_ok_and(|age| age.as_secs() > 60));
        if made && durable::is_locked(&lock).is_ok_and(|locked| !locked) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
