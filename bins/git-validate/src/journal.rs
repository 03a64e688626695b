//! This host's own journal of results, outside every repository.
//!
//! Anybody who can write to a repository can write a note, an agent too. So a noted line counts
//! only if the journal holds its hash: then this host has run the check itself, or has verified who
//! signed it. Beside it stand the results of checks that name their inputs, by their keys, since
//! those hold in other trees as well.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use gix::ObjectId;
use sha2::{Digest, Sha256};
use shared::repository::Repository;
use shared::{durable, folders};

use crate::checks::key::hex;
use crate::verdict::Line;

/// The journal of one repository.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// Finds the journal of a repository; it need not exist.
    ///
    /// # Errors
    /// When the user has no home folder.
    pub(crate) fn of(repository: &Repository) -> Result<Journal> {
        Ok(Journal { folder: folders::state()?.join("validate").join(repository.key()) })
    }

    /// The folder of everything that is kept of this repository.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the hashes of the lines of one tree's note that this host vouches for.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) fn vouched(&self, tree: ObjectId) -> Result<HashSet<String>> {
        let text = durable::read(&self.shard("journal", &tree.to_string()))?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let prefix = format!("{tree} ");
        Ok(text.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    /// Vouches for lines of a tree's note, as they are written there.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub(crate) fn vouch<'a>(&self, tree: ObjectId, lines: impl IntoIterator<Item = &'a [u8]>) -> Result<()> {
        let text: Vec<String> = lines.into_iter().map(|line| format!("{tree} {}", digest(line))).collect();
        self.append("journal", &tree.to_string(), &text.join("\n"))
    }

    /// Returns the newest result of a check by its key, where only its inputs count.
    ///
    /// # Errors
    /// When the results cannot be read.
    pub(crate) fn by_inputs(&self, key: &str) -> Result<Option<Line>> {
        let text = durable::read(&self.shard("inputs", key))?.unwrap_or_default();
        let prefix = format!("{key} ");
        let text = String::from_utf8_lossy(&text);
        let found = text.lines().rev().find_map(|line| line.strip_prefix(&prefix));
        Ok(found.and_then(|line| serde_json::from_str(line).ok()))
    }

    /// Keeps a result by its key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keep_by_inputs(&self, line: &Line) -> Result<()> {
        self.append("inputs", &line.key, &format!("{} {}", line.key, serde_json::to_string(line)?))
    }

    fn append(&self, kind: &str, name: &str, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let path = self.shard(kind, name);
        durable::private_folder(path.parent().unwrap_or(&self.folder))?;
        // A line that a crash takes away costs one more run.
        durable::append_line_unflushed(&path, text)
    }

    /// One of 256 files, so that none grows long.
    fn shard(&self, kind: &str, name: &str) -> PathBuf {
        self.folder.join(kind).join(name.get(..2).unwrap_or("00"))
    }
}

/// The hash of a line of a note, without its newline.
pub(crate) fn digest(line: &[u8]) -> String {
    hex(&Sha256::digest(line))
}
