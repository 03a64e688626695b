//! Go: names that begin with a capital, and functions `Test…`.

use tree_sitter::Node;

use super::walk::{Next, Reader, walk};
use super::{Item, Test, line, name, text};

/// Lists functions, methods, types, constants and variables of a package.
pub(super) fn items(root: Node<'_>, data: &[u8]) -> Vec<Item> {
    let mut reader = Items { data, group: false, found: Vec::new() };
    walk(root, &mut reader);
    reader.found
}

struct Items<'a> {
    data: &'a [u8],
    /// Whether the declaration around, which may hold several, is documented.
    group: bool,
    found: Vec<Item>,
}

impl<'t> Reader<'t> for Items<'_> {
    fn is_prelude(&self, kind: &str) -> bool {
        kind == "comment"
    }

    fn enter(&mut self, node: Node<'t>, prelude: &[Node<'t>]) -> Next {
        let is_documented = is_adjacent(node, prelude);
        match node.kind() {
            "source_file" | "ERROR" | "var_spec_list" => return Next::Into,
            "type_declaration" | "const_declaration" | "var_declaration" => {
                self.group = is_documented;
                return Next::Into;
            }
            "function_declaration" => self.add(node, "function", &name(node, "name", self.data), is_documented),
            "method_declaration" => {
                let receiver = receiver(node, self.data);
                if is_exported(&receiver) {
                    let own = name(node, "name", self.data);
                    if is_exported(&own) {
                        self.push(node, "method", format!("{receiver}.{own}"), is_documented);
                    }
                }
            }
            "type_spec" | "type_alias" => {
                self.add(node, "type", &name(node, "name", self.data), is_documented || self.group);
            }
            "const_spec" | "var_spec" => {
                let mut cursor = node.walk();
                let names: Vec<Node<'_>> = node.children_by_field_name("name", &mut cursor).collect();
                for own in names.into_iter().filter(|own| own.kind() == "identifier") {
                    let own = String::from_utf8_lossy(text(own, self.data)).into_owned();
                    self.add(node, "value", &own, is_documented || self.group);
                }
            }
            _ => {}
        }
        Next::Past
    }
}

impl Items<'_> {
    fn add(&mut self, node: Node<'_>, kind: &'static str, own: &str, is_documented: bool) {
        if is_exported(own) {
            self.push(node, kind, own.to_owned(), is_documented);
        }
    }

    fn push(&mut self, node: Node<'_>, kind: &'static str, name: String, is_documented: bool) {
        self.found.push(Item { line: line(node), kind, name, is_documented });
    }
}

fn is_exported(name: &str) -> bool {
    name.chars().next().is_some_and(char::is_uppercase)
}

/// The type that a method belongs to.
fn receiver(method: Node<'_>, data: &[u8]) -> String {
    let all = name(method, "receiver", data).into_owned();
    let last = all.trim_matches(['(', ')', ' ']).rsplit([' ', '*']).next().unwrap_or_default();
    last.split('[').next().unwrap_or_default().to_owned()
}

/// Says whether the last comment ends on the line before.
fn is_adjacent(node: Node<'_>, prelude: &[Node<'_>]) -> bool {
    prelude.last().is_some_and(|comment| comment.end_position().row + 1 == node.start_position().row)
}

/// Lists the functions `Test…`; one is skipped if its body does so without a condition.
pub(super) fn tests(root: Node<'_>, data: &[u8]) -> Vec<Test> {
    let mut reader = Tests { data, found: Vec::new() };
    walk(root, &mut reader);
    reader.found
}

struct Tests<'a> {
    data: &'a [u8],
    found: Vec<Test>,
}

impl<'t> Reader<'t> for Tests<'_> {
    fn is_prelude(&self, kind: &str) -> bool {
        kind == "comment"
    }

    fn enter(&mut self, node: Node<'t>, _: &[Node<'t>]) -> Next {
        match node.kind() {
            "source_file" | "ERROR" => return Next::Into,
            "function_declaration" => {
                let own = name(node, "name", self.data).into_owned();
                let is_test = own.strip_prefix("Test").is_some_and(|rest| !rest.starts_with(char::is_lowercase));
                if is_test && own != "TestMain" {
                    let is_skipped = node.child_by_field_name("body").is_some_and(|body| skips(body, self.data));
                    self.found.push(Test { line: line(node), name: own, is_skipped });
                }
            }
            _ => {}
        }
        Next::Past
    }
}

/// Says whether a statement of the body itself is a call of `Skip`.
fn skips(body: Node<'_>, data: &[u8]) -> bool {
    let calls = |statement: Node<'_>| {
        let text = text(statement, data);
        let end = text.iter().position(|byte| *byte == b'(').unwrap_or(0);
        let called = text[..end].rsplit(|byte| *byte == b'.').next().unwrap_or_default();
        statement.kind() == "expression_statement" && matches!(called, b"Skip" | b"Skipf" | b"SkipNow")
    };
    let mut cursor = body.walk();
    let mut found = false;
    for child in body.named_children(&mut cursor) {
        if child.kind() == "statement_list" {
            let mut cursor = child.walk();
            found |= child.named_children(&mut cursor).any(calls);
        } else {
            found |= calls(child);
        }
    }
    found
}

#[cfg(test)]
mod tests_of_go {
    use super::super::{Language, Parsed, Parsers};

    #[test]
    fn a_capital_is_public() {
        let text = br#"package x

// A does.
func A() {}

// Far away.

func B() {}
func c() {}

// T is.
type T struct{}

func (t *T) M() {}
func (h hidden) N() {}

// Group.
const (
	X = 1
	y = 2
)

var (
	// V is.
	V int
	W, Z int // trailing
)
type (
	U[K any] struct{}
)
"#;
        let Parsed::Done(items) = Parsers::default().items(Language::Go, b"x.go", text) else { panic!() };
        let all: Vec<(&str, bool)> = items.iter().map(|item| (item.name.as_str(), item.is_documented)).collect();
        let wanted = [
            ("A", true),
            ("B", false),
            ("T", true),
            ("T.M", false),
            ("X", true),
            ("V", true),
            ("W", false),
            ("Z", false),
            ("U", false),
        ];
        assert_eq!(all, wanted);
        let Parsed::Done(none) = Parsers::default().items(Language::Go, b"x_test.go", text) else { panic!() };
        assert!(none.is_empty());
    }

    #[test]
    fn tests_and_skips_are_seen() {
        let text = b"package x\nfunc TestA(t *testing.T) {\n if testing.Short() {\n t.Skip()\n }\n}\n\
            func TestB(t *testing.T) {\n t.Skip(\"x\")\n}\nfunc Testing() {}\nfunc TestMain(m *testing.M) {}\n";
        let Parsed::Done(tests) = Parsers::default().tests(Language::Go, b"x_test.go", text) else { panic!() };
        let all: Vec<(&str, bool)> = tests.iter().map(|test| (test.name.as_str(), test.is_skipped)).collect();
        assert_eq!(all, [("TestA", false), ("TestB", true)]);
    }
}
