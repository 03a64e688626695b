//! Where a policy applies, and with what severity and value there.
//!
//! Patterns are as in `.gitignore`. What matches a folder matches all below it, so that each folder
//! of a tree is asked once and a file only for itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use shared::config::layer::parse_size;
use shared::failure::Failure;

use super::tree::{File, Tree};
use crate::finding::Severity;

/// Patterns as in `.gitignore`, the last that matches decides.
#[derive(Debug, Clone)]
pub(crate) struct Patterns(Arc<Vec<Pattern>>);

/// One pattern, or several alike; most are of a form that is quicker to ask than a glob.
#[derive(Debug)]
enum Pattern {
    /// `*.rs` and `*.py`.
    Endings(Vec<u64>),
    /// `docs/**`.
    Below(Vec<u8>),
    /// `.env`, at any depth.
    Name(Vec<u8>),
    /// `/LICENSE` and `ci/run`.
    Path(Vec<u8>),
    /// Anything else; with a slash at its end, of folders only.
    Glob { glob: Gitignore, is_of_folders: bool },
}

impl Patterns {
    /// Reads patterns; `key` names their setting.
    ///
    /// # Errors
    /// When one is none.
    pub(crate) fn parse(key: &str, lines: &[String]) -> Result<Patterns, Failure> {
        let mut all: Vec<Pattern> = Vec::new();
        for line in lines {
            match (quick(line), all.last_mut()) {
                (Some(Pattern::Endings(more)), Some(Pattern::Endings(endings))) => endings.extend(more),
                (Some(quick), _) => all.push(quick),
                (None, _) => {
                    let is_of_folders = line.trim_end().ends_with('/');
                    all.extend(glob(key, line)?.map(|glob| Pattern::Glob { glob, is_of_folders }));
                }
            }
        }
        Ok(Patterns(Arc::new(all)))
    }

    /// Says whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn asked(&self, path: &[u8], is_folder: bool) -> Option<bool> {
        self.0.iter().rev().find_map(|pattern| match pattern {
            Pattern::Endings(endings) => {
                let name = memchr::memrchr(b'/', path).map_or(path, |at| &path[at + 1..]);
                let ending = packed(&name[memchr::memrchr(b'.', name)? + 1..])?;
                endings.contains(&ending).then_some(true)
            }
            Pattern::Below(folder) => (path.len() > folder.len() && path.starts_with(folder)).then_some(true),
            Pattern::Name(own) => {
                let name = memchr::memrchr(b'/', path).map_or(path, |at| &path[at + 1..]);
                (name == own).then_some(true)
            }
            Pattern::Path(own) => (path == own).then_some(true),
            Pattern::Glob { is_of_folders: true, .. } if !is_folder => None,
            Pattern::Glob { glob, .. } => match glob.matched(Path::new(OsStr::from_bytes(path)), is_folder) {
                Match::None => None,
                Match::Ignore(_) => Some(true),
                Match::Whitelist(_) => Some(false),
            },
        })
    }

    /// Says whether a path or a folder above it matches.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        let mut end = path.len();
        let mut is_folder = false;
        loop {
            if let Some(answer) = self.asked(&path[..end], is_folder) {
                return answer;
            }
            match path[..end].iter().rposition(|byte| *byte == b'/') {
                Some(at) => (end, is_folder) = (at, true),
                None => return false,
            }
        }
    }

    /// The answers for the folders of a tree.
    pub(crate) fn over<'a>(&'a self, tree: &Tree) -> Over<'a> {
        let mut folders: Vec<Option<bool>> = Vec::with_capacity(tree.folders.len());
        for (at, folder) in tree.folders.iter().enumerate() {
            let own = if at == 0 { None } else { self.asked(&folder.path, true) };
            let above = if at == 0 { None } else { folders[folder.parent] };
            folders.push(own.or(above));
        }
        Over { patterns: self, folders }
    }
}

/// Reads a pattern of a form that needs no glob.
fn quick(line: &str) -> Option<Pattern> {
    let is_plain =
        |text: &str| !text.is_empty() && !text.contains(['*', '?', '[', ']', '{', '}', '\\', '!', '#', ' ', '\t']);
    if let Some(ending) = line.strip_prefix("*.").filter(|rest| is_plain(rest) && !rest.contains(['/', '.'])) {
        return packed(ending.as_bytes()).map(|ending| Pattern::Endings(vec![ending]));
    }
    let (text, is_below) = line.strip_suffix("/**").map_or((line, false), |text| (text, true));
    let path = text.strip_prefix('/').unwrap_or(text);
    if !is_plain(path) || path.starts_with('/') || path.ends_with('/') || path.contains("//") {
        return None;
    }
    Some(match (is_below, text.contains('/')) {
        (true, _) => Pattern::Below([path.as_bytes(), b"/"].concat()),
        (false, true) => Pattern::Path(path.as_bytes().to_vec()),
        (false, false) => Pattern::Name(path.as_bytes().to_vec()),
    })
}

