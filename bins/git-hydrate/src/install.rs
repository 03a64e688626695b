//! Putting the finished index in its place, under git's own lock.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gix::index::entry::stat::Time;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
use shared::durable;
use shared::refusal::Refusal;

use crate::index::Draft;
use crate::target::{Seen, Target};

/// How long a git that holds the lock is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes the draft the index of the worktree, if that is still the one that was seen before.
pub(crate) fn install(target: &Target, draft: &Draft, newest: Time, before: Option<Seen>) -> Result<()> {
    let file = draft.open()?;
    if let Ok(head) = fs::metadata(target.file("HEAD")) {
        // As git made its own files here, a shared repository's included.
        let _ = file.set_permissions(Permissions::from_mode(head.mode() & 0o666 | 0o600));
    }
    outlive(&file, newest)?;
    file.sync_all().context("cannot flush the index to disk")?;
    let lock = target.file("index.lock");
    let index = target.file("index");
    take_lock(draft, &lock)?;
    let put = || -> Result<()> {
        if target.seen_index()? != before {
            bail!(
                Refusal::new("index-changed", "the index of the worktree was changed meanwhile")
                    .hint("run 'git hydrate' again")
            );
        }
        fs::rename(&lock, &index).with_context(|| format!("cannot rename '{}'", lock.display()))
    };
    put().inspect_err(|_| {
        let _ = fs::remove_file(&lock);
    })?;
    durable::sync_folder(&target.worktree.git_dir).context("cannot flush the git folder to disk")
}

/// Takes git's lock by a second name of the finished file, so that a lock left behind can be told from git's.
fn take_lock(draft: &Draft, lock: &std::path::Path) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match fs::hard_link(draft.path(), lock) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::AlreadyExists && Instant::now() < end => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let message = format!("'{}' exists: another git process works in this worktree", lock.display());
                bail!(Refusal::new("locked", message).hint(
                    "run 'git hydrate' again when it has ended; if none runs, the file is left over from a crash"
                ))
            }
            Err(e) => return Err(e).with_context(|| format!("cannot create '{}'", lock.display())),
        }
    }
}

/// Lets the index be newer than every file in it, or git would read the files again to be sure.
fn outlive(file: &fs::File, newest: Time) -> Result<()> {
    // A file from the future stays one that git looks at: no waiting for that.
    let end = Instant::now() + Duration::from_millis(2100);
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW as _ };
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ };
    loop {
        let times = Timestamps { last_access: omit, last_modification: now };
        futimens(file, &times).context("cannot set the time of the index")?;
        let facts = file.metadata().context("cannot look at the new index")?;
        let own = (facts.mtime(), facts.mtime_nsec());
        let other = (i64::from(newest.secs), i64::from(newest.nsecs));
        if own > other || other.0 > own.0 + 2 || Instant::now() > end {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
}
