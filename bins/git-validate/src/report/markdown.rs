//! Markdown for a comment or a summary: foreign words stand in code only, where nothing is a link,
//! a mention or an element.

use super::{end, harmless, is_untold, more_findings, reason};
use crate::verdict::{Answer, CheckStatus, Row};

pub(crate) fn render(answers: &[Answer]) -> String {
    answers.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn one(answer: &Answer) -> String {
    let mut text = format!("# {}: {}\n", answer.verdict.word(), code(&answer.subject.to_string()));
    if answer.checks.is_empty() {
        return text;
    }
    text.push_str("\n| check | verdict | seconds | reason |\n| --- | --- | ---: | --- |\n");
    for row in &answer.checks {
        let status = row.status.map_or("not run", CheckStatus::word);
        let time = row.duration_ms.map(|ms| format!("{}.{:03}", ms / 1000, ms % 1000)).unwrap_or_default();
        let reason = row.reason.as_deref().map(cell).unwrap_or_default();
        text.push_str(&format!("| {} | {status} | {time} | {reason} |\n", cell(&row.name)));
    }
    if answer.checks.iter().any(|row| !row.findings.is_empty()) {
        text.push_str("\n## Findings\n\n");
        answer.checks.iter().for_each(|row| findings(&mut text, row));
    }
    for row in answer.checks.iter().filter(|row| is_untold(row)) {
        text.push_str(&format!("\n## {}: {}\n\n{}", code(&row.name), code(&reason(row)), fenced(end(row))));
    }
    text
}

fn findings(text: &mut String, row: &Row) {
    for finding in &row.findings {
        let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
        let place =
            finding.path.as_ref().map(|path| format!("{} ", code(&format!("{path}{line}")))).unwrap_or_default();
        let (message, rule) = (code(&finding.message), code(&finding.rule));
        text.push_str(&format!("- {} {place}{message} ({}, {rule})\n", finding.severity, code(&row.name)));
    }
    if more_findings(row) > 0 {
        text.push_str(&format!("- and {} more of {}\n", more_findings(row), code(&row.name)));
    }
}

/// Text as code in a line; longer marks than any inside, and a space where one would touch them.
fn code(text: &str) -> String {
    let text = harmless(text).replace('\n', " ");
    if text.trim().is_empty() {
        return "(empty)".to_owned();
    }
    let marks = "`".repeat(longest_run(&text) + 1);
    let touches = |c: char| c == '`' || c == ' ';
    let space = if text.starts_with(touches) || text.ends_with(touches) { " " } else { "" };
    format!("{marks}{space}{text}{space}{marks}")
}

/// Text as code in a table, where a bar would end it even there.
fn cell(text: &str) -> String {
    if !text.contains('|') {
        return code(text);
    }
    let plain = |c: char| c.is_alphanumeric() || c == ' ';
    let text = harmless(text).replace('\n', " ");
    let parts = text.chars().map(|c| if plain(c) { c.to_string() } else { format!("&#{};", u32::from(c)) });
    format!("<code>{}</code>", parts.collect::<String>())
}

/// Lines between fences that are longer than any run inside.
fn fenced(text: &str) -> String {
    let text = harmless(text);
    if text.trim().is_empty() {
        return "It printed nothing.\n".to_owned();
    }
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    format!("{fence}text\n{text}\n{fence}\n")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{EVIL, hostile};
    use super::*;

    #[test]
    fn code_ends_where_it_is_to_end() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`` b`"), "``` a`` b` ```");
        assert_eq!(code(" \n "), "(empty)");
        assert_eq!(cell("a|`*@x"), "<code>a&#124;&#96;&#42;&#64;x</code>");
        assert_eq!(fenced("a\n````\nb"), "`````text\na\n````\nb\n`````\n");
    }

    #[test]
    fn foreign_words_stand_in_code_only() {
        let text = render(&[hostile()]);
        let mut fence: Option<&str> = None;
        for line in text.lines() {
            match fence {
                Some(open) if line == open => fence = None,
                None if line.ends_with("```text") => fence = line.strip_suffix("text"),
                Some(_) => {}
                None => {
                    let line = without_elements(line);
                    let outside = without_code(&line);
                    for word in ["@", "http", "](", "<b", "::"] {
                        assert!(!outside.contains(word), "{word} in {line}");
                    }
                }
            }
        }
        assert!(fence.is_none() && EVIL.contains("```"));
        let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(table.len(), 6);
        assert!(table.iter().all(|row| row.matches('|').count() == 5), "{table:?}");
    }

    fn without_elements(line: &str) -> String {
        let mut parts = line.split("<code>");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |line, part| line + part.split_once("</code>").unwrap().1)
    }

    /// Takes what stands between equally long runs of marks out of a line.
    fn without_code(line: &str) -> String {
        let mut outside = String::new();
        let mut rest = line;
        while let Some(at) = rest.find('`') {
            outside.push_str(&rest[..at]);
            let run = rest[at..].len() - rest[at..].trim_start_matches('`').len();
            let marks = &rest[at..at + run];
            let inside = &rest[at + run..];
            let mut from = 0;
            let end = loop {
                let Some(found) = inside[from..].find('`').map(|found| from + found) else { panic!("open in {line}") };
                let length = inside[found..].len() - inside[found..].trim_start_matches('`').len();
                if length == marks.len() {
                    break found + length;
                }
                from = found + length;
            };
            rest = &inside[end..];
        }
        outside + rest
    }
}
