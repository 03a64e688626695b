//! Killing a program at one of its system calls.

use std::path::Path;

use crate::{Ran, Sandbox, skip};

/// The calls by which a program changes something that others can see.
pub const CHANGING_CALLS: &[&str] = &[
    "openat",
    "write",
    "fsync,fdatasync",
    "rename,renameat,renameat2",
    "link,linkat,symlink,symlinkat",
    "unlink,unlinkat,rmdir",
    "mkdir,mkdirat",
    "ftruncate,fallocate,utimensat",
];

/// Whether the kill meets the program alone, or the first of its processes that comes so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The program itself, whatever it starts.
    Alone,
    /// Each process and thread counts its own calls; this waits until all of them have ended.
    All,
}

/// Says whether programs can be killed here; if not, that `what` is skipped.
pub fn can_kill(room: &Sandbox, what: &str) -> bool {
    let can = room.run_in(room.path(), "sh", &["-c", "strace -o /dev/null true"]).code == 0;
    if !can {
        skip(what, "strace cannot trace here");
    }
    can
}

/// Runs one of the programs and kills it at its n-th call of a kind; exit code 137 says that it was.
pub fn run_killed(room: &Sandbox, folder: &Path, reach: Reach, call: &str, n: usize, words: &[&str]) -> Ran {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={n}"));
    let mut arguments = vec!["-qqq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    if reach == Reach::All {
        arguments.push("-f");
    }
    arguments.extend(words);
    room.run_in(folder, "strace", &arguments)
}
