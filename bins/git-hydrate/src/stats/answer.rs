//! What is answered about the worktrees' cost.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;
use shared::output::Foreign;

use super::place::Space;
use super::walk::{Found, Identity, Linked, merge};

/// Whether it is known what is shared.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Sharing {
    /// The file system says which extents are shared.
    #[default]
    Extents,
    /// It does not, or cannot share any.
    Unknown,
}

/// One worktree.
#[derive(Debug, Serialize)]
struct One {
    worktree: String,
    files: u64,
    bytes: u64,
    on_disk: u64,
    shared: u64,
    own: u64,
    sharing: Sharing,
    nested: u64,
    unreadable: u64,
}

/// All of them together.
#[derive(Debug, Default, Serialize)]
struct Total {
    files: u64,
    bytes: u64,
    on_disk: u64,
    saved: u64,
    sharing: Sharing,
}

/// The answer.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answer {
    worktrees: Vec<One>,
    total: Total,
    seconds: f64,
    /// What all worktrees hold, but for files with several names.
    #[serde(skip)]
    space: Space,
    /// The files with several names, each once.
    #[serde(skip)]
    linked: HashMap<Identity, Linked>,
}

impl Answer {
    /// Adds a worktree.
    pub(super) fn add(&mut self, path: &Path, found: Found) {
        let mut own = found.space.clone();
        let mut elsewhere = Space::default();
        for linked in found.linked.values() {
            // A file with a name elsewhere stays when this worktree goes.
            if linked.met < linked.names { &mut elsewhere } else { &mut own }.append(&linked.space);
        }
        let shared = own.shared() + elsewhere.all();
        let on_disk = own.all() + elsewhere.all();
        let sharing = if found.blind { Sharing::Unknown } else { Sharing::Extents };
        let one = One {
            worktree: path.display().to_string(),
            files: found.files + found.linked.len() as u64,
            bytes: found.bytes + found.linked.values().map(|linked| linked.bytes).sum::<u64>(),
            on_disk,
            shared,
            own: on_disk - shared,
            sharing,
            nested: found.nested,
            unreadable: found.unreadable.len() as u64,
        };
        self.total.files += found.files;
        self.total.bytes += found.bytes;
        self.total.saved += one.on_disk;
        if found.blind {
            self.total.sharing = Sharing::Unknown;
        }
        self.worktrees.push(one);
        self.space.append(&found.space);
        merge(&mut self.linked, found.linked);
    }

    /// Adds all worktrees up.
    pub(super) fn finish(&mut self, seconds: f64) {
        for linked in self.linked.values() {
            self.space.append(&linked.space);
            self.total.bytes += linked.bytes;
        }
        self.total.files += self.linked.len() as u64;
        self.total.on_disk = self.space.all();
        self.total.saved -= self.total.on_disk;
        self.seconds = seconds;
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>9} {:>10} {:>10} {:>10} {:>10}  worktree", "files", "MiB", "on disk", "shared", "own")?;
        for one in &self.worktrees {
            let [bytes, on_disk, shared, own] = [one.bytes, one.on_disk, one.shared, one.own].map(mib);
            let mark = if one.sharing == Sharing::Unknown { "?" } else { "" };
            let shared = format!("{shared}{mark}");
            let path = Foreign(&one.worktree);
            writeln!(f, "{:>9} {bytes:>10} {on_disk:>10} {shared:>10} {own:>10}  {path}", one.files)?;
        }
        let total = &self.total;
        let [bytes, on_disk, saved] = [total.bytes, total.on_disk, total.saved].map(mib);
        writeln!(f, "{:>9} {bytes:>10} {on_disk:>10} {:>10} {:>10}  together, {saved} MiB saved", total.files, "", "")?;
        if total.sharing == Sharing::Unknown {
            writeln!(f, "?: the file system does not say what is shared")?;
        }
        Ok(())
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}
