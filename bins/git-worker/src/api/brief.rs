//! What a model without tools is told of the worktree: the names of its files, and the files that are meant.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{CWD, Mode, OFlags, openat};
use shared::process::Git;

use super::apply;
use super::envelope::PROTOCOL;

/// So many names are listed.
const NAMES: usize = 500;
/// A larger file is named and not shown.
const FILE: usize = 48 * 1024;
/// So much is shown of all files together.
const ALL: usize = 192 * 1024;

/// Tells how to change files, which there are, and what those hold that the prompt names. Only what git tracks.
///
/// # Errors
/// When git cannot list them.
pub(super) fn brief(worktree: &Path, git: &Git, prompt: &str) -> Result<String> {
    let listed = git.clone().reading().run(["ls-files", "-z"])?.stdout;
    let names: Vec<&str> = listed.split(|b| *b == 0).filter_map(|name| str::from_utf8(name).ok()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    let mut text = format!("\n\n{PROTOCOL}\nFiles of the folder:\n");
    for name in names.iter().take(NAMES) {
        let _ = writeln!(text, "{}", name.escape_debug());
    }
    if names.len() > NAMES {
        let _ = writeln!(text, "and {} more", names.len() - NAMES);
    }
    let root = openat(CWD, worktree, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut room = ALL;
    for name in names.into_iter().filter(|name| is_named(prompt, name)) {
        let Ok(Some((bytes, _))) = apply::read(&root, name) else { continue };
        match String::from_utf8(bytes) {
            Ok(content) if content.len() <= FILE.min(room) => {
                room -= content.len();
                let end = if content.ends_with('\n') { "" } else { "\n" };
                let _ = write!(text, "\n<<<FILE {name}>>>\n{content}{end}<<<END>>>\n");
            }
            Ok(_) | Err(_) => {
                let _ = writeln!(text, "\n'{name}' is too large to be shown, or is no text.");
            }
        }
    }
    Ok(text)
}

/// Says whether a prompt names a file: its path, or its name if that is told by it, as a word of its own.
fn is_named(prompt: &str, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let word = |text: &str| {
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '-');
        prompt
            .match_indices(text)
            .any(|(at, _)| edge(prompt[..at].chars().next_back()) && edge(prompt[at + text.len()..].chars().next()))
    };
    word(path) || (name.contains('.') || name.len() > 3) && word(name)
}

#[cfg(test)]
mod tests {
    use super::is_named;

    #[test]
    fn a_file_is_named_by_its_path_or_its_name() {
        assert!(is_named("Mend src/main.rs, please", "src/main.rs") && is_named("mend main.rs.", "src/main.rs"));
        assert!(is_named("see README", "README") && !is_named("see READMEs", "README"));
        assert!(!is_named("do it all", "bin/it"));
    }
}
