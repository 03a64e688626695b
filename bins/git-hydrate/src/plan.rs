//! What happens to each tracked path.

use anyhow::Result;
use gix::bstr::BStr;
use gix::index::State;

use crate::attributes::Attributes;
use crate::donor::{Donor, Proof, SameAttributes, equal_pairs};
use crate::{beneath, index};

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
    CheckOut,
}

/// Decides for every entry of `base`; `kept` are the entries whose files are there.
pub(crate) fn plan(repo: &gix::Repository, base: &State, donor: Option<&Donor>, kept: &[usize]) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = base
        .entries()
        .iter()
        .map(|entry| match entry {
            entry if index::is_left_out(entry) => Step::LeaveOut,
            entry if index::is_submodule(entry) => Step::Submodule,
            _ => Step::CheckOut,
        })
        .collect();
    for n in kept {
        steps[*n] = Step::Keep;
    }
    let Some(donor) = donor else { return Ok(steps) };
    let config = repo.config_snapshot();
    // Attributes from a tree of their own choice, or links as files: git's matter throughout.
    if config.string("attr.tree").is_some() || config.boolean("core.symlinks") == Some(false) {
        return Ok(steps);
    }
    let mut attributes = Attributes::of(repo, base)?;
    let mut same = SameAttributes::new(base, donor);
    for (n, at) in equal_pairs(base, &donor.index) {
        let path: &BStr = base.entries()[n].path(base);
        let theirs = &donor.index.entries()[at];
        let Some(proof) = donor.proof(theirs).filter(|_| steps[n] == Step::CheckOut) else { continue };
        if !same.hold_in(beneath::split(path).0) || attributes.convert(path)? {
            continue;
        }
        // Converted under older attributes, a file still agrees with its index; its size tells.
        let is_verbatim = |size: u64| size as u32 == theirs.stat.size;
        let plain = proof == Proof::Content || repo.find_header(theirs.id).is_ok_and(|h| is_verbatim(h.size()));
        if plain {
            steps[n] = Step::Take { donor: at, proof };
        }
    }
    Ok(steps)
}
