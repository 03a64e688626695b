//! What git said is ignored in a slot, so that it need not be asked each time.
//!
//! The list holds as long as the rules do: those of the tree, of the repository and of the user.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use shared::app::Context;
use shared::durable::{self, Previous};

use super::exact::Seen;
use crate::user_file;

pub(super) const FILE: &str = "ignored";

/// The list is not read beyond this many bytes.
const MOST: usize = 64 << 20;

/// The hash of the rules that are not in the tree.
#[derive(Debug, Clone)]
pub(super) struct Rules(Vec<u8>);

impl Rules {
    pub(super) fn of(cx: &Context) -> Rules {
        let mut hasher = Sha256::new();
        if let Ok(repository) = cx.repository() {
            let users = user_file::of(&repository.settings("core"), "excludesfile", "ignore");
            for path in [repository.common_dir().join("info/exclude"), users] {
                let bytes = fs::read(path).unwrap_or_default();
                hasher.update((bytes.len() as u64).to_le_bytes());
                hasher.update(&bytes);
            }
        }
        Rules(hasher.finalize().to_vec())
    }

    fn with(&self, seen: &Seen) -> Vec<u8> {
        Sha256::digest([self.0.as_slice(), &seen.rules].concat()).to_vec()
    }
}

/// Says whether all that stands in the slot beside the tree is known to be ignored.
pub(super) fn covers(slot: &Path, top: &Path, rules: &Rules, seen: &Seen) -> bool {
    if seen.strange.is_empty() {
        return true;
    }
    let text = read(slot);
    let Some(list) = text.strip_prefix(rules.with(seen).as_slice()) else { return false };
    let list = List::parse(list);
    seen.strange.iter().all(|path| list.has(top, path))
}

/// The list as it was kept last, whatever the rules were.
pub(super) fn kept(slot: &Path) -> Vec<u8> {
    let text = read(slot);
    text.get(Sha256::output_size()..).unwrap_or_default().to_vec()
}

/// A check may have put anything there.
fn read(slot: &Path) -> Vec<u8> {
    durable::read_foreign(&slot.join(FILE), MOST).ok().flatten().unwrap_or_default()
}

/// What git has said is ignored.
pub(super) struct List<'a>(HashSet<&'a [u8]>);

impl List<'_> {
    /// Reads git's list, `-z` and folders with a slash.
    pub(super) fn parse(list: &[u8]) -> List<'_> {
        let paths: Vec<&[u8]> = list.split(|byte| *byte == 0).filter(|path| !path.is_empty()).collect();
        // A folder that no rule names stands before what is in it, all of which is ignored; another file may come.
        let is_named = |at: &usize| {
            let next = paths.get(at + 1);
            !paths[*at].ends_with(b"/") || next.is_none_or(|next| !next.starts_with(paths[*at]))
        };
        List((0..paths.len()).filter(is_named).map(|at| paths[at]).collect())
    }

    /// Says whether a path is ignored: a folder as a whole, or all that is in it.
    pub(super) fn has(&self, top: &Path, path: &Path) -> bool {
        let name = path.as_os_str().as_bytes();
        let place = top.join(path);
        if !place.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
            return self.0.contains(name);
        }
        if self.0.contains([name, b"/"].concat().as_slice()) {
            return true;
        }
        let Ok(inside) = fs::read_dir(&place) else { return false };
        let mut inside = inside.peekable();
        inside.peek().is_some()
            && inside.all(|entry| entry.is_ok_and(|entry| self.has(top, &path.join(entry.file_name()))))
    }
}

/// Keeps git's list, `-z` and folders with a slash; without it git is asked again.
pub(super) fn save(slot: &Path, rules: &Rules, seen: &Seen, list: &[u8]) {
    let bytes = [rules.with(seen).as_slice(), list].concat();
    let _ = durable::replace(&slot.join(FILE), &bytes, Previous::Drop);
}
