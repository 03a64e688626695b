//! Which version of a program is installed: asked once, and known until the file changes.
//!
//! `<state>/agents.json` keeps the answers. A program that came as a package of npm has its
//! version written beside it, so that nothing needs to be started; any other is asked with
//! `--version`, for a few seconds at most.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::durable::{self, Previous};
use shared::output::SCHEMA;
use shared::{folders, process};

/// A program that does not say its version in this time has none.
const PATIENCE: Duration = Duration::from_secs(20);
/// More of what it prints is not looked at.
const MOST: u64 = 4096;

#[derive(Debug, Serialize, Deserialize)]
struct Known {
    schema: u32,
    programs: BTreeMap<String, Program>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Program {
    /// Of the file that was asked: changed, it is asked again.
    stamp: String,
    version: Option<String>,
}

/// Returns the version of a program; `fresh` asks once more.
pub(crate) fn of(program: &Path, package: Option<&str>, fresh: bool) -> Option<String> {
    let real = program.canonicalize().ok()?;
    let facts = fs::metadata(&real).ok()?;
    let stamp = format!("{}:{}:{}:{}", facts.dev(), facts.ino(), facts.size(), facts.mtime_nsec() ^ facts.mtime());
    let path = folders::state().ok()?.join("agents.json");
    let mut known = load(&path);
    let name = real.to_string_lossy().into_owned();
    if let Some(program) = known.get(&name).filter(|program| program.stamp == stamp && !fresh) {
        return program.version.clone();
    }
    let written = package.and_then(|package| written_beside(&real, package));
    let version = written.or_else(|| ask(program));
    known.insert(name, Program { stamp, version: version.clone() });
    // A cache: whoever writes last, wins, and nothing depends on it.
    if let Ok(bytes) = serde_json::to_vec(&Known { schema: SCHEMA, programs: known }) {
        let _ = path.parent().map(durable::private_folder);
        let _ = durable::replace(&path, &bytes, Previous::Drop);
    }
    version
}

fn load(path: &Path) -> BTreeMap<String, Program> {
    let bytes = durable::read(path).ok().flatten().unwrap_or_default();
    serde_json::from_slice(&bytes).map(|known: Known| known.programs).unwrap_or_default()
}

/// Reads the version from the package that a program is part of.
fn written_beside(program: &Path, package: &str) -> Option<String> {
    program.ancestors().skip(1).take(4).find_map(|folder| {
        let bytes = durable::read_foreign(&folder.join("package.json"), 1024 * 1024).ok().flatten()?;
        let found: Value = serde_json::from_slice(&bytes).ok()?;
        let own = found.get("name").and_then(Value::as_str) == Some(package);
        let version = found.get("version").and_then(Value::as_str).filter(|_| own)?;
        Some(version.to_owned())
    })
}

/// Asks a program for its version: the first number with a dot in what it prints.
fn ask(program: &Path) -> Option<String> {
    let mut command = process::command(program);
    process::scrub(&mut command).arg("--version").current_dir("/").process_group(0);
    let (_, printed) = process::run_within(&mut command, None, MOST, PATIENCE).ok()?;
    find(&String::from_utf8_lossy(&printed))
}

/// Finds a version in words such as `codex-cli 0.169.0` or `2.1.197 (Claude Code)`.
fn find(text: &str) -> Option<String> {
    let words = text.split(|c: char| c.is_whitespace() || c == '(' || c == ')');
    let words = words.map(|word| word.trim_start_matches('v'));
    let mut versions = words.filter(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
    let version = versions.next()?;
    let safe = version.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c));
    safe.then(|| version.chars().take(40).collect())
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn a_version_is_found_in_words() {
        assert_eq!(find("codex-cli 0.169.0\n").as_deref(), Some("0.169.0"));
        assert_eq!(find("2.1.197 (Claude Code)").as_deref(), Some("2.1.197"));
        assert_eq!(find("git version v2.39.5").as_deref(), Some("2.39.5"));
        assert_eq!(find("no number here"), None);
        assert_eq!(find("1.2\u{1b}[31m"), None);
    }
}
