//! What git-validate says of a tree.

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

/// Asks git-validate about a tree, for its stage before a merge into `base`; its exit code 1 is an answer too.
pub(crate) fn ask(cx: &Context, base: ObjectId, tree: ObjectId) -> Result<Verdict, Failure> {
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
        Some(_) | None => refused(&output.stderr),
    }
}

fn row(check: &Value) -> CheckRow {
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let tail = text("tail");
    let skip = tail.chars().count().saturating_sub(TAIL);
    CheckRow { name: text("name"), status: text("status"), tail: tail.chars().skip(skip).collect() }
}

fn refused(stderr: &[u8]) -> Result<Verdict, Failure> {
    let told = process::told(stderr);
    if told.kind == "no-checks" {
        return Ok(Verdict::NoChecks);
    }
    let failure = Failure::could_not("validate", format!("git-validate cannot tell: {}", told.message));
    Err(match told.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}
