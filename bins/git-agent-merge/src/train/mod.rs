//! `git agent-merge train`: branches merged on top of each other, as far as they are good together.
//!
//! All of it is objects. With `--validate` the checks are asked about the whole first; if it does not
//! pass, halving finds the first member with which it does not. What is good stays as a ref that the
//! base can be fast-forwarded to; the base itself moves only with `--land`, by compare-and-swap.

mod answer;
mod couple;
mod member;
mod prove;

use gix::ObjectId;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::landing::{Landed, Move};

use self::answer::{Answer, BaseRow, MemberRow, State, TrainRow};
use self::couple::{Fate, Point, Train};
use self::member::Order;
use self::prove::{Prover, first_bad};
use crate::names::{self, Base, short};
use crate::resolve::attempt::Validated;
use crate::resolve::git_for;
use crate::validation::Verdict;
use shared::quarantine::Quarantine;

/// Merge branches on top of each other, and find out which of them are good together
///
/// Nothing moves without '--land': what is good is left as a ref, ready to be fast-forwarded to.
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
    /// Merge them in the order in which they are named
    #[arg(long)]
    keep_order: bool,
    /// Run the checks on the result, and find the member with which they begin to fail
    #[arg(long)]
    validate: bool,
    /// Find out as well with which other member that one does not get along
    #[arg(long, requires = "validate")]
    explain: bool,
    /// Take that member out and go on with the rest
    #[arg(long, requires = "validate")]
    keep_going: bool,
    /// Move the base to what is good, if it is still where it was
    #[arg(long)]
    land: bool,
    /// Say what merges and change nothing; no checks are run
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    crate::rules::refuse_old_git(cx)?;
    let find = if args.keep_order { names::sides_as_named } else { names::sides };
    let sides = find(cx, &args.names, args.all)?;
    let base = names::base(cx, args.onto.as_deref(), &sides)?;
    if args.land && !base.name.starts_with("refs/heads/") {
        return Err(Failure::could_not("no-branch", format!("'{}' is no branch that could move", base.name)));
    }
    let ready = Ready::of(cx, &base)?;
    let quarantine = Quarantine::new()?;
    let trial = quarantine.hold(cx, cx.git()?.env("GIT_ATTR_SOURCE", base.commit.to_string()))?;
    let order = if args.keep_order { Order::AsGiven } else { Order::Best };
    let members = member::members(cx, &trial, &base, sides, order)?;
    let git = if args.dry_run { trial } else { git_for(cx, base.commit)? };
    let start = Point { commit: base.commit, tree: cx.repository()?.tree_of(base.commit)? };
    let mut train = Train::new(git, &base, start, members);
    let mut prover = Prover::new(cx, base.commit);
    let proof = if args.validate && !args.dry_run {
        prove(&mut train, &mut prover, &args)?
    } else {
        train.couple_all(start, &train.all())?;
        Proof { good: train.last(start), validated: Validated::No, base: None }
    };
    let mut answer = answer(&base, &train, &proof, prover.asked(), args.dry_run);
    if proof.good.commit != base.commit {
        let commit = (!args.dry_run).then(|| proof.good.commit.to_string());
        answer.train = Some(TrainRow { name: ready.name.clone(), commit, tree: proof.good.tree.to_string() });
    }
    // Without checks nothing is known that could replace what an earlier run has left.
    if !args.dry_run && proof.validated != Validated::NoChecks {
        ready.leave(cx, Some(proof.good.commit).filter(|good| *good != base.commit))?;
        if args.land && answer.train.is_some() {
            land(cx, &base, &ready, proof.good.commit, &mut answer)?;
        }
    }
    if proof.validated == Validated::NoChecks {
        answer.train = None;
    }
    cx.output.answer(&answer)?;
    say_what_follows(cx, &args, &answer);
    Ok(status(&answer))
}

fn say_what_follows(cx: &Context, args: &Args, answer: &Answer) {
    if answer.validated == Validated::NoChecks {
        cx.output.hint("add [[checks]] to .codex-agent/config.toml, or leave out '--validate'");
    }
    if answer.landed {
        let tasks = answer.members.iter().filter(|row| matches!(row.state, State::In | State::Contained));
        for slug in tasks.filter_map(|row| row.task.as_deref()) {
            cx.output.hint(format!("'git task complete {slug}' closes the task"));
        }
    } else if args.land && args.dry_run && answer.train.is_some() {
        cx.output.note(format!("'{}' would move there", short(&answer.base.name)));
    }
}

fn status(answer: &Answer) -> Status {
    let states = || answer.members.iter().map(|row| row.state);
    if states().any(|state| state == State::CouldNotTell) {
        Status::CouldNot
    } else if answer.validated == Validated::NoChecks
        || !states().all(|state| matches!(state, State::In | State::Contained))
    {
        Status::No
    } else {
        Status::Done
    }
}

/// How far the train is good.
struct Proof {
    good: Point,
    validated: Validated,
    /// The verdict on the base, if it was asked.
    base: Option<String>,
}

