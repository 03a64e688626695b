//! `git validate policy check`: the policies alone, and nothing noted.

use std::fmt;

use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

use super::{Outcome, Policy, configured, judge};
use crate::finding::{Finding, Severity};
use crate::gate;
use crate::subject::{From, Subject};
use crate::verdict::{CheckStatus, short};

/// Judge a tree by the policies alone; nothing is run and nothing noted
#[derive(Debug, clap::Args)]
#[command(mut_arg("rev", |arg| arg.help("Commit or tree to judge; HEAD if not given")))]
pub(crate) struct Args {
    #[command(flatten)]
    from: From,
    /// Judge by this policy only; may be given several times
    #[arg(long = "rule", value_name = "name")]
    only: Vec<String>,
}

/// One policy in the answer.
#[derive(Debug, Serialize)]
struct Row {
    rule: &'static str,
    /// Its name among the checks.
    name: String,
    severity: Severity,
    key: String,
    status: CheckStatus,
    reason: Option<String>,
    counts: std::collections::BTreeMap<String, u64>,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Answer {
    subject: Subject,
    status: CheckStatus,
    policies: Vec<Row>,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let policies = chosen(configured(cx)?, &args.only)?;
    let subject = args.from.find(cx)?;
    let scene = gate::scene(cx, &subject);
    let outcomes = judge(scene, &policies.iter().collect::<Vec<&Policy>>())?;
    let policies: Vec<Row> =
        policies.iter().zip(outcomes).map(|(policy, outcome)| row(policy, policy.key(scene), outcome)).collect();
    let any = |status| policies.iter().any(|row| row.status == status);
    let status = match (any(CheckStatus::Fail), any(CheckStatus::Broken)) {
        (true, _) => CheckStatus::Fail,
        (false, true) => CheckStatus::Broken,
        (false, false) => CheckStatus::Pass,
    };
    cx.output.answer(&Answer { subject, status, policies })?;
    Ok(match status {
        CheckStatus::Fail => Status::No,
        CheckStatus::Broken => Status::CouldNot,
        CheckStatus::Pass | CheckStatus::Skipped | CheckStatus::TimedOut => Status::Done,
    })
}

fn chosen(policies: Vec<Policy>, only: &[String]) -> Result<Vec<Policy>, Failure> {
    if let Some(unknown) = only.iter().find(|name| super::catalog::find(name).is_none()) {
        return Err(super::list::unknown(unknown));
    }
    if let Some(off) = only.iter().find(|name| !policies.iter().any(|policy| policy.rule == **name)) {
        return Err(Failure::could_not("policy-off", format!("the policy '{off}' is off"))
            .hint(format!("'git validate policy explain {off}' tells the keys that switch it on")));
    }
    Ok(policies.into_iter().filter(|policy| only.is_empty() || only.iter().any(|name| name == policy.rule)).collect())
}

fn row(policy: &Policy, key: String, outcome: Outcome) -> Row {
    Row {
        rule: policy.rule,
        name: policy.name(),
        severity: policy.severity,
        key,
        status: outcome.status,
        reason: outcome.reason,
        counts: outcome.counts,
        findings: outcome.findings,
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.policies {
            for finding in &row.findings {
                writeln!(f, "{finding}")?;
            }
        }
        if let Some(base) = &self.subject.base {
            writeln!(f, "{}  {}, against tree {}", self.status, self.subject, short(base))?;
        } else {
            writeln!(f, "{}  {}", self.status, self.subject)?;
        }
        let width = self.policies.iter().map(|row| row.rule.len()).max().unwrap_or(0);
        for row in &self.policies {
            row.write(f, width)?;
        }
        Ok(())
    }
}

impl Row {
    fn write(&self, f: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
        write!(f, "  {:width$}  {:7}", self.rule, self.status)?;
        let total = self.counts.get("findings").copied().unwrap_or(0);
        if total > 0 {
            write!(f, "  {total} finding{}", if total == 1 { "" } else { "s" })?;
            if total > self.findings.len() as u64 {
                write!(f, ", the first {} are told", self.findings.len())?;
            }
        }
        let others: Vec<String> = self
            .counts
            .iter()
            .filter(|(name, _)| *name != "findings")
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        if !others.is_empty() {
            write!(f, "  ({})", others.join(", "))?;
        }
        if let Some(reason) = &self.reason {
            write!(f, "  {}", Foreign(reason))?;
        }
        writeln!(f)
    }
}
