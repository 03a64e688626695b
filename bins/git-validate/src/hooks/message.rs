//! The message of a commit that is being made, as git will keep it.

use anyhow::Result;
use shared::app::Context;
use shared::failure::Failure;
use shared::repository::Repository;

/// What git writes above the changes that an editor shows, after the comment character.
const SCISSORS: &str = " ------------------------ >8 ------------------------";
/// Of which `core.commentChar = auto` chooses one.
const CANDIDATES: &str = "#;@!$%^&|:";

/// How git cleans a message up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cleanup {
    Verbatim,
    Whitespace,
    /// And what comes after the scissors.
    Scissors,
    /// And comments, and what comes after the scissors.
    Strip,
}

/// Cleans a message up as git will after its hook.
///
/// # Errors
/// When git cannot be asked.
pub(super) fn cleaned(cx: &Context, raw: &[u8]) -> Result<Vec<u8>, Failure> {
    let repository = cx.repository()?;
    let mode = cleanup(repository);
    if mode == Cleanup::Verbatim {
        return Ok(raw.to_vec());
    }
    let comment = comment(repository, raw);
    let whole = if mode == Cleanup::Whitespace { raw } else { before_scissors(raw, &comment) };
    // Only git 2.45 knows a comment of several characters by either name.
    let git = cx.git_here()?.reading().setting(format!("core.commentChar={comment}"));
    let words: &[&str] = if mode == Cleanup::Strip { &["stripspace", "--strip-comments"] } else { &["stripspace"] };
    Ok(git.feed(words, whole)?.stdout)
}

/// What `--cleanup` says git does not tell; without it the settings count, or whether there was an editor.
fn cleanup(repository: &Repository) -> Cleanup {
    let set = repository.settings("commit").into_iter().rfind(|setting| setting.key == "cleanup");
    match set.as_ref().map(|setting| setting.value.as_str()) {
        Some("verbatim") => Cleanup::Verbatim,
        Some("whitespace") => Cleanup::Whitespace,
        Some("strip") => Cleanup::Strip,
        Some("scissors") if has_editor() => Cleanup::Scissors,
        Some("scissors") => Cleanup::Whitespace,
        Some(_) | None if has_editor() => Cleanup::Strip,
        Some(_) | None => Cleanup::Whitespace,
    }
}

/// Git gives its hooks an editor that does nothing where it starts none itself.
fn has_editor() -> bool {
    std::env::var_os("GIT_EDITOR").is_none_or(|editor| editor != ":")
}

fn comment(repository: &Repository, raw: &[u8]) -> String {
    let names = ["commentchar", "commentstring"];
    let set = repository.settings("core").into_iter().rfind(|setting| names.contains(&setting.key.as_str()));
    match set.map(|setting| setting.value) {
        Some(value) if value == "auto" => chosen(raw),
        Some(value) if !value.is_empty() && !value.contains('\n') => value,
        Some(_) | None => "#".to_owned(),
    }
}

/// The character that git has chosen: that of the help at the end.
fn chosen(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).and_then(|line| line.chars().next());
    last.filter(|c| CANDIDATES.contains(*c)).unwrap_or('#').to_string()
}

fn before_scissors<'a>(raw: &'a [u8], comment: &str) -> &'a [u8] {
    let line = format!("{comment}{SCISSORS}");
    let mut at = 0;
    for piece in raw.split_inclusive(|byte| *byte == b'\n') {
        if piece.trim_ascii_end() == line.as_bytes() {
            return &raw[..at];
        }
        at += piece.len();
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_scissors_is_no_message() {
        let raw = format!("one\n#{SCISSORS}\n# Do not modify\ndiff\n");
        assert_eq!(before_scissors(raw.as_bytes(), "#"), b"one\n");
        assert_eq!(before_scissors(raw.as_bytes(), ";"), raw.as_bytes());
        assert_eq!(before_scissors(b"", "#"), b"");
    }

    #[test]
    fn a_chosen_comment_is_that_of_the_help() {
        assert_eq!(chosen(b"# a heading\n\n; Please enter\n; more\n\n"), ";");
        assert_eq!((chosen(b"text"), chosen(b"")), ("#".to_owned(), "#".to_owned()));
    }
}
