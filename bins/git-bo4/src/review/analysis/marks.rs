//! What the lines of a file say: test cases by the marks of their languages, and things that a person should see.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::paths;

/// The test cases of some files: what each is called, and how often there is one.
#[derive(Debug, Default)]
pub(crate) struct Cases(HashMap<Vec<u8>, usize>);

impl Cases {
    /// Takes in a version of a file; returns how many cases it has.
    pub(crate) fn add(&mut self, path: &[u8], text: &[u8]) -> usize {
        let names = names(path, text);
        let count = names.len();
        names.into_iter().for_each(|name| *self.0.entry(name).or_default() += 1);
        count
    }

    pub(crate) fn count(&self) -> usize {
        self.0.values().sum()
    }

    /// Returns the cases that the other has not, each as often as there are more of it, in order.
    pub(crate) fn without(&self, other: &Cases) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, count) in &self.0 {
            let more = count.saturating_sub(other.0.get(name).copied().unwrap_or(0));
            names.extend(std::iter::repeat_n(String::from_utf8_lossy(name).into_owned(), more));
        }
        names.sort();
        names
    }
}

/// How the cases of a language look.
struct Language {
    extensions: &'static [&'static str],
    /// Whether only files of tests are looked at, because others use the same words.
    in_tests_only: bool,
    case: LazyLock<Regex>,
    disabled: LazyLock<Regex>,
}

macro_rules! pattern {
    ($text:expr) => {
        LazyLock::new(|| Regex::new($text).expect("the pattern is well formed"))
    };
}

static LANGUAGES: [Language; 7] = [
    Language {
        extensions: &["rs"],
        in_tests_only: false,
        case: pattern!(
            r"(?m)^[ \t]*#\[(?:\w+::)*(?:test|rstest|test_case|wasm_bindgen_test)\b[^\n]*(?:[^{};]|\{[^\n]*\})*?\bfn\s+(\w+)"
        ),
        disabled: pattern!(r"(?m)^[ \t]*#\[(?:ignore\b|cfg_attr\([^\n]*\bignore\b)"),
    },
    Language {
        extensions: &["py"],
        in_tests_only: true,
        case: pattern!(r"(?m)^[ \t]*(?:async[ \t]+)?def[ \t]+(test\w*)"),
        disabled: pattern!(
            r"(?m)^[ \t]*(?:@(?:unittest\.)?(?:skip|expectedFailure)|@?pytest\.(?:mark\.)?(?:skip|xfail)|self\.skipTest\(|pytestmark\b[^\n]*skip|raise (?:unittest\.)?SkipTest)"
        ),
    },
    Language {
        extensions: &["js", "jsx", "ts", "tsx", "mjs", "cjs", "mts", "cts", "vue", "svelte"],
        in_tests_only: true,
        case: pattern!(
            r#"(?m)^[ \t]*(?:(?:it|test)(?:\.(?:only|each|concurrent|skip|todo|failing))*|Deno\.test|[fx]it|xtest)[ \t]*(?:\(|`)[ \t\n]*(?:["'`]([^"'`\n]{1,200}))?"#
        ),
        disabled: pattern!(
            r"(?m)^[ \t]*(?:(?:it|test|describe|suite|context)(?:\.\w+)*\.(?:skip|only|todo|skipIf|fixme|failing)\b|[xf](?:it|test|describe)\()"
        ),
    },
    Language {
        extensions: &["go"],
        in_tests_only: true,
        case: pattern!(r"(?m)^func[ \t]+((?:Test|Fuzz|Example)\w*)\("),
        disabled: pattern!(r"(?m)^[ \t]*\w+\.(?:Skip|Skipf|SkipNow)\("),
    },
    Language {
        extensions: &["java", "kt", "scala", "groovy"],
        in_tests_only: false,
        case: pattern!(
            r"(?m)^[ \t]*@(?:ParameterizedTest|RepeatedTest|TestFactory|Test)\b[^;{}]*?(\w+|`[^`\n]+`)[ \t]*\("
        ),
        disabled: pattern!(r"(?m)^[ \t]*@(?:Disabled|Ignore)\b"),
    },
    Language {
        extensions: &["c", "cc", "cpp", "cxx", "h", "hpp", "hh"],
        in_tests_only: false,
        case: pattern!(r"(?m)^[ \t]*(?:TEST|TEST_F|TEST_P|TYPED_TEST|TEST_CASE|SCENARIO)[ \t]*\(([^)\n]{1,200})"),
        disabled: pattern!(r"(?m)^[ \t]*(?:GTEST_SKIP\(|SKIP\(|TEST\w*\([^)\n]*\bDISABLED_)"),
    },
    Language {
        extensions: &["rb", "cs", "php", "swift"],
        in_tests_only: true,
        case: pattern!(
            r#"(?m)^[ \t]*(?:(?:it|specify|test)[ \t]+["']([^"'\n]{1,200})|(?:public |private |static |async )*(?:def|func|function)[ \t]+(test\w+)|\[(?:Fact|Theory|Test|TestMethod|TestCase)\b)"#
        ),
        disabled: pattern!(
            r"(?m)^[ \t]*(?:xit\b|xdescribe\b|skip\b|pending\b|\[Ignore\b|throw XCTSkip|[$]this->markTestSkipped)"
        ),
    },
];

