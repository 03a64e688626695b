//! `git bo4 pick`: the winner becomes a branch, the others stay under their refs.

use std::fmt;

use gix::ObjectId;
use serde::Serialize;
use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;
use shared::ground::Ground;
use shared::jobs;
use shared::landing::Checkout;
use shared::output::Foreign;
use shared::process::commit_tree;

use crate::record::{Picked, Run, Variant, id};
use crate::store::{Held, Store};
use crate::{apply, chosen, harvest, inside, watch};

/// Make the winner the task's branch, keep the others, and end their worktrees
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run, or the beginning of its name; the newest if not given
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::cli::complete_run))]
    run: Option<String>,
    /// The winner; the first of the review if not given
    #[arg(long, value_name = "n")]
    variant: Option<usize>,
    /// Branch that it becomes; that of the task, or bo4/<run>/winner, if not given
    #[arg(long, value_name = "name", add = clap_complete::ArgValueCompleter::new(shared::app::complete_branch))]
    branch: Option<String>,
    /// Leave the worktrees of the attempts as they are
    #[arg(long)]
    keep_worktrees: bool,
    /// Say what would be done and do nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    run: String,
    variant: usize,
    branch: String,
    commit: String,
    /// Where the branch was, if it was there.
    was: Option<String>,
    checkout: Option<Checkout>,
    dry_run: bool,
    worktrees: Vec<Ended>,
}

/// What became of the worktree of an attempt.
#[derive(Debug, Serialize)]
pub(crate) struct Ended {
    variant: usize,
    path: String,
    removed: bool,
    /// What was in it beside the variant is kept under this ref.
    backup: Option<String>,
    /// Why it stays.
    why: Option<String>,
}

