//! Paths that must not be there, and paths that must not change.

use super::outcome::Gather;
use super::scope::Patterns;
use super::{Ground, Outcome, Policy};

/// Judges which paths a tree has.
pub(super) fn forbidden(ground: &Ground<'_>, policy: &Policy, patterns: &Patterns) -> Outcome {
    if patterns.is_empty() {
        return Outcome::skipped("no patterns are set");
    }
    let mut gather = Gather::of(policy);
    let hits = patterns.over(&ground.tree);
    for file in ground.tree.files.iter().filter(|file| hits.matches(&ground.tree, file)) {
        let path = ground.tree.path(file);
        if let Some(now) = policy.scope.at(path) {
            gather.add(path, 0, now.severity, || "it must not be in the tree".to_owned());
        }
    }
    gather.end()
}

/// Judges which paths differ from the base.
pub(super) fn protected(ground: &Ground<'_>, policy: &Policy, patterns: &Patterns) -> Outcome {
    if patterns.is_empty() {
        return Outcome::skipped("no patterns are set");
    }
    let mut gather = Gather::of(policy);
    for change in ground.changes.iter().filter(|change| patterns.matches(&change.path)) {
        if let Some(now) = policy.scope.at(&change.path) {
            let how = match (change.old, change.new) {
                (None, _) => "added",
                (Some(_), None) => "removed",
                (Some(_), Some(_)) => "changed",
            };
            gather.add(&change.path, 0, now.severity, || format!("it is protected and was {how}"));
        }
    }
    gather.end()
}
