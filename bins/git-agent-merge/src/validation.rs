//! What git-validate says of a merge: passes, fails by which checks, or that there are none.

use gix::ObjectId;
use serde::Serialize;
use shared::app::Context;
use shared::failure::Failure;
use shared::validation::{self, CheckRow, Said};

/// What the checks say of a tree.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    Pass,
    Red(Red),
    /// There are no checks.
    NoChecks,
}

/// A verdict that is no pass, and the checks that made it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Red {
    /// As git-validate calls it: fail, timed-out or broken.
    pub(crate) verdict: String,
    pub(crate) checks: Vec<CheckRow>,
}

/// Asks git-validate about the tree of a merge into `base`.
pub(crate) fn ask(cx: &Context, base: ObjectId, tree: ObjectId) -> Result<Verdict, Failure> {
    Ok(match validation::ask(cx, base, tree)? {
        Said::NoChecks => Verdict::NoChecks,
        Said::Verdict { verdict, .. } if verdict == "pass" => Verdict::Pass,
        Said::Verdict { verdict, checks } => {
            let failed = checks.into_iter().filter(|check| check.status != "pass" && check.status != "skipped");
            Verdict::Red(Red { verdict, checks: failed.collect() })
        }
    })
}