fn language(path: &[u8]) -> Option<&'static Language> {
    let extension = paths::extension(path);
    let found = LANGUAGES.iter().find(|language| language.extensions.contains(&extension.as_str()))?;
    (!found.in_tests_only || paths::is_test(path)).then_some(found)
}

/// Returns what the test cases of a file are called.
fn names(path: &[u8], text: &[u8]) -> Vec<Vec<u8>> {
    let Some(language) = language(path) else { return Vec::new() };
    let name = |found: regex::bytes::Captures<'_>| {
        let group = found.iter().skip(1).flatten().next();
        group.map(|name| name.as_bytes().to_vec()).unwrap_or_default()
    };
    language.case.captures_iter(text).map(name).collect()
}

/// Counts the marks that take test cases out of the run.
pub(crate) fn disabled(path: &[u8], text: &[u8]) -> usize {
    language(path).map_or(0, |language| language.disabled.find_iter(text).count())
}

/// Returns the part of a file that is the product, without the tests that stand at its end as in Rust.
pub(crate) fn without_own_tests<'a>(path: &[u8], text: &'a [u8]) -> &'a [u8] {
    static TAIL: LazyLock<Regex> = pattern!(r"(?m)^#\[cfg\(test\)\]\n(?:#\[[^\n]*\n)*mod \w+ \{\n");
    let Some(start) = TAIL.find(text).filter(|_| paths::extension(path) == "rs") else { return text };
    let ends_there = |tail: &[u8]| {
        let lines: Vec<&[u8]> = tail.split(|byte| *byte == b'\n').collect();
        let end = lines.iter().position(|line| *line == b"}");
        end.is_some_and(|end| lines[end + 1..].iter().all(|line| line.trim_ascii().is_empty()))
    };
    if ends_there(&text[start.end()..]) { &text[..start.start()] } else { text }
}

/// Says whether the first lines of a file call it generated.
pub(crate) fn says_generated(text: &[u8]) -> bool {
    static MARK: LazyLock<Regex> =
        pattern!(r"(?m)^[ \t]*(?://|#|--|/\*|\*|;|<!--|%)[^\n]*(?:@generated|DO NOT EDIT|Code generated by)");
    MARK.is_match(&text[..text.len().min(600)])
}

