//! `git agent-merge check`: each branch against the base, then each against each other.

use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;

use crate::answer::{Answer, Verdict};
use crate::forecast::forecast;
use crate::names::Side;
use crate::oracle::Oracle;
use crate::{matrix, names, page, snapshot, stream};

/// Would it merge? Each branch or task with the base, and several with each other
///
/// Nothing is touched: no worktree, index, ref or stash; the objects of the trial go into a folder that is thrown away.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Show who conflicts with whom and where, and nothing else
    #[arg(long, conflicts_with_all = ["nul", "html"])]
    matrix: bool,
    /// Print one page of HTML that holds everything
    #[arg(long, conflicts_with_all = ["nul", "json"])]
    html: bool,
    /// Print conflicted paths only, each ended by NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Read lines of '<base> <branch>' and print one JSON document for each
    #[arg(long, conflicts_with_all = ["names", "onto", "all", "dirty", "matrix", "html", "nul"])]
    stdin: bool,
}

/// What is asked about, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// Task, branch, commit, or pattern of branches like 'task/*'; the current branch if none is given
    #[arg(value_name = "branch|task", add = clap_complete::ArgValueCompleter::new(crate::cli::complete_name))]
    pub(crate) names: Vec<String>,
    /// Branch to merge into; that of the tasks, or the main one, if not given
    #[arg(long, value_name = "base", add = clap_complete::ArgValueCompleter::new(crate::cli::complete_name))]
    pub(crate) onto: Option<String>,
    /// Every open task that has a branch
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Count the uncommitted and untracked work of live worktrees as well
    #[arg(long)]
    pub(crate) dirty: bool,
    /// Ask git about everything again, and keep nothing of it
    #[arg(long)]
    pub(crate) no_cache: bool,
}

pub(crate) fn run(cx: &Context, args: &Args) -> Result<Status, Failure> {
    if args.stdin {
        return stream::run(cx);
    }
    let (mut oracle, sides) = open(cx, &args.which)?;
    let answer = forecast(&mut oracle, &sides)?.answer(&oracle, &sides);
    oracle.close()?;
    say(cx, args, &answer)?;
    Ok(status(answer.verdicts()))
}

/// Finds the sides and their base, with the work of their worktrees if that is to count.
pub(crate) fn open<'a>(cx: &'a Context, which: &Which) -> Result<(Oracle<'a>, Vec<Side>), Failure> {
    let mut sides = names::sides(cx, &which.names, which.all)?;
    let base = names::base(cx, which.onto.as_deref(), &sides)?;
    if which.names.iter().any(|name| names::is_pattern(name)) {
        sides.retain(|side| side.branch.as_ref() != Some(&base.name) || which.names.contains(&side.name));
    }
    let oracle = Oracle::open(cx, base, !which.no_cache)?;
    if which.dirty {
        snapshot::include(cx, &oracle.quarantine, &mut sides)?;
    }
    Ok((oracle, sides))
}

fn say(cx: &Context, args: &Args, answer: &Answer) -> Result<(), Failure> {
    if args.nul && !cx.output.is_json() {
        let paths: Vec<u8> = answer.paths().into_iter().flat_map(|path| [path, b"\0"].concat()).collect();
        return cx.output.raw(&paths);
    }
    if args.html {
        return cx.output.raw(page::render(answer).as_bytes());
    }
    if args.matrix && !cx.output.is_json() {
        return cx.output.text(&matrix::Matrix(answer).to_string());
    }
    cx.output.answer(answer)
}

/// How a program ends that found these verdicts.
pub(crate) fn status(verdicts: impl Iterator<Item = Verdict>) -> Status {
    verdicts.fold(Status::Done, |status, verdict| match (verdict, status) {
        (Verdict::CouldNotTell, _) | (_, Status::CouldNot) => Status::CouldNot,
        (Verdict::Conflict, _) => Status::No,
        (Verdict::Clean | Verdict::Skipped, status) => status,
    })
}
