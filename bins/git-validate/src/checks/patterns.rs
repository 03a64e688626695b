//! Which paths are meant: patterns as in `.gitignore`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use shared::failure::Failure;

/// Patterns of paths that are meant, and of those among them that are not; all paths if there are none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patterns {
    wanted: Vec<String>,
    unwanted: Vec<String>,
    built: OnceLock<(Gitignore, Gitignore)>,
}

impl Patterns {
    pub(crate) fn new(wanted: Vec<String>, unwanted: Vec<String>) -> Patterns {
        Patterns { wanted, unwanted, built: OnceLock::new() }
    }

    /// Says whether every path is meant.
    pub(crate) fn mean_all(&self) -> bool {
        self.wanted.is_empty() && self.unwanted.is_empty()
    }

    /// Says whether a path is meant.
    pub(crate) fn mean(&self, path: &[u8]) -> bool {
        if self.mean_all() {
            return true;
        }
        let (wanted, unwanted) = self.built.get_or_init(|| (build(&self.wanted).0, build(&self.unwanted).0));
        let path = Path::new(OsStr::from_bytes(path));
        let is_in = |patterns: &Gitignore| patterns.matched_path_or_any_parents(path, false).is_ignore();
        (self.wanted.is_empty() || is_in(wanted)) && !is_in(unwanted)
    }

    /// Refuses patterns that are none.
    pub(crate) fn refuse_broken(&self, key: &str) -> Result<(), Failure> {
        for patterns in [&self.wanted, &self.unwanted] {
            if let Some(why) = build(patterns).1 {
                return Err(Failure::could_not("broken-config", format!("'{}': {why}", key.escape_debug())));
            }
        }
        Ok(())
    }

    /// The patterns, for a key.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        // A word that no pattern is between the two.
        self.wanted.iter().map(String::as_str).chain(["\0"]).chain(self.unwanted.iter().map(String::as_str))
    }
}

fn build(patterns: &[String]) -> (Gitignore, Option<String>) {
    let mut builder = GitignoreBuilder::new("");
    let mut broken = None;
    for pattern in patterns {
        if let Err(error) = builder.add_line(None, pattern) {
            broken = Some(format!("'{}' is no pattern: {error}", pattern.escape_debug()));
        }
    }
    match builder.build() {
        Ok(built) => (built, broken),
        Err(error) => (Gitignore::empty(), broken.or(Some(error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_excluded_is_not_meant() {
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let rust = Patterns::new(text(&["*.rs", "/docs/"]), text(&["gen/"]));
        assert!(rust.mean(b"a/b.rs") && rust.mean(b"docs/x.md"));
        assert!(!rust.mean(b"gen/b.rs") && !rust.mean(b"a/docs.md"));
        let all_but = Patterns::new(Vec::new(), text(&["*.md"]));
        assert!(all_but.mean(b"a") && !all_but.mean(b"a.md") && Patterns::default().mean(b"\xff"));
        assert!(Patterns::new(text(&["a[z-y]", "b"]), Vec::new()).refuse_broken("k").is_err());
    }
}
