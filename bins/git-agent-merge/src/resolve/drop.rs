//! Giving an attempt up: what it holds is kept under `refs/backup/` first.

use std::fmt;

use gix::ObjectId;
use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::ground::Ground;
use shared::landing::Move;
use shared::process::commit_tree;
use shared::slug::Slug;

use super::attempt::attempt_ref;
use super::meant::Meant;
use super::place::Place;
use super::row::{Step, StepRow};
use super::store::{BROKEN, Phase, State, Store, Work, id};
use super::{agent, backup_ref, git_for, open_state, proposal_ref};

#[derive(Debug, Serialize)]
struct Answer {
    merge: String,
    /// Where what was dropped is kept.
    backup: Option<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.backup {
            Some(backup) => writeln!(f, "dropped; what was there is kept as {backup}"),
            None => writeln!(f, "dropped; nothing was there to keep"),
        }
    }
}

/// Gives up what is half done.
pub(crate) fn abort(cx: &Context, meant: Meant, work: Work) -> Result<Status, Failure> {
    let store = Store::of(cx, meant)?;
    let state = match open_state(&store, work) {
        Err(failure) if failure.kind() == BROKEN => None,
        state => Some(state?),
    };
    let backup = keep(cx, &store, state.as_ref())?;
    if let Some(state) = &state
        && let Some(new) = replayed(state)?
    {
        let (branch, reason) = (state.branch.clone(), format!("agent-merge: abort {}", store.slug()));
        Move { branch, old: id(&state.tip)?, new, also: Vec::new(), reason }.take_back(cx)?;
    }
    match state {
        Some(_) => store.clear()?,
        None => store.put_aside()?,
    }
    cx.output.answer(&Answer { merge: store.slug().to_string(), backup })?;
    Ok(Status::Done)
}

/// Drops a proposal.
pub(crate) fn reject(cx: &Context, meant: Meant) -> Result<Status, Failure> {
    let store = Store::of(cx, meant)?;
    let slug = store.slug();
    let Some(state) = store.load()?.filter(|state| state.phase == Phase::Proposed) else {
        return Err(Failure::no("no-proposal", format!("nothing is proposed for '{slug}'")));
    };
    let backup = keep_and_clear(cx, &store, &state)?;
    cx.output.answer(&Answer { merge: slug.to_string(), backup })?;
    Ok(Status::Done)
}

/// Keeps what an attempt holds under one ref, then removes its worktree, its refs and its record.
pub(crate) fn keep_and_clear(cx: &Context, store: &Store, state: &State) -> Result<Option<String>, Failure> {
    let backup = keep(cx, store, Some(state))?;
    store.clear()?;
    Ok(backup)
}

/// Without a record that can be read, what the worktree itself says is all that is known.
fn keep(cx: &Context, store: &Store, state: Option<&State>) -> Result<Option<String>, Failure> {
    let slug = store.slug();
    let repository = cx.repository()?;
    let place = Place::find(cx, &store.worktree(), store.folder())?;
    let mut kept: Option<ObjectId> = repository.tip(&proposal_ref(slug))?;
    if let Some(state) = state {
        kept = kept.or(replayed(state)?);
    }
    if let Some(place) = &place {
        agent::stop(cx, place.path())?;
        if place.is_laid()? {
            let (ours, other) = match state {
                Some(state) => (id(&state.ours)?, Some(id(&state.theirs)?)),
                None => (place.tip(cx)?, None),
            };
            let tree = place.capture(cx, repository.tree_of(ours)?)?.tree;
            let parents: Vec<ObjectId> = [ours].into_iter().chain(other).collect();
            let message = format!("What was left of an attempt to resolve '{slug}'\n");
            kept = Some(commit_tree(&git_for(cx, ours)?, tree, &parents, &message)?);
        }
    }
    let mut lines = Vec::new();
    let backup = kept.map(|commit| (backup_ref(slug), commit));
    if let Some((name, commit)) = &backup {
        lines.push(format!("create {name} {commit}"));
    }
    for name in refs(cx, slug)? {
        lines.push(format!("delete {name}"));
    }
    if !lines.is_empty() {
        let input = lines.join("\n") + "\n";
        let git = cx.git()?.setting("core.fsync=reference");
        git.feed(["update-ref", "-m", "agent-merge: dropped", "--stdin"], input.as_bytes())?;
    }
    match place {
        Some(place) => place.remove(cx)?,
        None => Ground::forget(cx, &store.worktree(), store.folder())?,
    }
    Ok(backup.map(|(name, _)| name))
}

/// What a rebase came to that was ended as its branch was about to move.
fn replayed(state: &State) -> Result<Option<ObjectId>, Failure> {
    let is_open = |row: &StepRow| matches!(row.step, Step::Waiting | Step::Conflict);
    let is_whole = state.work == Work::Rebase && !state.steps.iter().any(is_open);
    Ok(is_whole.then(|| id(&state.ours)).transpose()?)
}

/// The refs of an attempt: its proposal and what each try left.
pub(crate) fn refs(cx: &Context, slug: &Slug) -> Result<Vec<String>, Failure> {
    let tries = attempt_ref(slug.as_str(), 1);
    let folder = tries.trim_end_matches('1');
    let listed = cx.git()?.reading().run(["for-each-ref", "--format=%(refname)", &proposal_ref(slug), folder])?;
    Ok(listed.text().lines().map(str::to_owned).collect())
}
