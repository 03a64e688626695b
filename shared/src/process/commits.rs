//! Making commits without a checkout.

use anyhow::{Context, Result, bail};
use gix::ObjectId;

use super::git::Git;

/// Makes a commit of a tree, as the user; the message is taken as it is.
///
/// # Errors
/// When git refuses, for want of a name for example.
pub fn commit_tree(git: &Git, tree: ObjectId, parents: &[ObjectId], message: &str) -> Result<ObjectId> {
    let mut arguments = vec!["commit-tree".to_owned()];
    for parent in parents {
        arguments.extend(["-p".to_owned(), parent.to_string()]);
    }
    arguments.extend(["-F".into(), "-".into(), tree.to_string()]);
    let id = git.feed(&arguments, message.as_bytes())?.text();
    ObjectId::from_hex(id.as_bytes()).context("'git commit-tree' named no commit")
}

/// Copies a commit onto another parent: author, dates and message stay, the committer is the user.
///
/// # Errors
/// When the commit cannot be read, or git makes none.
pub fn copy_commit(git: &Git, commit: ObjectId, tree: ObjectId, parent: ObjectId) -> Result<ObjectId> {
    let commit = commit.to_string();
    let format = "--format=%an%x00%ae%x00%ad%x00%B";
    let facts = git.run(["show", "-s", "--no-notes", "--encoding=UTF-8", format, "--date=raw", &commit])?.text();
    let fields: Vec<&str> = facts.splitn(4, '\0').collect();
    let [name, email, date, message] = fields[..] else {
        bail!("git shows the commit {commit} in a way that cannot be read")
    };
    let git = git.clone().env("GIT_AUTHOR_NAME", name).env("GIT_AUTHOR_EMAIL", email).env("GIT_AUTHOR_DATE", date);
    commit_tree(&git, tree, &[parent], &format!("{}\n", message.trim_end_matches('\n')))
}
