//! Giving an attempt up: what it holds is kept under `refs/backup/` first.

use std::fmt;

use gix::ObjectId;
use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::process::commit_tree;
use shared::slug::Slug;

use super::attempt::attempt_ref;
use super::place::Place;
use super::store::{Phase, State, Store, Work, id};
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
pub(crate) fn abort(cx: &Context, slug: &Slug, work: Work) -> Result<Status, Failure> {
    let store = Store::open(cx, slug)?;
    let state = open_state(&store, work)?;
    let backup = keep_and_clear(cx, &store, &state)?;
    cx.output.answer(&Answer { merge: slug.to_string(), backup })?;
    Ok(Status::Done)
}

/// Drops a proposal.
pub(crate) fn reject(cx: &Context, slug: &Slug) -> Result<Status, Failure> {
    let store = Store::open(cx, slug)?;
    let Some(state) = store.load()?.filter(|state| state.phase == Phase::Proposed) else {
        return Err(Failure::no("no-proposal", format!("nothing is proposed for '{slug}'")));
    };
    let backup = keep_and_clear(cx, &store, &state)?;
    cx.output.answer(&Answer { merge: slug.to_string(), backup })?;
    Ok(Status::Done)
}

/// Keeps what an attempt holds under one ref, then removes its worktree, its refs and its record.
pub(crate) fn keep_and_clear(cx: &Context, store: &Store, state: &State) -> Result<Option<String>, Failure> {
    let slug = store.slug();
    let repository = cx.repository()?;
    let path = state.worktree.clone().unwrap_or_else(|| store.worktree());
    let place = Place::find(cx, &path, store.folder())?;
    let mut kept: Option<ObjectId> = repository.tip(&proposal_ref(slug))?;
    if let Some(place) = &place {
        agent::stop(cx, place.path())?;
        if place.is_laid()? {
            let ours = id(&state.ours)?;
            let start = state.start.as_deref().map_or_else(|| repository.tree_of(ours), id)?;
            let tree = place.capture(cx, start)?.tree;
            let git = git_for(cx, id(&state.base)?)?;
            let message = format!("What was left of an attempt to resolve '{slug}'\n");
            kept = Some(commit_tree(&git, tree, &[ours, id(&state.theirs)?], &message)?);
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
    if let Some(place) = place {
        place.remove(cx)?;
    }
    store.clear()?;
    Ok(backup.map(|(name, _)| name))
}

/// The refs of an attempt: its proposal and what each try left.
pub(crate) fn refs(cx: &Context, slug: &Slug) -> Result<Vec<String>, Failure> {
    let tries = attempt_ref(slug.as_str(), 1);
    let folder = tries.trim_end_matches('1');
    let listed = cx.git()?.reading().run(["for-each-ref", "--format=%(refname)", &proposal_ref(slug), folder])?;
    Ok(listed.text().lines().map(str::to_owned).collect())
}
