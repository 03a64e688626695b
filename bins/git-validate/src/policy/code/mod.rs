//! What files of code hold: public items with and without documentation, and tests.
//!
//! Parsed without anything around them, so that public means public by syntax. Nothing here calls
//! itself: a file may be nested as deep as it likes.

mod go;
mod python;
mod rust;
mod script;
mod walk;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tree_sitter::{Node, ParseOptions, Parser, Tree};

/// A larger file is generated, or nobody reads it.
const LARGEST: usize = 1 << 20;

/// A file that takes longer is not worth it.
const LONGEST: Duration = Duration::from_secs(2);

/// A language that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Language {
    Rust,
    Python,
    JavaScript,
    TypeScript,
    Tsx,
    Go,
}

/// A public item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) line: u32,
    /// Such as `function`.
    pub(crate) kind: &'static str,
    /// Its name, behind the names of what it stands in.
    pub(crate) name: String,
    pub(crate) is_documented: bool,
}

/// A test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) line: u32,
    pub(crate) name: String,
    pub(crate) is_skipped: bool,
}

/// What was read of a file, or why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parsed<T> {
    Done(T),
    Unparsable,
    TooLarge,
    TooSlow,
}

/// How much of a file is documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    Counted { items: u64, documented: u64 },
    Unparsable,
    TooLarge,
    TooSlow,
}

impl Language {
    /// The language of a file, by its name.
    pub(crate) fn of(path: &[u8]) -> Option<Language> {
        let name = path.rsplit(|byte| *byte == b'/').next()?;
        let dot = name.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0)?;
        Some(match &name[dot + 1..] {
            b"rs" => Language::Rust,
            b"py" => Language::Python,
            b"js" | b"jsx" | b"mjs" | b"cjs" => Language::JavaScript,
            b"ts" | b"mts" | b"cts" => Language::TypeScript,
            b"tsx" => Language::Tsx,
            b"go" => Language::Go,
            _ => return None,
        })
    }

    /// The languages that a setting names; none if it is unknown.
    pub(crate) fn named(name: &str) -> &'static [Language] {
        match name {
            "rust" => &[Language::Rust],
            "python" => &[Language::Python],
            "javascript" => &[Language::JavaScript],
            "typescript" => &[Language::TypeScript, Language::Tsx],
            "go" => &[Language::Go],
            _ => &[],
        }
    }

    /// Its name in settings and counts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::Python => "python",
            Language::JavaScript => "javascript",
            Language::TypeScript | Language::Tsx => "typescript",
            Language::Go => "go",
        }
    }

    fn grammar(self) -> tree_sitter::Language {
        match self {
            Language::Rust => tree_sitter_rust::LANGUAGE.into(),
            Language::Python => tree_sitter_python::LANGUAGE.into(),
            Language::JavaScript => tree_sitter_javascript::LANGUAGE.into(),
            Language::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
            Language::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
            Language::Go => tree_sitter_go::LANGUAGE.into(),
        }
    }
}

/// The parsers of one thread.
#[derive(Default)]
pub(crate) struct Parsers(HashMap<Language, Parser>);

impl Parsers {
    /// Lists the public items of a file; Go's tests have none.
    pub(crate) fn items(&mut self, language: Language, path: &[u8], data: &[u8]) -> Parsed<Vec<Item>> {
        if language == Language::Go && path.ends_with(b"_test.go") {
            return Parsed::Done(Vec::new());
        }
        self.read(language, data, |root| match language {
            Language::Rust => rust::items(root, data),
            Language::Python => python::items(root, data),
            Language::JavaScript | Language::TypeScript | Language::Tsx => script::items(root, data),
            Language::Go => go::items(root, data),
        })
    }

    /// Counts them.
    pub(crate) fn counts(&mut self, language: Language, path: &[u8], data: &[u8]) -> Counts {
        match self.items(language, path, data) {
            Parsed::Done(items) => Counts::Counted {
                items: items.len() as u64,
                documented: items.iter().filter(|item| item.is_documented).count() as u64,
            },
            Parsed::Unparsable => Counts::Unparsable,
            Parsed::TooLarge => Counts::TooLarge,
            Parsed::TooSlow => Counts::TooSlow,
        }
    }

