//! What was asked for by name at the top of the donor and git does not list: sockets, pipes, devices.

use gix::bstr::ByteSlice;
use rustix::fs::{Dir, FileType};

use super::walk::unfit;
use super::{Order, Report};
use crate::patterns::Choice;

/// Names them; deeper ones are met only where the walk comes by.
pub(super) fn name_unlisted(order: &Order<'_>, report: &mut Report) {
    let Ok(entries) = order.from.folder(b"").and_then(Dir::read_from) else { return };
    for entry in entries.flatten() {
        let reason = match entry.file_type() {
            FileType::RegularFile | FileType::Symlink | FileType::Directory | FileType::Unknown => None,
            kind => unfit(kind),
        };
        let name = entry.file_name().to_bytes();
        if let Some(reason) = reason.filter(|_| order.patterns.choose(&name.to_path_lossy(), false) == Choice::Take) {
            report.skip(name, reason);
        }
    }
}
