//! What git-validate says of trees, each asked once, and the halving that finds the first bad one.

use std::collections::HashMap;

use anyhow::Context as _;
use gix::ObjectId;
use serde::Serialize;
use serde_json::Value;
use shared::app::Context;
use shared::failure::Failure;
use shared::process;

/// How much of a check's output is told.
const TAIL: usize = 600;

/// What the checks say of a tree.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    Pass,
    Red(Red),
    /// There are no checks.
    NoChecks,
}

/// A verdict that is no pass, and the checks that made it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Red {
    /// As git-validate calls it: fail, timed-out or broken.
    pub(crate) verdict: String,
    pub(crate) checks: Vec<CheckRow>,
}

/// A check that did not pass.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CheckRow {
    pub(crate) name: String,
    pub(crate) status: String,
    /// The end of what it printed.
    pub(crate) tail: String,
}

/// The one that asks, and counts.
#[derive(Debug)]
pub(crate) struct Prover<'a> {
    cx: &'a Context,
    base: ObjectId,
    known: HashMap<ObjectId, Verdict>,
    asked: usize,
}

impl<'a> Prover<'a> {
    pub(crate) fn new(cx: &'a Context, base: ObjectId) -> Prover<'a> {
        Prover { cx, base, known: HashMap::new(), asked: 0 }
    }

    /// How often git-validate was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked
    }

    /// Returns the verdict on a tree; `what` is said while it is found out.
    pub(crate) fn verdict(&mut self, tree: ObjectId, what: &str) -> Result<Verdict, Failure> {
        if let Some(known) = self.known.get(&tree) {
            return Ok(known.clone());
        }
        self.asked += 1;
        self.cx.output.note(format!("validation {}: {what}", self.asked));
        let verdict = ask(self.cx, self.base, tree)?;
        self.known.insert(tree, verdict.clone());
        Ok(verdict)
    }

    /// Returns why a tree is not good, if it is not.
    pub(crate) fn red(&mut self, tree: ObjectId, what: &str) -> Result<Option<Red>, Failure> {
        match self.verdict(tree, what)? {
            Verdict::Pass => Ok(None),
            Verdict::Red(red) => Ok(Some(red)),
            Verdict::NoChecks => {
                Err(Failure::could_not("no-checks", "the checks went away while the train was validated"))
            }
        }
    }
}

/// Finds the first bad one of the steps 1 to `last`: `last` is bad, and so is all that follows a bad one.
pub(crate) fn first_bad(last: usize, mut is_bad: impl FnMut(usize) -> Result<bool, Failure>) -> Result<usize, Failure> {
    let (mut good, mut bad) = (0, last);
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        if is_bad(middle)? {
            bad = middle;
        } else {
            good = middle;
        }
    }
    Ok(bad)
}

/// Asks git-validate; its exit code 1 is an answer too.
fn ask(cx: &Context, base: ObjectId, tree: ObjectId) -> Result<Verdict, Failure> {
    let Some(program) = process::suite_program("git-validate") else {
        return Err(Failure::could_not("no-program", "git-validate is not installed, so nothing can be validated")
            .hint("install it, or leave out '--validate'"));
    };
    let mut command = process::command(program);
    let (tree, base) = (tree.to_string(), base.to_string());
    process::scrub(&mut command).args(["--json", "--quiet", "--stage", "complete", "--base", &base, &tree]);
    let output = command.current_dir(cx.folder()).output().context("cannot start git-validate")?;
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match said["verdict"].as_str() {
        Some("pass") => Ok(Verdict::Pass),
        Some("no-checks") => Ok(Verdict::NoChecks),
        Some(verdict) if matches!(output.status.code(), Some(0 | 1)) => {
            let checks = said["checks"].as_array().into_iter().flatten();
            let failed = checks.filter(|check| check["status"] != "pass" && check["status"] != "skipped");
            Ok(Verdict::Red(Red { verdict: verdict.to_owned(), checks: failed.map(row).collect() }))
        }
        Some(_) | None => refused(&String::from_utf8_lossy(&output.stderr)),
    }
}

fn row(check: &Value) -> CheckRow {
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let tail = text("tail");
    let skip = tail.chars().count().saturating_sub(TAIL);
    CheckRow { name: text("name"), status: text("status"), tail: tail.chars().skip(skip).collect() }
}

fn refused(words: &str) -> Result<Verdict, Failure> {
    let said: Option<Value> = words.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    let error = said.map(|said| said["error"].clone()).unwrap_or_default();
    if error["kind"] == "no-checks" {
        return Ok(Verdict::NoChecks);
    }
    let reason = error["message"].as_str().unwrap_or(words.trim());
    let failure = Failure::could_not("validate", format!("git-validate cannot tell: {reason}"));
    Err(match error["hint"].as_str() {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bad_step_is_found_in_as_few_questions_as_there_are_halvings() {
        for last in 1..=64_usize {
            for first in 1..=last {
                let mut asked = 0;
                let found = first_bad(last, |step| {
                    asked += 1;
                    Ok(step >= first)
                });
                assert_eq!(found.unwrap(), first);
                assert!(asked <= last.next_power_of_two().ilog2(), "{first} of {last}: {asked}");
            }
        }
    }
}
