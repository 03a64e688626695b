//! How much of the code tests reach, by the reports of the checks.

use std::collections::BTreeMap;

use super::outcome::Gather;
use super::settings::Coverage;
use super::{Outcome, Policy};

/// The lines that can be reached, and those that were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) lines: u64,
    pub(crate) covered: u64,
}

impl Reached {
    /// Adds what one check has reported.
    pub(crate) fn add(&mut self, counts: &BTreeMap<String, u64>) {
        let count = |name: &str| counts.get(name).copied().unwrap_or(0);
        self.lines = self.lines.saturating_add(count("lines"));
        self.covered = self.covered.saturating_add(count("lines-covered"));
    }

    /// Hundredths of a per cent; nothing if nothing can be reached.
    fn share(self) -> Option<u64> {
        let share = (u128::from(self.covered) * 10_000).checked_div(self.lines.into())?;
        u64::try_from(share).ok()
    }
}

/// Judges what was reached, against what the base has noted.
pub(super) fn judge(policy: &Policy, asked: &Coverage, own: Reached, base: Option<Reached>) -> Outcome {
    let mut gather = Gather::of(policy);
    gather.tally("lines", own.lines);
    gather.tally("lines-covered", own.covered);
    let Some(share) = own.share() else {
        // What was not measured is not good enough.
        gather.add_whole(policy.severity, || "no check has reported coverage".to_owned());
        return gather.end();
    };
    if share < asked.min * 100 {
        gather.add_whole(policy.severity, || {
            format!("{} of the lines are reached, at least {} % have to be", told(share), asked.min)
        });
    }
    let before = base.and_then(Reached::share);
    if let (Some(before), Some(most)) = (before, asked.max_drop)
        && share + most * 100 < before
    {
        gather.add_whole(policy.severity, || {
            format!("{} of the lines are reached, in the base it was {}", told(share), told(before))
        });
    }
    gather.end()
}

fn told(share: u64) -> String {
    format!("{}.{:02} %", share / 100, share % 100)
}
