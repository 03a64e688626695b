//! Workflow commands of GitHub Actions: an annotation for each finding.
//!
//! Each line is either a command of ours or begins with a word of ours, so nothing that a check
//! prints can be taken for a command.

use super::{end, harmless, is_untold, more_findings, reason};
use crate::finding::Severity;
use crate::verdict::{Answer, CheckStatus, Row};

pub(crate) fn render(answers: &[Answer]) -> String {
    let mut text = String::new();
    for answer in answers {
        answer.checks.iter().for_each(|row| add(&mut text, row));
        let subject = data(&answer.subject.to_string());
        let passed = answer.checks.iter().filter(|row| row.status == Some(CheckStatus::Pass)).count();
        let verdict = answer.verdict.word();
        text.push_str(&format!("git-validate: {verdict}  {subject}  {passed} of {} passed\n", answer.checks.len()));
    }
    text
}

fn add(text: &mut String, row: &Row) {
    for finding in &row.findings {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let path = finding.path.as_ref().map(|path| format!("file={},", property(path))).unwrap_or_default();
        let line = finding.line.map(|line| format!("line={line},")).unwrap_or_default();
        let title = property(&format!("{}: {}", row.name, finding.rule));
        text.push_str(&format!("::{command} {path}{line}title={title}::{}\n", data(&finding.message)));
    }
    let title = property(&row.name);
    if is_untold(row) {
        text.push_str(&format!("::error title={title}::{}\n", data(&format!("{}\n{}", reason(row), end(row)))));
    }
    if more_findings(row) > 0 {
        text.push_str(&format!("::notice title={title}::and {} findings more\n", more_findings(row)));
    }
    if row.status.is_none() {
        text.push_str(&format!("::warning title={title}::{}\n", data(&reason(row))));
    }
}

/// A message, as the toolkit's `escapeData` writes it; the older form of a command is broken up, wherever it stands.
fn data(text: &str) -> String {
    let text = harmless(text.trim_end()).replace("##[", "# #[");
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property, as the toolkit's `escapeProperty` writes it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::samples::{answer, finding, hostile, row};
    use super::*;
    #[test]
    fn a_finding_is_an_annotation_at_its_place() {
        let findings =
            vec![finding(Some("src/a.rs"), Severity::Error, "100% wrong\nindeed"), finding(None, Severity::Note, "so")];
        let text = render(&[answer(vec![Row { findings, ..row("unit", Some(CheckStatus::Fail)) }])]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "::error file=src/a.rs,line=7,title=unit%3A rule::100%25 wrong%0Aindeed");
        assert_eq!(lines[1], "::notice title=unit%3A rule::so");
        assert!(lines[2].starts_with("git-validate: fail  HEAD (commit ") && lines[2].ends_with("0 of 1 passed"));
    }

    #[test]
    fn no_output_can_be_a_command() {
        let text = render(&[hostile()]);
        for line in text.lines() {
            let own = ["::error ", "::warning ", "git-validate: "];
            assert!(own.iter().any(|begin| line.starts_with(begin)), "{line}");
            assert!(!line.contains("##[") && !line.contains(['\r', '\u{1b}', '\0']), "{line}");
            let Some((properties, _)) = line.strip_prefix("::").and_then(|rest| rest.split_once("::")) else {
                continue;
            };
            assert!(properties.matches(',').count() <= 2, "{properties}");
        }
        assert!(text.contains("file=odd%0A|`%2C%3A%25[x]\\xff,line=7,title="), "{text}");
    }
}
