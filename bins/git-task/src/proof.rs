//! The proof that nothing is lost when a worktree goes, and the keeping of what would be.

use std::fmt;
use std::os::unix::ffi::OsStrExt;

use anyhow::Context as _;
use serde::Serialize;
use shared::app::Context;
use shared::clock;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process::Git;
use shared::registry::Task;
use shared::repository::Worktree;

use crate::modules;
use shared::jobs;

/// One thing that would be lost, or that stands in the way of knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "name")]
pub(crate) enum Loss {
    /// A tracked file with changes that are in no commit.
    Changed(String),
    /// A file that git does not track.
    Untracked(String),
    /// A file whose changes git was told not to see.
    Hidden(String),
    /// A submodule with work of its own, and which.
    Submodule(String),
    /// A commit that no ref reaches.
    Unreachable(String),
    /// A merge, rebase or the like that has not ended.
    Unfinished(String),
    /// The worktree is locked, with this reason.
    Locked(String),
    /// A live job works there.
    Live(String),
    /// It is the main worktree.
    Main,
}

impl Loss {
    /// Says whether keeping the files as a commit makes it good.
    pub(crate) fn can_be_kept(&self) -> bool {
        match self {
            Loss::Changed(_) | Loss::Untracked(_) | Loss::Hidden(_) | Loss::Unreachable(_) | Loss::Unfinished(_) => {
                true
            }
            Loss::Submodule(_) | Loss::Locked(_) | Loss::Live(_) | Loss::Main => false,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Changed(path) => write!(f, "changed: {}", Foreign(path)),
            Loss::Untracked(path) => write!(f, "untracked: {}", Foreign(path)),
            Loss::Hidden(path) => write!(f, "hidden from 'git status': {}", Foreign(path)),
            Loss::Submodule(what) => write!(f, "submodule {}", Foreign(what)),
            Loss::Unreachable(commit) => write!(f, "no ref reaches the commit {commit}"),
            Loss::Unfinished(what) => write!(f, "a {what} has not ended"),
            Loss::Locked(reason) => write!(f, "it is locked: {}", Foreign(reason)),
            Loss::Live(job) => write!(f, "the job {} works there", Foreign(job)),
            Loss::Main => f.write_str("it is the main worktree"),
        }
    }
}

/// Lists what would be lost with a worktree; nothing listed is the proof. Ignored files do not count.
pub(crate) fn losses(cx: &Context, worktree: &Worktree) -> Result<Vec<Loss>, Failure> {
    let mut losses = Vec::new();
    if worktree.is_main {
        losses.push(Loss::Main);
    }
    if let Some(reason) = &worktree.locked {
        losses.push(Loss::Locked(reason.clone()));
    }
    if !worktree.path.exists() {
        // Its files are gone or elsewhere; what git holds of it goes with its administration.
        losses.extend(staged(cx, worktree)?);
        losses.extend(modules::commits(cx, worktree)?);
        losses.extend(unfinished(worktree));
        losses.extend(unreachable(cx, worktree)?);
        return Ok(losses);
    }
    let live = jobs::list(cx.folder())?;
    losses.extend(jobs::find_live(&live, &worktree.path).map(|job| Loss::Live(job.id.clone())));
    losses.extend(changes(cx, worktree)?);
    losses.extend(modules::losses(cx, worktree)?);
    losses.extend(hidden(cx, worktree)?);
    losses.extend(unfinished(worktree));
    losses.extend(unreachable(cx, worktree)?);
    Ok(losses)
}

/// Lists changed and untracked files.
pub(crate) fn changes(cx: &Context, worktree: &Worktree) -> Result<Vec<Loss>, Failure> {
    let git = cx.git_in(worktree)?.reading();
    let arguments =
        ["status", "--porcelain=v1", "-z", "--untracked-files=all", "--ignore-submodules=none", "--no-renames"];
    let listing = git.run(arguments)?.stdout;
    let entries: Vec<&[u8]> = listing.split(|byte| *byte == 0).filter(|entry| entry.len() > 3).collect();
    let submodules = if entries.is_empty() { Vec::new() } else { modules::paths(&git)? };
    let loss = |entry: &&[u8]| {
        let path = String::from_utf8_lossy(&entry[3..]).into_owned();
        match entry {
            [b'?', b'?', ..] => Loss::Untracked(path),
            // A commit here keeps which commit the submodule is at, and nothing of what is in it.
            _ if submodules.iter().any(|submodule| *submodule == entry[3..]) => {
                Loss::Submodule(format!("{path}: it has changes, or another commit than HEAD names"))
            }
            _ => Loss::Changed(path),
        }
    };
    Ok(entries.iter().map(loss).collect())
}

