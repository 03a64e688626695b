//! Answers in the forms that other programs read.

pub(crate) mod github;
pub(crate) mod junit;
pub(crate) mod markdown;
pub(crate) mod sarif;

use shared::output::Foreign;

use crate::finding::Severity;
use crate::render::end_of;
use crate::verdict::{CheckStatus, Row};

/// As much of the end of a check's output is passed on, in bytes.
const END: usize = 3 << 10;

/// Says whether a check did not pass for a reason that none of its findings tells.
fn is_untold(row: &Row) -> bool {
    let failed = matches!(row.status, Some(CheckStatus::Fail | CheckStatus::TimedOut | CheckStatus::Broken));
    failed && !row.findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// Why a check is what it is, in a few words.
fn reason(row: &Row) -> String {
    let word = row.status.map_or("not run", CheckStatus::word);
    row.reason.as_ref().map_or_else(|| word.to_owned(), |reason| format!("{word}: {reason}"))
}

/// The end of a check's output.
fn end(row: &Row) -> &str {
    end_of(&row.tail, END)
}

/// The findings that are counted and not told.
fn more_findings(row: &Row) -> u64 {
    row.counts.get("findings").copied().unwrap_or(0).saturating_sub(row.findings.len() as u64)
}

/// Lines whose control characters are written out.
fn harmless(text: &str) -> String {
    text.lines().map(|line| Foreign(line).to_string()).collect::<Vec<_>>().join("\n")
}

/// Answers for the tests of all forms.
#[cfg(test)]
mod samples {
    use gix::ObjectId;

    use crate::finding::{Finding, Severity};
    use crate::subject::{Kind, Subject};
    use crate::verdict::{Answer, CheckStatus, Row, judge};

    /// Text that tries to be a command, a link, an element and the end of whatever it is in.
    pub(super) const EVIL: &str =
        "a\n::error::x\r\u{1b}[2J\0 | ``` ~~~ </failure>]]> <b> @you [l](http://x) ##[error]y 🍎 %0A";

    pub(super) fn row(name: &str, status: Option<CheckStatus>) -> Row {
        Row { status, duration_ms: status.map(|_| 1234), ..Row::open(name, "key") }
    }

    pub(super) fn finding(path: Option<&str>, severity: Severity, message: &str) -> Finding {
        let line = path.map(|_| 7);
        Finding { path: path.map(str::to_owned), line, rule: "rule".to_owned(), severity, message: message.to_owned() }
    }

    pub(super) fn answer(checks: Vec<Row>) -> Answer {
        let tree = ObjectId::empty_tree(gix::hash::Kind::Sha1);
        let rev = "HEAD".to_owned();
        let subject = Subject { kind: Kind::Commit, rev, commit: Some(tree), tree, base: None, message: None };
        Answer { subject, verdict: judge(&checks), cached: false, fixed: None, checks }
    }

    /// One check of each kind, all of whose words are hostile.
    pub(super) fn hostile() -> Answer {
        let failed = Row {
            findings: vec![
                finding(Some("odd\n|`,:%[x]\\xff"), Severity::Error, EVIL),
                finding(None, Severity::Warning, EVIL),
            ],
            tail: EVIL.to_owned(),
            ..row(EVIL, Some(CheckStatus::Fail))
        };
        let broken =
            Row { reason: Some(EVIL.to_owned()), tail: EVIL.to_owned(), ..row("broken", Some(CheckStatus::Broken)) };
        answer(vec![failed, broken, row("ok", Some(CheckStatus::Pass)), row("open", None)])
    }
}
