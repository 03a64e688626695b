//! `git agent-merge rebase`: a branch's commits on its base as it is now.
//!
//! They are replayed as objects; a worktree is made only for a commit that conflicts. The branch moves
//! at the end, by compare-and-swap and with a backup, and the checkout that it has follows.

mod answer;

use anyhow::Result;
use gix::ObjectId;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::jobs;
use shared::landing::{Landed, Move};
use shared::process::{Git, copy_commit};
use shared::slug::Slug;

use crate::batch::Question;
use crate::names::{self, short};
use crate::resolve::attempt::{self, Attempt, How, Solved};
use crate::resolve::conflicted::{self, Merged};
use crate::resolve::meant::Meant;
use crate::resolve::place::Place;
use crate::resolve::row::{Step, StepRow};
use crate::resolve::solve::Rules;
use crate::resolve::store::{State, Store, Work, id};
use crate::resolve::verify::Who;
use crate::resolve::{self, Means, agent, backup_ref, git_for};
use crate::rules::refuse_old_git;
use answer::{Answer, Outcome};
use shared::quarantine::Quarantine;

/// Replay a branch's commits on its base, in memory as far as nothing conflicts
///
/// The branch and its checkout move at the end, in one step; where it was stays under refs/backup/.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Task or branch; that of the current worktree if not given
    #[arg(value_name = "branch|task", add = clap_complete::ArgValueCompleter::new(crate::cli::complete_name))]
    name: Option<String>,
    /// What to replay it on; the base of the task, or the main branch, if not given
    #[arg(long, value_name = "base", add = clap_complete::ArgValueCompleter::new(crate::cli::complete_name))]
    onto: Option<String>,
    /// Solve conflicts by rules and an agent, as 'resolve' does
    #[arg(long)]
    resolve: bool,
    #[command(flatten)]
    means: Means,
    /// Take what a person has made of the worktree that was left, and go on
    #[arg(long = "continue", conflicts_with_all = ["abort", "status", "onto"])]
    go_on: bool,
    /// Give up what was left, after keeping it under refs/backup/
    #[arg(long, conflicts_with_all = ["status", "onto"])]
    abort: bool,
    /// Say where it stands
    #[arg(long, conflicts_with = "onto")]
    status: bool,
    /// Say what would happen and change nothing
    #[arg(short = 'n', long, conflicts_with_all = ["go_on", "abort", "status"])]
    dry_run: bool,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let meant = || Meant::find(cx, args.name.as_deref());
    if args.status {
        return status(cx, meant()?);
    }
    if args.abort {
        return resolve::drop::abort(cx, meant()?, Work::Rebase);
    }
    if args.means.is_given() && !args.resolve {
        return Err(Failure::usage("how conflicts are solved is about '--resolve'"));
    }
    let how = if args.resolve { args.means.load(cx)? } else { by_hand() };
    if args.go_on {
        return go_on(cx, &how, meant()?);
    }
    let side = resolve::branch(cx, args.name.as_deref())?;
    let slug = resolve::slug(&side)?;
    refuse_old_git(cx)?;
    let base = names::base(cx, args.onto.as_deref(), std::slice::from_ref(&side))?;
    let branch = side.branch.clone().unwrap_or_default();
    let mut state = State::new(&slug, Work::Rebase, &branch, side.task.as_deref(), side.commit);
    state.onto = base.name.clone();
    state.base = base.commit.to_string();
    state.ours = base.commit.to_string();
    state.theirs = side.commit.to_string();
    let is_there = cx.git()?.reading().ask(["merge-base", "--is-ancestor", &state.base, &state.tip])?.code == 0;
    if is_there {
        cx.output.answer(&Answer { to: Some(state.tip.clone()), ..Answer::of(&state, Outcome::UpToDate) })?;
        return Ok(Status::Done);
    }
    state.steps = steps(cx, base.commit, side.commit)?;
    if args.dry_run {
        return preview(cx, state);
    }
    jobs::refuse_live(cx, &state.branch)?;
    let store = Store::open(cx, &slug)?;
    if let Some(old) = store.load()? {
        let called = old.called();
        return Err(Failure::could_not("in-progress", format!("an attempt for '{called}' is there already"))
            .hint(format!("'git agent-merge resolve --status {called}' shows it")));
    }
    store.save(&state)?;
    let git = git_for(cx, base.commit)?;
    replay(Attempt { cx, git, store: &store, state, how: &how })
}

/// No rule and no agent: what conflicts is for a person.
fn by_hand() -> How {
    How { rules: Rules::none(), agent: None, attempts: 0, max_files: 0, max_hunks: 0, validates: false }
}

