//! `git agent-merge resolve`: a merge that conflicts, solved by rules first and an agent second.
//!
//! Nothing of the user's moves: the work is done as objects and in a worktree of its own, and the
//! outcome is a commit under `refs/agent-merge/<slug>` that `accept` brings in. Whatever cannot be
//! verified stays where it is for a person, who goes on with `--continue` or gives it up by `--abort`.

pub(crate) mod account;
pub(crate) mod agent;
mod answer;
pub(crate) mod attempt;
pub(crate) mod conflicted;
pub(crate) mod drop;
pub(crate) mod meant;
pub(crate) mod place;
mod report;
pub(crate) mod row;
pub(crate) mod rules;
pub(crate) mod solve;
pub(crate) mod store;
mod text;
pub(crate) mod verify;

use std::time::Duration;

use gix::ObjectId;
use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;
use shared::process::{Git, commit_tree};
use shared::slug::Slug;

use crate::batch::Question;
use crate::names::{self, Side};
use crate::rules::refuse_old_git;
pub(crate) use agent::Asked;
pub(crate) use answer::{Answer, Outcome};
use attempt::{Attempt, How, Solved, Validated};
use conflicted::Merged;
use meant::Meant;
use place::Place;
use rules::Rule;
use shared::quarantine::Quarantine;
use solve::Rules;
use store::{Phase, State, Store, Work, id};
use verify::Who;

/// What decides how a merge is solved.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Means {
    /// Rule that is not to be used; may be given several times
    #[arg(long, value_name = "rule")]
    no_rule: Vec<Rule>,
    /// Use what git remembers of earlier resolutions, of other worktrees too
    #[arg(long)]
    rerere: bool,
    /// Agent that resolves what no rule does; 'none' asks nobody
    #[arg(long, value_name = "name")]
    agent: Option<String>,
    /// Model that the agent is to use
    #[arg(long, value_name = "name")]
    model: Option<String>,
    /// How often the agent may try
    #[arg(long, value_name = "n")]
    attempts: Option<usize>,
    /// Time that the agent has for one attempt, such as 15m
    #[arg(long, value_name = "time", value_parser = span)]
    timeout: Option<Duration>,
    /// Tokens that the agent may use for one attempt, in and out
    #[arg(long, value_name = "n")]
    budget_tokens: Option<u64>,
    /// Ask no agent with more conflicted files
    #[arg(long, value_name = "n")]
    max_files: Option<usize>,
    /// Ask no agent with more conflicted hunks
    #[arg(long, value_name = "n")]
    max_hunks: Option<usize>,
    /// Do not have git-validate judge the result
    #[arg(long)]
    unvalidated: bool,
}

fn span(text: &str) -> Result<Duration, String> {
    shared::config::layer::parse_duration(text).ok_or_else(|| "not a time span such as 15m".to_owned())
}

impl Means {
    /// Says whether any of it was given.
    pub(crate) fn is_given(&self) -> bool {
        let Means {
            no_rule,
            rerere,
            agent,
            model,
            attempts,
            timeout,
            budget_tokens,
            max_files,
            max_hunks,
            unvalidated,
        } = self;
        let numbers = [attempts, max_files, max_hunks].iter().any(|number| number.is_some());
        let texts = agent.is_some() || model.is_some();
        !no_rule.is_empty()
            || *rerere
            || *unvalidated
            || numbers
            || texts
            || timeout.is_some()
            || budget_tokens.is_some()
    }

    pub(crate) fn load(&self, cx: &Context) -> Result<How, Failure> {
        let config = cx.config()?;
        let number = |given: Option<usize>, key: &str| -> Result<usize, Failure> {
            Ok(given.map_or_else(|| config.integer(key).map(|n| usize::try_from(n).unwrap_or(usize::MAX)), Ok)?)
        };
        let name = match &self.agent {
            Some(name) => Some(name.clone()),
            None => config.text("merge.agent")?.filter(|name| !name.is_empty()),
        };
        let timeout = match self.timeout {
            Some(timeout) => Some(timeout).filter(|timeout| !timeout.is_zero()),
            None => config.duration("merge.timeout")?,
        };
        let budget = self.budget_tokens.map_or_else(|| config.integer("merge.budget-tokens"), Ok)?;
        let asked = Asked { agent: name.clone(), model: self.model.clone(), timeout, budget };
        Ok(How {
            rules: Rules::load(cx, &self.no_rule, self.rerere)?,
            agent: (name.as_deref() != Some("none")).then_some(asked),
            attempts: number(self.attempts, "merge.attempts")?,
            max_files: number(self.max_files, "merge.max-files")?,
            max_hunks: number(self.max_hunks, "merge.max-hunks")?,
            validates: !self.unvalidated,
        })
    }
}