/// Lists what the index of a worktree that is gone holds and no commit does.
fn staged(cx: &Context, worktree: &Worktree) -> Result<Vec<Loss>, Failure> {
    let git = administration(cx, worktree)?.reading();
    let listing = git.run(["diff-index", "--cached", "--name-only", "--no-renames", "-z", "HEAD", "--"])?.stdout;
    let paths = listing.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    Ok(paths.map(|path| Loss::Changed(String::from_utf8_lossy(path).into_owned())).collect())
}

/// Git for what the repository holds of a worktree, whether its folder is there or not.
fn administration(cx: &Context, worktree: &Worktree) -> Result<Git, Failure> {
    Ok(cx.git()?.pinned(&worktree.git_dir, None))
}

/// A file marked assume-unchanged, or one that is there though marked skip-worktree, may hold anything.
fn hidden(cx: &Context, worktree: &Worktree) -> Result<Vec<Loss>, Failure> {
    let paths = flagged(&cx.git_in(worktree)?.reading(), worktree)?;
    Ok(paths.iter().map(|path| Loss::Hidden(String::from_utf8_lossy(path).into_owned())).collect())
}

/// Lists the paths that are there and that the flags of an index keep 'git status' from looking at.
fn flagged(git: &Git, worktree: &Worktree) -> Result<Vec<Vec<u8>>, Failure> {
    let listing = git.run(["ls-files", "-v", "-z"])?.stdout;
    let entries = listing.split(|byte| *byte == 0).filter(|entry| entry.len() > 2);
    // A small letter is assume-unchanged, an S skip-worktree, an s both.
    let is_there = |path: &[u8]| worktree.path.join(std::ffi::OsStr::from_bytes(path)).symlink_metadata().is_ok();
    let hidden = |entry: &&[u8]| entry[0].is_ascii_lowercase() || (entry[0] == b'S' && is_there(&entry[2..]));
    Ok(entries.filter(hidden).map(|entry| entry[2..].to_vec()).collect())
}

fn unfinished(worktree: &Worktree) -> Vec<Loss> {
    let signs = [
        ("MERGE_HEAD", "merge"),
        ("rebase-merge", "rebase"),
        ("rebase-apply", "rebase"),
        ("CHERRY_PICK_HEAD", "cherry-pick"),
        ("REVERT_HEAD", "revert"),
        ("BISECT_LOG", "bisection"),
    ];
    let there = signs.iter().filter(|(file, _)| worktree.git_dir.join(file).symlink_metadata().is_ok());
    there.map(|(_, what)| Loss::Unfinished((*what).to_owned())).collect()
}

/// A branch reaches its commit by itself; a detached HEAD needs another ref.
fn unreachable(cx: &Context, worktree: &Worktree) -> Result<Option<Loss>, Failure> {
    if worktree.branch.is_some() {
        return Ok(None);
    }
    let head = administration(cx, worktree)?.run(["rev-parse", "--verify", "HEAD^{commit}"])?.text();
    let refs = cx.git()?.run(["for-each-ref", "--count=1", &format!("--contains={head}")])?.text();
    Ok(refs.is_empty().then_some(Loss::Unreachable(head)))
}

/// Keeps a worktree as it is, untracked files included, as a commit under `refs/backup/<slug>/`; returns the ref.
pub(crate) fn keep(cx: &Context, task: &Task, worktree: &Worktree) -> Result<String, Failure> {
    let folder = tempfile::Builder::new().prefix("git-task-").tempdir().context("cannot create a temporary folder")?;
    let git = if worktree.path.exists() {
        let git = cx.git_beside(worktree, folder.path())?;
        add_all(&git, worktree)?;
        git
    } else {
        administration(cx, worktree)?
    };
    let git = git.setting("core.fsync=loose-object,reference");
    let tree = git.run(["write-tree"])?.text();
    let message = format!("State of the worktree of '{}' before it was removed\n", task.slug);
    let commit = git.feed(["commit-tree", "-p", "HEAD", "-F", "-", &tree], message.as_bytes())?.text();
    let name = format!("refs/backup/{}/{}", task.slug, clock::stamp(clock::now()));
    git.run(["update-ref", "-m", "worktree remove", &name, &commit, ""])?;
    Ok(name)
}

/// Brings a copy of the index to what the worktree holds; its flags go, so that hidden changes are kept as well.
fn add_all(git: &Git, worktree: &Worktree) -> Result<(), Failure> {
    let git = git.clone().setting("core.fsync=loose-object");
    let names: Vec<u8> = flagged(&git, worktree)?.into_iter().flat_map(|path| [path, vec![0]].concat()).collect();
    for flag in ["--no-assume-unchanged", "--no-skip-worktree"] {
        git.feed(["update-index", "-z", flag, "--stdin"], &names)?;
    }
    git.run(["add", "--all", "--sparse"])?;
    Ok(())
}
