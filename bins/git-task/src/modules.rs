//! The submodules of a worktree: each has a repository of its own that goes with the worktree.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use shared::app::Context;
use shared::failure::Failure;
use shared::process::Git;
use shared::repository::Worktree;

use crate::proof::Loss;

/// Lists the paths of submodules in the index of a worktree.
pub(crate) fn paths(git: &Git) -> Result<Vec<Vec<u8>>> {
    let listing = git.run(["ls-files", "--stage", "-z"])?.stdout;
    let entries = listing.split(|byte| *byte == 0).filter(|entry| entry.starts_with(b"160000 "));
    Ok(entries.filter_map(|entry| Some(entry.splitn(2, |b| *b == b'\t').nth(1)?.to_vec())).collect())
}

/// Lists the submodules of a worktree that would be lost with it.
pub(crate) fn losses(cx: &Context, worktree: &Worktree) -> Result<Vec<Loss>, Failure> {
    let is_inside = |path: &Vec<u8>| {
        let place = worktree.path.join(std::ffi::OsStr::from_bytes(path));
        place.join(".git").symlink_metadata().is_ok_and(|facts| facts.is_dir())
    };
    let inside = paths(&cx.git_in(worktree)?.reading())?.into_iter().filter(is_inside);
    let mut losses: Vec<Loss> = inside
        .map(|path| Loss::Submodule(format!("{}: its repository is in the worktree", String::from_utf8_lossy(&path))))
        .collect();
    losses.extend(commits(cx, worktree)?);
    Ok(losses)
}

/// Lists the submodules of a worktree with commits that are neither on their remotes nor in the repository
/// that the main worktree has for the same submodule.
pub(crate) fn commits(cx: &Context, worktree: &Worktree) -> Result<Vec<Loss>, Failure> {
    let common = cx.repository()?.common_dir().join("modules");
    let own = worktree.git_dir.join("modules");
    let mut losses = Vec::new();
    for module in repositories(&own)? {
        let inside = module.strip_prefix(&own).unwrap_or(&module);
        if let Some(commit) = only_there(&module, &common.join(inside))? {
            losses.push(Loss::Submodule(format!("{}: its commit {commit} is nowhere else", inside.display())));
        }
    }
    Ok(losses)
}

/// Lists the git folders below a folder of modules, those of nested submodules included.
fn repositories(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let is_repository = folder.join("HEAD").is_file() && folder.join("objects").is_dir();
        if is_repository {
            folders.push(folder.join("modules"));
            found.push(folder);
            continue;
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).with_context(|| format!("cannot list '{}'", folder.display())),
        };
        let below = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(below.map(|entry| entry.path()));
    }
    Ok(found)
}

/// Returns a commit of a module that neither its remote-tracking refs nor any ref of `other` reaches.
fn only_there(module: &Path, other: &Path) -> Result<Option<String>> {
    let git = Git::at(module)?.pinned(module, None).reading();
    let list = |arguments: &[&str]| -> Result<Vec<String>> {
        Ok(git.run(arguments)?.text().lines().map(str::to_owned).collect())
    };
    let suspects = list(&["rev-list", "HEAD", "--all", "--not", "--remotes"])?;
    if suspects.is_empty() {
        return Ok(None);
    }
    if other.join("HEAD").is_file() {
        let there = Git::at(other)?.pinned(other, None).reading();
        let known = there.run(["rev-list", "--all", "HEAD"])?.text();
        let known: std::collections::HashSet<&str> = known.lines().collect();
        return Ok(suspects.into_iter().find(|commit| !known.contains(commit.as_str())));
    }
    Ok(suspects.into_iter().next())
}