/// Solve a merge that conflicts, by rules first and an agent second, and propose the result
///
/// The branch stays as it is: the result is a commit under refs/agent-merge/, which 'accept' brings in.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Task or branch; that of the current worktree if not given
    #[arg(value_name = "branch|task", add = clap_complete::ArgValueCompleter::new(crate::cli::complete_name))]
    name: Option<String>,
    /// Branch to merge into it; the base of the task, or the main one, if not given
    #[arg(long, value_name = "base", add = clap_complete::ArgValueCompleter::new(crate::cli::complete_name))]
    onto: Option<String>,
    #[command(flatten)]
    means: Means,
    /// Take what a person has made of the worktree that was left
    #[arg(long = "continue", conflicts_with_all = ["abort", "status", "onto"])]
    go_on: bool,
    /// Give up what was left, after keeping it under refs/backup/
    #[arg(long, conflicts_with_all = ["status", "onto"])]
    abort: bool,
    /// Say where it stands
    #[arg(long, conflicts_with = "onto")]
    status: bool,
    /// Say what the rules would solve and change nothing
    #[arg(short = 'n', long, conflicts_with_all = ["go_on", "abort", "status"])]
    dry_run: bool,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    if args.status || args.abort || args.go_on {
        let meant = Meant::find(cx, args.name.as_deref())?;
        return if args.status {
            status(cx, meant)
        } else if args.abort {
            drop::abort(cx, meant, Work::Merge)
        } else {
            go_on(cx, &args.means.load(cx)?, meant)
        };
    }
    let side = branch(cx, args.name.as_deref())?;
    let slug = slug(&side)?;
    start(cx, &args, &side, &slug)
}

/// Finds the branch that is meant; a commit alone cannot be moved.
pub(crate) fn branch(cx: &Context, name: Option<&str>) -> Result<Side, Failure> {
    if let Some(name) = name.filter(|name| names::is_pattern(name)) {
        return Err(Failure::usage(format!("'{}' may stand for several branches: name one", name.escape_debug())));
    }
    let given: Vec<String> = name.map(str::to_owned).into_iter().collect();
    let side = names::sides(cx, &given, false)?.into_iter().next();
    let side = side.ok_or_else(|| Failure::could_not("unknown-revision", "there is no branch here"))?;
    if side.branch.is_none() {
        return Err(Failure::could_not("no-branch", format!("'{}' is no branch", side.name.escape_debug()))
            .hint("name a branch or a task"));
    }
    Ok(side)
}

/// The slug of a branch's attempt: that of its task, or one made from its name.
pub(crate) fn slug(side: &Side) -> Result<Slug, Failure> {
    let name = side.branch.as_deref().map_or(side.name.as_str(), names::short);
    let made = match &side.task {
        Some(task) => task.parse().ok(),
        None => Slug::from_text(name),
    };
    made.ok_or_else(|| Failure::could_not("no-name", format!("no name can be made from '{}'", name.escape_debug())))
}

/// The ref of a proposal.
pub(crate) fn proposal_ref(slug: &Slug) -> String {
    format!("refs/agent-merge/{slug}")
}

/// Git for objects that are to stay, with the attributes of what is merged into.
pub(crate) fn git_for(cx: &Context, base: ObjectId) -> Result<Git, Failure> {
    Ok(cx.git()?.env("GIT_ATTR_SOURCE", base.to_string()).setting("core.fsync=loose-object"))
}