/// A short text as a number, so that many are compared quickly.
fn packed(text: &[u8]) -> Option<u64> {
    (text.len() <= 8).then(|| text.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)))
}

/// Reads one pattern; nothing of a comment.
fn glob(key: &str, line: &str) -> Result<Option<Gitignore>, Failure> {
    let mut builder = GitignoreBuilder::new("");
    builder.add_line(None, line).map_err(|e| broken(key, format!("'{}': {e}", line.escape_debug())))?;
    let built = builder.build().map_err(|e| broken(key, e.to_string()))?;
    Ok(Some(built).filter(|built| !built.is_empty()))
}

/// Patterns with their answers for each folder of one tree.
#[derive(Debug)]
pub(crate) struct Over<'a> {
    patterns: &'a Patterns,
    folders: Vec<Option<bool>>,
}

impl Over<'_> {
    /// Says whether a file or a folder above it matches.
    pub(crate) fn matches(&self, tree: &Tree, file: &File) -> bool {
        self.patterns.asked(tree.path(file), false).or(self.folders[file.folder]).unwrap_or(false)
    }
}

/// What counts instead where a pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instead {
    Off,
    Severity(Severity),
    Value(u64),
}

/// Where a policy applies.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    paths: Option<Patterns>,
    exclude: Option<Patterns>,
    overrides: Vec<(Patterns, Instead)>,
    severity: Severity,
    value: u64,
}

/// What counts at one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InForce {
    pub(crate) severity: Severity,
    pub(crate) value: u64,
}

/// What the value of an override may be, beside a severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    None,
    Numbers,
    Sizes,
}

impl Scope {
    /// Everywhere, alike.
    pub(crate) fn everywhere(severity: Severity, value: u64) -> Scope {
        Scope { paths: None, exclude: None, overrides: Vec::new(), severity, value }
    }

    /// Narrows it to paths and by exceptions; `rule` names the settings.
    ///
    /// # Errors
    /// When a pattern is none.
    pub(crate) fn narrowed(mut self, rule: &str, paths: &[String], exclude: &[String]) -> Result<Scope, Failure> {
        let read = |field: &str, lines: &[String]| match lines.is_empty() {
            true => Ok(None),
            false => Patterns::parse(&format!("policies.{rule}.{field}"), lines).map(Some),
        };
        self.paths = read("paths", paths)?;
        self.exclude = read("exclude", exclude)?;
        Ok(self)
    }

    /// Adds what counts instead in some places: texts such as `docs/** 200` or `*.md off`.
    ///
    /// # Errors
    /// When one is no such text.
    pub(crate) fn overridden(mut self, rule: &str, texts: &[String], values: Values) -> Result<Scope, Failure> {
        let key = format!("policies.{rule}.overrides");
        for text in texts {
            let parts = text.trim().rsplit_once([' ', '\t']);
            let Some((pattern, instead)) = parts else {
                return Err(broken(&key, format!("'{}' is not a pattern and a value", text.escape_debug())));
            };
            let Some(instead) = parse_instead(instead, values) else {
                let wanted = match values {
                    Values::None => "off, note, warning or error",
                    Values::Numbers => "off, note, warning, error or a number",
                    Values::Sizes => "off, note, warning, error or a size",
                };
                return Err(broken(&key, format!("'{}' does not end in {wanted}", text.escape_debug())));
            };
            self.overrides.push((Patterns::parse(&key, &[pattern.trim().to_owned()])?, instead));
        }
        Ok(self)
    }

    /// Says whether it is the same for all paths.
    pub(crate) fn is_everywhere(&self) -> bool {
        self.paths.is_none() && self.exclude.is_none() && self.overrides.is_empty()
    }

    /// What counts at a path; nothing if the policy is not about it.
    pub(crate) fn at(&self, path: &[u8]) -> Option<InForce> {
        let matches = |patterns: &Patterns| patterns.matches(path);
        if self.paths.as_ref().is_some_and(|paths| !matches(paths)) || self.exclude.as_ref().is_some_and(matches) {
            return None;
        }
        self.after(self.overrides.iter().filter(|(patterns, _)| patterns.matches(path)).map(|(_, instead)| *instead))
    }

