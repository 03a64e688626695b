//! `git bo4 apply`: a variant's changes onto what is here, or onto a branch, whole or not at all.

use std::fmt;

use gix::ObjectId;
use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::jobs;
use shared::landing::{Checkout, Landed, Move};
use shared::output::Foreign;
use shared::process::{Git, commit_tree};
use shared::quarantine::Quarantine;
use shared::repository::Worktree;

use crate::chosen::{self, One};
use crate::merged::{self, Merged};
use crate::record::{Run, id};
use crate::review::analysis::{self, Touch};
use crate::store::Store;
use crate::watch;

/// Bring a variant's changes into this worktree, staged, or onto a branch, committed
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    one: One,
    /// Say what would happen and change nothing
    #[arg(short = 'n', long, alias = "dry-run")]
    preflight: bool,
    /// Branch that gets them as a commit, instead of this worktree
    #[arg(long, value_name = "branch", add = clap_complete::ArgValueCompleter::new(shared::app::complete_branch))]
    onto: Option<String>,
    /// Apply changes of protected paths too: .git*, CI, hooks, lockfiles, links, submodules, modes, binaries
    #[arg(long)]
    allow_protected: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    run: String,
    variant: usize,
    /// Branch, or `this worktree`.
    onto: String,
    preflight: bool,
    outcome: Outcome,
    conflicts: Vec<String>,
    protected: Vec<Touch>,
    commit: Option<String>,
    checkout: Option<Checkout>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// It would go in, or has gone in.
    Clean,
    /// It is all there already.
    NothingToDo,
    Conflicts,
    Protected,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (variant, onto) = (self.variant, Foreign(&self.onto));
        match self.outcome {
            Outcome::Clean if self.preflight => writeln!(f, "variant {variant} would go onto {onto}")?,
            Outcome::Clean => match &self.commit {
                Some(commit) => writeln!(f, "variant {variant} is on {onto} as {commit}")?,
                None => writeln!(f, "variant {variant} is in this worktree, staged and not committed")?,
            },
            Outcome::NothingToDo => writeln!(f, "variant {variant} is in {onto} already")?,
            Outcome::Conflicts => writeln!(f, "variant {variant} conflicts with {onto}:")?,
            Outcome::Protected => writeln!(f, "variant {variant} touches protected paths, so it is not applied:")?,
        }
        for path in &self.conflicts {
            writeln!(f, "  conflict   {}", Foreign(path))?;
        }
        for touch in &self.protected {
            writeln!(f, "  protected  {}  ({})", Foreign(&touch.path), touch.why)?;
        }
        if let Some(Checkout { followed: false, path, reason }) = &self.checkout {
            let reason = reason.as_deref().unwrap_or_default();
            writeln!(f, "the checkout in '{}' did not follow: {}", path.display(), Foreign(reason))?;
        }
        Ok(())
    }
}

/// Where the changes go.
enum Target {
    Branch { name: String, tip: ObjectId },
    Here { worktree: Worktree, head: ObjectId },
}