fn start(cx: &Context, args: &Args, side: &Side, slug: &Slug) -> Result<Status, Failure> {
    refuse_old_git(cx)?;
    let base = names::base(cx, args.onto.as_deref(), std::slice::from_ref(side))?;
    let how = args.means.load(cx)?;
    let branch = side.branch.clone().unwrap_or_default();
    let mut state = State::new(slug, Work::Merge, &branch, side.task.as_deref(), side.commit);
    state.onto = base.name.clone();
    state.base = base.commit.to_string();
    state.theirs = base.commit.to_string();
    let question = Question { base: None, ours: side.commit, theirs: base.commit };
    if args.dry_run {
        return preview(cx, &how, state, question);
    }
    let store = Store::open(cx, slug)?;
    if let Some(old) = store.load()?
        && let Some(status) = of_before(cx, &store, &old, &state)?
    {
        return Ok(status);
    }
    let git = git_for(cx, base.commit)?;
    match conflicted::merge(&git, question)? {
        Merged::Clean(_) => {
            cx.output.answer(&Answer::of(&state, Outcome::Clean))?;
            Ok(Status::Done)
        }
        Merged::Conflicts { tree, files } => {
            store.save(&state)?;
            let mut attempt = Attempt { cx, git, store: &store, state, how: &how };
            let solved = attempt.solve(tree, files)?;
            end(attempt, solved)
        }
    }
}

/// What is there already: the same proposal is shown again, an old one makes room, open work stays.
fn of_before(cx: &Context, store: &Store, old: &State, new: &State) -> Result<Option<Status>, Failure> {
    let slug = store.slug();
    if old.branch != new.branch {
        let message = format!("an attempt for '{}' has the name '{slug}' already", names::short(&old.branch));
        let (verb, called) = (if old.phase == Phase::Proposed { "show" } else { "resolve --status" }, old.called());
        return Err(Failure::could_not("taken", message).hint(format!("'git agent-merge {verb} {called}' shows it")));
    }
    if old.phase == Phase::Open {
        let (verb, called) = (old.verb(), old.called());
        return Err(Failure::could_not("in-progress", format!("an attempt for '{called}' was left half done"))
            .hint(format!("'git agent-merge {verb} --continue {called}' goes on with it, '--abort' gives it up")));
    }
    let is_same = old.tip == new.tip && old.base == new.base;
    if is_same && cx.repository()?.tip(&proposal_ref(slug))?.is_some() {
        cx.output.answer(&Answer::of(old, Outcome::Proposed))?;
        return Ok(Some(Status::Done));
    }
    let kept = drop::keep_and_clear(cx, store, old)?;
    if let Some(kept) = kept {
        cx.output.note(format!("an older proposal is kept as {kept}"));
    }
    Ok(None)
}

fn preview(cx: &Context, how: &How, mut state: State, question: Question) -> Result<Status, Failure> {
    let quarantine = Quarantine::new()?;
    let git = quarantine.hold(cx, cx.git()?.env("GIT_ATTR_SOURCE", question.theirs.to_string()))?;
    match conflicted::merge(&git, question)? {
        Merged::Clean(_) => {
            cx.output.answer(&Answer::of(&state, Outcome::Clean))?;
            Ok(Status::Done)
        }
        Merged::Conflicts { tree, mut files } => {
            how.rules.apply(cx, &git, tree, &mut files)?;
            state.files = files.iter().map(verify::row).collect();
            let is_solved = files.iter().all(conflicted::Conflicted::is_solved);
            cx.output.answer(&Answer::of(&state, Outcome::Preview))?;
            Ok(if is_solved { Status::Done } else { Status::No })
        }
    }
}

/// Proposes what is solved, or says how a person goes on.
fn end(mut attempt: Attempt<'_>, solved: Solved) -> Result<Status, Failure> {
    match solved {
        Solved::Yes { tree, validated, jobs } => {
            attempt.state.validated = Some(validated);
            propose(&mut attempt, tree, &jobs)?;
            attempt.cx.output.answer(&Answer::of(&attempt.state, Outcome::Proposed))?;
            Ok(Status::Done)
        }
        Solved::No(reason) => {
            attempt.store.save(&attempt.state)?;
            attempt.cx.output.answer(&Answer::of(&attempt.state, Outcome::Open).because(reason))?;
            Ok(Status::No)
        }
    }
}

