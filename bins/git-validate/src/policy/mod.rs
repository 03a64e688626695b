//! The policies that are built in: questions about a tree that need no command and no checkout.

use std::collections::BTreeMap;

use gix::ObjectId;
use shared::app::Context;
use shared::failure::Failure;

use crate::finding::{Finding, Severity};
use crate::verdict::CheckStatus;

/// One policy, as it is configured.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// Such as `line-length`.
    pub(crate) rule: &'static str,
    pub(crate) severity: Severity,
}

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) tree: ObjectId,
    /// The tree that it is compared with; nothing at the beginning of a history.
    pub(crate) base: Option<ObjectId>,
    /// The message of the commit, where there is one.
    pub(crate) message: Option<&'a [u8]>,
}

/// How one policy ended.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) status: CheckStatus,
    /// Why it is broken or skipped.
    pub(crate) reason: Option<String>,
    /// In the order of the tree.
    pub(crate) findings: Vec<Finding>,
    /// What was counted, such as `items` and `documented`.
    pub(crate) counts: BTreeMap<String, u64>,
}

/// Reads the policies that are on, in a fixed order.
///
/// # Errors
/// When the settings cannot be read.
pub(crate) fn configured(_cx: &Context) -> Result<Vec<Policy>, Failure> {
    Ok(Vec::new())
}

/// Judges a tree by these policies, all in one pass; the outcomes are in their order.
///
/// # Errors
/// When the tree cannot be read.
pub(crate) fn judge(_scene: Scene<'_>, _policies: &[&Policy]) -> Result<Vec<Outcome>, Failure> {
    Ok(Vec::new())
}

impl Policy {
    /// Its name among the checks, such as `policy:line-length`.
    pub(crate) fn name(&self) -> String {
        format!("policy:{}", self.rule)
    }

    /// Says whether nobody has asked for it.
    pub(crate) fn is_implicit(&self) -> bool {
        false
    }

    /// The hash of all that its answer depends on beside the tree: its settings, and for some the base or the message.
    pub(crate) fn key(&self, _scene: Scene<'_>) -> String {
        String::new()
    }
}
