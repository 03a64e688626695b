//! A three-way merge of commits, as objects alone: git's own word, nothing is checked out.

use anyhow::{Context as _, Result, bail};
use gix::ObjectId;
use shared::output::path_text;
use shared::process::Git;

use crate::record::id;

/// What git makes of two commits and their base.
#[derive(Debug)]
pub(crate) enum Merged {
    Clean(ObjectId),
    /// The paths that conflict.
    Conflicts(Vec<String>),
}

/// Merges what `theirs` changes of `base` into `ours`.
///
/// # Errors
/// When git cannot tell.
pub(crate) fn merge(git: &Git, base: ObjectId, ours: ObjectId, theirs: ObjectId) -> Result<Merged> {
    let merge_base = format!("--merge-base={base}");
    let words = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", &merge_base];
    let done = git.ask(words.iter().copied().chain([ours.to_string().as_str(), theirs.to_string().as_str()]))?;
    let mut fields = done.stdout.split(|byte| *byte == 0).filter(|field| !field.is_empty());
    match done.code {
        0 => {
            let tree = fields.next().context("'git merge-tree' names no tree")?;
            Ok(Merged::Clean(id(std::str::from_utf8(tree)?.trim())?))
        }
        1 => Ok(Merged::Conflicts(fields.skip(1).map(path_text).collect())),
        _ => bail!("git cannot merge {ours} and {theirs}: {}", done.stderr.trim()),
    }
}
