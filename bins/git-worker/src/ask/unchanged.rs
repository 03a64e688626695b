//! Whether a worktree is as it was: who is asked a question changes nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Result;
use shared::process::Git;

use crate::plan::Plan;
use crate::{live, snapshot};

/// So many paths are named.
const NAMED: usize = 5;

/// What git says of a worktree, and of each file that is not as committed its size and time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen(BTreeMap<Vec<u8>, String>);

impl Seen {
    /// Looks at the worktree; none if others work there, whose changes cannot be told from the agent's.
    ///
    /// # Errors
    /// When git cannot look, or would start what nobody agreed to.
    pub(crate) fn take(plan: &Plan, folder: &Path, own: &str) -> Result<Option<Seen>> {
        let worktree = &plan.place.worktree;
        let others = live::noted(folder).into_iter().filter(|job| job.id() != own && job.is_live().unwrap_or(true));
        if others.filter_map(|job| job.load().ok()).any(|record| record.worktree_path() == *worktree) {
            return Ok(None);
        }
        let git = Git::at(worktree)?.pinned(&plan.place.git_dir, Some(worktree));
        let git = git.env("GIT_COMMON_DIR", &plan.common_dir).reading();
        // An agent may have changed the configuration meanwhile.
        snapshot::refuse_untrusted(&git, &plan.common_dir)?;
        let words = ["status", "--porcelain=v2", "--branch", "--untracked-files=all", "--no-renames", "-z"];
        let status = git.run(words.into_iter().chain(["--ignore-submodules=dirty"]))?.stdout;
        // Of the branch only its commit: how far it is from another is nobody's change here.
        let is_said = |entry: &&[u8]| !entry.is_empty() && (entry[0] != b'#' || entry.starts_with(b"# branch.oid "));
        let entries = status.split(|b| *b == 0).filter(is_said);
        Ok(Some(Seen(entries.map(|entry| seen(worktree, entry)).collect())))
    }

    /// Names what differs, in words; none if nothing does.
    pub(crate) fn difference(&self, after: &Seen) -> Option<String> {
        let all = self.0.keys().chain(after.0.keys()).filter(|path| self.0.get(*path) != after.0.get(*path));
        let paths: std::collections::BTreeSet<&[u8]> = all.map(Vec::as_slice).collect();
        let mut names: Vec<String> =
            paths.iter().take(NAMED).map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        if paths.len() > NAMED {
            names.push(format!("{} more", paths.len() - NAMED));
        }
        (!names.is_empty()).then(|| names.join(", "))
    }
}

/// Splits an entry of git's into the path and what is known of it.
fn seen(worktree: &Path, entry: &[u8]) -> (Vec<u8>, String) {
    let fields = match entry[0] {
        b'1' => 8,
        b'u' => 10,
        b'?' => 1,
        _ => return (b"HEAD".to_vec(), String::from_utf8_lossy(entry).into_owned()),
    };
    let mut parts = entry.splitn(fields + 1, |b| *b == b' ');
    let head: Vec<String> =
        parts.by_ref().take(fields).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    let path = parts.next().unwrap_or_default().to_vec();
    let facts = worktree.join(OsStr::from_bytes(&path)).symlink_metadata().ok();
    let stamp = facts.map(|facts| (facts.size(), facts.mtime(), facts.mtime_nsec(), facts.ino(), facts.mode()));
    (path, format!("{} {stamp:?}", head.join(" ")))
}
