//! SARIF 2.1.0: one run, an invocation for each subject, a result for each finding.

use serde_json::{Value, json};

use super::{end, is_untold, more_findings, reason};
use crate::finding::{Finding, Severity};
use crate::render::worst;
use crate::verdict::{Answer, CheckStatus, Row};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The name by which consumers know the top of the checkout.
const TOP: &str = "%SRCROOT%";

pub(crate) fn render(answers: &[Answer]) -> String {
    let mut rules = Vec::new();
    let mut results = Vec::new();
    for (invocation, answer) in answers.iter().enumerate() {
        for row in &answer.checks {
            for finding in &row.findings {
                let rule = rule(&mut rules, &finding.rule);
                results.push(result(finding, row, &finding.rule, rule, invocation));
            }
            if is_untold(row) {
                let rule = rule(&mut rules, &row.name);
                results.push(result(&untold(row), row, &row.name, rule, invocation));
            }
        }
    }
    let rules: Vec<Value> = rules.iter().map(|id| json!({ "id": id })).collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "git-validate", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "invocations": answers.iter().map(invocation).collect::<Vec<_>>(),
            "originalUriBaseIds": { TOP: { "description": { "text": "The top of the tree that is judged." } } },
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": { "verdict": worst(answers).word() },
        }],
    });
    format!("{log:#}\n")
}

/// Returns the place of a rule in the list.
fn rule(rules: &mut Vec<String>, id: &str) -> usize {
    rules.iter().position(|known| known == id).unwrap_or_else(|| {
        rules.push(id.to_owned());
        rules.len() - 1
    })
}

/// What a check says by its end alone.
fn untold(row: &Row) -> Finding {
    let words = format!("{}\n{}", reason(row), end(row));
    let message = words.trim_end().to_owned();
    Finding { path: None, line: None, rule: row.name.clone(), severity: Severity::Error, message }
}

fn result(finding: &Finding, row: &Row, id: &str, rule: usize, invocation: usize) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    json!({
        "ruleId": id,
        "ruleIndex": rule,
        "level": level,
        "message": { "text": plain(&finding.message) },
        "locations": [{ "physicalLocation": location(finding) }],
        "provenance": { "invocationIndex": invocation },
        "properties": { "check": row.name },
    })
}

/// What is about no file is about the whole tree: consumers refuse a result without a place.
fn location(finding: &Finding) -> Value {
    let path = finding.path.as_deref().unwrap_or(".");
    let mut location = match path.strip_prefix('/') {
        Some(_) => json!({ "artifactLocation": { "uri": format!("file://{}", uri(path)) } }),
        None => json!({ "artifactLocation": { "uri": uri(path), "uriBaseId": TOP } }),
    };
    if let Some(line) = finding.line.filter(|line| *line > 0) {
        location["region"] = json!({ "startLine": line });
    }
    location
}

fn invocation(answer: &Answer) -> Value {
    let could_not = |row: &&Row| matches!(row.status, Some(CheckStatus::TimedOut | CheckStatus::Broken));
    let note = |level: &str, text: String| json!({ "level": level, "message": { "text": plain(&text) } });
    let mut notes = Vec::new();
    for row in &answer.checks {
        if row.status.is_none() {
            notes.push(note("warning", format!("{}: {}", row.name, reason(row))));
        }
        if more_findings(row) > 0 {
            notes.push(note("note", format!("{}: {} findings are not listed", row.name, more_findings(row))));
        }
    }
    json!({
        "executionSuccessful": !answer.checks.iter().any(|row| could_not(&row)),
        "toolExecutionNotifications": notes,
        "properties": {
            "verdict": answer.verdict.word(),
            "subject": answer.subject.rev,
            "commit": answer.subject.commit.map(|id| id.to_string()),
            "tree": answer.subject.tree.to_string(),
            "cached": answer.cached,
        },
    })
}

/// In a plain message `[words](address)` is a link, unless its brackets are escaped.
fn plain(text: &str) -> String {
    if text.contains("](") { text.replace('[', "\\[").replace(']', "\\]") } else { text.to_owned() }
}

/// A path as a URI reference.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in bytes(path) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

/// The bytes of a path that is written as text: `\xNN` is one byte, but only in a path that is no UTF-8 with it.
fn bytes(path: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find("\\x") {
        let (before, from) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        let byte = from.get(2..4).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|byte| *byte >= 0x80);
        bytes.extend_from_slice(byte.as_ref().map_or(b"\\x", std::slice::from_ref));
        rest = &from[if byte.is_some() { 4 } else { 2 }..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    if std::str::from_utf8(&bytes).is_ok() { path.as_bytes().to_vec() } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{answer, finding, hostile, row};
    use super::*;

    #[test]
    fn a_path_is_a_uri_by_its_bytes() {
        assert_eq!(uri("src/a b.rs"), "src/a%20b.rs");
        assert_eq!(uri("ä:\n%?#[]\"🍎"), "%C3%A4%3A%0A%25%3F%23%5B%5D%22%F0%9F%8D%8E");
        assert_eq!(uri("a\\xff\\xfeb"), "a%FF%FEb");
        assert_eq!(uri("plain\\x41\\xzz"), "plain%5Cx41%5Cxzz");
        assert_eq!(uri("text\\xc3\\xa4"), "text%5Cxc3%5Cxa4");
    }

    #[test]
    fn our_own_reader_reads_it() {
        let log = render(&[hostile(), answer(Vec::new())]);
        let parsed =
            crate::outputs::parse(crate::checks::Format::Sarif, log.as_bytes(), std::path::Path::new("/x")).unwrap();
        let paths: Vec<Option<&str>> = parsed.findings.iter().map(|finding| finding.path.as_deref()).collect();
        assert_eq!(paths, [Some("odd\n|`,:%[x]\\xff"), None, None]);
        assert_eq!(parsed.findings.iter().filter(|finding| finding.severity == Severity::Error).count(), 2);
    }

    #[test]
    fn a_failure_without_an_error_among_its_findings_is_a_result_of_its_own() {
        let failed = |severity| Row {
            findings: vec![finding(Some("/etc/a b"), severity, "see [this](http://x)")],
            tail: "the end\n".to_owned(),
            reason: Some("exit code 1".to_owned()),
            ..row("unit", Some(CheckStatus::Fail))
        };
        let log: Value = serde_json::from_str(&render(&[answer(vec![failed(Severity::Warning)])])).unwrap();
        let results = log["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results[0]["message"]["text"], "see \\[this\\](http://x)");
        assert_eq!(results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "file:///etc/a%20b");
        assert_eq!(results[1]["message"]["text"], "fail: exit code 1\nthe end");
        let log: Value = serde_json::from_str(&render(&[answer(vec![failed(Severity::Error)])])).unwrap();
        assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), 1);
    }
}