/// Makes the commit and its ref; the worktree goes, since all of it is in the commit.
fn propose(attempt: &mut Attempt<'_>, tree: ObjectId, jobs: &[agent::Ran]) -> Result<(), Failure> {
    let cx = attempt.cx;
    let parents = [id(&attempt.state.tip)?, id(&attempt.state.base)?];
    let message = format!("{}\n", attempt.message());
    let commit = commit_tree(&attempt.git, tree, &parents, &message)?;
    answer::note(cx, commit, &attempt.state, jobs)?;
    let name = proposal_ref(attempt.store.slug());
    let words = ["update-ref", "--create-reflog", "-m", "agent-merge: resolve", &name, &commit.to_string()];
    cx.git()?.setting("core.fsync=reference").run(words)?;
    attempt.state.phase = Phase::Proposed;
    attempt.state.proposal = Some(commit.to_string());
    attempt.store.save(&attempt.state)?;
    if let Some(path) = attempt.state.worktree.take()
        && let Some(place) = Place::find(cx, &path, attempt.store.folder())?
    {
        place.remove(cx)?;
    }
    attempt.store.save(&attempt.state)?;
    Ok(())
}

fn go_on(cx: &Context, how: &How, meant: Meant) -> Result<Status, Failure> {
    let store = Store::of(cx, meant)?;
    let state = open_state(&store, Work::Merge)?;
    let git = git_for(cx, id(&state.base)?)?;
    let mut attempt = Attempt { cx, git, store: &store, state, how };
    let files = attempt::again(&attempt)?;
    let Some((place, start)) = left(cx, &attempt)? else {
        // It was ended before anything was laid down.
        let git = attempt.git.clone();
        return match conflicted::merge(&git, attempt.question()?)? {
            Merged::Conflicts { tree, files } => {
                let solved = attempt.solve(tree, files)?;
                end(attempt, solved)
            }
            Merged::Clean(tree) => end(attempt, Solved::Yes { tree, validated: Validated::No, jobs: Vec::new() }),
        };
    };
    agent::stop(cx, place.path())?;
    let solved = attempt.finish(&place, &files, start, Who::Person)?;
    end(attempt, solved)
}

/// The worktree that was left, and what it started from.
pub(crate) fn left(cx: &Context, attempt: &Attempt<'_>) -> Result<Option<(Place, ObjectId)>, Failure> {
    let (Some(path), Some(start)) = (&attempt.state.worktree, &attempt.state.start) else { return Ok(None) };
    let Some(place) = Place::find(cx, path, attempt.store.folder())? else { return Ok(None) };
    // Killed in the middle of making it, it holds nothing of anybody's work yet.
    if !place.is_laid()? {
        return Ok(None);
    }
    Ok(Some((place, id(start)?)))
}

/// Reads the record of work that is not done.
pub(crate) fn open_state(store: &Store, work: Work) -> Result<State, Failure> {
    let slug = store.slug();
    let none = || {
        Failure::could_not("nothing-open", format!("nothing is half done for '{slug}'"))
            .hint(format!("'git agent-merge resolve {slug}' begins"))
    };
    let state = store.load()?.ok_or_else(none)?;
    if state.phase == Phase::Proposed {
        let called = state.called();
        return Err(Failure::could_not("nothing-open", format!("the resolution of '{called}' is done and proposed"))
            .hint(format!("'git agent-merge accept {called}' brings it in, 'reject' drops it")));
    }
    if state.work != work {
        let (verb, called) = (state.verb(), state.called());
        return Err(Failure::could_not("nothing-open", format!("what is half done for '{called}' is a {verb}"))
            .hint(format!("'git agent-merge {verb} --continue {called}' goes on with it")));
    }
    Ok(state)
}

fn status(cx: &Context, meant: Meant) -> Result<Status, Failure> {
    let store = Store::of(cx, meant)?;
    let Some(state) = store.load()? else {
        return Err(Failure::no("nothing-open", format!("there is no attempt for '{}'", store.slug())));
    };
    let outcome = if state.phase == Phase::Proposed { Outcome::Proposed } else { Outcome::Open };
    cx.output.answer(&Answer::of(&state, outcome))?;
    Ok(if state.phase == Phase::Proposed { Status::Done } else { Status::No })
}

/// A ref under which what is dropped stays.
pub(crate) fn backup_ref(slug: &Slug) -> String {
    format!("refs/backup/{slug}/{}", clock::stamp(clock::now()))
}
