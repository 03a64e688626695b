//! The rules by which git has written the files of a slot: attributes, line ends, filters.
//!
//! Git leaves a file as it is when only they change (a new `.gitattributes`, a filter that is
//! configured now); a check has to see what a new checkout would hold.

use std::fs;
use std::path::Path;

use anyhow::Result;
use sha2::{Digest, Sha256};
use shared::app::Context;
use shared::durable::{self, Previous};
use shared::repository::{Repository, Setting};

use super::exact::Seen;
use crate::user_file;

pub(super) const FILE: &str = "written";

/// The settings that say how lines end.
const SETTINGS: &[&str] = &["autocrlf", "attributesfile", "eol", "symlinks"];

/// The hash of the rules that are not in the tree.
#[derive(Debug, Clone)]
pub(super) struct Rules(Vec<u8>);

impl Rules {
    pub(super) fn of(cx: &Context) -> Rules {
        let mut hasher = Sha256::new();
        if let Ok(repository) = cx.repository() {
            let settings = settings(repository);
            let file = user_file::of(&settings, "attributesfile", "attributes");
            for setting in settings {
                hasher.update(format!("{:?}", (setting.key, setting.value)));
            }
            for path in [repository.common_dir().join("info/attributes"), file] {
                hasher.update(Sha256::digest(fs::read(path).unwrap_or_default()));
            }
        }
        Rules(hasher.finalize().to_vec())
    }

    /// Says whether the files of a slot were written by these rules.
    pub(super) fn have_written(&self, slot: &Path, seen: &Seen) -> bool {
        let kept = durable::read_foreign(&slot.join(FILE), 2 * Sha256::output_size()).ok().flatten();
        kept.is_some_and(|kept| kept == self.with(seen))
    }

    /// Keeps that they were.
    pub(super) fn save(&self, slot: &Path, seen: &Seen) -> Result<()> {
        durable::replace(&slot.join(FILE), &self.with(seen), Previous::Drop)
    }

    fn with(&self, seen: &Seen) -> Vec<u8> {
        Sha256::digest([self.0.as_slice(), &seen.attributes].concat()).to_vec()
    }
}

/// The settings that say how files are written.
pub(super) fn settings(repository: &Repository) -> Vec<Setting> {
    let mut settings = repository.settings("core");
    settings.retain(|setting| SETTINGS.contains(&setting.key.as_str()));
    settings.extend(repository.settings("filter"));
    settings
}
