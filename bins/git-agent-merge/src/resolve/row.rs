//! What is told of a resolution: file by file, attempt by attempt.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::output::Foreign;

use super::account::{How, Lost, Side};
use super::rules::Rule;

/// Who resolved how much of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct By {
    /// A rule, or `agent` or `person`.
    pub(crate) who: String,
    pub(crate) hunks: usize,
}

impl By {
    pub(crate) fn rule(rule: Rule, hunks: usize) -> By {
        By { who: rule.name().to_owned(), hunks }
    }
}

/// One conflicted file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FileRow {
    pub(crate) path: String,
    /// The bytes of the path in hexadecimal, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path_bytes: Option<String>,
    pub(crate) kind: String,
    pub(crate) resolved: bool,
    pub(crate) by: Vec<By>,
    /// Hunks that are open; 1 for a file that conflicts as a whole.
    pub(crate) open: usize,
    /// The side that the result is equal to, if it is.
    pub(crate) takes: Option<Takes>,
    /// What whoever resolved it says.
    pub(crate) summary: Option<String>,
    /// Lines of either side that the result does not have as they were.
    pub(crate) dropped: Vec<Lost>,
    /// What rules say that did not take it.
    pub(crate) remarks: Vec<String>,
}

/// The result is nothing but this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Takes {
    /// The branch's version.
    Ours,
    /// The version of what it is merged with.
    Theirs,
    /// No file.
    Deleted,
}

/// What became of one commit of a rebase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// It is there again, on the new base.
    Replayed,
    /// It conflicted, and that is solved.
    Resolved,
    /// The base has all of it.
    Empty,
    /// It conflicts.
    Conflict,
    /// Its turn has not come.
    Waiting,
}

/// One commit of a rebase.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StepRow {
    pub(crate) commit: String,
    pub(crate) parent: String,
    pub(crate) subject: String,
    pub(crate) step: Step,
    pub(crate) new: Option<String>,
}

/// One attempt of an agent, or of a person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AttemptRow {
    pub(crate) number: usize,
    pub(crate) by: String,
    /// Where what it left is kept.
    #[serde(rename = "ref")]
    pub(crate) kept: Option<String>,
    pub(crate) tokens: Option<u64>,
    /// Why it is not offered; empty if it is.
    pub(crate) problems: Vec<String>,
    /// Paths that it changed without being asked to.
    pub(crate) outside: Vec<String>,
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Takes::Ours => "takes ours",
            Takes::Theirs => "takes theirs",
            Takes::Deleted => "deleted",
        })
    }
}

impl fmt::Display for FileRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by: Vec<String> = self.by.iter().map(|by| format!("{} {}", by.who, by.hunks)).collect();
        let state = if self.resolved { "resolved" } else { "open" };
        write!(f, "    {}  {}  {state}", Foreign(&self.path), self.kind)?;
        if !by.is_empty() {
            write!(f, "  ({})", by.join(", "))?;
        }
        if let Some(takes) = self.takes {
            write!(f, "  {takes}")?;
        }
        writeln!(f)?;
        if let Some(summary) = &self.summary {
            writeln!(f, "      {}", Foreign(summary))?;
        }
        for remark in &self.remarks {
            writeln!(f, "      {}", Foreign(remark))?;
        }
        for lost in &self.dropped {
            let side = match lost.side {
                Side::Ours => '<',
                Side::Theirs => '>',
                Side::Base => '|',
            };
            let how = match lost.how {
                How::Combined => "in another line now",
                How::Named => "dropped",
                How::Unnamed => "gone",
            };
            let why = lost.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            writeln!(f, "      {side} {}: {}  {how}{}", lost.line, Foreign(&lost.text), Foreign(&why))?;
        }
        Ok(())
    }
}
