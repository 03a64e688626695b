//! What the programs keep in a worktree, `.codex-worker` and the like, unseen by git.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::durable::{self, Lock};

/// Its name.
pub const FOLDER: &str = ".codex-worker";

/// Keeps git from seeing it in every worktree: one line in the repository's `info/exclude`.
///
/// # Errors
/// When the file cannot be read or written.
pub fn hide(common_dir: &Path) -> Result<()> {
    hide_as(common_dir, &["/.codex-worker/"])
}

/// Keeps git from seeing what these patterns name.
///
/// # Errors
/// As [`hide`].
pub fn hide_as(common_dir: &Path, patterns: &[&str]) -> Result<()> {
    if missing(&durable::read(&common_dir.join("info/exclude"))?.unwrap_or_default(), patterns).is_empty() {
        return Ok(());
    }
    fs::create_dir_all(common_dir.join("info")).context("cannot create the folder of 'info/exclude'")?;
    // Two at once would each write a file without the other's line, and a third could lose a user's.
    let _lock = Lock::acquire(&common_dir.join("codex-agents.lock"), durable::PATIENCE)?;
    let path = common_dir.join("info/exclude");
    let mut content = durable::read(&path)?.unwrap_or_default();
    let missing = missing(&content, patterns);
    if missing.is_empty() {
        return Ok(());
    }
    if !content.is_empty() && !content.ends_with(b"\n") {
        content.push(b'\n');
    }
    content.extend_from_slice(missing.iter().map(|pattern| format!("{pattern}\n")).collect::<String>().as_bytes());
    let mode = fs::metadata(&path).map_or(0o644, |facts| facts.permissions().mode() & 0o777);
    durable::replace_public_behind_link(&path, &content, mode)
}

fn missing<'a>(content: &[u8], patterns: &[&'a str]) -> Vec<&'a str> {
    let is_there = |pattern: &&str| content.split(|b| *b == b'\n').any(|line| line == pattern.as_bytes());
    patterns.iter().filter(|pattern| !is_there(pattern)).copied().collect()
}
