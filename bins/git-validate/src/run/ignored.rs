//! What git said is ignored in a slot, so that it need not be asked each time.
//!
//! The list holds as long as the rules do: those of the tree, of the repository and of the user.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use shared::app::Context;
use shared::durable::{self, Previous};

use super::exact::Seen;

const FILE: &str = "ignored";

/// The hash of the rules that are not in the tree.
#[derive(Debug, Clone)]
pub(super) struct Rules(Vec<u8>);

impl Rules {
    pub(super) fn of(cx: &Context) -> Rules {
        let mut hasher = Sha256::new();
        if let Ok(repository) = cx.repository() {
            let settings = repository.settings("core");
            let configured = settings.iter().rev().find(|setting| setting.key == "excludesfile");
            let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
            let config = std::env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty());
            let usual = config.map_or_else(|| home.join(".config"), PathBuf::from).join("git/ignore");
            let users = configured.map_or(usual, |setting| match setting.value.strip_prefix("~/") {
                Some(rest) => home.join(rest),
                None => PathBuf::from(&setting.value),
            });
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
    let text = fs::read(slot.join(FILE)).unwrap_or_default();
    let Some(list) = text.strip_prefix(rules.with(seen).as_slice()) else { return false };
    let list: HashSet<&[u8]> =
        list.split(|byte| *byte == 0).map(|path| path.strip_suffix(b"/").unwrap_or(path)).collect();
    seen.strange.iter().all(|path| is_known(top, path, &list))
}

/// A folder is known as a whole, or by all that is in it.
fn is_known(top: &Path, path: &Path, list: &HashSet<&[u8]>) -> bool {
    if list.contains(path.as_os_str().as_bytes()) {
        return true;
    }
    let within = |known: &&[u8]| Path::new(OsStr::from_bytes(known)).starts_with(path);
    let place = top.join(path);
    let is_folder = place.symlink_metadata().is_ok_and(|facts| facts.is_dir());
    if !is_folder || !list.iter().any(within) {
        return false;
    }
    let Ok(inside) = fs::read_dir(&place) else { return false };
    inside.into_iter().all(|entry| entry.is_ok_and(|entry| is_known(top, &path.join(entry.file_name()), list)))
}

/// Keeps git's list, `-z` and folders with a slash; without it git is asked again.
pub(super) fn save(slot: &Path, rules: &Rules, seen: &Seen, list: &[u8]) {
    let bytes = [rules.with(seen).as_slice(), list].concat();
    let _ = durable::replace(&slot.join(FILE), &bytes, Previous::Drop);
}
