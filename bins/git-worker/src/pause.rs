//! Agents that are not started for a while: one that is out of quota or logged out fails again and again.
//!
//! `<jobs>/.paused.json` says which, why and until when. A job that fails with words of that kind
//! puts its agent there, one that completes takes it out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
// The small one: the tables of the other would be half a megabyte in every supervisor.
use regex_lite::Regex;
use serde::{Deserialize, Serialize};
use shared::clock;
use shared::config::Config;
use shared::durable::{self, Lock, Previous};
use shared::failure::Failure;
use shared::output::SCHEMA;

use crate::job::{self, Job};
use crate::record::{Record, State};
use crate::rules::millis;

/// The end of the log that is looked at.
const END: u64 = 4096;

/// What tells that an agent cannot go on, as the settings had it at the launch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Signs {
    pub(crate) quota: Option<String>,
    pub(crate) auth: Option<String>,
    pub(crate) pause_ms: u64,
}

/// An agent that is not started for now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pause {
    pub(crate) agent: String,
    /// `quota` or `auth`.
    pub(crate) kind: String,
    pub(crate) until: Timestamp,
    /// The job that failed.
    pub(crate) job: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Paused {
    schema: u32,
    agents: BTreeMap<String, Pause>,
}

impl Signs {
    /// Reads the signs of an agent from the settings.
    ///
    /// # Errors
    /// When a pattern is none.
    pub(crate) fn of(config: &Config, agent: &str) -> Result<Signs, Failure> {
        let pattern = |kind: &str| -> Result<Option<String>, Failure> {
            let key = format!("agents.{agent}.{kind}-pattern");
            let Some(text) = config.text(&key)? else { return Ok(None) };
            match Regex::new(&text) {
                Ok(_) => Ok(Some(text)),
                Err(error) => Err(Failure::could_not("bad-pattern", format!("'{key}' is no pattern: {error}"))),
            }
        };
        let pause = config.duration("worker.pause")?.unwrap_or(Duration::ZERO);
        Ok(Signs { quota: pattern("quota")?, auth: pattern("auth")?, pause_ms: millis(pause) })
    }
}

/// Says what kept an agent from its work, by the end of what it printed.
pub(crate) fn kind_of_error(job: &Job, record: &Record) -> Option<String> {
    let signs = record.signs.as_ref().filter(|_| record.state == State::Failed)?;
    let mut log = File::open(job.path(job::LOG)).ok()?;
    let length = log.metadata().ok()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(END))).ok()?;
    let mut end = Vec::new();
    log.take(END).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    let says = |pattern: &Option<String>| {
        let pattern = pattern.as_ref().and_then(|text| Regex::new(text).ok());
        pattern.is_some_and(|pattern| pattern.is_match(&end))
    };
    let kinds = [("quota", &signs.quota), ("auth", &signs.auth)];
    kinds.into_iter().find(|(_, pattern)| says(pattern)).map(|(kind, _)| kind.to_owned())
}

/// Takes the end of a job into account: a failure of these kinds pauses its agent, a success ends the pause.
pub(crate) fn note(job: &Job, record: &Record) {
    let Some(agent) = &record.agent else { return };
    let kind = record.error_kind.as_deref().filter(|kind| ["quota", "auth"].contains(kind));
    let completed = record.state == State::Completed;
    if kind.is_none() && !(completed && find(&job.root(), agent).is_some()) {
        return;
    }
    let pause_ms = record.signs.as_ref().map_or(0, |signs| signs.pause_ms);
    let span = SignedDuration::from_millis(i64::try_from(pause_ms).unwrap_or(i64::MAX));
    let until = record.ended.unwrap_or(record.created).checked_add(span);
    let change = |agents: &mut BTreeMap<String, Pause>| match (kind, until) {
        (Some(kind), Ok(until)) if pause_ms > 0 => {
            let pause = Pause { agent: agent.clone(), kind: kind.to_owned(), until, job: record.id.clone() };
            agents.insert(agent.clone(), pause);
        }
        _ if completed => {
            agents.remove(agent);
        }
        _ => {}
    };
    let _ = update(&job.root(), change);
}

/// Returns the agents that are paused now.
pub(crate) fn all(jobs: &Path) -> Vec<Pause> {
    let now = clock::now();
    load(jobs).into_values().filter(|pause| pause.until > now).collect()
}

/// Returns the pause of an agent, if it is paused now.
pub(crate) fn find(jobs: &Path, agent: &str) -> Option<Pause> {
    all(jobs).into_iter().find(|pause| pause.agent == agent)
}

/// Refuses to start an agent that is paused.
pub(crate) fn refuse(jobs: &Path, agent: &str) -> Result<(), Failure> {
    let Some(pause) = find(jobs, agent) else { return Ok(()) };
    let Pause { kind, until, job, .. } = &pause;
    let message = format!("the agent '{agent}' is paused until {until}: '{job}' ended with an error of kind {kind}");
    let details = serde_json::json!({ "agent": agent, "until": until, "error_kind": kind, "job": job });
    Err(Failure::could_not("agent-paused", message).hint("--force starts it all the same").details(details))
}

fn path(jobs: &Path) -> PathBuf {
    jobs.join(".paused.json")
}

/// A file that cannot be read pauses nobody.
fn load(jobs: &Path) -> BTreeMap<String, Pause> {
    let bytes = durable::read(&path(jobs)).ok().flatten().unwrap_or_default();
    serde_json::from_slice(&bytes).map(|paused: Paused| paused.agents).unwrap_or_default()
}

fn update(jobs: &Path, change: impl FnOnce(&mut BTreeMap<String, Pause>)) -> Result<()> {
    let _lock = Lock::acquire(&jobs.join(".paused.lock"), Duration::from_secs(5))?;
    let now = clock::now();
    let mut agents = load(jobs);
    agents.retain(|_, pause| pause.until > now);
    change(&mut agents);
    let bytes = serde_json::to_vec(&Paused { schema: SCHEMA, agents })?;
    durable::replace(&path(jobs), &bytes, Previous::Drop).context("cannot note the pause")
}
