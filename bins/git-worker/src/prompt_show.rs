//! `git worker prompt`: exactly what an agent would be told, and where each part comes from.

use std::fmt;

use anyhow::Context as _;
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::escape;

use crate::agent::Agent;
use crate::place::Place;
use crate::prompt::{self, Occasion, Part, Role};

/// Show exactly what an agent would be told about a task, and where each part comes from
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Task, by slug or id
    #[arg(add = ArgValueCompleter::new(shared::app::complete_task))]
    task: String,
    /// What the agent is there for
    #[arg(long, value_name = "role", default_value = "worker")]
    role: Role,
    /// Agent that would be told; that of the task or of the settings if not given
    #[arg(long, value_name = "name")]
    agent: Option<String>,
    /// Show only the parts, their origins and sizes
    #[arg(long)]
    parts: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    role: Role,
    /// The whole, as the agent gets it.
    prompt: String,
    /// Bytes by four: an estimate.
    tokens_estimated: usize,
    parts: Vec<Part>,
    #[serde(skip)]
    only_parts: bool,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let repository = cx.repository_unchecked()?;
    let tasks = cx.registry()?.load()?;
    let task = tasks.task(&repository.key(), &args.task)?;
    let place = task.worktree.as_ref().map(|_| Place::of_task(repository, task)).transpose()?;
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let worktree = place.map_or_else(|| repository.main_worktree().unwrap_or(here), |place| place.worktree);
    let config = cx.config()?;
    let agent = match args.agent.or_else(|| task.agent.clone()) {
        Some(agent) => Some(agent),
        None => config.text("worker.agent")?,
    };
    let parts = prompt::compose(&Occasion {
        repository,
        config,
        role: args.role,
        task: Some(task),
        brief: None,
        worktree: &worktree,
        reads_agents_md: agent.is_some_and(|agent| Agent::reads_agents_md(config, &agent)),
    })?;
    if !args.parts && !cx.output.is_json() {
        for part in &parts {
            cx.output.note(line(part));
        }
    }
    cx.output.answer(&Answer {
        role: args.role,
        prompt: prompt::join(&parts),
        tokens_estimated: parts.iter().map(|part| part.tokens_estimated).sum(),
        parts,
        only_parts: args.parts,
    })?;
    Ok(Status::Done)
}

fn line(part: &Part) -> String {
    format!("{:10}  {:>6} tokens (estimated)  {}", part.name, part.tokens_estimated, escape(&part.origin))
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.only_parts {
            self.parts.iter().try_for_each(|part| writeln!(f, "{}", line(part)))?;
            return write!(f, "{:10}  {:>6} tokens (estimated)", "all", self.tokens_estimated);
        }
        f.write_str(&escape(&self.prompt))
    }
}
