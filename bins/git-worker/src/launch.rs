//! `git worker launch`: start a command or an agent, and return as soon as it runs.

use std::fmt;

use anyhow::Context as _;
use serde::Serialize;
use shared::app::{Context, Global};
use shared::exit::Status;
use shared::failure::Failure;
use shared::slug::Slug;

use crate::begin::{self, Supervisor};
use crate::fill;
use crate::plan;
use crate::record::State;
use crate::run::{self, Signals};
use crate::what::What;

/// Start an agent or a command in the background and return as soon as it runs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,
    /// Stay in the foreground, show what it prints and wait for its end, as run does
    #[arg(long)]
    foreground: bool,
}

#[derive(Debug, Serialize)]
struct Launched {
    /// None in a dry run: numbers are given at the start.
    id: Option<String>,
    slug: Slug,
    worktree: String,
    branch: Option<String>,
    agent: Option<String>,
    command: Vec<String>,
    log: Option<String>,
    /// Running, queued, or starting if it waits for something; none in a dry run.
    state: Option<State>,
    dry_run: bool,
}

pub(crate) fn run(cx: Context, global: &Global, args: Args) -> Result<Status, Failure> {
    launch(cx, global, args.what, args.foreground)
}

/// Starts what is asked for, and in the foreground waits for its end.
pub(crate) fn launch(cx: Context, global: &Global, args: What, foreground: bool) -> Result<Status, Failure> {
    let signals = foreground.then(Signals::listen).transpose().context("cannot listen for signals")?;
    // Before the planning, so that it gets ready meanwhile.
    let supervisor = if args.dry_run { None } else { Some(Supervisor::start()?) };
    let (cx, args) = move_to_worktree(cx, global, args)?;
    let plan = plan::plan(&cx, args)?;
    let start = |supervisor: Supervisor| {
        fill::fill(&cx, &plan.place)?;
        begin::begin(&cx, &plan, supervisor)
    };
    let begun = supervisor.map(start).transpose()?;
    let state = begun.as_ref().map(|begun| begun.state);
    let job = begun.map(|begun| begun.job);
    if let Some(job) = job.as_ref().filter(|_| state == Some(State::Queued)) {
        cx.output.note(format!("'{}' waits for a place: as many jobs live as may", job.id()));
    }
    if let (Some(job), Some(signals)) = (&job, &signals) {
        return run::accompany(&cx, job, signals);
    }
    cx.output.answer(&Launched {
        id: job.as_ref().map(crate::job::Job::id),
        slug: plan.slug.clone(),
        worktree: plan.place.worktree.display().to_string(),
        branch: plan.place.branch.clone(),
        agent: plan.agent.as_ref().map(|agent| agent.name.clone()),
        command: plan.command.iter().map(|word| plan.secrets.clean_word(word).to_string_lossy().into_owned()).collect(),
        log: job.as_ref().map(|job| job.path(crate::job::LOG).display().to_string()),
        state,
        dry_run: job.is_none(),
    })?;
    Ok(Status::Done)
}

/// A worktree that is named may be of another repository; what a hook says in `GIT_DIR` still counts.
pub(crate) fn move_to_worktree(cx: Context, global: &Global, mut args: What) -> Result<(Context, What), Failure> {
    let Some(worktree) = &args.worktree else { return Ok((cx, args)) };
    if std::env::var_os("GIT_DIR").is_some() {
        return Ok((cx, args));
    }
    let worktree = cx.folder().join(worktree);
    if let Some(file) = args.prompt_file.as_mut().filter(|file| file.as_os_str() != "-") {
        *file = cx.folder().join(&*file);
    }
    if !worktree.is_dir() {
        return Err(Failure::could_not("no-worktree", format!("there is no worktree '{}'", worktree.display())));
    }
    let cx = Context::open(&Global { directory: vec![worktree.clone()], ..global.clone() })?;
    args.worktree = Some(worktree);
    Ok((cx, args))
}

impl fmt::Display for Launched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => f.write_str(id),
            None => write!(f, "would start {} in {}: {}", self.slug, self.worktree, self.command.join(" ")),
        }
    }
}
