//! JavaScript and TypeScript: what is exported, and calls of `it` and `test`.

use tree_sitter::Node;

use super::walk::{Next, Places, Reader, walk};
use super::{Item, Test, line, name, text};

/// Lists what is exported where it is declared, and the methods of exported classes.
pub(super) fn items(root: Node<'_>, data: &[u8]) -> Vec<Item> {
    let mut reader = Items { data, places: Places::default(), is_exported: false, found: Vec::new() };
    walk(root, &mut reader);
    reader.found
}

struct Items<'a> {
    data: &'a [u8],
    places: Places,
    /// Whether the class that comes next is exported.
    is_exported: bool,
    found: Vec<Item>,
}

impl<'t> Reader<'t> for Items<'_> {
    fn is_prelude(&self, kind: &str) -> bool {
        matches!(kind, "comment" | "decorator")
    }

    fn enter(&mut self, node: Node<'t>, prelude: &[Node<'t>]) -> Next {
        match node.kind() {
            "program" | "class_body" | "ERROR" => Next::Into,
            "export_statement" => self.enter_export(node, is_documented(prelude, self.data)),
            "method_definition" | "abstract_method_signature" => {
                let own = name(node, "name", self.data);
                if own != "constructor" && !own.starts_with('#') && !is_restricted(node, self.data) {
                    self.add(node, "method", &own, is_documented(prelude, self.data));
                }
                Next::Past
            }
            "class_declaration" | "abstract_class_declaration" | "class" if self.is_exported => {
                self.is_exported = false;
                self.places.push(&name(node, "name", self.data));
                Next::IntoPlace
            }
            _ => Next::Past,
        }
    }

    fn leave(&mut self) {
        self.places.pop();
    }
}

impl Items<'_> {
    fn enter_export(&mut self, node: Node<'_>, is_documented: bool) -> Next {
        let is_default = node.child_by_field_name("value").is_some();
        let Some(own) = node.child_by_field_name("declaration").or_else(|| node.child_by_field_name("value")) else {
            return Next::Past;
        };
        let kind = match own.kind() {
            "function_declaration" | "generator_function_declaration" | "function_expression" | "arrow_function" => {
                "function"
            }
            "class_declaration" | "abstract_class_declaration" | "class" => "class",
            "interface_declaration" => "interface",
            "type_alias_declaration" => "type",
            "enum_declaration" => "enum",
            "lexical_declaration" | "variable_declaration" => {
                let mut cursor = own.walk();
                for part in own.named_children(&mut cursor).filter(|part| part.kind() == "variable_declarator") {
                    self.add(part, "value", &name(part, "name", self.data), is_documented);
                }
                return Next::Past;
            }
            _ if is_default => "value",
            _ => return Next::Past,
        };
        let named = name(own, "name", self.data);
        self.add(own, kind, if named.is_empty() { "default" } else { &named }, is_documented);
        self.is_exported = kind == "class";
        if self.is_exported { Next::Into } else { Next::Past }
    }

    fn add(&mut self, node: Node<'_>, kind: &'static str, own: &str, is_documented: bool) {
        self.found.push(Item { line: line(node), kind, name: self.places.name(own, "."), is_documented });
    }
}

/// Says whether the last comment before is one of documentation.
fn is_documented(prelude: &[Node<'_>], data: &[u8]) -> bool {
    let last = prelude.iter().rfind(|node| node.kind() == "comment");
    last.is_some_and(|comment| text(*comment, data).starts_with(b"/**"))
}

fn is_restricted(method: Node<'_>, data: &[u8]) -> bool {
    let mut cursor = method.walk();
    let found = method.children(&mut cursor).find(|child| child.kind() == "accessibility_modifier");
    found.is_some_and(|modifier| text(modifier, data) != b"public")
}

/// Lists the calls of `it` and `test`, and of what skips a whole group.
pub(super) fn tests(root: Node<'_>, data: &[u8]) -> Vec<Test> {
    let mut reader = Tests { data, places: Places::default(), skips: Vec::new(), found: Vec::new() };
    walk(root, &mut reader);
    reader.found
}

struct Tests<'a> {
    data: &'a [u8],
    places: Places,
    /// For each group around, whether all of it is skipped.
    skips: Vec<bool>,
    found: Vec<Test>,
}

