//! Rust: items that are `pub`, and functions that are tests.

use tree_sitter::Node;

use super::walk::{Next, Places, Reader, walk};
use super::{Item, Test, line, name, text};

/// Lists what is public by syntax: items, methods, and what a public trait asks for.
pub(super) fn items(root: Node<'_>, data: &[u8]) -> Vec<Item> {
    let mut reader = Items { data, places: Places::default(), traits: 0, found: Vec::new() };
    walk(root, &mut reader);
    reader.found
}

struct Items<'a> {
    data: &'a [u8],
    places: Places,
    /// How deep inside public traits.
    traits: usize,
    found: Vec<Item>,
}

fn is_prelude(kind: &str) -> bool {
    matches!(kind, "line_comment" | "block_comment" | "attribute_item")
}

impl<'t> Reader<'t> for Items<'_> {
    fn is_prelude(&self, kind: &str) -> bool {
        is_prelude(kind)
    }

    fn enter(&mut self, node: Node<'t>, prelude: &[Node<'t>]) -> Next {
        let kind = match node.kind() {
            "source_file" | "declaration_list" | "ERROR" => return Next::Into,
            "impl_item" => return self.enter_impl(node),
            "function_item" | "function_signature_item" => "function",
            "struct_item" => "struct",
            "enum_item" => "enum",
            "union_item" => "union",
            "trait_item" => "trait",
            "type_item" | "associated_type" => "type",
            "const_item" => "constant",
            "static_item" => "static",
            "mod_item" => "module",
            "macro_definition" => "macro",
            _ => return Next::Past,
        };
        let own = name(node, "name", self.data);
        let body = node.child_by_field_name("body");
        // What a module without a body is for is said in its own file.
        let is_counted = self.is_public(node, kind, prelude) && !(kind == "module" && body.is_none());
        if is_counted && !has_attribute(prelude, self.data, |path, rest| path == b"doc" && rest.contains("hidden")) {
            let is_documented = prelude.iter().any(|node| is_doc(text(*node, self.data)))
                || body.filter(|_| kind == "module").is_some_and(|body| is_documented_inside(body, self.data));
            self.found.push(Item { line: line(node), kind, name: self.places.name(&own, "::"), is_documented });
        }
        match kind {
            "module" if body.is_some() => {
                self.places.push(&own);
                Next::IntoPlace
            }
            "trait" if is_counted => {
                self.places.push(&own);
                self.traits += 1;
                Next::IntoPlace
            }
            _ => Next::Past,
        }
    }

    fn leave(&mut self) {
        self.places.pop();
        self.traits = self.traits.saturating_sub(1);
    }
}

impl Items<'_> {
    /// What implements a trait is documented there.
    fn enter_impl(&mut self, node: Node<'_>) -> Next {
        if node.child_by_field_name("trait").is_some() {
            return Next::Past;
        }
        let own = name(node, "type", self.data);
        self.places.push(own.split(['<', ' ']).next().unwrap_or_default());
        Next::IntoPlace
    }

    fn is_public(&self, node: Node<'_>, kind: &str, prelude: &[Node<'_>]) -> bool {
        if kind == "macro" {
            return has_attribute(prelude, self.data, |path, _| path == b"macro_export");
        }
        let mut cursor = node.walk();
        let visibility = node.children(&mut cursor).find(|child| child.kind() == "visibility_modifier");
        self.traits > 0 || visibility.is_some_and(|visibility| text(visibility, self.data) == b"pub")
    }
}

/// Says whether a comment or an attribute is documentation of what follows.
fn is_doc(text: &[u8]) -> bool {
    let is_line = text.starts_with(b"///") && !text.starts_with(b"////");
    let is_block = text.starts_with(b"/**") && !text.starts_with(b"/***") && text != b"/**/";
    is_line || is_block || (text.starts_with(b"#[doc") && memchr::memchr(b'=', text).is_some())
}

/// Says whether a module begins with documentation of itself.
fn is_documented_inside(body: Node<'_>, data: &[u8]) -> bool {
    let mut cursor = body.walk();
    let mut comments = body
        .named_children(&mut cursor)
        .take_while(|child| matches!(child.kind(), "line_comment" | "block_comment" | "inner_attribute_item"));
    comments.any(|comment| {
        let text = text(comment, data);
        text.starts_with(b"//!") || text.starts_with(b"/*!") || text.starts_with(b"#![doc")
    })
}

