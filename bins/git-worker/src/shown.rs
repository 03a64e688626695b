//! A job as it is shown, as text and as JSON.

use anyhow::{Context as _, Result};
use shared::app::Context;
use shared::clock;
use shared::failure::Failure;
use shared::output::{Foreign, SCHEMA};

use crate::job;
use crate::listing::{Broken, Entry, Listing};
use crate::pause::Pause;
use crate::record::Record;

/// What is printed at once.
const PIECE: usize = 64 * 1024;

/// Several jobs, and those that could not be read.
#[derive(Debug)]
pub(crate) struct ShownJobs {
    jobs: Vec<Entry>,
    broken: Vec<Broken>,
    /// Agents that are not started for now, where that is asked for.
    paused: Option<Vec<Pause>>,
}

impl ShownJobs {
    /// Shows all that was read; names on stderr what could not be.
    pub(crate) fn new(cx: &Context, listing: Listing) -> ShownJobs {
        for broken in &listing.broken {
            cx.output.warn(format!("the record of job '{}' is corrupt: {}", broken.id, broken.why));
        }
        ShownJobs { jobs: listing.jobs, broken: listing.broken, paused: None }
    }

    /// Names the agents that are paused as well.
    pub(crate) fn with_paused(self, cx: &Context, paused: Vec<Pause>) -> ShownJobs {
        for Pause { agent, kind, until, job } in &paused {
            cx.output
                .note(format!("the agent '{agent}' is paused until {until}, after an error of kind {kind} in '{job}'"));
        }
        ShownJobs { paused: Some(paused), ..self }
    }

    /// Prints the answer.
    pub(crate) fn answer(&self, cx: &Context) -> Result<(), Failure> {
        if cx.output.is_json() { self.print_json(cx) } else { cx.output.text(&self.text()?) }
    }

    /// Prints one document, piece by piece. A record from the index is JSON already: nobody reads ten thousand to write them again.
    fn print_json(&self, cx: &Context) -> Result<(), Failure> {
        let mut text = format!("{{\"schema\":{SCHEMA},\"jobs\":[");
        for (n, entry) in self.jobs.iter().enumerate() {
            text.push_str(if n > 0 { "," } else { "" });
            append_json(&mut text, entry)?;
            if text.len() > PIECE {
                cx.output.raw(text.as_bytes())?;
                text.clear();
            }
        }
        let broken = serde_json::to_string(&self.broken).context("cannot write the answer as JSON")?;
        text.push_str(&format!("],\"broken\":{broken},\"corrupt\":{broken}"));
        if let Some(paused) = &self.paused {
            let paused = serde_json::to_string(paused).context("cannot write the answer as JSON")?;
            text.push_str(&format!(",\"paused\":{paused}"));
        }
        text.push_str("}\n");
        cx.output.raw(text.as_bytes())
    }

    fn text(&self) -> Result<String> {
        let width = self.jobs.iter().map(|entry| entry.job.id().len()).max().unwrap_or(0);
        let mut text = String::new();
        for entry in &self.jobs {
            text.push_str(&line(&*entry.record()?, width));
            text.push('\n');
        }
        Ok(text)
    }
}

/// Appends a job: its record, and what follows from it.
pub(crate) fn append_json(text: &mut String, entry: &Entry) -> Result<()> {
    let record = entry.json()?;
    text.push_str(record.strip_suffix('}').context("a record is an object")?);
    let folder = serde_json::to_string(&entry.job.folder().to_string_lossy())?;
    let terminal = if entry.state.is_terminal() { ",\"terminal\":true" } else { ",\"terminal\":false" };
    // The name of the log needs no escape; what is before its quote is that of the folder.
    let log = folder.strip_suffix('"').unwrap_or(&folder);
    for part in [terminal, ",\"folder\":", &folder, ",\"log\":", log, "/", job::LOG, "\"}"] {
        text.push_str(part);
    }
    Ok(())
}

/// Returns a job as one line.
fn line(record: &Record, width: usize) -> String {
    let since = record.ended.or(record.started).unwrap_or(record.created);
    let mut line = format!("{:width$}  {:11}  {:>4}", record.id, record.state, clock::age(since));
    let reason = match (&record.reason, &record.by) {
        (Some(reason), Some(by)) if by != reason => Some(format!("{reason} by {by}")),
        (Some(reason), _) => Some(reason.clone()),
        (None, by) => by.as_ref().map(|by| format!("by {by}")),
    };
    if let Some(reason) = reason {
        line.push_str(&format!("  ({})", Foreign(&reason)));
    }
    let words = match &record.agent {
        Some(agent) => agent.clone(),
        None => record.command.join(" "),
    };
    let mut words: String = words.chars().take(60).collect();
    if let Some(problem) = &record.commit_problem {
        words.push_str(&format!("  [{problem}]"));
    }
    line.push_str(&format!("  {}", Foreign(&words)));
    line
}
