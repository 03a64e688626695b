//! The index of the new worktree: from git's own `read-tree`, with the facts of the files just made.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use gix::ObjectId;
use gix::index::Version;
use gix::index::entry::{Flags, Mode, Stat as Facts, stat::Time};
use rustix::fs::Stat;
use shared::process::Git;
use shared::refusal::Refusal;
use tempfile::TempDir;

use crate::beneath;

/// What the temporary folders in a worktree's git folder start with.
pub(crate) const TEMPORARY: &str = "hydrate-tmp-";

/// An index that is being made, in a folder of its own.
#[derive(Debug)]
pub(crate) struct Draft {
    folder: TempDir,
    kind: gix::hash::Kind,
    git: Git,
}

impl Draft {
    /// Makes the index of a tree below `place`, every entry without facts.
    pub(crate) fn of_tree(git: &Git, tree: ObjectId, place: &Path) -> Result<Draft> {
        let folder = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempdir_in(place)
            .with_context(|| format!("cannot create a folder in '{}'", place.display()))?;
        let git = git
            .clone()
            .env("GIT_INDEX_FILE", folder.path().join("index"))
            .setting("core.splitIndex=false")
            .setting("core.untrackedCache=keep")
            .setting("index.sparse=false");
        let draft = Draft { folder, kind: tree.kind(), git };
        draft.git.run(["read-tree", &tree.to_string()])?;
        Ok(draft)
    }

    /// Returns the path of the index.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("index")
    }

    /// Returns git with this index in place of the worktree's.
    pub(crate) fn git(&self) -> &Git {
        &self.git
    }

    /// Reads it, once it is sure that no path in it leads out of the worktree.
    pub(crate) fn load(&self) -> Result<gix::index::File> {
        let index = load(&self.path(), self.kind)?;
        refuse_hostile(&index)?;
        Ok(index)
    }

    /// Replaces it.
    pub(crate) fn save(&self, index: &gix::index::File) -> Result<()> {
        let beside = self.folder.path().join("index.new");
        let write = || -> Result<()> {
            let file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
            let mut out = BufWriter::with_capacity(1 << 18, file);
            index.write_to(&mut out, gix::index::write::Options::default()).map_err(|e| anyhow!("{e:#}"))?;
            out.flush()?;
            Ok(std::fs::rename(&beside, self.path())?)
        };
        write().context("cannot write the index")
    }

    /// Gives it the version that the configuration asks for; what [`Draft::save`] writes is version 2 or 3.
    pub(crate) fn set_version(&self, version: Version) -> Result<()> {
        if version == Version::V4 {
            self.git.run(["update-index", "--index-version", "4"])?;
        }
        Ok(())
    }

    /// Opens it.
    pub(crate) fn open(&self) -> Result<File> {
        OpenOptions::new().read(true).write(true).open(self.path()).context("cannot open the new index")
    }

    /// Marks the paths that a sparse checkout leaves out.
    pub(crate) fn leave_out_sparse(&self) -> Result<()> {
        let all = self.git.run(["ls-files", "-z"])?.stdout;
        let rules = self.git.feed(["sparse-checkout", "check-rules", "-z"], &all);
        let kept = rules.context("cannot apply the sparse checkout (git 2.41 or newer can)")?.stdout;
        let paths = |list: &[u8]| list.split(|b| *b == 0).filter(|p| !p.is_empty()).map(<[u8]>::to_vec).collect();
        let kept: std::collections::HashSet<Vec<u8>> = paths(&kept);
        let mut out = Vec::new();
        let all: Vec<Vec<u8>> = paths(&all).into_iter().collect();
        for path in all.into_iter().filter(|path| !kept.contains(path)) {
            out.extend_from_slice(&path);
            out.push(0);
        }
        self.git.feed(["update-index", "--skip-worktree", "-z", "--stdin"], &out)?;
        Ok(())
    }
}

/// Reads an index file.
pub(crate) fn load(path: &Path, kind: gix::hash::Kind) -> Result<gix::index::File> {
    gix::index::File::at(path, kind, false, gix::index::decode::Options::default())
        .map_err(|e| anyhow!("cannot read the index '{}': {e:#}", path.display()))
}

/// Says whether the worktree has no file for this entry on purpose.
pub(crate) fn is_left_out(entry: &gix::index::Entry) -> bool {
    entry.flags.contains(Flags::SKIP_WORKTREE)
}

/// Says whether the entry is a submodule.
pub(crate) fn is_submodule(entry: &gix::index::Entry) -> bool {
    entry.mode == Mode::COMMIT
}

/// Returns what the index remembers of a file, in git's form.
pub(crate) fn facts(stat: &Stat) -> Facts {
    let size = stat.st_size as u64;
    // Git keeps 32 bits, and never 0 for what is not empty.
    let size = if size != 0 && size as u32 == 0 { 0x8000_0000 } else { size as u32 };
    Facts {
        mtime: Time { secs: stat.st_mtime as u32, nsecs: stat.st_mtime_nsec as u32 },
        ctime: Time { secs: stat.st_ctime as u32, nsecs: stat.st_ctime_nsec as u32 },
        dev: stat.st_dev as u32,
        ino: stat.st_ino as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size,
    }
}

/// Refuses a tree that was made to write elsewhere; git refuses most of it by itself.
fn refuse_hostile(index: &gix::index::State) -> Result<()> {
    let mut folder: &[u8] = b"";
    let mut before: &[u8] = b"";
    for entry in index.entries() {
        let path: &[u8] = entry.path(index);
        let hostile = |why: &str| {
            let name = String::from_utf8_lossy(path).escape_debug().to_string();
            Refusal::new("hostile-tree", format!("the tree holds '{name}', which is refused: {why}"))
        };
        if let Some(why) = beneath::refused(path) {
            bail!(hostile(why));
        }
        if path == before {
            bail!(hostile("it is there twice"));
        }
        before = path;
        let (own, _) = beneath::split(path);
        if own != folder {
            folder = own;
            let mut above = own;
            while !above.is_empty() {
                if index.entry_by_path(above.into()).is_some() {
                    bail!(hostile("a folder on its way is a file or link as well"));
                }
                above = beneath::split(above).0;
            }
        }
    }
    Ok(())
}
