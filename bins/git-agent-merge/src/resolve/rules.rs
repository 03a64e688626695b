//! Rules that solve a hunk by its three sides alone; each claims only what it is sure of.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::text::Hunk;

/// A way to solve conflicts without an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rule {
    /// Both sides say the same
    Identical,
    /// One side changed white space only
    Whitespace,
    /// Both sides add import lines
    Imports,
    /// Both sides only add lines to a list
    Union,
    /// A command makes the file anew
    Generated,
    /// What git remembers of an earlier resolution
    Rerere,
    /// A merge by the structure of the language
    Structural,
}

impl Rule {
    /// Its name, as in merge.rules.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Rule::Identical => "identical",
            Rule::Whitespace => "whitespace",
            Rule::Imports => "imports",
            Rule::Union => "union",
            Rule::Generated => "generated",
            Rule::Rerere => "rerere",
            Rule::Structural => "structural",
        }
    }
}

/// Solves a hunk by one rule of lines, if that claims it.
pub(crate) fn solve(rule: Rule, path: &[u8], hunk: &Hunk) -> Option<Vec<u8>> {
    match rule {
        Rule::Identical => (hunk.ours == hunk.theirs).then(|| hunk.ours.clone()),
        Rule::Whitespace => whitespace(path, hunk),
        Rule::Imports => imports(hunk),
        Rule::Union => union(hunk),
        Rule::Generated | Rule::Rerere | Rule::Structural => None,
    }
}

/// One side differs from the base, or both from each other, by white space only.
fn whitespace(path: &[u8], hunk: &Hunk) -> Option<Vec<u8>> {
    let Hunk { base, ours, theirs, .. } = hunk;
    let [plain_base, plain_ours, plain_theirs] = [base, ours, theirs].map(|side| without_space(path, side));
    // Two sides that add nothing but blank lines are no change of white space within something.
    if plain_ours.is_empty() && plain_theirs.is_empty() {
        return None;
    }
    let (spaced, other) = if plain_base == plain_ours && !plain_base.is_empty() {
        (ours, theirs)
    } else if plain_base == plain_theirs && !plain_base.is_empty() {
        (theirs, ours)
    } else if plain_ours == plain_theirs {
        // The same change, laid out in two ways.
        let is_laid_out_alike = !means_by_indent(path) || indents(ours) == indents(theirs);
        return is_laid_out_alike.then(|| ours.clone());
    } else {
        return None;
    };
    let moved = match shift(base, spaced) {
        Some(Shift::None) => Some(other.clone()),
        Some(shift) => shift.of(other),
        None => (!means_by_indent(path)).then(|| other.clone()),
    }?;
    Some(with_ends_of(moved, base, spaced))
}

/// Gives every line the end that one side gave all of its lines.
fn with_ends_of(content: Vec<u8>, base: &[u8], spaced: &[u8]) -> Vec<u8> {
    let ends = |side: &[u8]| {
        let all = side.iter().filter(|byte| **byte == b'\n').count();
        let with_return = side.windows(2).filter(|pair| pair == b"\r\n").count();
        (with_return > 0, with_return == all)
    };
    let (had_some, had_all) = ends(base);
    let (has_some, has_all) = ends(spaced);
    let plain = |content: &[u8]| -> Vec<u8> {
        let lines = content.split_inclusive(|byte| *byte == b'\n');
        lines.flat_map(|line| line.strip_suffix(b"\r\n").map_or(line.to_vec(), |line| [line, b"\n"].concat())).collect()
    };
    if !had_some && has_some && has_all {
        let lines = plain(&content);
        return lines.iter().flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] }).collect();
    }
    if had_some && had_all && !has_some { plain(&content) } else { content }
}

/// How one side moved all lines to the right or to the left.
enum Shift {
    None,
    In(Vec<u8>),
    Out(Vec<u8>),
}

impl Shift {
    fn of(&self, content: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            if line.trim_ascii().is_empty() {
                out.extend_from_slice(line);
                continue;
            }
            match self {
                Shift::None => out.extend_from_slice(line),
                Shift::In(more) => {
                    out.extend_from_slice(more);
                    out.extend_from_slice(line);
                }
                Shift::Out(less) => out.extend_from_slice(line.strip_prefix(less.as_slice())?),
            }
        }
        Some(out)
    }
}

