//! What happens to each tracked path.

use anyhow::Result;
use gix::bstr::BStr;
use gix::index::{Entry, State};
use serde::Serialize;

use crate::attributes::{Attributes, Conversion};
use crate::donor::{Donor, Proof, SameAttributes, equal_pairs};
use crate::sizes::Sizes;
use crate::{beneath, index, lfs};

/// What happens to one entry of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A sparse checkout leaves it out.
    LeaveOut,
    /// A submodule gets its empty folder.
    Submodule,
    /// It is there already, from a run that was interrupted.
    Keep,
    /// It is taken from this entry of the donor, if its file is still what `proof` needs.
    Take { donor: usize, proof: Proof },
    /// Git checks it out.
    CheckOut(Why),
}

/// Why a file is not taken from the donor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Why {
    /// There is no donor.
    NoDonor,
    /// The donor has other content at this path, or nothing.
    Differs,
    /// The donor's index marks it: unmerged, skip-worktree, assume-unchanged, intent-to-add.
    Marked,
    /// Git changes its bytes while it writes it.
    Converted,
    /// Its attributes may be others in the donor.
    Attributes,
    /// The donor's file is not, or no longer, what the donor's index remembers.
    Modified,
}

/// Decides for every entry of `base`; `kept` are the entries whose files are there.
///
/// What was learnt of the donor's sizes comes along.
pub(crate) fn plan<'r>(
    repo: &'r gix::Repository,
    base: &State,
    donor: Option<&Donor>,
    kept: &[usize],
) -> Result<(Vec<Step>, Option<Sizes<'r>>)> {
    let mut steps: Vec<Step> = base
        .entries()
        .iter()
        .map(|entry| match entry {
            entry if index::is_left_out(entry) => Step::LeaveOut,
            entry if index::is_submodule(entry) => Step::Submodule,
            _ => Step::CheckOut(if donor.is_some() { Why::Differs } else { Why::NoDonor }),
        })
        .collect();
    for n in kept {
        steps[*n] = Step::Keep;
    }
    let Some(donor) = donor else { return Ok((steps, None)) };
    let config = repo.config_snapshot();
    // Attributes from a tree of their own choice, or links as files: git's matter throughout.
    if config.string("attr.tree").is_some() || config.boolean("core.symlinks") == Some(false) {
        steps
            .iter_mut()
            .filter(|step| matches!(step, Step::CheckOut(_)))
            .for_each(|s| *s = Step::CheckOut(Why::Attributes));
        return Ok((steps, None));
    }
    let mut attributes = Attributes::of(repo, base)?;
    let has_lfs = ["filter.lfs.process", "filter.lfs.smudge"].iter().any(|key| config.string(*key).is_some());
    let mut sizes = Sizes::load(repo, donor);
    let mut same = SameAttributes::new(base, donor);
    for (n, at) in equal_pairs(base, &donor.index) {
        let path: &BStr = base.entries()[n].path(base);
        let theirs = &donor.index.entries()[at];
        if !matches!(steps[n], Step::CheckOut(_)) {
            continue;
        }
        steps[n] = match donor.proof(theirs) {
            None => Step::CheckOut(Why::Marked),
            Some(_) if !same.hold_in(beneath::split(path).0) => Step::CheckOut(Why::Attributes),
            Some(proof) => match attributes.conversion(path)? {
                Conversion::None if sizes.agree(theirs, proof) => Step::Take { donor: at, proof },
                Conversion::Lfs if has_lfs && is_fetched(repo, theirs, proof) => Step::Take { donor: at, proof },
                Conversion::None => Step::CheckOut(Why::Modified),
                Conversion::Lfs | Conversion::Other => Step::CheckOut(Why::Converted),
            },
        };
    }
    Ok((steps, Some(sizes)))
}

/// Says whether the donor's file is what the blob, a Git LFS pointer, stands for.
///
/// The filter made this pointer, a hash included, of that file; a pointer that was left as it is has another size.
fn is_fetched(repo: &gix::Repository, theirs: &Entry, proof: Proof) -> bool {
    let size = || {
        let is_small = repo.find_header(theirs.id).is_ok_and(|blob| blob.size() < lfs::MAX_POINTER);
        is_small.then(|| repo.find_blob(theirs.id).ok()).flatten().and_then(|blob| lfs::size(&blob.data))
    };
    proof == Proof::Facts && size().is_some_and(|size| size as u32 == theirs.stat.size)
}