impl<'t> Reader<'t> for Tests<'_> {
    fn is_prelude(&self, _: &str) -> bool {
        false
    }

    fn enter(&mut self, node: Node<'t>, _: &[Node<'t>]) -> Next {
        if node.kind() != "call_expression" {
            return Next::Into;
        }
        let called = node.child_by_field_name("function").map(|called| text(called, self.data)).unwrap_or_default();
        let called = called.get(..called.len().min(40)).unwrap_or_default();
        let words: Vec<&[u8]> = called.split(|byte| *byte == b'.' || *byte == b'(').collect();
        let own = title(node, self.data);
        let (Some(first), Some(own)) = (words.first(), own) else { return Next::Into };
        let is_marked = words.iter().any(|word| matches!(*word, b"skip" | b"todo" | b"xit" | b"xtest" | b"xdescribe"));
        let is_skipped = is_marked || self.skips.last().is_some_and(|skips| *skips);
        match *first {
            b"it" | b"test" | b"xit" | b"xtest" if words.get(1) != Some(&&b"describe"[..]) => {
                self.found.push(Test { line: line(node), name: self.places.name(&own, " > "), is_skipped });
                Next::Past
            }
            b"describe" | b"xdescribe" | b"context" | b"suite" | b"test" => {
                self.places.push(&own);
                self.skips.push(is_skipped);
                Next::IntoPlace
            }
            _ => Next::Into,
        }
    }

    fn leave(&mut self) {
        self.places.pop();
        self.skips.pop();
    }
}

/// The first argument of a call, if it is a text.
fn title(call: Node<'_>, data: &[u8]) -> Option<String> {
    let first = call.child_by_field_name("arguments")?.named_child(0)?;
    let text = matches!(first.kind(), "string" | "template_string").then(|| text(first, data))?;
    Some(String::from_utf8_lossy(text).trim_matches(['"', '\'', '`']).to_owned())
}

#[cfg(test)]
mod tests_of_script {
    use super::super::{Language, Parsed, Parsers};

    #[test]
    fn what_is_exported_is_public() {
        let text = br#"
/** Doc. */
export function a() {}
// no doc
export const b = 1, c = 2;
function d() {}
/** Doc. */
export class E {
    constructor() {}
    /** Doc. */
    f(): void {}
    private g(): void {}
    h() { function i() {} }
}
class Hidden { j() {} }
export interface K {}
export type L = string;
/** Doc. */
export default function () {}
export { d };
"#;
        let Parsed::Done(items) = Parsers::default().items(Language::TypeScript, b"x.ts", text) else { panic!() };
        let all: Vec<(&str, bool)> = items.iter().map(|item| (item.name.as_str(), item.is_documented)).collect();
        let wanted = [
            ("a", true),
            ("b", false),
            ("c", false),
            ("E", true),
            ("E.f", true),
            ("E.h", false),
            ("K", false),
            ("L", false),
            ("default", true),
        ];
        assert_eq!(all, wanted);
    }

    #[test]
    fn tests_and_skips_are_seen() {
        let text = br#"
describe("g", () => {
  it('a', async () => {});
  it.skip("b", () => {});
  test.each([1, 2])("c %s", () => {});
});
describe.skip("h", () => { test("d", () => {}); });
xit(`e`, () => {});
regex.test("no");
test.describe("pw", () => { test("f", () => {}); });
"#;
        let Parsed::Done(tests) = Parsers::default().tests(Language::JavaScript, b"x.js", text) else { panic!() };
        let all: Vec<(&str, bool)> = tests.iter().map(|test| (test.name.as_str(), test.is_skipped)).collect();
        assert_eq!(
            all,
            [("g > a", false), ("g > b", true), ("g > c %s", false), ("h > d", true), ("e", true), ("pw > f", false)]
        );
    }
}
