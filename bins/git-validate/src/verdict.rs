//! Verdicts: of one check, and of a tree.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use gix::ObjectId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, Severity};
use crate::run::Fixed;
use crate::subject::Subject;

/// As many findings of one check are noted; the rest is counted.
pub(crate) const MOST_FINDINGS: usize = 50;

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CheckStatus {
    Pass,
    Fail,
    /// It took longer than it may.
    TimedOut,
    /// It could not run.
    Broken,
    /// It had nothing to do, or what it needs did not pass.
    Skipped,
}

impl CheckStatus {
    pub(crate) fn word(self) -> &'static str {
        match self {
            CheckStatus::Pass => "pass",
            CheckStatus::Fail => "fail",
            CheckStatus::TimedOut => "timed-out",
            CheckStatus::Broken => "broken",
            CheckStatus::Skipped => "skipped",
        }
    }

    /// Says whether the result stands; what timed out or could not run is run again.
    pub(crate) fn is_settled(self) -> bool {
        matches!(self, CheckStatus::Pass | CheckStatus::Fail | CheckStatus::Skipped)
    }
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The verdict on a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Pass,
    Fail,
    TimedOut,
    Broken,
    /// Not every check has been run on it as it is configured now.
    None,
    /// There is no check to run.
    NoChecks,
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::TimedOut => "timed-out",
            Verdict::Broken => "broken",
            Verdict::None => "none",
            Verdict::NoChecks => "no-checks",
        }
    }
}

/// What asks: a command, a policy, or a reviewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Check,
    Policy,
    Review,
}

/// What the names of policies begin with among the checks.
pub(crate) const POLICY: &str = "policy:";
/// The name of the review among the checks.
pub(crate) const REVIEW: &str = "review";

impl Kind {
    /// Finds out what goes by a name.
    pub(crate) fn of(name: &str) -> Kind {
        if name.starts_with(POLICY) {
            Kind::Policy
        } else if name == REVIEW {
            Kind::Review
        } else {
            Kind::Check
        }
    }
}

/// The result of one check on one tree: a line of the note.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) schema: u32,
    /// The name of the check.
    pub(crate) check: String,
    /// The hash of all that the answer depends on beside the tree.
    pub(crate) key: String,
    pub(crate) status: CheckStatus,
    pub(crate) duration_ms: u64,
    /// The end of its output.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) tail: String,
    /// Why it is broken or timed out, or what it left behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The first of them, the gravest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) findings: Vec<Finding>,
    /// What was counted: `tests`, `lines-covered`, `items`, …; `findings` if there are more than are noted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) counts: BTreeMap<String, u64>,
    /// Who ran it: `<user>@<host>`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) by: String,
    pub(crate) time: Timestamp,
    /// How a reviewer came to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) review: Option<Reviewer>,
}

/// Who reviewed, and by which words he was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reviewer {
    pub(crate) agent: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    /// The SHA-256 of the whole prompt.
    pub(crate) prompt: String,
}

/// Whose word a noted result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// This host ran it.
    Own,
    /// Somebody ran it whose signature is allowed.
    Signed,
    /// Somebody says so: not counted.
    Foreign,
}

/// One check in an answer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) key: String,
    /// Nothing if it was never run as it is configured now, or nobody vouches for the result.
    pub(crate) status: Option<CheckStatus>,
    pub(crate) source: Option<Source>,
    pub(crate) cached: bool,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) by: Option<String>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) reason: Option<String>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) tail: String,
    /// The file with all of its output; only on the host that ran it, for a time.
    pub(crate) log: Option<PathBuf>,
    pub(crate) review: Option<Reviewer>,
}

impl Row {
    /// The row of a check that has no result.
    pub(crate) fn open(name: &str, key: &str) -> Row {
        Row {
            name: name.to_owned(),
            kind: Kind::of(name),
            key: key.to_owned(),
            status: None,
            source: None,
            cached: false,
            duration_ms: None,
            by: None,
            time: None,
            reason: None,
            findings: Vec::new(),
            counts: BTreeMap::new(),
            tail: String::new(),
            log: None,
            review: None,
        }
    }

