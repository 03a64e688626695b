//! The colours of a file's syntax, as classes of the page's own style.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use std::rc::Rc;

use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxReference, SyntaxSet};

/// A longer text stays without colours.
const LONGEST: usize = 200 << 10;
/// So does everything once so much has been coloured for one page.
const ALL: usize = 3 << 20;
/// A longer line is no source that anybody wrote.
const LINE: usize = 1000;

/// The colours of one line: where a class begins and ends.
pub(super) type Spans = Vec<(Range<usize>, &'static str)>;

/// The more special first.
const CLASSES: &[(&str, &str)] = &[
    ("comment", "c"),
    ("string", "s"),
    ("constant.numeric", "i"),
    ("constant", "i"),
    ("entity.name.function", "f"),
    ("entity.name.tag", "k"),
    ("support.function", "f"),
    ("variable.function", "f"),
    ("entity.other.attribute-name", "t"),
    ("entity.name", "t"),
    ("support.type", "t"),
    ("support.class", "t"),
    ("storage.type", "k"),
    ("storage", "k"),
    ("keyword.operator", ""),
    ("keyword", "k"),
];

/// Knows the languages, and what was coloured before.
pub(super) struct Colours {
    syntaxes: SyntaxSet,
    classes: Vec<(Scope, &'static str)>,
    known: HashMap<u64, Rc<Vec<Spans>>>,
    left: usize,
}

impl Colours {
    pub(super) fn new() -> Colours {
        let class = |(scope, class): &(&str, &'static str)| Some((Scope::new(scope).ok()?, *class));
        Colours {
            syntaxes: SyntaxSet::load_defaults_newlines(),
            classes: CLASSES.iter().filter_map(class).collect(),
            known: HashMap::new(),
            left: ALL,
        }
    }

    /// Returns the colours of each line of a text; none at all where they are not known.
    pub(super) fn of(&mut self, path: &[u8], lines: &[String]) -> Rc<Vec<Spans>> {
        let size: usize = lines.iter().map(|line| line.len() + 1).sum();
        let is_plain = size > LONGEST || size > self.left || lines.iter().any(|line| line.len() > LINE);
        let Some(syntax) = self.syntax(path, lines).filter(|_| !is_plain) else { return Rc::default() };
        let mut hasher = DefaultHasher::new();
        (&syntax.name, lines).hash(&mut hasher);
        let key = hasher.finish();
        if let Some(known) = self.known.get(&key) {
            return Rc::clone(known);
        }
        // What cannot be parsed to its end has no colours.
        let spans = Rc::new(self.parse(syntax, lines).unwrap_or_default());
        self.left -= size;
        self.known.insert(key, Rc::clone(&spans));
        spans
    }

    fn syntax(&self, path: &[u8], lines: &[String]) -> Option<&SyntaxReference> {
        let path = String::from_utf8_lossy(path);
        let name = path.rsplit('/').next().unwrap_or_default();
        let extension = match name.rsplit_once('.').map_or(name, |(_, extension)| extension) {
            "ts" | "tsx" | "jsx" | "mjs" | "cjs" | "mts" | "cts" => "js",
            "kt" | "kts" | "swift" => "java",
            "bash" | "zsh" => "sh",
            "hh" | "cxx" => "cpp",
            "jsonc" | "json5" => "json",
            "vue" | "svelte" => "html",
            other => other,
        };
        let by_name = self.syntaxes.find_syntax_by_extension(name);
        let by_extension = || self.syntaxes.find_syntax_by_extension(extension);
        by_name.or_else(by_extension).or_else(|| self.syntaxes.find_syntax_by_first_line(lines.first()?))
    }

    fn parse(&self, syntax: &SyntaxReference, lines: &[String]) -> Option<Vec<Spans>> {
        let mut state = ParseState::new(syntax);
        let mut stack = ScopeStack::new();
        let mut all = Vec::with_capacity(lines.len());
        for line in lines {
            let with_end = format!("{line}\n");
            let mut spans: Spans = Vec::new();
            let mut from = 0;
            for (at, op) in state.parse_line(&with_end, &self.syntaxes).ok()? {
                self.add(&mut spans, from..at.min(line.len()), &stack);
                from = at.min(line.len());
                stack.apply(&op).ok()?;
            }
            self.add(&mut spans, from..line.len(), &stack);
            all.push(spans);
        }
        Some(all)
    }

    fn add(&self, spans: &mut Spans, range: Range<usize>, stack: &ScopeStack) {
        let class = |scope: &Scope| {
            self.classes.iter().find(|(prefix, _)| prefix.is_prefix_of(*scope)).map(|(_, class)| *class)
        };
        let Some(class) = stack.as_slice().iter().rev().find_map(class) else { return };
        if range.is_empty() || class.is_empty() {
            return;
        }
        match spans.last_mut() {
            Some((last, same)) if last.end == range.start && *same == class => last.end = range.end,
            Some(_) | None => spans.push((range, class)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_the_class_of_what_they_are() {
        let lines = ["/* a".to_owned(), "b */ fn x() -> u8 { \"s\"; 1 }".to_owned()];
        let spans = Colours::new().of(b"src/a.rs", &lines);
        assert_eq!(spans[0], [(0..4, "c")]);
        let seen: Vec<(&str, &str)> =
            spans[1].iter().map(|(range, class)| (&lines[1][range.clone()], *class)).collect();
        for wanted in [("b */", "c"), ("fn", "k"), ("x", "f"), ("\"s\"", "s"), ("1", "i")] {
            assert!(seen.contains(&wanted), "{wanted:?} {seen:?}");
        }
    }

    #[test]
    fn what_has_no_language_has_no_colours() {
        assert!(Colours::new().of(b"a.unknown", &["fn".to_owned()]).is_empty());
    }
}
