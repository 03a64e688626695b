//! The gate: a passing verdict of git-validate on the very tree that lands.

use anyhow::Context as _;
use serde_json::Value;
use shared::app::Context;
use shared::failure::Failure;
use shared::process;

use super::build::Built;
use super::{Args, Plan};

/// Lets the tree pass or refuses; false if it passes without a verdict because the user said so.
pub(crate) fn pass(cx: &Context, plan: &Plan, built: &Built, args: &Args) -> Result<bool, Failure> {
    if args.unvalidated {
        cx.output.warn(format!("'{}' is merged without a verdict", plan.task.slug));
        return Ok(false);
    }
    if built.commit == plan.old {
        // Nothing lands that is not there already.
        return Ok(true);
    }
    let slug = &plan.task.slug;
    let tree = built.tree.to_string();
    // Against the base as it is now: what the change adds to it is what lands.
    let old = plan.old.to_string();
    let asked = ["--json", "--stage", "complete", "--base", &old, &tree];
    let verdict =
        if args.validate && !args.dry_run { ask(cx, &asked)? } else { ask(cx, &[&["show"], &asked[..]].concat())? };
    match verdict["verdict"].as_str() {
        Some("pass") => Ok(true),
        Some("none") | None => {
            let branch_tree = cx.repository()?.tree_of(plan.tip)?;
            let why = if built.tree == branch_tree { "" } else { ", because the base has moved since the task started" };
            Err(Failure::no("unvalidated", format!("the tree that would land ({tree}) has no verdict{why}"))
                .hint(format!("'git task complete --validate {slug}' runs the checks on it first")))
        }
        Some("no-checks") => Err(Failure::no("unvalidated", "no checks are configured, so nothing was validated")
            .hint(format!("add [[checks]] to .codex-agent/config.toml, or merge it as it is: 'git task complete --unvalidated {slug}'"))),
        Some(other) => Err(Failure::no("not-passed", format!("the tree that would land ({tree}) has the verdict '{other}'"))
            .hint(format!("'git validate show {tree}' shows which check did not pass"))),
    }
}

/// Asks git-validate; its exit code 1 is an answer too.
fn ask(cx: &Context, arguments: &[&str]) -> Result<Value, Failure> {
    let Some(program) = process::suite_program("git-validate") else {
        return Err(Failure::could_not("no-program", "git-validate is not installed, so there is no verdict")
            .hint("install it, or merge without a verdict by '--unvalidated'"));
    };
    let mut command = process::command(program);
    process::scrub(&mut command).args(arguments).current_dir(cx.folder());
    let output = command.output().context("cannot start git-validate")?;
    match output.status.code() {
        Some(0 | 1) => Ok(serde_json::from_slice(&output.stdout).context("git-validate's answer is no JSON")?),
        _ => {
            let told = process::told(&output.stderr);
            let failure = Failure::could_not("validate", format!("git-validate cannot tell: {}", told.message));
            Err(match told.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            })
        }
    }
}
