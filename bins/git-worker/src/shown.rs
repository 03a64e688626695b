//! A job as it is shown, as text and as JSON.

use std::fmt;

use serde::Serialize;
use shared::app::Context;
use shared::clock;
use shared::output::Foreign;

use crate::job::{self, Broken, Job, Listing};
use crate::record::Record;

/// One job with what follows from its record.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    record: Record,
    terminal: bool,
    folder: String,
    log: String,
}

/// Several jobs, and those that could not be read.
#[derive(Debug, Serialize)]
pub(crate) struct ShownJobs {
    pub(crate) jobs: Vec<Shown>,
    pub(crate) broken: Vec<Broken>,
}

impl Shown {
    /// Puts a job and its record together.
    pub(crate) fn new(job: &Job, record: Record) -> Shown {
        Shown {
            terminal: record.state.is_terminal(),
            folder: job.folder().display().to_string(),
            log: job.path(job::LOG).display().to_string(),
            record,
        }
    }
}

impl ShownJobs {
    /// Shows all that was read; names on stderr what could not be.
    pub(crate) fn new(cx: &Context, listing: Listing) -> ShownJobs {
        for broken in &listing.broken {
            cx.output.warn(format!("job '{}': {}", broken.id, broken.why));
        }
        let jobs = listing.jobs.into_iter().map(|(job, record)| Shown::new(&job, record)).collect();
        ShownJobs { jobs, broken: listing.broken }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line(f, self.record.id.len())
    }
}

impl Shown {
    fn line(&self, f: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
        let record = &self.record;
        let since = record.ended.or(record.started).unwrap_or(record.created);
        let age = clock::age(since);
        write!(f, "{:width$}  {:9}  {age:>4}", record.id, record.state)?;
        let reason = match (&record.reason, &record.by) {
            (Some(reason), Some(by)) if by != reason => Some(format!("{reason} by {by}")),
            (Some(reason), _) => Some(reason.clone()),
            (None, by) => by.as_ref().map(|by| format!("by {by}")),
        };
        if let Some(reason) = reason {
            write!(f, "  ({})", Foreign(&reason))?;
        }
        let words = match &record.agent {
            Some(agent) => agent.clone(),
            None => record.command.join(" "),
        };
        let mut words: String = words.chars().take(60).collect();
        if let Some(problem) = &record.commit_problem {
            words.push_str(&format!("  [{problem}]"));
        }
        write!(f, "  {}", Foreign(&words))
    }
}

impl fmt::Display for ShownJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.jobs.iter().map(|job| job.record.id.len()).max().unwrap_or(0);
        for job in &self.jobs {
            job.line(f, width)?;
            writeln!(f)?;
        }
        Ok(())
    }
}
