//! Reminders that say nowhere else what is to be done.

use aho_corasick::AhoCorasick;
use regex::bytes::Regex;

use super::{Found, LineCounter, line_around};

/// How far a line is looked at to either side.
const REACH: usize = 2000;

/// What to look for.
#[derive(Debug)]
pub(crate) struct Todo {
    words: Vec<String>,
    finder: Option<AhoCorasick>,
    usual: Option<Regex>,
    reference: Option<Regex>,
}

impl Todo {
    /// Looks for these words without `#123`, a URL or what `reference` matches beside them.
    pub(crate) fn new(words: &[String], reference: Option<Regex>) -> Todo {
        // Neither can fail for want of memory with words of a setting; without them nothing would be found.
        Todo {
            words: words.to_vec(),
            finder: AhoCorasick::new(words).ok(),
            usual: Regex::new(r"#[0-9]+|https?://[^\s)]").ok(),
            reference,
        }
    }

    pub(super) fn judge(&self, data: &[u8], own: &mut Found) {
        let Some(finder) = &self.finder else { return };
        let mut counter = LineCounter::new(data);
        let mut last = 0;
        for hit in finder.find_iter(data) {
            let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
            let before = hit.start().checked_sub(1).and_then(|at| data.get(at));
            if is_part(before) || is_part(data.get(hit.end())) {
                continue;
            }
            let line = line_around(data, hit.start(), REACH);
            let refers = |pattern: &Option<Regex>| pattern.as_ref().is_some_and(|pattern| pattern.is_match(line));
            if refers(&self.usual) || refers(&self.reference) {
                continue;
            }
            let number = counter.line_of(hit.start());
            if number != last {
                own.add(number, || self.words[hit.pattern().as_usize()].clone());
                last = number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_on_the_line_is_enough() {
        let words = ["TODO", "FIXME"].map(str::to_owned);
        let todo = Todo::new(&words, Regex::new("PROJ-[0-9]+").ok());
        let mut own = Found::at(0);
        let text = b"// TODO: x\n// TODO(#12)\nTODOS a_TODO\nFIXME PROJ-7\nFIXME https://x.org\nFIXME and TODO";
        todo.judge(text, &mut own);
        let lines: Vec<(u32, &str)> = own.spots.iter().map(|spot| (spot.line, spot.detail.as_str())).collect();
        assert_eq!(lines, [(1, "TODO"), (6, "FIXME")]);
    }
}
