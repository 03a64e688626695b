//! The folder of the programs in a worktree, `.codex-worker`, unseen by git.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::durable::{self, Lock};

/// Its name.
pub const FOLDER: &str = ".codex-worker";

const PATTERN: &str = "/.codex-worker/";

/// Keeps git from seeing it in every worktree: one line in the repository's `info/exclude`.
///
/// # Errors
/// When the file cannot be read or written.
pub fn hide(common_dir: &Path) -> Result<()> {
    if is_hidden(&durable::read(&common_dir.join("info/exclude"))?.unwrap_or_default()) {
        return Ok(());
    }
    fs::create_dir_all(common_dir.join("info")).context("cannot create the folder of 'info/exclude'")?;
    // Two at once would each write a file without the other's line, and a third could lose a user's.
    let _lock = Lock::acquire(&common_dir.join("codex-agents.lock"), durable::PATIENCE)?;
    let path = common_dir.join("info/exclude");
    let mut content = durable::read(&path)?.unwrap_or_default();
    if is_hidden(&content) {
        return Ok(());
    }
    if !content.is_empty() && !content.ends_with(b"\n") {
        content.push(b'\n');
    }
    content.extend_from_slice(PATTERN.as_bytes());
    content.push(b'\n');
    let mode = fs::metadata(&path).map_or(0o644, |facts| facts.permissions().mode() & 0o777);
    durable::replace_public_behind_link(&path, &content, mode)
}

fn is_hidden(content: &[u8]) -> bool {
    content.split(|b| *b == b'\n').any(|line| line == PATTERN.as_bytes())
}
