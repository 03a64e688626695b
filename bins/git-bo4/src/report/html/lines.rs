//! Two versions of a file, line by line, as they are shown.

use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use shared::output::{escape, path_text};
use similar::{Algorithm, DiffOp};

use super::colours::{Colours, Spans};
use super::parts;

/// So many lines stand around a change.
const AROUND: usize = 3;
/// So long one comparison may take; what it gives then is right, but longer than it could be.
const PATIENCE: Duration = Duration::from_millis(700);
/// A line is shown up to here.
const LONGEST: usize = 2000;
/// In longer lines nothing is marked.
const MARKED: usize = 400;

/// One version of a file.
pub(super) struct Version {
    pub(super) lines: Vec<String>,
    colours: Rc<Vec<Spans>>,
    /// Whether its last line has no end.
    pub(super) is_cut: bool,
}

/// Makes two versions ready to be shown.
pub(super) fn versions(colours: &mut Colours, paths: [&[u8]; 2], texts: [&[u8]; 2]) -> [Version; 2] {
    // The end of a line is shown only where it tells something.
    let ends = texts.map(|text| text.windows(2).filter(|two| two == b"\r\n").count());
    let breaks = texts.map(|text| text.iter().filter(|byte| **byte == b'\n').count());
    let is_alike = ends == breaks;
    let mut version = |side: usize| {
        let text = texts[side];
        let body = text.strip_suffix(b"\n").unwrap_or(text);
        let show = |line: &[u8]| match line.strip_suffix(b"\r") {
            Some(line) if is_alike => shown(line),
            Some(line) => shown(line) + "\u{240d}",
            None => shown(line),
        };
        let lines: Vec<String> =
            if text.is_empty() { Vec::new() } else { body.split(|byte| *byte == b'\n').map(show).collect() };
        let is_cut = !text.is_empty() && !text.ends_with(b"\n");
        Version { colours: colours.of(paths[side], &lines), lines, is_cut }
    };
    [version(0), version(1)]
}

fn shown(line: &[u8]) -> String {
    let text = path_text(line);
    let text = escape(&text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text.into_owned(),
    }
}

/// Compares two versions; each group is a change and what stands around it.
pub(super) fn groups(old: &Version, new: &Version) -> Vec<Vec<DiffOp>> {
    let until = Instant::now() + PATIENCE;
    let (mut a, mut b): (Vec<&str>, Vec<&str>) =
        (old.lines.iter().map(String::as_str).collect(), new.lines.iter().map(String::as_str).collect());
    // A line without an end is another one.
    for (lines, version) in [(&mut a, old), (&mut b, new)] {
        if let (true, Some(last)) = (old.is_cut != new.is_cut && version.is_cut, lines.last_mut()) {
            *last = "\0";
        }
    }
    let ops = similar::capture_diff_slices_deadline(Algorithm::Myers, &a, &b, Some(until));
    similar::group_diff_ops(ops, AROUND)
}

/// Returns where two lines differ, in each of them; nothing if they have little in common.
pub(super) fn marks(old: &str, new: &str) -> [Vec<Range<usize>>; 2] {
    if old.len() > MARKED || new.len() > MARKED {
        return Default::default();
    }
    let (a, b) = (words(old), words(new));
    let text =
        |line: &str, words: &[Range<usize>]| words.iter().map(|word| line[word.clone()].to_owned()).collect::<Vec<_>>();
    let ops = similar::capture_diff_slices(Algorithm::Myers, &text(old, &a), &text(new, &b));
    let bytes = |words: &[Range<usize>], part: Range<usize>| match (words.get(part.start), part.is_empty()) {
        (Some(first), false) => Some(first.start..words[part.end - 1].end),
        _ => None,
    };
    let same = ops.iter().filter(|op| matches!(op, DiffOp::Equal { .. })).filter_map(|op| bytes(&a, op.old_range()));
    let same: usize = same.map(|range| old[range].trim().len()).sum();
    if same * 2 < old.trim().len().max(new.trim().len()) {
        return Default::default();
    }
    let changed = || ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
    [
        changed().filter_map(|op| bytes(&a, op.old_range())).collect(),
        changed().filter_map(|op| bytes(&b, op.new_range())).collect(),
    ]
}

/// Splits a line into words, spaces and signs.
fn words(line: &str) -> Vec<Range<usize>> {
    let kind = |c: char| if c.is_alphanumeric() || c == '_' { 1 } else { 2 * u8::from(c.is_whitespace()) };
    let mut all: Vec<Range<usize>> = Vec::new();
    let mut last = 0;
    for (at, c) in line.char_indices() {
        match all.last_mut() {
            Some(word) if kind(c) == last && last != 0 => word.end = at + c.len_utf8(),
            Some(_) | None => all.push(at..at + c.len_utf8()),
        }
        last = kind(c);
    }
    all
}

impl Version {
    /// Appends a line in its colours, with what is marked in it.
    pub(super) fn paint(&self, page: &mut String, at: usize, marks: &[Range<usize>]) {
        let (Some(line), none) = (self.lines.get(at), Vec::new()) else { return };
        let spans = self.colours.get(at).unwrap_or(&none);
        let mut edges: Vec<usize> = vec![0, line.len()];
        edges.extend(spans.iter().flat_map(|(range, _)| [range.start, range.end]));
        edges.extend(marks.iter().flat_map(|range| [range.start, range.end]));
        edges.retain(|edge| line.is_char_boundary(*edge));
        edges.sort_unstable();
        edges.dedup();
        for part in edges.windows(2) {
            let class = spans.iter().find(|(range, _)| range.contains(&part[0])).map(|(_, class)| *class);
            let is_marked = marks.iter().any(|range| range.contains(&part[0]));
            if is_marked {
                page.push_str("<mark>");
            }
            if let Some(class) = class {
                parts::put(page, format_args!("<span class={class}>"));
            }
            parts::push(page, &line[part[0]..part[1]]);
            page.push_str(if class.is_some() { "</span>" } else { "" });
            page.push_str(if is_marked { "</mark>" } else { "" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(old: &str, new: &str) -> [Version; 2] {
        versions(&mut Colours::new(), [b"a.txt", b"a.txt"], [old.as_bytes(), new.as_bytes()])
    }

    #[test]
    fn only_the_words_that_differ_are_marked() {
        let [old, new] = marks("let a = one(x);", "let a = two(x, y);");
        let of = |line: &'static str, ranges: Vec<Range<usize>>| {
            ranges.into_iter().map(|range| &line[range]).collect::<Vec<_>>()
        };
        assert_eq!(of("let a = one(x);", old), ["one"]);
        assert_eq!(of("let a = two(x, y);", new), ["two", ", y"]);
        assert!(marks("entirely", "something else").iter().all(Vec::is_empty));
    }

    #[test]
    fn a_line_is_painted_as_text() {
        let [_, new] = two("", "a <b>\u{202e}c\n");
        let mut page = String::new();
        let mark = 2..5;
        new.paint(&mut page, 0, std::slice::from_ref(&mark));
        assert_eq!(page, "a <mark>&lt;b&gt;</mark>\\u{202e}c");
    }

    #[test]
    fn ends_of_lines_are_shown_where_they_tell_something() {
        assert_eq!(two("a\r\nb\r\n", "a\r\n")[0].lines, ["a", "b"]);
        assert_eq!(two("a\r\n", "a\n")[0].lines, ["a\u{240d}"]);
        let [old, new] = two("a\nb\n", "a\nb");
        assert_eq!(groups(&old, &new)[0].len(), 2);
        assert!(groups(&two("a\n", "a\n")[0], &two("", "a\n")[1]).is_empty());
    }
}