/// The commits to replay, the first first.
fn steps(cx: &Context, base: ObjectId, tip: ObjectId) -> Result<Vec<StepRow>, Failure> {
    let git = cx.git()?.reading();
    let range = format!("{base}..{tip}");
    let listed =
        git.run(["log", "--reverse", "--topo-order", "--no-show-signature", "--format=%H %P%x00%s", "-z", &range])?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut rows = Vec::new();
    let mut fields = text.split('\0');
    while let (Some(ids), Some(subject)) = (fields.next().filter(|ids| !ids.is_empty()), fields.next()) {
        let mut ids = ids.split(' ').map(str::to_owned);
        let commit = ids.next().unwrap_or_default();
        let parents: Vec<String> = ids.filter(|id| !id.is_empty()).collect();
        let [parent] = &parents[..] else {
            let short = commit.get(..12).unwrap_or(&commit);
            let message = format!("'{short}' is a merge or a first commit, which is not replayed");
            return Err(Failure::could_not("merge-commit", message)
                .hint("'git agent-merge resolve' merges the base into the branch instead"));
        };
        let row =
            StepRow { parent: parent.clone(), commit, subject: subject.to_owned(), step: Step::Waiting, new: None };
        rows.push(row);
    }
    Ok(rows)
}

/// What a replay came to.
enum Replayed {
    /// All of them; the branch would be at this commit.
    All(ObjectId),
    /// The commit of this number conflicts.
    Stopped { at: usize, tree: ObjectId, files: Vec<conflicted::Conflicted> },
}

/// Replays what waits, on the state's own commit, as objects.
fn in_memory(git: &Git, state: &mut State) -> Result<Replayed, Failure> {
    let mut onto = id(&state.ours)?;
    for at in 0..state.steps.len() {
        if state.steps[at].step != Step::Waiting {
            continue;
        }
        let commit = id(&state.steps[at].commit)?;
        let parent = id(&state.steps[at].parent)?;
        match conflicted::merge(git, Question { base: Some(parent), ours: onto, theirs: commit })? {
            Merged::Clean(tree) => onto = copied(git, state, at, tree, onto)?,
            Merged::Conflicts { tree, files } => {
                state.steps[at].step = Step::Conflict;
                state.ours = onto.to_string();
                state.theirs = commit.to_string();
                state.ancestor = Some(parent.to_string());
                return Ok(Replayed::Stopped { at, tree, files });
            }
        }
    }
    state.ours = onto.to_string();
    Ok(Replayed::All(onto))
}

/// Makes the copy of a commit; one that has become empty is left out, as 'git rebase' does.
fn copied(git: &Git, state: &mut State, at: usize, tree: ObjectId, onto: ObjectId) -> Result<ObjectId> {
    let row = &mut state.steps[at];
    let commit = id(&row.commit)?;
    let names = [&row.commit, &row.parent, &onto.to_string()].map(|commit| format!("{commit}^{{tree}}"));
    let trees = git.run(["rev-parse".to_owned()].into_iter().chain(names))?.text();
    let trees: Vec<&str> = trees.lines().collect();
    let was_empty = trees.first() == trees.get(1);
    let onto_tree = id(trees.get(2).copied().unwrap_or_default())?;
    if tree == onto_tree && !was_empty {
        row.step = Step::Empty;
        return Ok(onto);
    }
    let new = copy_commit(git, commit, tree, onto)?;
    row.step = if row.step == Step::Conflict { Step::Resolved } else { Step::Replayed };
    row.new = Some(new.to_string());
    Ok(new)
}

fn preview(cx: &Context, mut state: State) -> Result<Status, Failure> {
    let quarantine = Quarantine::new()?;
    let git = quarantine.hold(cx, cx.git()?.env("GIT_ATTR_SOURCE", &state.base))?;
    let replayed = in_memory(&git, &mut state)?;
    if let Replayed::Stopped { files, .. } = &replayed {
        state.files = files.iter().map(resolve::verify::row).collect();
    }
    let mut answer = Answer::of(&state, Outcome::Preview);
    answer.files = state.files.clone();
    // They are thrown away with the rest.
    answer.steps.iter_mut().for_each(|row| row.new = None);
    cx.output.answer(&answer)?;
    Ok(if matches!(replayed, Replayed::All(_)) { Status::Done } else { Status::No })
}

/// Replays what waits, solves what conflicts as far as that is asked for, and lands the result.
fn replay(mut attempt: Attempt<'_>) -> Result<Status, Failure> {
    loop {
        let git = attempt.git.clone();
        match in_memory(&git, &mut attempt.state)? {
            Replayed::All(new) => return land(attempt, new),
            Replayed::Stopped { at, tree, files } => {
                let subject = attempt.state.steps[at].subject.clone();
                let solved = attempt.solve(tree, files)?;
                if let Some(reason) = take(&mut attempt, at, solved)? {
                    let reason = if attempt.how.agent.is_some() { reason } else { format!("'{subject}' conflicts") };
                    attempt.store.save(&attempt.state)?;
                    attempt
                        .cx
                        .output
                        .answer(&Answer { reason: Some(reason), ..Answer::of(&attempt.state, Outcome::Open) })?;
                    return Ok(Status::No);
                }
            }
        }
    }
}

