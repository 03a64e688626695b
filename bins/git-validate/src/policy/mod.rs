//! The policies that are built in: questions about a tree that need no command and no checkout.
//!
//! All that ask about contents share one reading of each file, and what was found is kept by the
//! file's id. Those that ask about a change read only what differs.

mod cache;
mod catalog;
pub(crate) mod check;
mod checkout;
mod code;
mod content;
mod coverage;
mod diff;
mod documented;
mod known;
pub(crate) mod list;
mod message;
mod objects;
mod outcome;
mod pass;
mod paths;
mod record;
mod scope;
mod settings;
mod tested;
mod tree;
mod weakened;

use std::collections::BTreeMap;
use std::sync::Arc;

use gix::ObjectId;
use sha2::{Digest, Sha256};
use shared::app::Context;
use shared::failure::Failure;

use crate::finding::{Finding, Severity};
use crate::verdict::CheckStatus;

use catalog::Needs;
pub(crate) use coverage::Reached;
use known::Known;
use objects::{Objects, Store};
use scope::Scope;
use settings::Ask;
use tree::{Change, Tree};

/// Counts up when a policy begins to answer otherwise with the same settings.
const RULES: &str = "policies/1";

/// One policy, as it is configured.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// Such as `line-length`.
    pub(crate) rule: &'static str,
    pub(crate) severity: Severity,
    scope: Scope,
    ask: Arc<Ask>,
    /// The hash of all its settings.
    settings: [u8; 32],
    /// The hash of those that what it finds in a content depends on.
    content: [u8; 32],
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
pub(crate) fn configured(cx: &Context) -> Result<Vec<Policy>, Failure> {
    settings::read(cx.config()?)
}

/// Judges a tree by these policies, all in one pass; the outcomes are in their order.
///
/// # Errors
/// When the tree cannot be read.
pub(crate) fn judge(scene: Scene<'_>, policies: &[&Policy]) -> Result<Vec<Outcome>, Failure> {
    let ground = Ground::read(scene, policies)?;
    let mut known = Known::load(scene.cx.repository()?, policies);
    let mut outcomes = pass::judge(&ground, &mut known, policies)?;
    for (policy, outcome) in policies.iter().zip(&mut outcomes) {
        if outcome.is_none() {
            *outcome = Some(judge_one(&ground, &mut known, policy)?);
        }
    }
    known.save();
    Ok(outcomes.into_iter().flatten().collect())
}

/// Replaces the secrets in a text by a word, and counts them.
pub(crate) fn mask(text: &[u8]) -> (Vec<u8>, usize) {
    content::secrets::Secrets::new(Vec::new()).mask(text)
}

fn judge_one(ground: &Ground<'_>, known: &mut Known, policy: &Policy) -> Result<Outcome, Failure> {
    let missing = match policy.needs() {
        Needs::Base if ground.scene.base.is_none() => Some("there is no base to compare with"),
        Needs::Message if ground.scene.message.is_none() => Some("there is no message"),
        Needs::Base | Needs::Message | Needs::Nothing => None,
    };
    if let Some(reason) = missing {
        return Ok(Outcome::skipped(reason));
    }
    Ok(match &*policy.ask {
        Ask::ForbiddenPaths(patterns) => paths::forbidden(ground, policy, patterns),
        Ask::ProtectedPaths(patterns) => paths::protected(ground, policy, patterns),
        Ask::DiffSize(asked) => diff::judge(ground, policy, asked)?,
        Ask::CommitMessage(asked) => message::judge(ground.scene.message.unwrap_or_default(), policy, asked),
        Ask::Documentation(asked) => documented::judge(ground, known, policy, asked)?,
        Ask::Tests(asked) => tested::judge(ground, policy, asked)?,
        Ask::PolicyChange => weakened::judge(ground, policy)?,
        Ask::Coverage(_) => Outcome::skipped("it is judged by what checks report"),
        // The pass over the contents has answered these.
        Ask::LineLength
        | Ask::Whitespace
        | Ask::FinalNewline
        | Ask::ConflictMarkers
        | Ask::LineEndings(_)
        | Ask::FileSize
        | Ask::Secrets(_)
        | Ask::Todo(_)
        | Ask::Licence(_) => Outcome::skipped("it was not asked"),
    })
}