    /// The row of a check that was run, now or before.
    pub(crate) fn of(line: &Line, source: Source, cached: bool) -> Row {
        Row {
            status: Some(line.status),
            source: Some(source),
            cached,
            duration_ms: Some(line.duration_ms),
            by: Some(line.by.clone()),
            time: Some(line.time),
            reason: line.reason.clone(),
            findings: line.findings.clone(),
            counts: line.counts.clone(),
            tail: line.tail.clone(),
            review: line.review.clone(),
            ..Row::open(&line.check, &line.key)
        }
    }

    /// Says whether there is nothing to run.
    pub(crate) fn is_settled(&self) -> bool {
        self.status.is_some_and(CheckStatus::is_settled)
    }
}

/// What `git validate` and `git validate show` answer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Answer {
    pub(crate) subject: Subject,
    pub(crate) verdict: Verdict,
    /// Whether nothing had to be run.
    pub(crate) cached: bool,
    pub(crate) checks: Vec<Row>,
    /// What `--fix` has done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fixed: Option<Fixed>,
}

/// Judges the rows: the worst of them, and only a full set of passes is a pass.
pub(crate) fn judge(rows: &[Row]) -> Verdict {
    // A reviewer may veto; without an opinion of his the checks decide.
    let counts = |row: &&Row| row.kind != Kind::Review || row.status == Some(CheckStatus::Fail);
    let rows: Vec<&Row> = rows.iter().filter(counts).collect();
    let any = |status: CheckStatus| rows.iter().any(|row| row.status == Some(status));
    if rows.is_empty() {
        Verdict::NoChecks
    } else if any(CheckStatus::Fail) {
        Verdict::Fail
    } else if any(CheckStatus::TimedOut) {
        Verdict::TimedOut
    } else if any(CheckStatus::Broken) {
        Verdict::Broken
    } else if rows.iter().any(|row| row.status.is_none()) {
        Verdict::None
    } else {
        Verdict::Pass
    }
}

/// Puts the gravest first, keeps what a note may hold, and counts all of them if some are left out.
pub(crate) fn bound(findings: &mut Vec<Finding>, counts: &mut BTreeMap<String, u64>) {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    if findings.len() > MOST_FINDINGS {
        let all = (findings.len() as u64).max(counts.get("findings").copied().unwrap_or(0));
        counts.insert("findings".to_owned(), all);
        findings.truncate(MOST_FINDINGS);
    }
}

/// Says whether one of the findings closes the gate.
pub(crate) fn has_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// Shortens an id for people.
pub(crate) fn short(id: &ObjectId) -> String {
    id.to_hex_with_len(12).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts_and_an_open_check_is_no_pass() {
        let row = |status| Row { status, ..Row::open("a", "k") };
        let verdict = |statuses: &[Option<CheckStatus>]| judge(&statuses.iter().map(|s| row(*s)).collect::<Vec<_>>());
        use CheckStatus::{Broken, Fail, Pass, Skipped, TimedOut};
        assert_eq!(verdict(&[]), Verdict::NoChecks);
        assert_eq!(verdict(&[Some(Pass), Some(Skipped)]), Verdict::Pass);
        assert_eq!(verdict(&[Some(Pass), None]), Verdict::None);
        assert_eq!(verdict(&[None, Some(Broken)]), Verdict::Broken);
        assert_eq!(verdict(&[Some(TimedOut), Some(Broken)]), Verdict::TimedOut);
        assert_eq!(verdict(&[Some(TimedOut), Some(Fail), Some(Pass)]), Verdict::Fail);
    }

    #[test]
    fn findings_beyond_the_most_are_counted() {
        let finding = |severity| Finding { path: None, line: None, rule: "r".into(), severity, message: "m".into() };
        let mut findings: Vec<Finding> = (0..60).map(|_| finding(Severity::Note)).collect();
        findings.push(finding(Severity::Error));
        let mut counts = BTreeMap::new();
        bound(&mut findings, &mut counts);
        assert_eq!((findings.len(), counts["findings"]), (MOST_FINDINGS, 61));
        assert!(has_error(&findings[..1]) && !has_error(&findings[1..]));
    }
}
