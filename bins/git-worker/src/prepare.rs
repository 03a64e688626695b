//! The step before opencode: its database is made by one process before several need it.
//!
//! Two first starts at once in one home break each other's migration, and a job fails for no fault
//! of its own. The job's child is therefore this program, which takes a lock, lets opencode make
//! its database once for each version, and becomes opencode. Where that was done it only becomes it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::durable::{self, Lock, Previous};
use shared::exit::Status;
use shared::output::{ColorChoice, Output};
use shared::{folders, process};

use crate::begin;
use crate::stream::Format;

/// The word in the command line; no subcommand that a user is shown.
const WORD: &str = "prepare-opencode";
/// Beside the folder of all jobs: for whom it was done.
const STAMP: &str = "opencode.ready";
/// What makes the database, and does nothing else.
const MAKE: [&str; 2] = ["session", "list"];
/// Longer than that takes on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);
/// For the one that is at it.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is started for an agent: its program and first word, or this step before it.
pub(crate) fn start(
    format: Option<Format>,
    jobs: &Path,
    program: &OsStr,
    line: &[OsString],
) -> (OsString, Vec<OsString>) {
    if format != Some(Format::Opencode) {
        return (program.to_owned(), line.to_vec());
    }
    let mut words: Vec<OsString> = vec!["git-worker".into(), WORD.into()];
    words.extend([jobs.with_file_name(STAMP).into_os_string(), program.to_owned()]);
    words.extend_from_slice(line);
    (begin::own_program().into_os_string(), words)
}

/// Says whether this process was started as the step.
pub(crate) fn is_asked_for() -> bool {
    std::env::args_os().nth(1).is_some_and(|word| word == WORD)
}

/// Sees to the database and becomes the agent; returns only if that cannot be started.
pub(crate) fn run() -> Status {
    let words: Vec<OsString> = std::env::args_os().skip(2).collect();
    let [stamp, program, name, arguments @ ..] = words.as_slice() else { return Status::CouldNot };
    make_database(Path::new(stamp), Path::new(program));
    let mut command = process::command(program);
    let error = command.arg0(name).args(arguments).exec();
    let voice = Output::new(false, true, ColorChoice::Never);
    voice.warn(format!("cannot start '{}': {error}", Path::new(program).display()));
    Status::CouldNot
}

fn make_database(stamp: &Path, program: &Path) {
    let Some((folder, ready)) = folder().and_then(|folder| Some((folder.clone(), sign(&folder, program)?))) else {
        return;
    };
    let is_ready = || has_database(&folder) && fs::read(stamp).is_ok_and(|bytes| bytes == ready);
    if is_ready() {
        return;
    }
    // Who does not get it starts all the same: at worst the job fails and says why.
    let Ok(_lock) = Lock::acquire(&stamp.with_extension("lock"), PATIENCE) else { return };
    if is_ready() {
        return;
    }
    let made = process::run_within(process::command(program).args(MAKE), None, 0, LONGEST);
    if made.is_ok_and(|(status, _)| status.success()) && has_database(&folder) {
        let _ = durable::replace(stamp, &ready, Previous::Drop);
    }
}

/// Whose database it is: that of this folder, as this file of a program left it.
fn sign(folder: &Path, program: &Path) -> Option<Vec<u8>> {
    let real = program.canonicalize().ok()?;
    let facts = fs::metadata(&real).ok()?;
    let of_file = format!("\n{}:{}:{}\n", facts.ino(), facts.size(), facts.mtime());
    Some([folder.as_os_str().as_bytes(), b"\n", real.as_os_str().as_bytes(), of_file.as_bytes()].concat())
}

fn folder() -> Option<PathBuf> {
    folders::xdg("XDG_DATA_HOME", ".local/share").map(|data| data.join("opencode"))
}

/// It is named after the channel that opencode came by.
fn has_database(folder: &Path) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.into_iter().any(|name| name.as_bytes().starts_with(b"opencode") && name.as_bytes().ends_with(b".db"))
}