    /// What counts at each file of a tree; nothing in place of the list if it is the same for all.
    pub(crate) fn over(&self, tree: &Tree) -> Option<Vec<Option<InForce>>> {
        if self.is_everywhere() {
            return None;
        }
        let paths = self.paths.as_ref().map(|patterns| patterns.over(tree));
        let exclude = self.exclude.as_ref().map(|patterns| patterns.over(tree));
        let overrides: Vec<Over<'_>> = self.overrides.iter().map(|(patterns, _)| patterns.over(tree)).collect();
        let at = |file: &File| {
            let asked = |over: &Over<'_>| over.matches(tree, file);
            if paths.as_ref().is_some_and(|paths| !asked(paths)) || exclude.as_ref().is_some_and(asked) {
                return None;
            }
            let hits = overrides.iter().zip(&self.overrides).filter(|(over, _)| over.matches(tree, file));
            self.after(hits.map(|(_, (_, instead))| *instead))
        };
        Some(tree.files.iter().map(at).collect())
    }

    fn after(&self, hits: impl Iterator<Item = Instead>) -> Option<InForce> {
        let mut now = InForce { severity: self.severity, value: self.value };
        let mut is_on = true;
        for instead in hits {
            is_on = instead != Instead::Off;
            match instead {
                Instead::Off => {}
                Instead::Severity(severity) => now.severity = severity,
                Instead::Value(value) => now.value = value,
            }
        }
        is_on.then_some(now)
    }
}

fn parse_instead(text: &str, values: Values) -> Option<Instead> {
    Some(match (text, values) {
        ("off", _) => Instead::Off,
        ("note", _) => Instead::Severity(Severity::Note),
        ("warning", _) => Instead::Severity(Severity::Warning),
        ("error", _) => Instead::Severity(Severity::Error),
        (_, Values::None) => return None,
        (text, Values::Numbers) => Instead::Value(text.parse().ok()?),
        (text, Values::Sizes) => Instead::Value(parse_size(text)?),
    })
}

/// Says that a setting cannot be understood.
pub(crate) fn broken(key: &str, why: impl std::fmt::Display) -> Failure {
    Failure::could_not("broken-config", format!("'{key}': {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(paths: &[&str], exclude: &[&str], overrides: &[&str]) -> Scope {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        let scope = Scope::everywhere(Severity::Error, 120).narrowed("r", &own(paths), &own(exclude)).unwrap();
        scope.overridden("r", &own(overrides), Values::Numbers).unwrap()
    }

    #[test]
    fn later_overrides_win_and_bring_back_what_was_off() {
        let scope = scope(&["/src", "*.md"], &["gen"], &["*.md off", "src/a.md 200", "src/deep warning"]);
        let at = |path: &str| scope.at(path.as_bytes()).map(|now| (now.severity, now.value));
        assert_eq!(at("src/x.rs"), Some((Severity::Error, 120)));
        assert_eq!(at("x.rs"), None);
        assert_eq!(at("src/gen/x.rs"), None);
        assert_eq!(at("README.md"), None);
        assert_eq!(at("src/a.md"), Some((Severity::Error, 200)));
        assert_eq!(at("src/deep/er/x"), Some((Severity::Warning, 120)));
    }

    #[test]
    fn the_quick_forms_answer_as_a_glob_does() {
        let lines = [
            "*.rs", "*.md", "docs/**", "/a/b/**", "!x.rs", "*.tar.gz", "lib/", "*.py", ".env", "/TOP", "ci/run",
            "un*ky/",
        ]
        .map(str::to_owned);
        let quick = Patterns::parse("k", &lines).unwrap();
        let mut builder = GitignoreBuilder::new("");
        for line in &lines {
            builder.add_line(None, line).unwrap();
        }
        let slow = builder.build().unwrap();
        for path in [
            "a.rs",
            "x.rs",
            "docs",
            "docs/a",
            "docs/a/b.txt",
            "no/docs/a",
            "a/b",
            "a/b/c",
            "x/a/b/c",
            "y.tar.gz",
            "lib",
            ".rs",
            "rs",
            "q.PY",
            "m/k.py",
            ".env",
            "s/.env",
            "TOP",
            "s/TOP",
            "ci/run",
            "s/ci/run",
            "unlucky",
        ] {
            for is_folder in [false, true] {
                let want = match slow.matched(path, is_folder) {
                    Match::None => None,
                    Match::Ignore(_) => Some(true),
                    Match::Whitelist(_) => Some(false),
                };
                assert_eq!(quick.asked(path.as_bytes(), is_folder), want, "{path}");
            }
        }
    }

    #[test]
    fn what_cannot_be_understood_names_its_key() {
        let scope = || Scope::everywhere(Severity::Error, 0);
        let words = |text: &str, values| scope().overridden("todo", &[text.into()], values).unwrap_err().to_string();
        assert!(words("*.md", Values::None).starts_with("'policies.todo.overrides': '*.md' is not a pattern"));
        assert!(words("*.md 5", Values::None).contains("does not end in off, note"));
        assert!(words("*.md x", Values::Sizes).contains("or a size"));
        assert!(scope().narrowed("todo", &["{a".into()], &[]).unwrap_err().to_string().contains("policies.todo.paths"));
    }
}
