//! What would become of the tracked files, for a dry run.

use gix::index::State;
use gix::index::entry::Mode;

use crate::answer::Tracked;
use crate::cloning::Cloning;
use crate::copy::{self, How};
use crate::donor::Donor;
use crate::plan::{Step, Why};
use crate::tracked;

/// Counts what a plan would do.
pub(crate) fn count(counts: &mut Tracked, base: &State, donor: Option<&Donor>, steps: &[Step], cloning: &Cloning) {
    for (entry, step) in base.entries().iter().zip(steps) {
        let taken = match (*step, donor) {
            (Step::Take { donor: at, .. }, Some(donor)) => {
                let theirs = &donor.index.entries()[at];
                donor.root.look(entry.path(base)).ok().filter(|facts| donor.is_as_remembered(theirs, facts))
            }
            (Step::LeaveOut | Step::Submodule | Step::Keep, _) => continue,
            (Step::CheckOut(why), _) => {
                tracked::count_checked_out(counts, why);
                continue;
            }
            (Step::Take { .. }, None) => None,
        };
        let Some(facts) = taken else {
            tracked::count_checked_out(counts, Why::Modified);
            continue;
        };
        let size = copy::size(&facts);
        let how = match entry.mode {
            Mode::SYMLINK => How::Linked,
            _ if cloning.covers(size) => How::Cloned,
            _ => How::Copied,
        };
        tracked::count(counts, how, size);
    }
}