    /// Lists the tests of a file.
    pub(crate) fn tests(&mut self, language: Language, path: &[u8], data: &[u8]) -> Parsed<Vec<Test>> {
        if language == Language::Go && !path.ends_with(b"_test.go") {
            return Parsed::Done(Vec::new());
        }
        self.read(language, data, |root| match language {
            Language::Rust => rust::tests(root, data),
            Language::Python => python::tests(root, data),
            Language::JavaScript | Language::TypeScript | Language::Tsx => script::tests(root, data),
            Language::Go => go::tests(root, data),
        })
    }

    fn read<T>(&mut self, language: Language, data: &[u8], read: impl FnOnce(Node<'_>) -> T) -> Parsed<T> {
        if data.len() > LARGEST {
            return Parsed::TooLarge;
        }
        let parser = self.0.entry(language).or_insert_with(|| {
            let mut parser = Parser::new();
            parser.set_language(&language.grammar()).expect("the grammars are built for this library");
            parser
        });
        match parse(parser, data) {
            None => Parsed::TooSlow,
            Some(tree) if is_nonsense(&tree, data.len()) => Parsed::Unparsable,
            Some(tree) => Parsed::Done(read(tree.root_node())),
        }
    }
}

fn parse(parser: &mut Parser, data: &[u8]) -> Option<Tree> {
    let start = Instant::now();
    let mut go_on = |_: &tree_sitter::ParseState| match start.elapsed() > LONGEST {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let options = ParseOptions::new().progress_callback(&mut go_on);
    let tree = parser.parse_with_options(&mut |at, _| data.get(at..).unwrap_or_default(), None, Some(options));
    if tree.is_none() {
        parser.reset();
    }
    tree
}

/// Says whether more than a quarter of a file could not be understood.
fn is_nonsense(tree: &Tree, length: usize) -> bool {
    let root = tree.root_node();
    if !root.has_error() {
        return false;
    }
    let mut lost = 0;
    let mut cursor = root.walk();
    loop {
        let node = cursor.node();
        if node.is_error() {
            lost += node.byte_range().len();
        } else if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return root.is_error() || lost * 4 > length;
            }
        }
    }
}

/// The line of a node, from 1.
fn line(node: Node<'_>) -> u32 {
    u32::try_from(node.start_position().row).unwrap_or(u32::MAX).saturating_add(1)
}

/// The text of a node.
fn text<'a>(node: Node<'_>, data: &'a [u8]) -> &'a [u8] {
    data.get(node.byte_range()).unwrap_or_default()
}

/// The text of a field of a node, empty if it has none.
fn name<'a>(node: Node<'_>, field: &str, data: &'a [u8]) -> std::borrow::Cow<'a, str> {
    let found = node.child_by_field_name(field).map(|child| text(child, data)).unwrap_or_default();
    String::from_utf8_lossy(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_deep_is_read_in_time() {
        let deep = [&b"x = "[..], &b"(".repeat(100_000), b"1", &b")".repeat(100_000), b"\n"].concat();
        for language in [Language::Python, Language::Rust, Language::JavaScript, Language::Tsx, Language::Go] {
            let start = Instant::now();
            let _ = Parsers::default().items(language, b"x", &deep);
            let _ = Parsers::default().tests(language, b"x_test.go", &deep);
            assert!(start.elapsed() < Duration::from_secs(8), "{language:?}");
        }
    }

    #[test]
    fn nonsense_is_unparsable_and_a_slip_is_not() {
        let python = |text: &[u8]| Parsers::default().counts(Language::Python, b"x.py", text);
        assert_eq!(python(b")))) ]]] 0x {{{ $$$ ??? !!!\n%%%%\n"), Counts::Unparsable);
        let slip = b"def a():\n    \"\"\"Doc.\"\"\"\n    return 1\n\ndef b(:\n    pass\n\ndef c():\n    return 'long enough to matter'\n";
        assert!(matches!(python(slip), Counts::Counted { documented: 1, .. }));
        assert_eq!(python(&vec![b'\n'; LARGEST + 1]), Counts::TooLarge);
    }
}