/// Finds the one shift that makes the indentation of the one that of the other.
fn shift(from: &[u8], to: &[u8]) -> Option<Shift> {
    let (from, to) = (indents(from), indents(to));
    if from == to {
        return Some(Shift::None);
    }
    let (first_from, first_to) = (from.first()?, to.first()?);
    let shift = if let Some(more) = first_to.strip_suffix(first_from.as_slice()) {
        Shift::In(more.to_vec())
    } else {
        Shift::Out(first_from.strip_suffix(first_to.as_slice())?.to_vec())
    };
    let fits = from.len() == to.len()
        && from.iter().zip(&to).all(|(from, to)| match &shift {
            Shift::None => from == to,
            Shift::In(more) => [more.as_slice(), from].concat() == *to,
            Shift::Out(less) => [less.as_slice(), to].concat() == *from,
        });
    fits.then_some(shift)
}

/// What stands before each line that is not blank.
fn indents(content: &[u8]) -> Vec<Vec<u8>> {
    let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    lines.map(|line| line[..line.len() - line.trim_ascii_start().len()].to_vec()).collect()
}

/// Languages in which the indentation says what belongs together.
fn means_by_indent(path: &[u8]) -> bool {
    let path = String::from_utf8_lossy(path);
    let path = Path::new(&*path);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    matches!(
        extension,
        "py" | "pyi"
            | "pyx"
            | "yaml"
            | "yml"
            | "coffee"
            | "haml"
            | "pug"
            | "sass"
            | "styl"
            | "nim"
            | "fs"
            | "fsx"
            | "hs"
            | "elm"
            | "mk"
            | "md"
            | "rst"
            | "gd"
            | "slim"
            | "bzl"
    ) || name.starts_with("Makefile")
        || name == "GNUmakefile"
}

/// Languages in which a space beside a bracket, a comma or an operator says nothing.
///
/// In a shell, in CSS, in YAML or in a text it may: `a = b`, `.a .b`, `a: b`, `# a`.
fn is_free_form(path: &[u8]) -> bool {
    const EXTENSIONS: &[&str] = &[
        "c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx", "m", "mm", "rs", "js", "jsx", "mjs", "cjs", "ts", "tsx",
        "mts", "cts", "java", "kt", "go", "cs", "scala", "dart", "php", "zig", "json", "jsonc", "json5", "proto", "py",
        "pyi", "pyx",
    ];
    let path = String::from_utf8_lossy(path);
    let extension = Path::new(&*path).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    EXTENSIONS.contains(&extension)
}

/// The text without white space that its language does not mind: some of it stays between words and
/// between operators, and all of it within quotes and between lines.
fn without_space(path: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let is_operator = |byte: u8| b"+-*/%&|^<>=!~?:.@$#\\".contains(&byte);
    let free = is_free_form(path);
    for line in content.split(|byte| *byte == b'\n') {
        let mut rest = line.trim_ascii();
        // To a preprocessor `#define f (x)` is not `#define f(x)`.
        let free = free && !rest.starts_with(b"#");
        let mut spaced = false;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte.is_ascii_whitespace() {
                spaced = true;
                continue;
            }
            // A space between two words or two operators holds them apart.
            let holds = |last: u8| !free || is_word(byte) && is_word(last) || is_operator(byte) && is_operator(last);
            if spaced && out.last().is_some_and(|last| holds(*last)) {
                out.push(b' ');
            }
            spaced = false;
            out.push(byte);
            if matches!(byte, b'"' | b'\'' | b'`')
                && let Some(end) = closing(rest, byte)
            {
                out.extend_from_slice(&rest[..=end]);
                rest = &rest[end + 1..];
            }
        }
        // Lines that are joined or split may mean something else; blank ones do not count.
        if !line.trim_ascii().is_empty() {
            out.push(b'\n');
        }
    }
    out
}

/// Where a quote that was opened is closed on its line; nothing if it is not, as in "don't".
fn closing(rest: &[u8], quote: u8) -> Option<usize> {
    let mut escaped = false;
    rest.iter().position(|byte| {
        let is_end = *byte == quote && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_end
    })
}

