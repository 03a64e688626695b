//! The files of a tree, as far as checks ask for them.

use gix::bstr::BString;
use shared::app::Context;
use shared::failure::Failure;

use crate::checks::{Check, PassFiles};
use crate::subject::Subject;
use crate::tree::{self, File};

/// The files of a tree, as far as checks ask for them.
pub(super) struct Files {
    all: Vec<File>,
    changed: Vec<File>,
}

impl Files {
    pub(super) fn of(cx: &Context, subject: &Subject, open: &[&(Check, String)]) -> Result<Files, Failure> {
        let repository = cx.repository()?;
        let asks = |check: &Check| check.pass_files != PassFiles::None || !check.files.mean_all();
        let all =
            if open.iter().any(|(check, _)| asks(check)) { tree::files(repository, subject.tree)? } else { Vec::new() };
        let changed = if open.iter().any(|(check, _)| check.pass_files == PassFiles::Changed) {
            tree::differing(repository, subject.base, subject.tree)?
        } else {
            Vec::new()
        };
        Ok(Files { all, changed })
    }

    /// The files to pass to a check; nothing if none is its business.
    pub(super) fn of_check(&self, check: &Check) -> Option<Vec<BString>> {
        let of = |files: &[File]| -> Vec<BString> {
            let meant = files.iter().filter(|file| !file.mode.is_commit() && check.files.mean(&file.path));
            meant.map(|file| file.path.clone()).collect()
        };
        match check.pass_files {
            PassFiles::None if check.files.mean_all() => Some(Vec::new()),
            PassFiles::None => self.all.iter().any(|file| check.files.mean(&file.path)).then(Vec::new),
            PassFiles::All => Some(of(&self.all)).filter(|files| !files.is_empty()),
            PassFiles::Changed => Some(of(&self.changed)).filter(|files| !files.is_empty()),
        }
    }
}