impl Target {
    fn tip(&self) -> ObjectId {
        match self {
            Target::Branch { tip, .. } => *tip,
            Target::Here { head, .. } => *head,
        }
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let store = Store::find(cx, args.one.run.as_deref())?;
    if !args.preflight {
        watch::catch_up(cx, &store)?;
    }
    let run = store.run()?;
    let (base, commit) = (id(&run.base_commit)?, chosen::commit(&run, args.one.variant)?);
    chosen::warn(cx, &store, &run, args.one.variant)?;
    let target = target(cx, args.onto.as_deref())?;
    let protected = analysis::protected(&cx.git()?.reading(), base, commit)?;
    let mut answer = Answer {
        run: run.run.clone(),
        variant: args.one.variant,
        onto: args.onto.clone().unwrap_or_else(|| "this worktree".to_owned()),
        preflight: args.preflight,
        outcome: Outcome::Clean,
        conflicts: Vec::new(),
        protected,
        commit: None,
        checkout: None,
    };
    // What is only looked at leaves no object behind.
    let quarantine = Quarantine::new()?;
    let trial = quarantine.hold(cx, cx.git()?)?;
    match merged::merge(&trial, base, target.tip(), commit)? {
        Merged::Conflicts(paths) => (answer.outcome, answer.conflicts) = (Outcome::Conflicts, paths),
        Merged::Clean(tree) if tree == cx.repository()?.tree_of(target.tip())? => answer.outcome = Outcome::NothingToDo,
        Merged::Clean(_) if !answer.protected.is_empty() && !args.allow_protected => {
            answer.outcome = Outcome::Protected;
        }
        Merged::Clean(tree) if args.preflight => preview(cx, &quarantine, &target, tree)?,
        Merged::Clean(_) => put(cx, &run, &target, base, commit, &mut answer)?,
    }
    cx.output.answer(&answer)?;
    let is_good = matches!(answer.outcome, Outcome::Clean | Outcome::NothingToDo);
    if answer.outcome == Outcome::Protected {
        cx.output.hint("'--allow-protected' applies them too, once you have looked at them");
    }
    Ok(if is_good { Status::Done } else { Status::No })
}

fn target(cx: &Context, onto: Option<&str>) -> Result<Target, Failure> {
    let repository = cx.repository()?;
    if let Some(short) = onto {
        let name = full(short);
        let tip = repository.tip(&name)?.ok_or_else(|| {
            Failure::could_not("unknown-branch", format!("there is no branch '{}'", short.escape_debug()))
        })?;
        return Ok(Target::Branch { name, tip });
    }
    let worktree = repository.own_worktree().ok_or_else(|| {
        Failure::could_not("bare", "there is no worktree here").hint("'--onto <branch>' brings it onto a branch")
    })?;
    Ok(Target::Here { worktree, head: repository.commit("HEAD")? })
}

/// Returns the full name of a branch.
pub(crate) fn full(name: &str) -> String {
    if name.starts_with("refs/heads/") { name.to_owned() } else { format!("refs/heads/{name}") }
}

fn put(
    cx: &Context,
    run: &Run,
    target: &Target,
    base: ObjectId,
    commit: ObjectId,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let git = cx.git()?;
    let Merged::Clean(tree) = merged::merge(&git, base, target.tip(), commit)? else {
        return Err(Failure::could_not("failed", "git merged it once and not again"));
    };
    match target {
        Target::Branch { name, tip } => {
            jobs::refuse_live(cx, name)?;
            let message = git.run(["show", "-s", "--format=%B", &commit.to_string()])?.text();
            let new = commit_tree(&git, tree, &[*tip], &message)?;
            let reason = format!("bo4: apply variant {} of {}", answer.variant, run.run);
            answer.checkout = land(cx, name, *tip, new, reason)?;
            answer.commit = Some(new.to_string());
        }
        Target::Here { worktree, head } => {
            let git = cx.git_in(worktree)?;
            overlay(&git, &["-m", "-u"], *head, tree)?;
        }
    }
    Ok(())
}

/// Refuses, with an index of ours, where changes of the user's are in the way.
fn preview(cx: &Context, quarantine: &Quarantine, target: &Target, tree: ObjectId) -> Result<(), Failure> {
    let Target::Here { worktree, head } = target else { return Ok(()) };
    let git = quarantine.hold(cx, cx.git_beside(worktree, quarantine.path())?)?;
    overlay(&git, &["-m", "-u", "--dry-run"], *head, tree)
}

/// Brings a worktree from its head to a tree, as a checkout would; git refuses what overlaps before it writes.
fn overlay(git: &Git, how: &[&str], head: ObjectId, tree: ObjectId) -> Result<(), Failure> {
    git.ask(["update-index", "-q", "--refresh"])?;
    let (head, tree) = (head.to_string(), tree.to_string());
    let done = git.ask([&["read-tree"], how, &[head.as_str(), tree.as_str()]].concat())?;
    if done.code == 0 {
        return Ok(());
    }
    let words = done.stderr.trim().trim_start_matches("error: ");
    let message = format!("changes of yours are in the way, so nothing is applied: {words}");
    Err(Failure::could_not("overlap", message).hint("commit them first, or take '--onto <branch>'"))
}

/// Moves a branch by compare-and-swap; the checkout that it has follows.
pub(crate) fn land(
    cx: &Context,
    branch: &str,
    old: ObjectId,
    new: ObjectId,
    reason: String,
) -> Result<Option<Checkout>, Failure> {
    match (Move { branch: branch.to_owned(), old, new, also: Vec::new(), reason }).land(cx)? {
        Landed::Moved(checkout) => Ok(checkout),
        Landed::Elsewhere => {
            let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
            let message = format!("'{short}' has moved meanwhile; it is not touched");
            Err(Failure::could_not("moved", message).hint("do it again"))
        }
    }
}
