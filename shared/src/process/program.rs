//! Finding and starting programs.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{PoisonError, RwLock};

use serde_json::Value;

use super::git::LOCAL_ENVIRONMENT;

/// Returns a command for a program that was found before; every child starts here.
#[expect(clippy::disallowed_methods, reason = "this is the one place that makes commands")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Takes git's repository-local environment away, so that a child does not act on our repository by accident.
pub fn scrub(command: &mut Command) -> &mut Command {
    for name in LOCAL_ENVIRONMENT {
        command.env_remove(name);
    }
    // What `git rev-parse --local-env-vars` leaves out and a hook or alias still exports.
    for name in ["GIT_NAMESPACE", "GIT_QUARANTINE_PATH", "GIT_EXTERNAL_DIFF", "GIT_ATTR_SOURCE"] {
        command.env_remove(name);
    }
    command
}

/// The folders whose git and suite programs never run: a repository that got itself onto `PATH` must not bring its own git.
static KEPT_OUT: RwLock<Vec<PathBuf>> = RwLock::new(Vec::new());

/// Keeps git and the suite's programs below some folders (canonical) from being found from now on.
pub fn keep_out(folders: impl IntoIterator<Item = PathBuf>) {
    // A thread that failed while it held the list left it whole.
    KEPT_OUT.write().unwrap_or_else(PoisonError::into_inner).extend(folders);
}

/// Looks for an executable on `PATH`, never in a relative entry of it, nor below `outside`.
pub fn find(name: &str, outside: Option<&Path>) -> Option<PathBuf> {
    search(name, outside.as_slice())
}

/// Looks for an executable on `PATH` like [`find`], and not below what is kept out.
pub fn find_trusted(name: &str, outside: Option<&Path>) -> Option<PathBuf> {
    let kept_out = KEPT_OUT.read().unwrap_or_else(PoisonError::into_inner);
    let roots: Vec<&Path> = outside.into_iter().chain(kept_out.iter().map(PathBuf::as_path)).collect();
    search(name, &roots)
}

fn search(name: &str, outside: &[&Path]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .filter(|folder| outside.iter().all(|root| !is_below(folder, root)))
        .map(|folder| folder.join(name))
        .find(|candidate| is_executable(candidate))
}

/// Looks for another program of the suite: beside this one first, then on `PATH`.
pub fn suite_program(name: &str) -> Option<PathBuf> {
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join(name)));
    beside.filter(|path| is_executable(path)).or_else(|| find_trusted(name, None))
}

/// What a program of the suite said of its own failure.
#[derive(Debug)]
pub struct Told {
    /// The kind of the failure; empty if it gave none.
    pub kind: String,
    /// Its message, or all that it wrote.
    pub message: String,
    /// A way on.
    pub hint: Option<String>,
}

/// Reads the failure of a program that was run with `--json` from its standard error.
pub fn told(stderr: &[u8]) -> Told {
    let words = String::from_utf8_lossy(stderr);
    let said = words.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok()).unwrap_or_default();
    let part = |name: &str| said["error"][name].as_str().map(str::to_owned);
    Told {
        kind: part("kind").unwrap_or_default(),
        message: part("message").unwrap_or_else(|| words.trim().to_owned()),
        hint: part("hint"),
    }
}

fn is_below(folder: &Path, root: &Path) -> bool {
    folder.starts_with(root) || folder.canonicalize().is_ok_and(|real| real.starts_with(root))
}

/// Says whether this is a file that can be started.
pub fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}