/// Takes a solved commit over; returns why it is not solved.
fn take(attempt: &mut Attempt<'_>, at: usize, solved: Solved) -> Result<Option<String>, Failure> {
    match solved {
        Solved::Yes { tree, .. } => {
            let (git, onto) = (attempt.git.clone(), id(&attempt.state.ours)?);
            let new = copied(&git, &mut attempt.state, at, tree, onto)?;
            attempt.state.ours = new.to_string();
            attempt.store.save(&attempt.state)?;
            Ok(None)
        }
        Solved::No(reason) => Ok(Some(reason)),
    }
}

fn go_on(cx: &Context, how: &How, meant: Meant) -> Result<Status, Failure> {
    let store = Store::of(cx, meant)?;
    let state = resolve::open_state(&store, Work::Rebase)?;
    let git = git_for(cx, id(&state.base)?)?;
    let mut attempt = Attempt { cx, git, store: &store, state, how };
    let stopped = attempt.state.steps.iter().position(|row| row.step == Step::Conflict);
    if let Some(at) = stopped {
        match resolve::left(cx, &attempt)? {
            Some((place, start)) => {
                agent::stop(cx, place.path())?;
                let files = attempt::again(&attempt)?;
                let solved = attempt.finish(&place, &files, start, Who::Person)?;
                if let Some(reason) = take(&mut attempt, at, solved)? {
                    attempt.store.save(&attempt.state)?;
                    cx.output.answer(&Answer { reason: Some(reason), ..Answer::of(&attempt.state, Outcome::Open) })?;
                    return Ok(Status::No);
                }
            }
            // It was ended before anything was laid down: this commit comes once more.
            None => attempt.state.steps[at].step = Step::Waiting,
        }
    }
    replay(attempt)
}

/// Moves the branch, and the checkout that it has.
fn land(mut attempt: Attempt<'_>, new: ObjectId) -> Result<Status, Failure> {
    let cx = attempt.cx;
    attempt.store.save(&attempt.state)?;
    let slug: Slug = attempt.store.slug().clone();
    let was_solved = attempt.state.steps.iter().any(|row| row.step == Step::Resolved);
    let backup = backup_ref(&slug);
    let mut answer = Answer::of(&attempt.state, Outcome::Rebased);
    answer.to = Some(new.to_string());
    let old = id(&attempt.state.tip)?;
    if new != old && cx.repository()?.tip(&attempt.state.branch)? == Some(new) {
        // Ended between the move and the end of the record.
        let folder = format!("refs/backup/{slug}/");
        let listed =
            cx.git()?.reading().run(["for-each-ref", "--format=%(refname)", "--points-at", &old.to_string(), &folder]);
        answer.backup = listed?.text().lines().next_back().map(str::to_owned);
        clear(&mut attempt)?;
        cx.output.answer(&answer)?;
        return Ok(Status::Done);
    }
    if was_solved && attempt.how.validates {
        let mut problems = Vec::new();
        answer.validated = Some(attempt.judged(cx.repository()?.tree_of(new)?, &mut problems)?);
        if !problems.is_empty() {
            cx.git()?.setting("core.fsync=reference").run(["update-ref", &backup, &new.to_string()])?;
            clear(&mut attempt)?;
            answer.outcome = Outcome::Refused;
            (answer.reason, answer.backup) = (Some(problems.join("; ")), Some(backup));
            cx.output.answer(&answer)?;
            return Ok(Status::No);
        }
    }
    let mut also = vec![format!("create {backup} {old}")];
    also.extend(resolve::drop::refs(cx, &slug)?.into_iter().map(|name| format!("delete {name}")));
    let reason = format!("agent-merge: rebase {slug}");
    let step = Move { branch: attempt.state.branch.clone(), old, new, also, reason };
    match step.land(cx)? {
        Landed::Moved(checkout) => (answer.checkout, answer.backup) = (checkout, Some(backup)),
        Landed::Elsewhere => {
            let branch = short(&attempt.state.branch);
            return Err(Failure::could_not(
                "moved",
                format!("'{branch}' has moved since the rebase began; it is not touched"),
            )
            .hint(format!("'git agent-merge rebase --abort {branch}' gives this one up; then begin anew")));
        }
    }
    clear(&mut attempt)?;
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

/// Removes worktree and record, when everything is in the branch or a backup.
fn clear(attempt: &mut Attempt<'_>) -> Result<(), Failure> {
    if let Some(path) = attempt.state.worktree.take()
        && let Some(place) = Place::find(attempt.cx, &path, attempt.store.folder())?
    {
        place.remove(attempt.cx)?;
    }
    Ok(attempt.store.clear()?)
}

fn status(cx: &Context, meant: Meant) -> Result<Status, Failure> {
    let store = Store::of(cx, meant)?;
    let state = resolve::open_state(&store, Work::Rebase)?;
    cx.output.answer(&Answer::of(&state, Outcome::Open))?;
    Ok(Status::No)
}