/// Says whether an attribute with this path, and this behind it, is there.
fn has_attribute(prelude: &[Node<'_>], data: &[u8], is: impl Fn(&[u8], &str) -> bool) -> bool {
    prelude.iter().filter(|node| node.kind() == "attribute_item").any(|node| {
        let all = text(*node, data);
        let inner = all.strip_prefix(b"#[").unwrap_or(all).trim_ascii();
        let end = inner.iter().position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')));
        let (path, rest) = inner.split_at(end.unwrap_or(inner.len()));
        is(path, &String::from_utf8_lossy(rest))
    })
}

/// Lists the functions that are marked as tests.
pub(super) fn tests(root: Node<'_>, data: &[u8]) -> Vec<Test> {
    let mut reader = Tests { data, places: Places::default(), found: Vec::new() };
    walk(root, &mut reader);
    reader.found
}

struct Tests<'a> {
    data: &'a [u8],
    places: Places,
    found: Vec<Test>,
}

impl<'t> Reader<'t> for Tests<'_> {
    fn is_prelude(&self, kind: &str) -> bool {
        is_prelude(kind)
    }

    fn enter(&mut self, node: Node<'t>, prelude: &[Node<'t>]) -> Next {
        match node.kind() {
            "source_file" | "declaration_list" | "ERROR" => Next::Into,
            "mod_item" => {
                self.places.push(&name(node, "name", self.data));
                Next::IntoPlace
            }
            "function_item" => {
                let last = |path: &[u8]| path.rsplit(|byte| *byte == b':').next().unwrap_or_default().to_vec();
                let is_test = |path: &[u8], _: &str| matches!(&last(path)[..], b"test" | b"test_case" | b"rstest");
                if has_attribute(prelude, self.data, is_test) {
                    let own = name(node, "name", self.data);
                    let is_skipped = has_attribute(prelude, self.data, |path, _| path == b"ignore");
                    self.found.push(Test { line: line(node), name: self.places.name(&own, "::"), is_skipped });
                }
                Next::Past
            }
            _ => Next::Past,
        }
    }

    fn leave(&mut self) {
        self.places.pop();
    }
}

#[cfg(test)]
mod tests_of_rust {
    use super::super::{Language, Parsed, Parsers};

    #[test]
    fn what_is_pub_is_public() {
        let text = br#"
//! Crate.
/// Doc.
#[derive(Debug)]
pub struct A { pub x: u8 }
pub(crate) struct B;
impl A {
    /// Doc.
    pub fn a(&self) {}
    pub fn b(&self) { fn inner() {} }
    fn c(&self) {}
}
impl Clone for A { fn clone(&self) -> A { A { x: 0 } } }
//// no doc
pub trait T { /** doc */ fn t(); type U; }
trait Hidden { fn h(); }
pub mod m { //! doc
    pub const X: u8 = 1; // trailing
    #[doc(hidden)] pub fn hidden() {}
}
pub mod elsewhere;
#[macro_export] macro_rules! mac { () => {} }
#[doc = "doc"] pub type Y = u8;
"#;
        let Parsed::Done(items) = Parsers::default().items(Language::Rust, b"x.rs", text) else { panic!() };
        let all: Vec<(&str, bool)> = items.iter().map(|item| (item.name.as_str(), item.is_documented)).collect();
        let wanted = [
            ("A", true),
            ("A::a", true),
            ("A::b", false),
            ("T", false),
            ("T::t", true),
            ("T::U", false),
            ("m", true),
            ("m::X", false),
            ("mac", false),
            ("Y", true),
        ];
        assert_eq!(all, wanted);
    }

    #[test]
    fn tests_and_ignored_ones_are_seen() {
        let text =
            b"mod tests { #[test] fn a() {}\n#[tokio::test]\n#[ignore = \"slow\"]\nasync fn b() {}\n fn c() {} }";
        let Parsed::Done(tests) = Parsers::default().tests(Language::Rust, b"x.rs", text) else { panic!() };
        let all: Vec<(&str, bool)> = tests.iter().map(|test| (test.name.as_str(), test.is_skipped)).collect();
        assert_eq!(all, [("tests::a", false), ("tests::b", true)]);
    }
}
