//! Reports of other tools, read into findings and counts.
//!
//! A report is foreign text: whatever stands in it, reading ends, in a time and a space that grow
//! with its length only.

mod cobertura;
mod junit;
mod lcov;
mod paths;
mod sarif;
mod xml;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::checks::Format;
use crate::finding::{Finding, Severity};
use crate::verdict::MOST_FINDINGS;

/// A message is cut after this many characters.
const LONGEST: usize = 300;

/// What a report says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Of each severity no more than a note may hold.
    pub(crate) findings: Vec<Finding>,
    /// `tests`, `failures`, `errors`, `skipped` of JUnit; `lines`, `lines-covered` of coverage; `findings` if there are
    /// more than are kept.
    pub(crate) counts: BTreeMap<String, u64>,
}

impl Parsed {
    fn count(&mut self, what: &str, many: u64) {
        let count = self.counts.entry(what.to_owned()).or_insert(0);
        *count = count.saturating_add(many);
    }

    /// Adds a finding, or its number alone where there are many already.
    fn add(&mut self, finding: Finding) {
        let all = self.findings.len() as u64;
        let alike = |severity: Severity| self.findings.iter().filter(|other| other.severity == severity).count();
        if alike(finding.severity) < MOST_FINDINGS {
            self.findings.push(finding);
            self.counts.entry("findings".to_owned()).and_modify(|count| *count += 1);
        } else {
            *self.counts.entry("findings".to_owned()).or_insert(all) += 1;
        }
    }
}

/// Reads a report; paths in it are seen from `top`.
///
/// # Errors
/// When it is not of that format, or not whole.
pub(crate) fn parse(format: Format, bytes: &[u8], top: &Path) -> Result<Parsed> {
    match format {
        Format::Junit => junit::parse(bytes, top),
        Format::Sarif => sarif::parse(bytes, top),
        Format::Lcov => lcov::parse(bytes),
        Format::Cobertura => cobertura::parse(bytes),
    }
}

/// Makes a message one line of bounded length.
fn message(text: &str) -> String {
    let mut words = String::new();
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
        if words.len() > 4 * LONGEST {
            break;
        }
    }
    match words.char_indices().nth(LONGEST) {
        None => words,
        Some(_) => words.chars().take(LONGEST - 1).chain(['…']).collect(),
    }
}

/// Reads a line number, from 1.
fn line(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|line| *line > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_bounded() {
        assert_eq!(message("  a\n\tb  c\n"), "a b c");
        assert_eq!(message(&"ä".repeat(300)), "ä".repeat(300));
        assert_eq!(message(&"ä".repeat(301)), format!("{}…", "ä".repeat(299)));
        assert_eq!(message(&"x ".repeat(1 << 20)).chars().count(), LONGEST);
    }

    #[test]
    fn many_notes_hide_no_error() {
        let finding = |severity| Finding { path: None, line: None, rule: "r".into(), severity, message: "m".into() };
        let mut parsed = Parsed::default();
        (0..1000).for_each(|_| parsed.add(finding(Severity::Note)));
        parsed.add(finding(Severity::Error));
        assert_eq!((parsed.findings.len(), parsed.counts["findings"]), (MOST_FINDINGS + 1, 1001));
        assert!(crate::verdict::has_error(&parsed.findings));
    }

    #[test]
    fn nothing_makes_a_reader_panic() {
        let junk: [&[u8]; 9] =
            [b"", b"\0", b"\xff\xfe<\0", b"{", b"[]", b"<", b"<a", b"LF:99999999999999999999", b"<testsuite/><x>"];
        for format in [Format::Junit, Format::Sarif, Format::Lcov, Format::Cobertura] {
            for bytes in junk {
                assert!(parse(format, bytes, Path::new("/top")).is_err(), "{format}: {bytes:?}");
            }
            let deep = [b"<testsuite>".repeat(200_000), b"[{".repeat(100_000)];
            for bytes in deep {
                assert!(parse(format, &bytes, Path::new("/top")).is_err(), "{format}");
            }
        }
    }
}
