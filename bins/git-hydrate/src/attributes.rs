//! Whether git would change a file's bytes while checking it out.
//!
//! Only a path whose blob lands on disk byte by byte can be taken from a donor; line ends, `ident`,
//! encodings and filters are git's to apply.

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

    /// Says whether checking this path out changes its bytes, or might.
    pub(crate) fn convert(&mut self, path: &BStr) -> Result<bool> {
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
fn rule(states: [StateRef<'_>; 6], writes_crlf: bool, guesses_text: bool) -> bool {
    let [text, crlf, eol, ident, filter, encoding] = states;
    let named = |state: StateRef<'_>| matches!(state, StateRef::Value(_));
    if matches!(ident, StateRef::Set) || named(filter) || named(encoding) {
        return true;
    }
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

    fn asks(text: &[(&str, &str)], writes_crlf: bool, guesses_text: bool) -> bool {
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
        assert!(!asks(&[], false, false));
        assert!(!asks(&[("text", "auto")], false, false));
        assert!(!asks(&[("text", "+"), ("eol", "lf")], true, true));
        assert!(!asks(&[("text", "-"), ("eol", "crlf")], true, true));
    }

    #[test]
    fn what_git_converts_is_left_to_git() {
        assert!(asks(&[("eol", "crlf")], false, false));
        assert!(asks(&[("text", "auto")], true, false));
        assert!(asks(&[("crlf", "+")], true, false));
        assert!(asks(&[], true, true));
        assert!(asks(&[("ident", "+")], false, false));
        assert!(asks(&[("filter", "lfs"), ("text", "-")], false, false));
        assert!(asks(&[("working-tree-encoding", "UTF-16")], false, false));
    }
}