/// What the policies stand on: the objects, the files of the tree, what differs from the base.
struct Ground<'a> {
    scene: Scene<'a>,
    store: Store,
    objects: Objects,
    /// Empty if no policy asks for it.
    tree: Tree,
    /// Empty if no policy asks for it, or there is no base.
    changes: Vec<Change>,
}

impl<'a> Ground<'a> {
    fn read(scene: Scene<'a>, policies: &[&Policy]) -> Result<Ground<'a>, Failure> {
        let store = Store::of(scene.cx.repository()?);
        let objects = store.open()?;
        let asks = |wanted: fn(&Ask) -> bool| policies.iter().any(|policy| wanted(&policy.ask));
        let tree = match asks(Ask::reads_tree) {
            true => Tree::read(&objects, scene.tree)?,
            false => Tree::empty(),
        };
        let changes = match scene.base.filter(|_| asks(Ask::reads_changes)) {
            Some(base) => tree::changes(&objects, base, scene.tree)?,
            None => Vec::new(),
        };
        Ok(Ground { scene, store, objects, tree, changes })
    }
}

impl Ask {
    /// Whether it can be answered file by file, from the content alone.
    fn is_about_content(&self) -> bool {
        match self {
            Ask::LineLength
            | Ask::Whitespace
            | Ask::FinalNewline
            | Ask::ConflictMarkers
            | Ask::LineEndings(_)
            | Ask::FileSize
            | Ask::Secrets(_)
            | Ask::Todo(_)
            | Ask::Licence(_) => true,
            Ask::ForbiddenPaths(_)
            | Ask::ProtectedPaths(_)
            | Ask::DiffSize(_)
            | Ask::CommitMessage(_)
            | Ask::Documentation(_)
            | Ask::Coverage(_)
            | Ask::Tests(_)
            | Ask::PolicyChange => false,
        }
    }

    fn reads_tree(&self) -> bool {
        self.is_about_content() || matches!(self, Ask::ForbiddenPaths(_) | Ask::DiffSize(_) | Ask::Documentation(_))
    }

    fn reads_changes(&self) -> bool {
        match self {
            Ask::ProtectedPaths(_) | Ask::DiffSize(_) | Ask::Tests(_) => true,
            Ask::Documentation(asked) => asked.new_items || asked.max_drop.is_some(),
            _ => false,
        }
    }
}

impl Policy {
    /// Its name among the checks, such as `policy:line-length`.
    pub(crate) fn name(&self) -> String {
        format!("policy:{}", self.rule)
    }

    /// Judges what checks have reported, if that is what the policy is about.
    pub(crate) fn judge_reports(&self, own: Reached, base: Option<Reached>) -> Option<Outcome> {
        match &*self.ask {
            Ask::Coverage(asked) => Some(coverage::judge(self, asked, own, base)),
            _ => None,
        }
    }

    /// Says whether it is about what checks report.
    pub(crate) fn is_about_reports(&self) -> bool {
        matches!(*self.ask, Ask::Coverage(_))
    }

    /// Says whether nobody has asked for it.
    pub(crate) fn is_implicit(&self) -> bool {
        self.rule == catalog::POLICY_CHANGE
    }

    /// The hash of all that its answer depends on beside the tree: its settings, and for some the base or the message.
    pub(crate) fn key(&self, scene: Scene<'_>) -> String {
        let mut hasher = Sha256::new();
        let mut add = |part: &[u8]| {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        add(RULES.as_bytes());
        add(self.rule.as_bytes());
        add(&self.settings);
        if self.needs() == Needs::Base || self.ask.reads_changes() {
            add(scene.base.as_ref().map_or(&b"none"[..], |base| base.as_bytes()));
        }
        if self.needs() == Needs::Message {
            add(&[u8::from(scene.message.is_some())]);
            add(scene.message.unwrap_or_default());
        }
        hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    fn needs(&self) -> Needs {
        catalog::find(self.rule).map_or(Needs::Nothing, |rule| rule.needs)
    }
}
