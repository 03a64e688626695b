//! What ended since the last time that somebody asked.
//!
//! `<jobs>/<repository>/.seen.json`: up to when, and which jobs of the last hour before. An end that
//! is recorded late, or by a clock that went back a little, is still new then. It is written after
//! the answer, under a lock: two who ask at once get each job once, and a crash shows one again
//! rather than never.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use shared::durable::{self, Lock, Previous};
use shared::output::SCHEMA;

use crate::job::Jobs;
use crate::listing::{self, Entry, Listing};

/// In milliseconds: ends of this time before the latest one are known by name.
const OVERLAP: i64 = 3_600_000;

#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    schema: u32,
    /// The latest end that was shown, in milliseconds.
    until: i64,
    /// Those shown of the time shortly before, and their ends.
    jobs: BTreeMap<String, i64>,
}

/// What was new in one repository, and what is to be remembered of it.
#[derive(Debug)]
pub(crate) struct Look {
    path: PathBuf,
    seen: Seen,
    _lock: Lock,
}

/// Returns what has ended and was not shown before, the latest first; the looks are to be kept once it is shown.
pub(crate) fn look(jobs: &Jobs) -> Result<(Listing, Vec<Look>)> {
    let (mut all, mut looks) = (Listing::default(), Vec::new());
    for repository in jobs.folders()?.into_iter().filter(|folder| folder.is_dir()) {
        let lock = Lock::acquire(&repository.join(".seen.lock"), durable::PATIENCE)?;
        let path = repository.join(".seen.json");
        let before: Option<Seen> = durable::read(&path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let ended = ended_since(&repository, before.as_ref().map(|seen| seen.until.saturating_sub(OVERLAP)))?;
        let (new, seen) = sort_out(before, ended.jobs);
        all.broken.extend(ended.broken);
        all.jobs.extend(new);
        looks.push(Look { path, seen, _lock: lock });
    }
    all.jobs.sort_by_key(|entry| std::cmp::Reverse((entry.ended, entry.job.number())));
    Ok((all, looks))
}

impl Look {
    /// Remembers what was shown.
    pub(crate) fn keep(self) -> Result<()> {
        durable::replace(&self.path, &serde_json::to_vec(&self.seen)?, Previous::Drop)
            .context("cannot note what was seen")
    }
}

/// Reads the jobs that ended since a time, and those before it that the index does not have.
fn ended_since(repository: &Path, since: Option<i64>) -> Result<Listing> {
    let mut listing = Listing::default();
    match since {
        None => listing::all_of(repository, &mut listing)?,
        Some(since) => {
            let mut count = 64;
            loop {
                listing = Listing::default();
                listing::lately(repository, count, &mut listing)?;
                let ended: Vec<i64> = listing.jobs.iter().filter(|e| e.state.is_terminal()).map(|e| e.ended).collect();
                if ended.len() < count || ended.iter().min().is_some_and(|first| *first < since) {
                    break;
                }
                count *= 4;
            }
            let is_noted = |entry: &Entry| listing::unended(repository).contains(&entry.job);
            listing.jobs.retain(|entry| entry.ended > since || is_noted(entry));
        }
    }
    listing.jobs.retain(|entry| entry.state.is_terminal());
    Ok(listing)
}

/// Splits off what is new, and says what is to be remembered.
fn sort_out(before: Option<Seen>, ended: Vec<Entry>) -> (Vec<Entry>, Seen) {
    let before = before.unwrap_or(Seen { schema: SCHEMA, until: i64::MIN, jobs: BTreeMap::new() });
    let until = ended.iter().map(|entry| entry.ended).chain([before.until]).max().unwrap_or(i64::MIN);
    // Whatever will be found again has to be known again.
    let found: BTreeMap<String, i64> = ended.iter().map(|entry| (entry.job.id(), entry.ended)).collect();
    let mut jobs = before.jobs.clone();
    jobs.retain(|id, ended| *ended > until.saturating_sub(OVERLAP) || found.contains_key(id));
    let new: Vec<Entry> = ended.into_iter().filter(|entry| !before.jobs.contains_key(&entry.job.id())).collect();
    jobs.extend(
        found.into_iter().filter(|(id, ended)| {
            *ended > until.saturating_sub(OVERLAP) || new.iter().any(|entry| entry.job.id() == *id)
        }),
    );
    (new, Seen { schema: SCHEMA, until, jobs })
}
