//! Whether git would change a file's bytes while checking it out.
//!
//! A path whose blob lands on disk byte by byte can be taken from a donor, and so can a file of Git LFS,
//! whose blob tells its hash and size; line ends, `ident`, encodings and other filters are git's to apply.

use anyhow::{Result, anyhow};
use gix::attrs::StateRef;
use gix::bstr::BStr;
use gix::worktree::stack::state::attributes::Source;

/// The attributes of a tree, asked path by path.
pub(crate) struct Attributes<'r> {
    stack: gix::AttributeStack<'r>,
    outcome: gix::attrs::search::Outcome,
    /// Whether `text` files get CRLF because of the configuration.
    writes_crlf: bool,
    /// Whether files that say nothing are taken for text.
    guesses_text: bool,
}

/// What git does to a file's bytes when it writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// Nothing.
    None,
    /// Git LFS puts the file in place of the pointer that is stored.
    Lfs,
    /// Something else.
    Other,
}

const NAMES: [&str; 6] = ["text", "crlf", "eol", "ident", "filter", "working-tree-encoding"];

impl<'r> Attributes<'r> {
    /// Reads the attributes that an index holds, with the user's and the repository's own.
    pub(crate) fn of(repo: &'r gix::Repository, index: &gix::index::State) -> Result<Attributes<'r>> {
        let stack =
            repo.attributes_only(index, Source::IdMapping).map_err(|e| anyhow!("cannot read the attributes: {e:#}"))?;
        let outcome = stack.selected_attribute_matches(NAMES);
        let config = repo.config_snapshot();
        let word = |key: &str| config.string(key).map(|v| v.to_string().to_ascii_lowercase()).unwrap_or_default();
        let autocrlf = word("core.autocrlf");
        let converts = autocrlf != "input" && config.boolean("core.autocrlf") == Some(true);
        let writes_crlf = converts || (autocrlf != "input" && word("core.eol") == "crlf");
        Ok(Attributes { stack, outcome, writes_crlf, guesses_text: converts })
    }

    /// Says how checking this path out changes its bytes, or might.
    pub(crate) fn conversion(&mut self, path: &BStr) -> Result<Conversion> {
        let platform = self.stack.at_entry(path, None).map_err(|e| anyhow!("cannot read the attributes: {e:#}"))?;
        self.outcome.reset();
        platform.matching_attributes(&mut self.outcome);
        let mut states = [StateRef::Unspecified; NAMES.len()];
        for found in self.outcome.iter_selected() {
            let name = found.assignment.name.as_str();
            if let Some(at) = NAMES.iter().position(|known| *known == name) {
                states[at] = found.assignment.state;
            }
        }
        Ok(rule(states, self.writes_crlf, self.guesses_text))
    }
}

/// Git's rule (`convert_attrs` and `crlf_to_worktree`), without looking at the content.
fn rule(states: [StateRef<'_>; 6], writes_crlf: bool, guesses_text: bool) -> Conversion {
    let [text, crlf, eol, ident, filter, encoding] = states;
    let named = |state: StateRef<'_>| matches!(state, StateRef::Value(_));
    if matches!(ident, StateRef::Set) || named(encoding) {
        return Conversion::Other;
    }
    let converts = converts_line_ends(text, crlf, eol, writes_crlf, guesses_text);
    match filter {
        StateRef::Value(v) if v.as_bstr() == b"lfs".as_slice() && !converts => Conversion::Lfs,
        StateRef::Value(_) => Conversion::Other,
        StateRef::Set | StateRef::Unset | StateRef::Unspecified if converts => Conversion::Other,
        StateRef::Set | StateRef::Unset | StateRef::Unspecified => Conversion::None,
    }
}

fn converts_line_ends(
    text: StateRef<'_>,
    crlf: StateRef<'_>,
    eol: StateRef<'_>,
    writes_crlf: bool,
    guesses_text: bool,
) -> bool {
    let is = |state: StateRef<'_>, word: &str| matches!(state, StateRef::Value(v) if v.as_bstr() == word.as_bytes());
    let text = if matches!(text, StateRef::Unspecified) { crlf } else { text };
    if matches!(text, StateRef::Unset) || is(text, "input") {
        return false;
    }
    if is(eol, "crlf") {
        return true;
    }
    if is(eol, "lf") {
        return false;
    }
    match text {
        StateRef::Set | StateRef::Value(_) => writes_crlf,
        StateRef::Unset => false,
        StateRef::Unspecified => guesses_text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(text: &[(&str, &str)], writes_crlf: bool, guesses_text: bool) -> Conversion {
        let mut states = [StateRef::Unspecified; 6];
        for (name, value) in text {
            let at = NAMES.iter().position(|known| known == name).unwrap();
            states[at] = match *value {
                "+" => StateRef::Set,
                "-" => StateRef::Unset,
                value => StateRef::from_bytes(value.as_bytes()),
            };
        }
        rule(states, writes_crlf, guesses_text)
    }

    #[test]
    fn plain_text_on_a_plain_system_is_not_changed() {
        assert_eq!(asks(&[], false, false), Conversion::None);
        assert_eq!(asks(&[("text", "auto")], false, false), Conversion::None);
        assert_eq!(asks(&[("text", "+"), ("eol", "lf")], true, true), Conversion::None);
        assert_eq!(asks(&[("text", "-"), ("eol", "crlf")], true, true), Conversion::None);
    }

    #[test]
    fn what_git_converts_is_left_to_git() {
        assert_eq!(asks(&[("eol", "crlf")], false, false), Conversion::Other);
        assert_eq!(asks(&[("text", "auto")], true, false), Conversion::Other);
        assert_eq!(asks(&[("crlf", "+")], true, false), Conversion::Other);
        assert_eq!(asks(&[], true, true), Conversion::Other);
        assert_eq!(asks(&[("ident", "+")], false, false), Conversion::Other);
        assert_eq!(asks(&[("filter", "lfs"), ("text", "-")], true, true), Conversion::Lfs);
        assert_eq!(asks(&[("filter", "lfs")], true, true), Conversion::Other);
        assert_eq!(asks(&[("filter", "lfs"), ("ident", "+")], false, false), Conversion::Other);
        assert_eq!(asks(&[("filter", "other")], false, false), Conversion::Other);
        assert_eq!(asks(&[("working-tree-encoding", "UTF-16")], false, false), Conversion::Other);
    }
}
