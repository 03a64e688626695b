//! Moving the base, with a backup of the task's branch in the same transaction.

use shared::app::Context;
use shared::clock;
use shared::failure::Failure;
use shared::landing::{self, Checkout, Move};

use super::Plan;
use super::build::Built;

/// How the landing ended.
pub(crate) enum Landed {
    /// The base is at the new commit; the branch is backed up under this ref.
    Moved { checkout: Option<Checkout>, backup: String },
    /// The base was not where it was expected; nothing is changed.
    BaseMoved,
}

/// Says what would become of the checkout of the base.
pub(crate) fn preview(cx: &Context, plan: &Plan, built: &Built) -> Result<Option<Checkout>, Failure> {
    of(plan, built, Vec::new()).preview(cx)
}

pub(crate) fn land(cx: &Context, plan: &Plan, built: &Built) -> Result<Landed, Failure> {
    let backup = format!("refs/backup/{}/{}", plan.task.slug, clock::stamp(clock::now()));
    match of(plan, built, vec![format!("create {backup} {}", plan.tip)]).land(cx)? {
        landing::Landed::Moved(checkout) => Ok(Landed::Moved { checkout, backup }),
        landing::Landed::Elsewhere => Ok(Landed::BaseMoved),
    }
}

fn of(plan: &Plan, built: &Built, also: Vec<String>) -> Move {
    let reason = format!("task complete: {}", plan.task.slug);
    Move { branch: plan.base.clone(), old: plan.old, new: built.commit, also, reason }
}
