//! From what an attempt left to a commit on the base that was recorded, with a ref that keeps it.

use anyhow::Result;
use gix::ObjectId;
use serde::Serialize;
use shared::app::Context;
use shared::durable::{self, Lock};
use shared::failure::Failure;
use shared::process::{Git, commit_tree};

use crate::record::{Backend, Run, State, Variant, id};
use crate::store::Held;
use crate::{local, patch};

/// Where a commit comes from, as its note says.
#[derive(Serialize)]
struct Origin<'a> {
    run: &'a str,
    variant: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<u64>,
}

/// Makes the commits of all variants that have ended and have none yet.
pub(crate) fn all(cx: &Context, held: &mut Held) -> Result<(), Failure> {
    for at in 0..held.run.variants.len() {
        let variant = &held.run.variants[at];
        // What is in a worktree can be mended, and is looked at anew.
        let is_final = variant.problem.is_some() && variant.worktree.is_none();
        if !variant.state.is_over() || variant.commit.is_some() || is_final {
            continue;
        }
        let Some(tree) = tree(cx, held, at)? else { continue };
        let commit = commit(cx, held, &held.run.variants[at], tree)?;
        keep(cx, &held.run, held.run.variants[at].number, commit)?;
        held.run.variants[at].commit = Some(commit.to_string());
        held.run.variants[at].problem = None;
        held.save()?;
    }
    Ok(())
}

/// Returns the tree that a variant made; none if there is nothing of it, or it does not apply.
fn tree(cx: &Context, held: &mut Held, at: usize) -> Result<Option<ObjectId>, Failure> {
    let variant = &held.run.variants[at];
    if held.run.backend == Backend::Local {
        let (tree, problem) = match local::tree(cx, &held.store, variant) {
            Ok(None) if variant.state == State::Completed => {
                (None, Some("its worktree has gone before its work was taken".to_owned()))
            }
            Ok(tree) => (tree, None),
            // One that git cannot read must not keep the others from it.
            Err(failure) => (None, Some(failure.message().to_owned())),
        };
        if problem.is_some() {
            held.run.variants[at].problem = problem;
            held.save()?;
        }
        return Ok(tree);
    }
    let path = held.store.diff_path(variant.number);
    if !path.exists() {
        return Ok(None);
    }
    match patch::applied(cx, id(&held.run.base_commit)?, &patch::load(&path)?, held.store.folder())? {
        Ok(tree) => Ok(Some(tree)),
        Err(why) => {
            held.run.variants[at].problem = Some(why);
            held.save()?;
            Ok(None)
        }
    }
}

/// The same run and tree give the same commit, so that a harvest that was killed is no harvest twice.
fn commit(cx: &Context, held: &Held, variant: &Variant, tree: ObjectId) -> Result<ObjectId, Failure> {
    let run = &held.run;
    let base = id(&run.base_commit)?;
    // Commits that the agent made itself stay reachable.
    if let Some(tip) = own_tip(cx, held, variant)?.filter(|tip| *tip != base) {
        let name = format!("{}-work", run.variant_ref(variant.number));
        put(&cx.git()?, &name, tip, "bo4: what the agent committed")?;
    }
    let time = format!("{} +0000", run.created.as_second());
    let git = cx.git()?.env("GIT_AUTHOR_DATE", &time).env("GIT_COMMITTER_DATE", &time);
    let commit = commit_tree(&git, tree, &[base], &message(run, variant))?;
    note(cx, run, variant, commit)?;
    Ok(commit)
}

fn own_tip(cx: &Context, held: &Held, variant: &Variant) -> Result<Option<ObjectId>, Failure> {
    let Some(path) = &variant.worktree else { return Ok(None) };
    match shared::ground::Ground::find(cx, path, held.store.folder())? {
        Some(ground) => Ok(ground.tip(cx).ok()),
        None => Ok(None),
    }
}

fn message(run: &Run, variant: &Variant) -> String {
    let subject = run.title.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut message = format!("{subject}\n\nRun: {}\nVariant: {}\n", run.run, variant.number);
    if let Some(job) = &variant.job {
        message.push_str(&format!("Job: {job}\n"));
    }
    if let Some(agent) = &variant.agent {
        let plain: String = agent.chars().filter(|c| c.is_ascii_alphanumeric() || "-_ .".contains(*c)).collect();
        message.push_str(&format!("Co-authored-by: {plain} <{}@agents.invalid>\n", plain.replace(' ', "-")));
    }
    message
}

fn note(cx: &Context, run: &Run, variant: &Variant, commit: ObjectId) -> Result<(), Failure> {
    let origin = Origin {
        run: &run.run,
        variant: variant.number,
        job: variant.job.as_deref(),
        task_id: run.task_id.as_deref(),
        agent: variant.agent.as_deref(),
        model: variant.model.as_deref(),
        tokens: variant.tokens,
    };
    let line = serde_json::to_string(&origin).map_err(anyhow::Error::from)?;
    // git moves the ref of notes without a look at who else does.
    let folder = cx.repository()?.common_dir().join("codex-agents");
    durable::private_folder(&folder)?;
    let _lock = Lock::acquire(&folder.join("notes.lock"), durable::PATIENCE)?;
    cx.git()?.feed(["notes", "--ref=agent", "add", "-f", "-F", "-", &commit.to_string()], line.as_bytes())?;
    Ok(())
}

/// Keeps a variant's commit under its ref, which is made once.
fn keep(cx: &Context, run: &Run, number: usize, commit: ObjectId) -> Result<(), Failure> {
    let name = run.variant_ref(number);
    match cx.repository()?.tip(&name)? {
        Some(now) if now == commit => Ok(()),
        Some(now) => {
            let message = format!("'{name}' is there already, at {now} and not at {commit}");
            Err(Failure::could_not("taken", message))
        }
        None => Ok(put(&cx.git()?, &name, commit, &format!("bo4: variant {number} of {}", run.run))?),
    }
}

/// Makes a ref that must not be there, or be there at the same commit.
pub(crate) fn put(git: &Git, name: &str, commit: ObjectId, reason: &str) -> Result<()> {
    let git = git.clone().setting("core.fsync=reference");
    let zero = ObjectId::null(commit.kind()).to_string();
    let made = git.ask(["update-ref", "--create-reflog", "-m", reason, name, &commit.to_string(), &zero])?;
    if made.code == 0 || git.ask(["rev-parse", "--verify", "--quiet", name])?.text() == *commit.to_string() {
        return Ok(());
    }
    anyhow::bail!("cannot make '{name}': {}", made.stderr.trim())
}
