//! What is answered.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use shared::output::Foreign;

use crate::plan::Why;
use crate::ready::Step;

/// Where the tracked files came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Method {
    /// From a donor, the rest from git.
    Donor,
    /// From git alone.
    Checkout,
    /// Nothing was to be done.
    Nothing,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    /// The worktree that was filled.
    pub(crate) worktree: String,
    /// The worktree that gave.
    pub(crate) donor: Option<String>,
    /// Where the tracked files came from.
    pub(crate) method: Method,
    /// Whether this only says what would be done.
    pub(crate) dry_run: bool,
    /// The tracked files.
    pub(crate) tracked: Tracked,
    /// The size in bytes from which files were cloned; `None` if none could be, or none was to be.
    pub(crate) clone_from: Option<u64>,
    /// The ignored artefacts.
    pub(crate) ignored: Ignored,
    /// The submodules that were filled as well.
    pub(crate) submodules: Vec<Submodule>,
    /// The ref that keeps what was staged before `--force`.
    pub(crate) backup: Option<String>,
    /// What was not taken or was moved aside, and why.
    pub(crate) skipped: Vec<Skipped>,
    /// The file with this worktree's own values.
    pub(crate) env_file: Option<String>,
    /// The steps that ran in the filled worktree.
    pub(crate) after: Vec<Step>,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// The tracked files of the worktree.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tracked {
    /// All that this run made.
    pub(crate) files: u64,
    /// Those that share extents with the donor's.
    pub(crate) cloned: u64,
    /// Those whose bytes were copied.
    pub(crate) copied: u64,
    /// Those that git made.
    pub(crate) checked_out: u64,
    /// Why it was git that made them.
    pub(crate) checked_out_because: BTreeMap<Why, u64>,
    /// Symbolic links taken from the donor.
    pub(crate) symlinks: u64,
    /// Those that an interrupted run had made.
    pub(crate) kept: u64,
    /// Bytes shared.
    pub(crate) bytes_cloned: u64,
    /// Bytes copied.
    pub(crate) bytes_copied: u64,
    /// Bytes that git wrote.
    pub(crate) bytes_checked_out: u64,
}

/// The ignored artefacts that came along.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Ignored {
    /// Files and links.
    pub(crate) files: u64,
    /// Files that share extents with the donor's.
    pub(crate) cloned: u64,
    /// Files whose bytes were copied.
    pub(crate) copied: u64,
    /// Further names of files that were copied or cloned.
    pub(crate) linked: u64,
    /// Links and files in which the donor's path became the worktree's.
    pub(crate) relinked: u64,
    /// Bytes of both, each file's once.
    pub(crate) bytes: u64,
}

/// A submodule that was filled.
#[derive(Debug, Serialize)]
pub(crate) struct Submodule {
    /// Its path, seen from the worktree.
    pub(crate) path: String,
    /// The answer of the run that filled it.
    pub(crate) answer: serde_json::Value,
}

/// A path that was left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Skipped {
    /// The path, seen from the worktree.
    pub(crate) path: String,
    /// Why.
    pub(crate) reason: String,
}

impl Skipped {
    /// Names a path.
    pub(crate) fn new(path: &[u8], reason: impl Into<String>) -> Skipped {
        Skipped { path: String::from_utf8_lossy(path).into_owned(), reason: reason.into() }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let worktree = Foreign(&self.worktree);
        if self.method == Method::Nothing && (!self.after.is_empty() || self.env_file.is_some()) {
            return writeln!(f, "'{worktree}' is filled{}", self.steps());
        }
        if self.method == Method::Nothing {
            return writeln!(f, "nothing to do: '{worktree}' is filled");
        }
        let t = &self.tracked;
        let verb = if self.dry_run { "would fill" } else { "filled" };
        write!(f, "{verb} '{worktree}'")?;
        if let Some(donor) = &self.donor {
            write!(f, " from '{}'", Foreign(donor))?;
        }
        write!(f, ": {} files ({} cloned, {} copied, {} links", t.files, t.cloned, t.copied, t.symlinks)?;
        write!(f, ", {} checked out)", t.checked_out)?;
        if t.kept > 0 {
            write!(f, ", {} there before", t.kept)?;
        }
        if !self.submodules.is_empty() {
            write!(f, "; {} submodules", self.submodules.len())?;
        }
        let i = &self.ignored;
        if i.files > 0 {
            write!(f, "; {} ignored files ({} cloned, {} copied)", i.files, i.cloned, i.copied)?;
        }
        if i.linked + i.relinked > 0 {
            write!(f, "; {} linked, {} relinked", i.linked, i.relinked)?;
        }
        write!(f, "{}", self.steps())?;
        let bytes = t.bytes_cloned + t.bytes_copied + t.bytes_checked_out + i.bytes;
        write!(f, "; {}", indicatif::HumanBytes(bytes))?;
        if self.dry_run {
            writeln!(f)?
        } else {
            writeln!(f, " in {:.2} s", self.seconds)?
        }
        match &self.backup {
            Some(backup) => writeln!(f, "what was staged is kept as {backup}"),
            None => Ok(()),
        }
    }
}

impl Answer {
    /// Says what else was done, or would be.
    fn steps(&self) -> String {
        let mut text = String::new();
        if let Some(file) = &self.env_file {
            text.push_str(&format!("; values in '{}'", Foreign(file)));
        }
        match self.after.len() {
            0 => {}
            1 => text.push_str("; 1 step after"),
            more => text.push_str(&format!("; {more} steps after")),
        }
        text
    }
}
