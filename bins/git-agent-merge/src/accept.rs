//! `git agent-merge accept`, `reject` and `show`: what becomes of a proposal.

use std::fmt;

use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::ground::Ground;
use shared::jobs;
use shared::landing::{Checkout, Landed, Move};
use shared::output::{Foreign, escape};

use crate::names::short;
use crate::resolve::meant::Meant;
use crate::resolve::place::Place;
use crate::resolve::store::{Phase, State, Store, id};
use crate::resolve::{self, Answer as Resolved, Outcome, backup_ref, proposal_ref};

/// Bring a proposed resolution into its branch
///
/// The branch moves only if it is still where it was when the resolution began.
#[derive(Debug, clap::Args)]
pub(crate) struct AcceptArgs {
    /// Task or branch; that of the current worktree if not given
    #[arg(value_name = "branch|task", add = clap_complete::ArgValueCompleter::new(crate::cli::complete_name))]
    name: Option<String>,
    /// Say what would happen and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Drop a proposed resolution, after keeping it under refs/backup/
#[derive(Debug, clap::Args)]
pub(crate) struct RejectArgs {
    /// Task or branch; that of the current worktree if not given
    #[arg(value_name = "branch|task", add = clap_complete::ArgValueCompleter::new(crate::cli::complete_name))]
    name: Option<String>,
}

/// Show a proposed resolution: file by file, and as a diff against both sides
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Task or branch; that of the current worktree if not given
    #[arg(value_name = "branch|task", add = clap_complete::ArgValueCompleter::new(crate::cli::complete_name))]
    name: Option<String>,
    /// Against which side: both at once, the branch's (ours) or the base's (theirs)
    #[arg(long, value_name = "side", default_value = "both")]
    diff: Against,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Against {
    Both,
    Ours,
    Theirs,
}

#[derive(Debug, Serialize)]
struct Accepted {
    merge: String,
    branch: String,
    from: String,
    commit: String,
    backup: Option<String>,
    checkout: Option<Checkout>,
    dry_run: bool,
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.dry_run { "would move" } else { "moved" };
        let commit = self.commit.get(..12).unwrap_or(&self.commit);
        writeln!(f, "{verb} {} to {commit}", Foreign(short(&self.branch)))?;
        match &self.backup {
            Some(backup) => writeln!(f, "where it was stays as {backup}"),
            None => Ok(()),
        }
    }
}

pub(crate) fn accept(cx: &Context, args: AcceptArgs) -> Result<Status, Failure> {
    let store = Store::of(cx, Meant::find(cx, args.name.as_deref())?)?;
    let slug = store.slug().clone();
    let state = proposed(&store)?;
    let repository = cx.repository()?;
    let name = proposal_ref(&slug);
    let commit = repository.tip(&name)?.ok_or_else(|| {
        Failure::could_not("no-proposal", format!("the ref '{name}' is gone"))
            .hint(format!("'git agent-merge reject {}' forgets it, 'resolve' begins anew", state.called()))
    })?;
    // What was verified is what comes in.
    if state.proposal.as_deref() != Some(&*commit.to_string()) {
        let message = format!("'{name}' has moved and is not what was proposed; nothing is changed");
        let hint =
            format!("'git agent-merge reject {}' keeps it under refs/backup/, 'resolve' begins anew", state.called());
        return Err(Failure::could_not("moved", message).hint(hint));
    }
    jobs::refuse_live(cx, &state.branch)?;
    let old = id(&state.tip)?;
    let backup = backup_ref(&slug);
    let mut also = vec![format!("create {backup} {old}"), format!("delete {name} {commit}")];
    also.extend(
        resolve::drop::refs(cx, &slug)?.into_iter().filter(|other| *other != name).map(|n| format!("delete {n}")),
    );
    let reason = format!("agent-merge: accept {slug}");
    let step = Move { branch: state.branch.clone(), old, new: commit, also, reason };
    let mut answer = Accepted {
        merge: slug.to_string(),
        branch: state.branch.clone(),
        from: state.tip.clone(),
        commit: commit.to_string(),
        backup: None,
        checkout: None,
        dry_run: args.dry_run,
    };
    if repository.tip(&state.branch)? != Some(old) {
        return Err(moved(&state));
    }
    if args.dry_run {
        answer.checkout = step.preview(cx)?;
    } else {
        match step.land(cx)? {
            Landed::Moved(checkout) => (answer.checkout, answer.backup) = (checkout, Some(backup)),
            Landed::Elsewhere => return Err(moved(&state)),
        }
        // It is still there if the end of 'resolve' was cut short; all of it is in the commit.
        match Place::find(cx, &store.worktree(), store.folder())? {
            Some(place) => place.discard(cx)?,
            None => Ground::forget(cx, &store.worktree(), store.folder())?,
        }
        store.clear()?;
    }
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

fn moved(state: &State) -> Failure {
    let branch = short(&state.branch);
    Failure::could_not("moved", format!("'{branch}' has moved since the resolution began; nothing is changed"))
        .hint(format!("'git agent-merge resolve {}' resolves what it is now; the old proposal is kept", state.called()))
}

fn proposed(store: &Store) -> Result<State, Failure> {
    let slug = store.slug();
    store.load()?.filter(|state| state.phase == Phase::Proposed).ok_or_else(|| {
        Failure::no("no-proposal", format!("nothing is proposed for '{slug}'"))
            .hint(format!("'git agent-merge resolve {slug}' makes a proposal"))
    })
}

pub(crate) fn reject(cx: &Context, args: RejectArgs) -> Result<Status, Failure> {
    resolve::drop::reject(cx, Meant::find(cx, args.name.as_deref())?)
}

pub(crate) fn show(cx: &Context, args: ShowArgs) -> Result<Status, Failure> {
    let store = Store::of(cx, Meant::find(cx, args.name.as_deref())?)?;
    let state = proposed(&store)?;
    let answer = Resolved::of(&state, Outcome::Proposed);
    if cx.output.is_json() {
        cx.output.answer(&answer)?;
        return Ok(Status::Done);
    }
    cx.output.answer(&answer)?;
    let commit = state.proposal.clone().unwrap_or_default();
    let fixed = ["--no-ext-diff", "--no-textconv", "--no-color"];
    let git = cx.git()?.reading();
    let diff = match args.diff {
        Against::Both => {
            git.run(["diff-tree", "--no-commit-id", "--cc", "-p"].into_iter().chain(fixed).chain([commit.as_str()]))?
        }
        Against::Ours | Against::Theirs => {
            let side = if args.diff == Against::Ours { &state.tip } else { &state.base };
            git.run(["diff"].into_iter().chain(fixed).chain([side.as_str(), commit.as_str()]))?
        }
    };
    cx.output.text(&format!("\n{}", escape(&String::from_utf8_lossy(&diff.stdout))))?;
    Ok(Status::Done)
}