/// Asks about the whole; as long as it does not pass, the first member with which it does not is named.
fn prove(train: &mut Train<'_>, prover: &mut Prover<'_>, args: &Args) -> Result<Proof, Failure> {
    let start = train.start;
    let mut proof = Proof { good: start, validated: Validated::No, base: None };
    let mut rest = train.all();
    loop {
        train.couple_all(proof.good, &rest)?;
        let points = train.points(&rest);
        let Some((_, whole)) = points.last() else { return Ok(proof) };
        match prover.verdict(whole.tree, &format!("the train of {}", train.points(&train.all()).len()))? {
            Verdict::Pass => return Ok(Proof { good: *whole, validated: Validated::Pass, ..proof }),
            Verdict::NoChecks => return Ok(Proof { validated: Validated::NoChecks, ..proof }),
            Verdict::Red(_) => {}
        }
        let bad = first_bad(points.len(), |step| {
            let (at, point) = points[step - 1];
            let words = format!("as far as '{}'", train.name(at));
            Ok(prover.red(point.tree, &words)?.is_some())
        })?;
        let (culprit, point) = points[bad - 1];
        if bad > 1 {
            proof.good = points[bad - 2].1;
            proof.validated = Validated::Pass;
        } else if proof.good.commit == start.commit && proof.base.is_none() {
            // Nobody has vouched for the base so far.
            let words = format!("'{}' itself", short(&train.base.name));
            proof.base = Some(prover.red(start.tree, &words)?.map_or_else(|| "pass".to_owned(), |red| red.verdict));
        }
        if proof.base.as_deref().is_some_and(|verdict| verdict != "pass") {
            train.hold_back(&rest);
            return Ok(proof);
        }
        train.take_out(culprit, point, prover, args.explain)?;
        rest.retain(|at| *at > culprit);
        if !args.keep_going {
            train.hold_back(&rest);
            return Ok(proof);
        }
    }
}

fn answer(base: &Base, train: &Train<'_>, proof: &Proof, validations: usize, dry_run: bool) -> Answer {
    let members = train.members.iter().zip(&train.fates).map(|(member, fate)| {
        let side = &member.side;
        let mut row = MemberRow {
            name: side.name.clone(),
            task: side.task.clone(),
            branch: side.branch.clone(),
            commit: side.commit.to_string(),
            state: State::Behind,
            conflicts: Vec::new(),
            conflicts_with: Vec::new(),
            verdict: None,
            checks: Vec::new(),
            alone: None,
            breaks_with: None,
            reason: None,
        };
        match fate {
            Fate::In(_) => row.state = State::In,
            Fate::Contained => row.state = State::Contained,
            Fate::Conflict { rows, with } => {
                row.state = State::Conflict;
                (row.conflicts, row.conflicts_with) = (rows.clone(), with.clone());
            }
            Fate::Fails(culprit) => {
                row.state = State::Fails;
                row.fails(&culprit.red);
                (row.alone, row.breaks_with) = (culprit.alone.clone(), culprit.with.clone());
                row.reason = Some(culprit.words());
            }
            Fate::Behind => row.reason = Some("comes after what fails".to_owned()),
            Fate::Waits(need) => {
                row.state = State::Waits;
                row.reason = Some(format!("for '{need}', which is not in"));
            }
            Fate::CouldNotTell(words) => {
                row.state = State::CouldNotTell;
                row.reason = Some(words.clone());
            }
        }
        row
    });
    let base = BaseRow { name: base.name.clone(), commit: base.commit.to_string(), verdict: proof.base.clone() };
    Answer {
        base,
        members: members.collect(),
        train: None,
        validated: proof.validated,
        validations,
        landed: false,
        checkout: None,
        dry_run,
    }
}

/// The ref under which what is good is left.
struct Ready {
    name: String,
    /// What an earlier run has left there.
    old: Option<ObjectId>,
}

impl Ready {
    /// As the base is called below refs/heads/, so that two bases never share one.
    fn of(cx: &Context, base: &Base) -> Result<Ready, Failure> {
        let name = match base.name.strip_prefix("refs/heads/") {
            Some(name) => format!("refs/agent-merge-train/{name}"),
            None => format!("refs/agent-merge-train-at/{}", base.commit),
        };
        let old = cx.repository()?.tip(&name)?;
        Ok(Ready { name, old })
    }

    /// Moves it to what is good; where nothing is, what an earlier run has left would mislead.
    fn leave(&self, cx: &Context, good: Option<ObjectId>) -> Result<(), Failure> {
        let none = ObjectId::null(cx.repository()?.gix.object_hash());
        let line = match (good, self.old) {
            (Some(good), old) => format!("update {} {good} {}\n", self.name, old.unwrap_or(none)),
            (None, Some(old)) => format!("delete {} {old}\n", self.name),
            (None, None) => return Ok(()),
        };
        let git = cx.git()?.setting("core.fsync=reference");
        let words = ["update-ref", "--create-reflog", "-m", "agent-merge: train", "--stdin"];
        git.feed(words, line.as_bytes()).map_err(|error| {
            Failure::could_not("moved", format!("'{}' cannot be moved to the new train: {error:#}", self.name))
                .hint("run it again once no other train is built")
        })?;
        Ok(())
    }
}

/// Moves the base; the ref is not needed any more then.
fn land(cx: &Context, base: &Base, ready: &Ready, good: ObjectId, answer: &mut Answer) -> Result<(), Failure> {
    let count = answer.members.iter().filter(|row| row.state == State::In).count();
    let also = vec![format!("delete {} {good}", ready.name)];
    let reason = format!("agent-merge: train of {count}");
    let step = Move { branch: base.name.clone(), old: base.commit, new: good, also, reason };
    match step.land(cx)? {
        Landed::Moved(checkout) => {
            (answer.landed, answer.checkout) = (true, checkout);
            Ok(())
        }
        Landed::Elsewhere => {
            let words = format!("'{}' has moved since the train was built; it is not touched", short(&base.name));
            Err(Failure::could_not("moved", words)
                .hint(format!("the train stays as {}; run it again to build one on what is there now", ready.name)))
        }
    }
}