impl Ended {
    /// Says why it stays, if it does.
    pub(crate) fn stays(self) -> Option<String> {
        self.why.map(|why| format!("the worktree '{}' stays: {why}", self.path))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = if self.dry_run { "would become" } else { "is" };
        writeln!(f, "variant {} of {} {would} {}", self.variant, self.run, Foreign(&self.branch))?;
        for row in &self.worktrees {
            match &row.why {
                Some(why) => writeln!(f, "  stays    {}  ({})", Foreign(&row.path), Foreign(why))?,
                None => writeln!(f, "  removed  {}", Foreign(&row.path))?,
            }
            if let Some(backup) = &row.backup {
                writeln!(f, "           what it had beside its variant is kept as {backup}")?;
            }
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let store = Store::find(cx, args.run.as_deref())?;
    if !args.dry_run {
        watch::catch_up(cx, &store)?;
    }
    let mut held = store.hold()?;
    if !args.dry_run {
        harvest::all(cx, &mut held)?;
    }
    let variant = winner(cx, &held, args.variant)?;
    let commit = chosen::commit(&held.run, variant)?;
    let branch = branch(cx, &held.run, args.branch.as_deref())?;
    let was = cx.repository()?.tip(&branch)?;
    refuse_apart(cx, &branch, was, commit)?;
    let short = branch.strip_prefix("refs/heads/").unwrap_or(&branch).to_owned();
    let mut answer = Answer {
        run: held.run.run.clone(),
        variant,
        branch: short,
        commit: commit.to_string(),
        was: was.map(|was| was.to_string()),
        checkout: None,
        dry_run: args.dry_run,
        worktrees: Vec::new(),
    };
    if !args.dry_run {
        let reason = format!("bo4: pick variant {variant} of {}", held.run.run);
        answer.checkout = match was {
            Some(was) if was == commit => None,
            Some(was) => {
                jobs::refuse_live(cx, &branch)?;
                apply::land(cx, &branch, was, commit, reason)?
            }
            None => {
                harvest::put(&cx.git()?, &branch, commit, &reason)?;
                None
            }
        };
        held.run.picked = Some(Picked { variant, commit: commit.to_string(), branch, time: clock::now() });
        held.save()?;
        if !args.keep_worktrees {
            answer.worktrees = end_worktrees(cx, &mut held)?;
        }
    }
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

/// Returns the variant that was named, or the first of the review.
fn winner(cx: &Context, held: &Held, named: Option<usize>) -> Result<usize, Failure> {
    let review = held.store.load_review()?;
    let places = review.as_ref().map(|review| &review.ranking[..]).unwrap_or_default();
    if let Some(number) = named {
        chosen::warn(cx, &held.store, &held.run, number)?;
        return Ok(number);
    }
    let run = &held.run.run;
    if review.is_none() {
        return Err(Failure::could_not(
            "no-review",
            format!("run '{run}' is not reviewed yet, so nothing says who won"),
        )
        .hint(format!("'git bo4 review {run}' compares the variants; '--variant <n>' takes one")));
    }
    let first = places.iter().find(|place| place.place == Some(1));
    first.map(|place| place.variant).ok_or_else(|| {
        Failure::no("no-winner", format!("no variant of '{run}' can win"))
            .hint(format!("'git bo4 report {run}' says why; 'git bo4 retry {run}' asks again"))
    })
}

/// Returns the branch that the winner becomes.
fn branch(cx: &Context, run: &Run, named: Option<&str>) -> Result<String, Failure> {
    if let Some(name) = named {
        let name = apply::full(name);
        if cx.git()?.ask(["check-ref-format", &name])?.code != 0 {
            return Err(Failure::usage(format!("'{}' is no name of a branch", name.escape_debug())));
        }
        return Ok(name);
    }
    let Some(slug) = &run.task else { return Ok(format!("refs/heads/bo4/{}/winner", run.run)) };
    let tasks = cx.registry()?.load()?;
    let task = tasks.task(&cx.repository()?.key(), slug)?;
    let prefix = cx.config()?.text("task.branch-prefix")?.unwrap_or_default();
    Ok(task.branch.clone().unwrap_or_else(|| format!("refs/heads/{prefix}{slug}")))
}

/// Refuses a branch that has work which the winner does not hold.
fn refuse_apart(cx: &Context, branch: &str, was: Option<ObjectId>, commit: ObjectId) -> Result<(), Failure> {
    let Some(was) = was else { return Ok(()) };
    let words = ["merge-base", "--is-ancestor", &was.to_string(), &commit.to_string()];
    if cx.git()?.reading().ask(words)?.code == 0 {
        return Ok(());
    }
    let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    let message = format!("'{}' has commits that the winner does not hold; it is not touched", Foreign(short));
    Err(Failure::could_not("moved", message)
        .hint(format!("'git bo4 apply --variant <n> --onto {short}' brings the changes on top of them")))
}

/// Removes the worktrees of all attempts whose content is kept.
pub(crate) fn end_worktrees(cx: &Context, held: &mut Held) -> Result<Vec<Ended>, Failure> {
    let mut ended = Vec::new();
    for at in 0..held.run.variants.len() {
        let variant = held.run.variants[at].clone();
        let Some(path) = &variant.worktree else { continue };
        let mut row = Ended {
            variant: variant.number,
            path: path.display().to_string(),
            removed: false,
            backup: None,
            why: None,
        };
        match end(cx, held, &variant, &mut row) {
            Ok(()) => {
                row.removed = true;
                held.run.variants[at].worktree = None;
                held.save()?;
            }
            Err(failure) => row.why = Some(failure.message().to_owned()),
        }
        ended.push(row);
    }
    Ok(ended)
}

/// Removes a worktree with proof: no live job, not locked, and every file of it in a commit that a ref keeps.
fn end(cx: &Context, held: &Held, variant: &Variant, row: &mut Ended) -> Result<(), Failure> {
    let Some(path) = &variant.worktree else { return Ok(()) };
    let folder = held.store.folder();
    let Some(ground) = Ground::find(cx, path, folder)? else {
        if path.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
            return Err(Failure::could_not("no-worktree", "git does not list it as a worktree any more"));
        }
        return Ground::forget(cx, path, folder);
    };
    if let Some(job) = jobs::live_in(cx, path)?.into_iter().next() {
        return Err(Failure::could_not("live-job", format!("the job {job} still works in it")));
    }
    if ground.worktree().locked.is_some() {
        return Err(Failure::could_not("locked", "it is locked"));
    }
    let tree = ground.tree(cx)?;
    if let Some(inside) = inside::find_lost(cx, ground.path(), id(&held.run.base_commit)?, tree)? {
        return Err(Failure::could_not("inside", format!("'{inside}' is a repository of its own with work in it")));
    }
    let kept = match &variant.commit {
        Some(commit) => Some(cx.repository()?.tree_of(id(commit)?)?),
        None => None,
    };
    let base = id(&held.run.base_commit)?;
    let tip = ground.tip(cx)?;
    let is_kept = kept == Some(tree) && (tip == base || is_reachable(cx, &held.run, variant, tip)?);
    if !is_kept && (tip != base || tree != cx.repository()?.tree_of(base)?) {
        let name =
            format!("refs/backup/{}/{}", crate::local::job_name(&held.run, variant.number), clock::stamp(clock::now()));
        let message = format!("What was left in the worktree of variant {} of {}\n", variant.number, held.run.run);
        let commit = commit_tree(&cx.git()?, tree, &[tip], &message)?;
        harvest::put(&cx.git()?, &name, commit, "bo4: before its worktree is removed")?;
        row.backup = Some(name);
    }
    ground.remove(cx)
}

fn is_reachable(cx: &Context, run: &Run, variant: &Variant, tip: ObjectId) -> Result<bool, Failure> {
    let work = format!("{}-work", run.variant_ref(variant.number));
    Ok(cx.repository()?.tip(&work)? == Some(tip))
}
