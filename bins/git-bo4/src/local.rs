//! Attempts on this machine: each a job of git-worker in a worktree of its own.

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::Value;
use shared::app::Context;
use shared::failure::Failure;
use shared::ground::Ground;
use shared::output::Foreign;
use shared::process;

use crate::lane::{Lane, Runs};
use crate::record::{Kickoff, Phase, Run, State, Variant, id};
use crate::store::{Held, Store};

/// What is kept of an agent's last words.
const LONGEST_MESSAGE: usize = 4000;

/// Starts every attempt that has no job yet.
///
/// A launch that nobody knows the end of is never repeated: its job has the variant's name, and a
/// worktree takes one live job only.
pub(crate) fn kickoff(cx: &Context, held: &mut Held) -> Result<(), Failure> {
    held.run.kickoff = Kickoff::Begun;
    held.save()?;
    let known = jobs(cx)?;
    for at in 0..held.run.variants.len() {
        let variant = &held.run.variants[at];
        if variant.job.is_some() || variant.state.is_over() {
            continue;
        }
        let name = job_name(&held.run, variant.number);
        let begun = match known.iter().find(|job| job["slug"].as_str() == Some(&name)) {
            Some(job) => Ok(text(job, "id").unwrap_or_default()),
            None => begin(cx, held, at, &name),
        };
        let variant = &mut held.run.variants[at];
        match begun {
            Ok(job) => {
                variant.job = Some(job);
                variant.state = State::InProgress;
            }
            Err(failure) => {
                cx.output.warn(format!("variant {}: {}", variant.number, Foreign(failure.message())));
                variant.state = State::Failed;
                variant.reason = Some(failure.message().to_owned());
            }
        }
        held.save()?;
    }
    held.run.kickoff = Kickoff::Done;
    held.run.phase = Phase::InProgress;
    held.save()?;
    Ok(())
}

/// Asks git-worker, before anything is made, whether it could start each lane.
pub(crate) fn refuse_unfit(cx: &Context, run: &Run) -> Result<(), Failure> {
    let Some(here) = cx.repository()?.main_worktree() else { return Ok(()) };
    for lane in run.lanes.iter().filter(|lane| matches!(lane.runs, Runs::Agent(_))) {
        let mut command = launch(cx, run, lane)?;
        command.args(["--dry-run", "--share", "--prompt", "x", "--name", "bo4", "--worktree"]).arg(&here);
        let tried = command.output().context("cannot start git-worker")?;
        if !tried.status.success() {
            let told = process::told(&tried.stderr);
            let failure = Failure::could_not("no-agent", format!("lane '{lane}' cannot be started: {}", told.message));
            return Err(match told.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            });
        }
    }
    Ok(())
}

fn begin(cx: &Context, held: &mut Held, at: usize, name: &str) -> Result<String, Failure> {
    let base = id(&held.run.base_commit)?;
    let number = held.run.variants[at].number;
    let path = cx.worktree_path(name)?;
    let folder = held.store.folder().to_owned();
    let ground = match Ground::find(cx, &path, &folder)? {
        // It was ended before it was filled, or before its job was there.
        Some(ground) => {
            ground.fill(cx)?;
            ground
        }
        None if path.symlink_metadata().is_ok() => {
            let message = format!("something is at '{}' already", path.display());
            return Err(Failure::could_not("in-the-way", message));
        }
        None => Ground::make(cx, &path, base, &folder)?,
    };
    held.run.variants[at].worktree = Some(ground.path().to_owned());
    held.save()?;
    let lane = held.run.variants[at].lane.and_then(|lane| Some((lane, held.run.lanes.get(lane)?)));
    let Some((position, lane)) = lane else {
        return Err(Failure::could_not("no-lane", format!("variant {number} has no lane")));
    };
    let own = held.run.lanes[..=position].iter().filter(|lane| lane.prompt.is_some()).count();
    let prompt = held.store.prompt_path(if lane.prompt.is_some() { own } else { 0 });
    let mut command = launch(cx, &held.run, lane)?;
    command.arg("--worktree").arg(ground.path()).args(["--name", name]).arg("--prompt-file").arg(prompt);
    if let Runs::Program(program) = &lane.runs {
        command.arg("--").arg(program);
    }
    let output = command.output().context("cannot start git-worker")?;
    if !output.status.success() {
        let told = process::told(&output.stderr);
        return Err(Failure::could_not("launch", told.message));
    }
    let said: Value = serde_json::from_slice(&output.stdout).context("git-worker names no job")?;
    Ok(text(&said, "id").context("git-worker names no job")?)
}