/// Every line of all three sides is an import: what is left of the base and what either side added.
fn imports(hunk: &Hunk) -> Option<Vec<u8>> {
    let sides = [&hunk.base, &hunk.ours, &hunk.theirs].map(|side| lines(side));
    let all_are = sides.iter().flatten().all(|line| is_import(line));
    if !all_are || sides[1].is_empty() || sides[2].is_empty() {
        return None;
    }
    // The order of imports says nothing, so one line is as good as sorted.
    Some(united(&sides, 1))
}

fn is_import(line: &[u8]) -> bool {
    const STARTS: [&str; 12] = [
        "import ",
        "from ",
        "use ",
        "pub use ",
        "mod ",
        "pub mod ",
        "#include ",
        "using ",
        "require ",
        "require(",
        "@import ",
        "export * from ",
    ];
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    // One that goes on in the next line cannot be moved by itself.
    let is_whole = !text.ends_with(['{', '(', ',', '\\'])
        && text.matches('{').count() == text.matches('}').count()
        && text.matches('(').count() == text.matches(')').count();
    is_whole
        && (STARTS.iter().any(|start| text.starts_with(start))
            || ((text.starts_with("const ") || text.starts_with("var ")) && text.contains("= require(")))
}

/// Both sides keep every line of the base and only add some.
fn union(hunk: &Hunk) -> Option<Vec<u8>> {
    let sides = [&hunk.base, &hunk.ours, &hunk.theirs].map(|side| lines(side));
    let keeps = |side: &[&[u8]]| {
        let mut rest = side.iter();
        sides[0].iter().all(|line| rest.any(|other| other == line))
    };
    // A line that is there twice would be one afterwards.
    let is_simple = sides.iter().all(|side| side.iter().collect::<HashSet<_>>().len() == side.len());
    (is_simple && keeps(&sides[1]) && keeps(&sides[2])).then(|| united(&sides, 2))
}

fn lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|byte| *byte == b'\n').collect()
}

