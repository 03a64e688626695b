//! Repositories inside the worktree of an attempt: a tree says which commit they are at, and holds nothing of them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use gix::ObjectId;
use shared::app::Context;
use shared::config::Config;
use shared::failure::Failure;
use shared::output::path_text;
use shared::process::Git;
use shared::repository::Repository;

/// Finds one that has work which would go with the worktree: its path.
///
/// A submodule that is as the base has it holds nothing new.
///
/// # Errors
/// When git cannot list the trees.
pub(crate) fn find_lost(
    cx: &Context,
    worktree: &Path,
    base: ObjectId,
    tree: ObjectId,
) -> Result<Option<String>, Failure> {
    let git = cx.git()?.reading();
    let before = links(&git, base)?;
    let is_lost = |(path, commit): &Link| {
        let folder = worktree.join(OsStr::from_bytes(path));
        let Ok(facts) = folder.join(".git").symlink_metadata() else { return false };
        let is_known = before.iter().any(|(other, at)| other == path && at == commit);
        facts.is_dir() || !is_known || !is_clean(&folder)
    };
    Ok(links(&git, tree)?.into_iter().find(is_lost).map(|(path, _)| path_text(&path)))
}

/// A path, and the commit that a tree has there, in hex digits.
type Link = (Vec<u8>, Vec<u8>);

/// Lists the paths where a tree has a repository, and the commit that it is at.
fn links(git: &Git, tree: ObjectId) -> Result<Vec<Link>, Failure> {
    let listed = git.run(["ls-tree", "-r", "-z", "--full-tree", &tree.to_string()])?.stdout;
    let link = |line: &[u8]| {
        let (head, path) = line.split_at(line.iter().position(|byte| *byte == b'\t')?);
        Some((path[1..].to_vec(), head.strip_prefix(b"160000 commit ")?.to_vec()))
    };
    Ok(listed.split(|byte| *byte == 0).filter_map(link).collect())
}

/// A repository whose own settings name commands is not asked: git would run them.
fn is_clean(folder: &Path) -> bool {
    let settings = Repository::open(folder).and_then(|own| Config::load(Some(&own)));
    if settings.and_then(|settings| settings.refuse_untrusted_git()).is_err() {
        return false;
    }
    let words = ["status", "--porcelain", "--untracked-files=all", "--ignore-submodules=none"];
    let said = Git::at(folder).and_then(|git| git.reading().ask(words));
    said.is_ok_and(|said| said.code == 0 && said.stdout.is_empty())
}
