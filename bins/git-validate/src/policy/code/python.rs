//! Python: modules, classes and functions with their docstrings, counted as interrogate does.

use tree_sitter::Node;

use super::walk::{Next, Places, Reader, walk};
use super::{Item, Test, line, name, text};

/// Statements that may hold definitions.
const BLOCKS: &[&str] = &[
    "block",
    "if_statement",
    "elif_clause",
    "else_clause",
    "for_statement",
    "while_statement",
    "try_statement",
    "except_clause",
    "except_group_clause",
    "finally_clause",
    "with_statement",
    "match_statement",
    "case_clause",
    "decorated_definition",
    "ERROR",
];

/// Lists the module and all classes and functions, nested and private ones too.
pub(super) fn items(root: Node<'_>, data: &[u8]) -> Vec<Item> {
    let mut reader = Items { data, places: Places::default(), found: Vec::new() };
    let module = Item { line: 1, kind: "module", name: String::new(), is_documented: is_documented(root, data) };
    reader.found.push(module);
    walk(root, &mut reader);
    reader.found
}

struct Items<'a> {
    data: &'a [u8],
    places: Places,
    found: Vec<Item>,
}

impl<'t> Reader<'t> for Items<'_> {
    fn is_prelude(&self, kind: &str) -> bool {
        kind == "comment"
    }

    fn enter(&mut self, node: Node<'t>, _: &[Node<'t>]) -> Next {
        let kind = match node.kind() {
            "class_definition" => "class",
            "function_definition" => "function",
            "module" => return Next::Into,
            kind if BLOCKS.contains(&kind) => return Next::Into,
            _ => return Next::Past,
        };
        let own = name(node, "name", self.data);
        let body = node.child_by_field_name("body");
        self.found.push(Item {
            line: line(node),
            kind,
            name: self.places.name(&own, "."),
            is_documented: body.is_some_and(|body| is_documented(body, self.data)),
        });
        self.places.push(&own);
        Next::IntoPlace
    }

    fn leave(&mut self) {
        self.places.pop();
    }
}

/// Says whether the first statement of a body is a text that is not blank.
fn is_documented(body: Node<'_>, data: &[u8]) -> bool {
    let mut cursor = body.walk();
    let mut statements = body.named_children(&mut cursor).filter(|child| child.kind() != "comment");
    let Some(first) = statements.next().filter(|first| first.kind() == "expression_statement") else { return false };
    if first.named_child_count() != 1 {
        return false;
    }
    let mut text = first.named_child(0);
    // A text in brackets is one as well, and nobody writes many.
    for _ in 0..8 {
        match text {
            Some(node) if node.kind() == "parenthesized_expression" => text = node.named_child(0),
            Some(_) | None => break,
        }
    }
    match text {
        Some(node) if node.kind() == "string" => plain(node, data).unwrap_or(false),
        Some(node) if node.kind() == "concatenated_string" => {
            let mut cursor = node.walk();
            let parts: Vec<Option<bool>> = node
                .named_children(&mut cursor)
                .filter(|part| part.kind() == "string")
                .map(|part| plain(part, data))
                .collect();
            parts.iter().all(Option::is_some) && parts.contains(&Some(true))
        }
        Some(_) | None => false,
    }
}

/// Whether a text says something; nothing if it is bytes or has to be computed.
fn plain(string: Node<'_>, data: &[u8]) -> Option<bool> {
    let all = text(string, data);
    let quote = all.iter().position(|byte| matches!(byte, b'"' | b'\''))?;
    if all[..quote].iter().any(|byte| matches!(byte.to_ascii_lowercase(), b'b' | b'f' | b't')) {
        return None;
    }
    let inner = &all[quote..];
    let quotes = if inner.starts_with(b"\"\"\"") || inner.starts_with(b"'''") { 3 } else { 1 };
    let inner = inner.get(quotes..inner.len().checked_sub(quotes)?)?;
    Some(!String::from_utf8_lossy(inner).trim().is_empty())
}