/// Our lines, and behind the last one that both have in common what only the other side has; sorted
/// if both were, with at least so many lines.
fn united(sides: &[Vec<&[u8]>; 3], least: usize) -> Vec<u8> {
    let [base, ours, theirs] = sides;
    let gone = |line: &&[u8]| base.contains(line) && !(ours.contains(line) && theirs.contains(line));
    let mut out: Vec<&[u8]> = ours.iter().copied().filter(|line| !gone(line)).collect();
    let mut place = 0;
    for line in theirs.iter().copied().filter(|line| !gone(line)) {
        match out.iter().position(|other| *other == line) {
            Some(at) => place = at + 1,
            None => {
                // Behind what we added at the same place.
                let end = out[place.min(out.len())..].iter().position(|other| theirs.contains(other));
                let at = end.map_or(out.len(), |end| place + end);
                out.insert(at, line);
                place = at + 1;
            }
        }
    }
    let is_sorted = |lines: &[&[u8]]| lines.len() >= least && lines.is_sorted();
    if is_sorted(ours) && is_sorted(theirs) {
        out.sort_unstable();
    }
    let mut bytes = out.concat();
    // The last line of a file may have had no end.
    if out.iter().any(|line| !line.ends_with(b"\n")) {
        bytes = out.iter().flat_map(|line| [line.strip_suffix(b"\n").unwrap_or(line), b"\n"].concat()).collect();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solved(rule: Rule, path: &str, base: &str, ours: &str, theirs: &str) -> Option<String> {
        let hunk = Hunk { base: base.into(), ours: ours.into(), theirs: theirs.into(), solution: None };
        solve(rule, path.as_bytes(), &hunk).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn white_space_of_one_side_gives_way_to_the_others_change() {
        let by = |path, base, ours, theirs| solved(Rule::Whitespace, path, base, ours, theirs);
        assert_eq!(by("a.c", "f(a,b);\n", "f(a, b);\n", "f(a,c);\n").as_deref(), Some("f(a,c);\n"));
        assert_eq!(by("a.c", "x;  \n", "y;\n", "x;\n").as_deref(), Some("y;\n"));
        assert_eq!(by("a.c", "x;\ny;\n", "  x;\n  y;\n", "x;\nz;\n").as_deref(), Some("  x;\n  z;\n"), "shifted too");
        assert_eq!(by("a.py", "x\ny\n", "  x\n  y\n", "x\nz\n").as_deref(), Some("  x\n  z\n"));
        assert_eq!(by("a.py", "x\ny\n", "x\n  y\n", "x\nz\n"), None, "another meaning");
        assert_eq!(by("a.c", "x\n", "y( 1 )\n", "y(1)\n").as_deref(), Some("y( 1 )\n"));
        assert_eq!(by("a.c", "x\n", "x\r\n", "y\n").as_deref(), Some("y\r\n"), "ends of lines are kept");
        assert_eq!(by("a.c", "x\r\n", "y\r\n", "x\n").as_deref(), Some("y\n"));
    }

    #[test]
    fn what_is_more_than_white_space_is_not_touched() {
        let by = |base, ours, theirs| solved(Rule::Whitespace, "a.c", base, ours, theirs);
        assert_eq!(by("s = \"a b\";\n", "s = \"ab\";\n", "s = 1;\n"), None, "within quotes");
        assert_eq!(by("int x;\n", "intx;\n", "int y;\n"), None, "one word from two");
        assert_eq!(by("a\n", "b\n", "c\n"), None);
        assert_eq!(by("", "\n", "\n\n"), None);
        assert_eq!(by("a - -b;\n", "a--b;\n", "a - -c;\n"), None, "one operator from two");
        assert_eq!(by("#define f (x)\n", "#define f(x)\n", "#define f (y)\n"), None, "to the preprocessor");
        assert_eq!(by("don't  do\n", "don't do\n", "do\n").as_deref(), Some("do\n"), "no quote at all");
    }

    #[test]
    fn where_a_space_may_mean_something_only_its_width_does_not_count() {
        for (path, base, ours, theirs) in [
            ("run.sh", "a = b\n", "a=b\n", "a = c\n"),
            ("a.css", ".a .b {\n", ".a.b {\n", ".a .c {\n"),
            ("a.yaml", "a: b\n", "a:b\n", "a: c\n"),
            ("notes", "# a\n", "#a\n", "# b\n"),
        ] {
            assert_eq!(solved(Rule::Whitespace, path, base, ours, theirs), None, "{path}");
            let wide = base.replace(' ', "  ");
            assert_eq!(solved(Rule::Whitespace, path, base, &wide, theirs).as_deref(), Some(theirs), "{path}");
        }
    }

    #[test]
    fn imports_are_united_and_sorted_where_they_were() {
        let by = |base, ours, theirs| solved(Rule::Imports, "a.rs", base, ours, theirs);
        assert_eq!(by("", "use b;\n", "use a;\n").as_deref(), Some("use a;\nuse b;\n"));
        let unsorted = by("", "use c;\nuse b;\n", "use a;\n");
        assert_eq!(unsorted.as_deref(), Some("use c;\nuse b;\nuse a;\n"));
        let sorted = by("use b;\nuse d;\n", "use b;\nuse c;\nuse d;\n", "use a;\nuse b;\nuse d;\n");
        assert_eq!(sorted.as_deref(), Some("use a;\nuse b;\nuse c;\nuse d;\n"));
        let removed = by("use b;\nuse d;\n", "use b;\n", "use b;\nuse d;\nuse e;\n");
        assert_eq!(removed.as_deref(), Some("use b;\nuse e;\n"), "what one side took out stays out");
        assert_eq!(by("", "use b;\nlet x = 1;\n", "use a;\n"), None);
        assert_eq!(by("", "use b::{\n", "use a;\n"), None, "a line that goes on");
    }

    #[test]
    fn lists_are_united_only_where_both_sides_add() {
        let by = |base, ours, theirs| solved(Rule::Union, "list", base, ours, theirs);
        assert_eq!(by("x\n", "x\no\n", "x\nt\n").as_deref(), Some("x\no\nt\n"));
        assert_eq!(by("x\ny\n", "o\nx\ny\n", "x\ny\nt\n").as_deref(), Some("o\nx\ny\nt\n"));
        assert_eq!(by("x\n", "o\n", "x\nt\n"), None, "one side took a line out");
        assert_eq!(by("", "o\no\n", "t\n"), None, "a line twice");
        assert_eq!(by("", "same\no\n", "same\nt\n").as_deref(), Some("same\no\nt\n"));
    }
}
