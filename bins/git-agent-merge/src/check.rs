//! `git agent-merge check`: each branch against the base, then each against each other.
//!
//! Git is the judge. First every branch is merged with the base; one that conflicts there is named
//! once and pairs with nobody. Pairs whose changes cannot meet are clean; the rest is asked with the
//! base as their common base, so that no old conflict with the base shows up again in every pair.

use gix::ObjectId;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::process::Git;

use crate::answer::{Answer, BaseRow, BranchRow, PairRow, Verdict};
use crate::batch::{self, Question, Reply};
use crate::conflict::{self, Conflict};
use crate::names::{self, Base, Side};
use crate::overlap::Changes;
use crate::quarantine::Quarantine;
use crate::{hunks, overlap, snapshot};

/// The oldest git that can merge trees in one batch and take its attributes from a commit.
const OLDEST_GIT: (u32, u32) = (2, 45);

/// Would it merge? Each branch or task with the base, and several with each other
///
/// Nothing is touched: no worktree, index, ref or stash; the objects of the trial go into a folder that is thrown away.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Task, branch or commit; the current branch if none is given
    #[arg(value_name = "branch|task", add = clap_complete::ArgValueCompleter::new(crate::cli::complete_name))]
    names: Vec<String>,
    /// Branch to merge into; that of the tasks, or the main one, if not given
    #[arg(long, value_name = "base", add = clap_complete::ArgValueCompleter::new(crate::cli::complete_name))]
    onto: Option<String>,
    /// Every open task that has a branch
    #[arg(short, long)]
    all: bool,
    /// Count the uncommitted and untracked work of live worktrees as well
    #[arg(long)]
    dirty: bool,
    /// Print conflicted paths only, each ended by NUL
    #[arg(short = 'z')]
    nul: bool,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    refuse_old_git(cx)?;
    let mut sides = names::sides(cx, &args.names, args.all)?;
    let base = names::base(cx, args.onto.as_deref(), &sides)?;
    let quarantine = Quarantine::new()?;
    if args.dirty {
        for side in &mut sides {
            if let Some(worktree) = names::worktree_of(cx.repository()?, side)? {
                snapshot::include(cx, &quarantine, &worktree, side)?;
            }
        }
    }
    // The attributes of the base, or the answer would depend on the worktree that asks.
    let git = quarantine.hold(cx, cx.git()?.env("GIT_ATTR_SOURCE", base.commit.to_string()))?;
    let tree = cx.repository()?.tree_of(base.commit)?;
    let answer = answer(&git, &base, tree, &sides)?;
    say(cx, &args, &answer)?;
    Ok(status(&answer))
}

fn say(cx: &Context, args: &Args, answer: &Answer) -> Result<(), Failure> {
    if args.nul && !cx.output.is_json() {
        let paths: Vec<u8> = answer.paths().into_iter().flat_map(|path| [path, b"\0"].concat()).collect();
        return cx.output.raw(&paths);
    }
    cx.output.answer(answer)
}

fn status(answer: &Answer) -> Status {
    if answer.verdicts().any(|verdict| verdict == Verdict::CouldNotTell) {
        Status::CouldNot
    } else if answer.verdicts().any(|verdict| verdict == Verdict::Conflict) {
        Status::No
    } else {
        Status::Done
    }
}

pub(crate) fn refuse_old_git(cx: &Context) -> Result<(), Failure> {
    let found = cx.git()?.version()?;
    if found >= OLDEST_GIT {
        return Ok(());
    }
    let (major, minor) = OLDEST_GIT;
    Err(Failure::could_not(
        "old-git",
        format!("git {}.{} is too old for this: it takes {major}.{minor}", found.0, found.1),
    )
    .hint("install a newer git and put it first on PATH"))
}

fn answer(git: &Git, base: &Base, base_tree: ObjectId, sides: &[Side]) -> Result<Answer, Failure> {
    let questions: Vec<Question> =
        sides.iter().map(|side| Question { base: None, ours: base.commit, theirs: side.commit }).collect();
    let replies = batch::ask(git, &questions)?;
    let mut branches = Vec::new();
    let mut trees: Vec<Option<ObjectId>> = Vec::new();
    for ((side, question), reply) in sides.iter().zip(&questions).zip(&replies) {
        trees.push(if let Reply::Clean(tree) = reply { Some(*tree) } else { None });
        let (verdict, conflicts, reason) = judge(git, question, reply)?;
        branches.push(BranchRow {
            name: side.name.clone(),
            task: side.task.clone(),
            branch: side.branch.clone(),
            commit: side.commit.to_string(),
            dirty: side.dirty,
            verdict,
            conflicts,
            reason,
        });
    }
    let clean: Vec<ObjectId> = trees.iter().flatten().copied().collect();
    let changes = overlap::changes(git, base_tree, if clean.len() > 1 { &clean } else { &[] })?;
    let pairs = pairs(git, base, sides, &trees, &changes)?;
    let base = BaseRow { name: base.name.clone(), commit: base.commit.to_string() };
    Ok(Answer { base, branches, pairs })
}

/// Judges each two sides; `changes` are those of the sides that have a tree, in their order.
fn pairs(
    git: &Git,
    base: &Base,
    sides: &[Side],
    trees: &[Option<ObjectId>],
    changes: &[Changes],
) -> Result<Vec<PairRow>, Failure> {
    let mut place = 0;
    let places: Vec<Option<usize>> = trees
        .iter()
        .map(|tree| {
            tree.map(|_| {
                place += 1;
                place - 1
            })
        })
        .collect();
    let mut rows = Vec::new();
    let mut asked: Vec<(usize, Question)> = Vec::new();
    for (a, first) in sides.iter().enumerate() {
        for (b, second) in sides.iter().enumerate().skip(a + 1) {
            let verdict = match (trees[a], trees[b], places[a], places[b]) {
                (Some(ours), Some(theirs), Some(x), Some(y)) => {
                    if changes[x].may_meet(&changes[y]) {
                        asked.push((rows.len(), Question { base: Some(base.commit), ours, theirs }));
                    }
                    Verdict::Clean
                }
                (_, _, _, _) => Verdict::Skipped,
            };
            let (a, b) = (first.name.clone(), second.name.clone());
            rows.push(PairRow { a, b, verdict, conflicts: Vec::new(), reason: None });
        }
    }
    let questions: Vec<Question> = asked.iter().map(|(_, question)| *question).collect();
    for ((row, question), reply) in asked.iter().zip(batch::ask(git, &questions)?) {
        let row = &mut rows[*row];
        (row.verdict, row.conflicts, row.reason) = judge(git, question, &reply)?;
    }
    Ok(rows)
}

fn judge(git: &Git, question: &Question, reply: &Reply) -> Result<(Verdict, Vec<Conflict>, Option<String>), Failure> {
    match reply {
        Reply::Clean(_) => Ok((Verdict::Clean, Vec::new(), None)),
        Reply::CouldNotTell(words) => Ok((Verdict::CouldNotTell, Vec::new(), Some(words.clone()))),
        Reply::Conflict { files, messages, .. } => {
            let labels = [question.ours.to_string(), question.theirs.to_string()];
            let mut conflicts = conflict::conflicts(files, messages, &labels);
            hunks::fill(git, &mut conflicts)?;
            Ok((Verdict::Conflict, conflicts, None))
        }
    }
}
