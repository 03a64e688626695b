//! The work of a live worktree that is in no commit, as a commit that only the quarantine holds.

use anyhow::Context as _;
use gix::ObjectId;
use shared::app::Context;
use shared::failure::Failure;
use shared::repository::Worktree;

use crate::names::Side;
use crate::quarantine::Quarantine;

/// Makes the side stand for its worktree as it is: changed and untracked files included, ignored ones not.
pub(crate) fn include(
    cx: &Context,
    quarantine: &Quarantine,
    worktree: &Worktree,
    side: &mut Side,
) -> Result<(), Failure> {
    let place = tempfile::tempdir_in(quarantine.path()).context("cannot create a temporary folder")?;
    let git = quarantine.hold(cx, cx.git_beside(worktree, place.path())?.reading())?;
    git.run(["add", "--all"]).with_context(|| format!("cannot read the worktree '{}'", worktree.path.display()))?;
    let tree = git.run(["write-tree"])?.text();
    let committed = cx.repository()?.tree_of(side.commit)?.to_string();
    if tree == committed {
        return Ok(());
    }
    let git = git.env("GIT_AUTHOR_NAME", "snapshot").env("GIT_AUTHOR_EMAIL", "snapshot@localhost");
    let git = git.env("GIT_COMMITTER_NAME", "snapshot").env("GIT_COMMITTER_EMAIL", "snapshot@localhost");
    let commit =
        git.feed(["commit-tree", "-p", &side.commit.to_string(), "-F", "-", &tree], b"worktree as it is\n")?.text();
    side.commit = ObjectId::from_hex(commit.as_bytes()).context("'git commit-tree' named no commit")?;
    side.dirty = true;
    Ok(())
}
