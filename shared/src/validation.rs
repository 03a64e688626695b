//! What git-validate says of a tree.

use anyhow::Context as _;
use gix::ObjectId;
use serde::Serialize;
use serde_json::Value;

use crate::app::Context;
use crate::failure::Failure;
use crate::process;

/// How much of a check's output is told, in characters.
const TAIL: usize = 600;

/// What the checks say of a tree.
#[derive(Debug, Clone)]
pub enum Said {
    /// There are no checks.
    NoChecks,
    /// The verdict, and all checks that made it.
    Verdict {
        /// As git-validate calls it: pass, fail, timed-out or broken.
        verdict: String,
        /// All of them.
        checks: Vec<CheckRow>,
    },
}

/// One check of a verdict.
#[derive(Debug, Clone, Serialize)]
pub struct CheckRow {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub status: String,
    /// The end of what it printed.
    pub tail: String,
    /// How long it took.
    #[serde(skip)]
    pub seconds: Option<f64>,
}

/// Asks git-validate about a tree, for its stage before a merge into `base`; its exit code 1 is an answer too.
///
/// # Errors
/// When it is not installed, or cannot tell.
pub fn ask(cx: &Context, base: ObjectId, tree: ObjectId) -> Result<Said, Failure> {
    let Some(program) = process::suite_program("git-validate") else {
        return Err(Failure::could_not("no-program", "git-validate is not installed, so nothing can be validated"));
    };
    let mut command = process::command(program);
    let (tree, base) = (tree.to_string(), base.to_string());
    process::scrub(&mut command).args(["--json", "--quiet", "--stage", "complete", "--base", &base, &tree]);
    let output = command.current_dir(cx.folder()).output().context("cannot start git-validate")?;
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match said["verdict"].as_str() {
        Some("no-checks") => Ok(Said::NoChecks),
        Some(verdict) if matches!(output.status.code(), Some(0 | 1)) => {
            let checks = said["checks"].as_array().into_iter().flatten().map(row).collect();
            Ok(Said::Verdict { verdict: verdict.to_owned(), checks })
        }
        Some(_) | None => refused(&output.stderr),
    }
}

fn row(check: &Value) -> CheckRow {
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let tail = text("tail");
    let skip = tail.chars().count().saturating_sub(TAIL);
    let seconds = check["duration_ms"].as_f64().map(|milliseconds| milliseconds / 1000.0);
    CheckRow { name: text("name"), status: text("status"), tail: tail.chars().skip(skip).collect(), seconds }
}

fn refused(stderr: &[u8]) -> Result<Said, Failure> {
    let told = process::told(stderr);
    if told.kind == "no-checks" {
        return Ok(Said::NoChecks);
    }
    let failure = Failure::could_not("validate", format!("git-validate cannot tell: {}", told.message));
    Err(match told.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}