/// Returns what kind of secret a line seems to hold.
pub(crate) fn secret(line: &[u8]) -> Option<&'static str> {
    static KINDS: [(&str, LazyLock<Regex>); 5] = [
        ("a private key", pattern!(r"-----BEGIN [A-Z ]*PRIVATE KEY")),
        ("a key of AWS", pattern!(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
        ("a token of GitHub", pattern!(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})")),
        (
            "a token of a service",
            pattern!(r"\b(?:xox[abprs]-[A-Za-z0-9-]{10,}|glpat-[\w-]{20,}|npm_[A-Za-z0-9]{36}|AIza[\w-]{35})"),
        ),
        ("a key of a model's service", pattern!(r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{24,}")),
    ];
    KINDS.iter().find(|(_, pattern)| pattern.is_match(line)).map(|(kind, _)| *kind)
}

/// Says whether a line leaves work for later.
pub(crate) fn is_todo(line: &[u8]) -> bool {
    static MARK: LazyLock<Regex> = pattern!(r"\b(?:TODO|FIXME|XXX|HACK)\b|\b(?:todo|unimplemented)!\(");
    MARK.is_match(line)
}

/// Says whether a line of Rust begins something unsafe.
pub(crate) fn is_unsafe(line: &[u8]) -> bool {
    static MARK: LazyLock<Regex> = pattern!(r"^[^/]*\bunsafe\s*(?:\{|fn\b|impl\b|trait\b|extern\b|$)");
    MARK.is_match(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_found_by_the_marks_of_each_language() {
        for (path, text, found) in [
            (
                "src/a.rs",
                "#[test]\nfn one() {}\n  #[tokio::test(flavor = \"x\")]\n  #[ignore]\n  async fn two() {}\n// #[test]\nfn no() {}",
                vec!["one", "two"],
            ),
            (
                "test_a.py",
                "def test_one():\n  pass\nclass A:\n  async def test_two(self): pass\ndef helper(): pass\n# def test_no",
                vec!["one", "two"],
            ),
            ("a.test.ts", "it('one', () => {});\ntest(\"two\", f);\nx.test('no');\n// it('no')\n", vec!["one", "two"]),
            ("a_test.go", "func TestOne(t *testing.T) {}\nfunc helper() {}", vec!["One"]),
            (
                "ATest.java",
                "  @Test\n  void one() {}\n  @Test(expected = X.class)\n  public void two() throws E {}",
                vec!["one", "two"],
            ),
            ("a.cc", "TEST(Suite, one) {\n}\nTEST_F(Suite, two) {", vec!["one", "two"]),
            ("src/regex.ts", "test('no', f);", vec![]),
        ] {
            let names = names(path.as_bytes(), text.as_bytes());
            let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name).to_lowercase()).collect();
            assert_eq!(names.len(), found.len(), "{path}: {names:?}");
            assert!(
                names.iter().zip(&found).all(|(name, end)| name.ends_with(&end.to_lowercase())),
                "{path}: {names:?}"
            );
        }
    }

    #[test]
    fn what_takes_cases_out_of_the_run_is_counted() {
        for (path, text, count) in [
            ("src/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n// #[ignore]", 1),
            ("test_a.py", "@pytest.mark.skip\n@unittest.skip('x')\n    pytest.skip('now')", 3),
            ("a.spec.js", "it.skip('a')\nxit('b')\ndescribe.only('c')\nit('d')", 3),
            ("a_test.go", "\tt.Skip(\"x\")\n\tt.SkipNow()", 2),
            ("ATest.java", "@Disabled(\"x\")\n@Test", 1),
        ] {
            assert_eq!(disabled(path.as_bytes(), text.as_bytes()), count, "{path}");
        }
    }

    #[test]
    fn secrets_and_leftovers_are_seen() {
        assert_eq!(secret(b"-----BEGIN RSA PRIVATE KEY-----"), Some("a private key"));
        assert_eq!(secret(format!("k = \"AKIA{}\"", "A".repeat(16)).as_bytes()), Some("a key of AWS"));
        assert_eq!(secret(format!("ghp_{}", "a".repeat(36)).as_bytes()), Some("a token of GitHub"));
        assert_eq!(secret(b"the risk-free task-based disk-0123"), None);
        assert!(is_todo(b"// TODO: later") && !is_todo(b"let todos = 1;"));
        assert!(is_unsafe(b"    unsafe { x() }") && !is_unsafe(b"// unsafe { x() }") && !is_unsafe(b"unsafe_code = 1"));
        assert!(
            says_generated(b"// Code generated by x. DO NOT EDIT.\n") && !says_generated(b"let a = \"@generated\";\n")
        );
    }

    #[test]
    fn the_tests_at_the_end_of_a_file_of_rust_are_not_the_product() {
        let text = b"fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert_eq!(without_own_tests(b"a.rs", text), b"fn a() {}\n\n");
        let more = [&text[..], b"fn hidden() {}\n"].concat();
        assert_eq!(without_own_tests(b"a.rs", &more), more);
    }
}
