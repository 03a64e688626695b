//! Verdicts: of one check, and of a tree.

use std::fmt;

use gix::ObjectId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::output::Foreign;

use crate::subject::Subject;

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
    /// No path of the tree is its business.
    Skipped,
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CheckStatus::Pass => "pass",
            CheckStatus::Fail => "fail",
            CheckStatus::TimedOut => "timed-out",
            CheckStatus::Broken => "broken",
            CheckStatus::Skipped => "skipped",
        })
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

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::TimedOut => "timed-out",
            Verdict::Broken => "broken",
            Verdict::None => "none",
            Verdict::NoChecks => "no-checks",
        })
    }
}

/// The result of one check on one tree: a line of the note.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) schema: u32,
    /// The name of the check.
    pub(crate) check: String,
    /// The hash of the check's configuration.
    pub(crate) key: String,
    pub(crate) status: CheckStatus,
    pub(crate) duration_ms: u64,
    /// The end of its output.
    pub(crate) tail: String,
    /// Why it is broken or timed out, or what it left behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) time: Timestamp,
}

/// One check in an answer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) key: String,
    /// Nothing if it was never run as it is configured now.
    pub(crate) status: Option<CheckStatus>,
    pub(crate) cached: bool,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) reason: Option<String>,
    pub(crate) tail: String,
}

/// What `git validate` and `git validate show` answer.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) subject: Subject,
    pub(crate) verdict: Verdict,
    /// Whether nothing had to be run.
    pub(crate) cached: bool,
    pub(crate) checks: Vec<Row>,
}

/// Judges the rows: the worst of them, and only a full set of passes is a pass.
pub(crate) fn judge(rows: &[Row]) -> Verdict {
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

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noted = self.cached && !matches!(self.verdict, Verdict::None | Verdict::NoChecks);
        let from = if noted { "  (from its note)" } else { "" };
        writeln!(f, "{}  {}{from}", self.verdict, self.subject)?;
        if self.verdict == Verdict::Pass && self.cached {
            return Ok(());
        }
        let width = self.checks.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        for row in &self.checks {
            row.write(f, width)?;
        }
        Ok(())
    }
}

impl Row {
    fn write(&self, f: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
        let status = self.status.map_or_else(|| "not run".to_owned(), |status| status.to_string());
        write!(f, "  {:width$}  {status:9}", Foreign(&self.name))?;
        if let Some(duration) = self.duration_ms {
            write!(f, "  {}.{:03} s", duration / 1000, duration % 1000)?;
        }
        if self.cached {
            write!(f, "  noted")?;
        }
        if let Some(reason) = &self.reason {
            write!(f, "  {}", Foreign(reason))?;
        }
        writeln!(f)?;
        if matches!(self.status, Some(CheckStatus::Fail | CheckStatus::TimedOut | CheckStatus::Broken)) {
            for line in self.tail.lines() {
                writeln!(f, "      {}", Foreign(line))?;
            }
        }
        Ok(())
    }
}

/// Shortens an id for people.
pub(crate) fn short(id: &ObjectId) -> String {
    id.to_hex_with_len(12).to_string()
}
