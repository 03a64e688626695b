//! What `--force` keeps before it fills a worktree that somebody has worked in.
//!
//! Files that differ are moved aside (see [`crate::kept`]); what is staged becomes a commit that a ref keeps.

use anyhow::Context as _;
use shared::app::Context;
use shared::clock;
use shared::failure::Failure;

use crate::target::Target;

/// What git leaves in a worktree's git folder while it is in the middle of something.
const UNFINISHED: [(&str, &str); 6] = [
    ("MERGE_HEAD", "merge"),
    ("rebase-merge", "rebase"),
    ("rebase-apply", "rebase"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    ("BISECT_LOG", "bisection"),
];

/// Keeps what is staged and differs from HEAD; returns the ref, if there was something.
///
/// # Errors
/// When git is in the middle of something in this worktree, which a fresh index would confuse.
pub(crate) fn keep_index(cx: &Context, target: &Target) -> Result<Option<String>, Failure> {
    let under_way = UNFINISHED.iter().find(|(file, _)| target.file(file).symlink_metadata().is_ok());
    if let Some((_, what)) = under_way {
        let message = format!("a {what} is under way in '{}'", target.worktree.path.display());
        return Err(Failure::could_not("unfinished-git", message).hint("'git status' there says how to end it"));
    }
    let folder =
        tempfile::Builder::new().prefix("git-hydrate-").tempdir().context("cannot create a temporary folder")?;
    let git = cx.git_beside(&target.worktree, folder.path())?.setting("core.fsync=loose-object,reference");
    if !folder.path().join("index").exists() || git.ask(["diff-index", "--cached", "--quiet", "HEAD", "--"])?.code == 0
    {
        return Ok(None);
    }
    let tree = git.run(["write-tree"]).context("cannot keep what is staged")?.text();
    let message = format!("What was staged in '{}' before it was filled\n", target.worktree.path.display());
    let commit = git.feed(["commit-tree", "-p", "HEAD", "-F", "-", &tree], message.as_bytes())?.text();
    let name = format!("refs/backup/{}/{}", target.name(), clock::stamp(clock::now()));
    git.run(["update-ref", "-m", "hydrate --force", &name, &commit, ""])?;
    Ok(Some(name))
}