/// Lists the functions `test…` of the module and its classes.
pub(super) fn tests(root: Node<'_>, data: &[u8]) -> Vec<Test> {
    let mut reader = Tests { data, places: Places::default(), skips: Vec::new(), found: Vec::new() };
    walk(root, &mut reader);
    reader.found
}

struct Tests<'a> {
    data: &'a [u8],
    places: Places,
    /// For each class around, whether all of it is skipped.
    skips: Vec<bool>,
    found: Vec<Test>,
}

impl<'t> Reader<'t> for Tests<'_> {
    fn is_prelude(&self, kind: &str) -> bool {
        matches!(kind, "comment" | "decorator")
    }

    fn enter(&mut self, node: Node<'t>, prelude: &[Node<'t>]) -> Next {
        let is_skipped = prelude.iter().any(|decorator| skips(text(*decorator, self.data)));
        let own = name(node, "name", self.data);
        match node.kind() {
            "class_definition" => {
                self.places.push(&own);
                self.skips.push(is_skipped || self.skips.last().is_some_and(|skips| *skips));
                Next::IntoPlace
            }
            "function_definition" if own.starts_with("test") => {
                let is_skipped = is_skipped || self.skips.last().is_some_and(|skips| *skips);
                self.found.push(Test { line: line(node), name: self.places.name(&own, "."), is_skipped });
                Next::Past
            }
            "module" => Next::Into,
            kind if BLOCKS.contains(&kind) => Next::Into,
            _ => Next::Past,
        }
    }

    fn leave(&mut self) {
        self.places.pop();
        self.skips.pop();
    }
}

/// Says whether a decorator is `skip` of pytest or unittest, and not one with a condition.
fn skips(decorator: &[u8]) -> bool {
    let path = decorator.strip_prefix(b"@").unwrap_or(decorator).trim_ascii();
    let end = path.iter().position(|byte| *byte == b'(').unwrap_or(path.len());
    path[..end].trim_ascii().rsplit(|byte| *byte == b'.').next() == Some(b"skip")
}

#[cfg(test)]
mod tests_of_python {
    use super::super::{Language, Parsed, Parsers};

    #[test]
    fn a_docstring_is_the_first_statement_and_plain() {
        let text = br#"# comment
'''Module.'''
def a(): 'doc'
async def b():
    # before
    r"""doc"""
class C:
    """ """
    @property
    def d(self):
        if True:
            def e(): f"no"
        return 1
    def __init__(self):
        ("a"
         "b")
def f():
    b"bytes"
def g():
    x = 1
    """late"""
"#;
        let Parsed::Done(items) = Parsers::default().items(Language::Python, b"x.py", text) else { panic!() };
        let all: Vec<(&str, &str, bool)> =
            items.iter().map(|item| (item.kind, item.name.as_str(), item.is_documented)).collect();
        assert_eq!(
            all,
            [
                ("module", "", true),
                ("function", "a", true),
                ("function", "b", true),
                ("class", "C", false),
                ("function", "C.d", false),
                ("function", "C.d.e", false),
                ("function", "C.__init__", true),
                ("function", "f", false),
                ("function", "g", false),
            ]
        );
    }

    #[test]
    fn tests_and_skips_are_seen() {
        let text = br#"
import pytest
def test_a(): pass
@pytest.mark.skip(reason="x")
def test_b(): pass
@pytest.mark.skipif(True, reason="x")
def test_c(): pass
@unittest.skip("x")
class TestD(TestCase):
    def test_e(self):
        def test_inner(): pass
    def helper(self): pass
"#;
        let Parsed::Done(tests) = Parsers::default().tests(Language::Python, b"x.py", text) else { panic!() };
        let all: Vec<(&str, bool)> = tests.iter().map(|test| (test.name.as_str(), test.is_skipped)).collect();
        assert_eq!(all, [("test_a", false), ("test_b", true), ("test_c", false), ("TestD.test_e", true)]);
    }
}
