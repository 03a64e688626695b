//! Building what is to land, as objects only.

use anyhow::Context as _;
use gix::ObjectId;
use serde_json::json;
use shared::app::Context;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process::{Git, commit_tree, copy_commit};

use super::{Method, Plan};
use crate::fields::short_name;

/// What would be the base's new commit, and its tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Built {
    pub(crate) commit: ObjectId,
    pub(crate) tree: ObjectId,
}

/// How a merge of trees ended.
enum Merged {
    Clean(ObjectId),
    Conflicts(Vec<String>),
}

/// Merges off-tree; nothing but objects is written.
///
/// # Errors
/// Exit 1 with the paths if it conflicts, 128 if git could not tell.
pub(crate) fn build(cx: &Context, plan: &Plan) -> Result<Built, Failure> {
    // The attributes of the base decide, wherever the command runs.
    let git = cx.git()?.env("GIT_ATTR_SOURCE", plan.old.to_string()).setting("core.fsync=loose-object");
    let merged = merge_trees(&git, None, plan.old, plan.tip)?;
    let tree = clean_or_refuse(plan, merged)?;
    let repository = cx.repository()?;
    if tree == repository.tree_of(plan.old)? {
        // Nothing would change: merged before, or an interrupted completion goes on.
        return Ok(Built { commit: plan.old, tree });
    }
    let commit = match plan.method {
        Method::Merge => {
            let message = format!("Merge task '{}'\n\n{}", plan.task.slug, plan.task.title);
            commit_tree(&git, tree, &[plan.old, plan.tip], &format!("{message}\n"))?
        }
        Method::Squash => {
            let goal = if plan.task.goal.is_empty() { String::new() } else { format!("\n\n{}", plan.task.goal) };
            commit_tree(&git, tree, &[plan.old], &format!("{}{goal}\n", plan.task.title))?
        }
        Method::Rebase => return replay(cx, &git, plan),
    };
    Ok(Built { commit, tree })
}

fn replay(cx: &Context, git: &Git, plan: &Plan) -> Result<Built, Failure> {
    let repository = cx.repository()?;
    let range = format!("{}..{}", plan.old, plan.tip);
    let list = git.run(["rev-list", "--reverse", "--topo-order", "--parents", &range])?.text();
    let (mut onto, mut tree) = (plan.old, repository.tree_of(plan.old)?);
    for line in list.lines() {
        let ids: Vec<ObjectId> = line
            .split(' ')
            .map(|id| ObjectId::from_hex(id.as_bytes()))
            .collect::<Result<_, _>>()
            .map_err(|e| anyhow::anyhow!("git names a commit '{line}': {e}"))?;
        let [commit, parent] = ids[..] else {
            return Err(Failure::could_not(
                "merge-commit",
                format!("the branch of '{}' holds merge commits, which are not replayed", plan.task.slug),
            )
            .hint("'--merge merge' or '--merge squash' brings it in"));
        };
        let merged = merge_trees(git, Some(parent), onto, commit)?;
        let next = clean_or_refuse(plan, merged)?;
        if next == tree {
            // As 'git rebase': a commit that has become empty is left out.
            continue;
        }
        (onto, tree) = (copy_commit(git, commit, next, onto)?, next);
    }
    Ok(Built { commit: onto, tree })
}

fn merge_trees(git: &Git, base: Option<ObjectId>, ours: ObjectId, theirs: ObjectId) -> Result<Merged, Failure> {
    let mut arguments =
        vec!["merge-tree".to_owned(), "--write-tree".into(), "-z".into(), "--name-only".into(), "--no-messages".into()];
    arguments.extend(base.map(|base| format!("--merge-base={base}")));
    arguments.extend([ours.to_string(), theirs.to_string()]);
    let done = git.ask(&arguments)?;
    let mut parts = done.stdout.split(|byte| *byte == 0);
    let tree = parts.next().map(|id| String::from_utf8_lossy(id).trim().to_owned()).unwrap_or_default();
    match done.code {
        0 => Ok(Merged::Clean(ObjectId::from_hex(tree.as_bytes()).context("'git merge-tree' named no tree")?)),
        // An error has no tree; both ids are objects, so a bad name cannot pass for a conflict.
        1 if !tree.is_empty() => {
            let mut paths: Vec<String> =
                parts.filter(|path| !path.is_empty()).map(|path| String::from_utf8_lossy(path).into_owned()).collect();
            paths.dedup();
            Ok(Merged::Conflicts(paths))
        }
        _ => Err(Failure::could_not(
            "merge",
            format!("git cannot merge these commits: {}", done.stderr.trim_start_matches("fatal: ")),
        )),
    }
}

fn clean_or_refuse(plan: &Plan, merged: Merged) -> Result<ObjectId, Failure> {
    match merged {
        Merged::Clean(tree) => Ok(tree),
        Merged::Conflicts(paths) => {
            let shown: Vec<String> = paths.iter().take(20).map(|path| Foreign(path).to_string()).collect();
            let message =
                format!("'{}' conflicts with '{}':\n  {}", plan.task.slug, short_name(&plan.base), shown.join("\n  "));
            Err(Failure::no("conflict", message).details(json!({ "paths": paths })).hint(format!(
                "'git agent-merge check {0}' shows the hunks, 'git agent-merge resolve {0}' solves them; or merge '{1}' into the task's branch",
                plan.task.slug,
                short_name(&plan.base)
            )))
        }
    }
}
