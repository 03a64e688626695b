//! Gathering what a policy finds, at most so much of it.

use std::collections::BTreeMap;

use super::{Outcome, Policy};
use crate::finding::{Finding, Severity, path_text};
use crate::verdict::CheckStatus;

/// Of one policy no more findings are kept.
pub(super) const MOST: usize = 1000;

/// What one policy has found so far.
#[derive(Debug)]
pub(super) struct Gather {
    rule: &'static str,
    findings: Vec<Finding>,
    total: u64,
    is_failed: bool,
    pub(super) counts: BTreeMap<String, u64>,
}

impl Gather {
    /// Begins with nothing.
    pub(super) fn of(policy: &Policy) -> Gather {
        Gather { rule: policy.rule, findings: Vec::new(), total: 0, is_failed: false, counts: BTreeMap::new() }
    }

    /// Adds a finding at a path.
    pub(super) fn add(&mut self, path: &[u8], line: u32, severity: Severity, message: impl FnOnce() -> String) {
        self.push(Some(path), Some(line).filter(|line| *line > 0), severity, message);
    }

    /// Adds a finding about the whole.
    pub(super) fn add_whole(&mut self, severity: Severity, message: impl FnOnce() -> String) {
        self.push(None, None, severity, message);
    }

    fn push(&mut self, path: Option<&[u8]>, line: Option<u32>, severity: Severity, message: impl FnOnce() -> String) {
        self.count(1, severity);
        if self.is_open() {
            let path = path.map(path_text);
            self.findings.push(Finding { path, line, rule: self.rule.to_owned(), severity, message: message() });
        }
    }

    /// Counts findings that are not kept.
    pub(super) fn count(&mut self, more: u64, severity: Severity) {
        self.total += more;
        self.is_failed |= more > 0 && severity == Severity::Error;
    }

    /// Says whether more findings are kept.
    pub(super) fn is_open(&self) -> bool {
        self.findings.len() < MOST
    }

    /// Adds to a count.
    pub(super) fn tally(&mut self, name: impl Into<String>, more: u64) {
        *self.counts.entry(name.into()).or_default() += more;
    }

    /// Says how it ended.
    pub(super) fn end(mut self) -> Outcome {
        self.counts.insert("findings".to_owned(), self.total);
        let status = if self.is_failed { CheckStatus::Fail } else { CheckStatus::Pass };
        Outcome { status, reason: None, findings: self.findings, counts: self.counts }
    }
}

impl Outcome {
    /// It has nothing to judge.
    pub(super) fn skipped(reason: &str) -> Outcome {
        Outcome {
            status: CheckStatus::Skipped,
            reason: Some(reason.to_owned()),
            findings: Vec::new(),
            counts: BTreeMap::new(),
        }
    }
}