fn launch(cx: &Context, run: &Run, lane: &Lane) -> Result<Command, Failure> {
    let mut command = worker(cx)?;
    command.args(["launch", "--json", "--quiet", "--timeout", &format!("{}ms", run.timeout_ms)]);
    if let Runs::Agent(name) = &lane.runs {
        command.args(["--role", "worker"]);
        if let Some(name) = name {
            command.args(["--agent", name]);
        }
    }
    if let Some(model) = &lane.model {
        command.args(["--model", model]);
    }
    Ok(command)
}

/// Returns the command of git-worker, in the folder that the program was started in.
pub(crate) fn worker(cx: &Context) -> Result<Command, Failure> {
    let program = process::suite_program("git-worker").ok_or_else(|| {
        Failure::could_not("no-program", "git-worker is not installed, so nothing can run on this machine")
            .hint("install it, or take '--backend codex-cloud'")
    })?;
    let mut command = process::command(program);
    process::scrub(&mut command).current_dir(cx.folder());
    Ok(command)
}

/// Returns the name of a variant's job, and of its worktree.
pub(crate) fn job_name(run: &Run, number: usize) -> String {
    format!("{}-var{number}", run.run)
}

/// Lists the jobs of the repository.
fn jobs(cx: &Context) -> Result<Vec<Value>, Failure> {
    let listed = worker(cx)?.args(["list", "--json", "--quiet"]).output().context("cannot start git-worker")?;
    if !listed.status.success() {
        return Err(Failure::could_not("worker", process::told(&listed.stderr).message));
    }
    let said: Value = serde_json::from_slice(&listed.stdout).context("git-worker gives no list of jobs")?;
    Ok(said["jobs"].as_array().cloned().unwrap_or_default())
}

/// Looks at the jobs and takes over what has changed; the record is for the caller to save.
pub(crate) fn see(cx: &Context, run: &mut Run) -> Result<(), Failure> {
    let jobs = jobs(cx)?;
    for variant in run.variants.iter_mut().filter(|variant| !variant.state.is_over()) {
        let Some(own) = &variant.job else { continue };
        match jobs.iter().find(|job| job["id"].as_str() == Some(own)) {
            Some(job) => take(cx, variant, job)?,
            None => {
                variant.state = State::Failed;
                variant.reason = Some(format!("the record of job {own} has gone"));
            }
        }
    }
    Ok(())
}

fn take(cx: &Context, variant: &mut Variant, job: &Value) -> Result<(), Failure> {
    let state = text(job, "state").unwrap_or_default();
    if job["terminal"].as_bool() != Some(true) {
        variant.state = if state == "queued" { State::Pending } else { State::InProgress };
        return Ok(());
    }
    let reason = text(job, "reason");
    variant.state = match state.as_str() {
        "completed" => State::Completed,
        "stopped" | "cancelled" => State::Cancelled,
        _ => State::Failed,
    };
    if variant.state != State::Completed {
        variant.reason = Some(match (state.as_str(), reason) {
            ("timed-out", _) => "it did not end in time".to_owned(),
            (_, Some(reason)) => format!("the job {state}: {reason}"),
            (_, None) => format!("the job {state}"),
        });
    }
    let time = |key: &str| job[key].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    variant.seconds = time("started")
        .zip(time("ended"))
        .map(|(from, to)| (to.as_millisecond() - from.as_millisecond()) as f64 / 1000.0);
    let used = |part: &str| job["usage"][part].as_u64();
    variant.tokens = used("input").zip(used("output")).map(|(input, output)| input + output);
    variant.agent = text(job, "agent").or(variant.agent.take());
    variant.model = text(job, "model").or(variant.model.take());
    let id = variant.job.clone().unwrap_or_default();
    let shown = worker(cx)?.args(["show", "--json", "--quiet", &id]).output().context("cannot start git-worker")?;
    let said: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
    variant.message = text(&said, "message").map(|words| words.chars().take(LONGEST_MESSAGE).collect());
    Ok(())
}

/// Waits until a job of the run ends, no longer than `most`.
pub(crate) fn wait(cx: &Context, run: &Run, most: Duration) -> Result<(), Failure> {
    let live: Vec<&str> = run
        .variants
        .iter()
        .filter(|variant| !variant.state.is_over())
        .filter_map(|variant| variant.job.as_deref())
        .collect();
    if live.is_empty() {
        return Ok(());
    }
    let most = format!("{}ms", most.as_millis());
    worker(cx)?
        .args(["wait", "--any", "--json", "--quiet", "--timeout", &most])
        .args(live)
        .output()
        .context("cannot start git-worker")?;
    Ok(())
}

/// Reads what an attempt has left, as a tree; none if its worktree has gone.
pub(crate) fn tree(cx: &Context, store: &Store, variant: &Variant) -> Result<Option<gix::ObjectId>, Failure> {
    let Some(path) = &variant.worktree else { return Ok(None) };
    let Some(ground) = Ground::find(cx, path, store.folder())? else { return Ok(None) };
    Ok(Some(ground.tree(cx)?))
}

fn text(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}
