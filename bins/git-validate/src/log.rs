//! `git validate log`: what is noted on the commits of a history.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::repository::in_words;

use crate::note::{self, Noted};
use crate::verdict::{CheckStatus, Source};

/// Show what is noted on the commits of a history, the newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Commit to begin with, or a range A..B; HEAD if not given
    #[arg(value_name = "rev")]
    rev: Option<String>,
    /// Show as many commits at most
    #[arg(short = 'm', long, value_name = "n", default_value_t = 20)]
    max_count: u32,
}

#[derive(Debug, Serialize)]
struct Answer {
    commits: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    commit: String,
    tree: String,
    subject: String,
    /// The last result of each check and policy, however it was configured then.
    checks: Vec<Last>,
}

#[derive(Debug, Serialize)]
struct Last {
    name: String,
    status: CheckStatus,
    source: Source,
    by: String,
    time: Timestamp,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.commits {
            write!(f, "{}  ", row.commit.get(..12).unwrap_or(&row.commit))?;
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for check in row.checks.iter().filter(|check| check.source != Source::Foreign) {
                *counts.entry(check.status.word()).or_insert(0) += 1;
            }
            let foreign = row.checks.iter().filter(|check| check.source == Source::Foreign).count();
            let mut words: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
            if foreign > 0 {
                words.push(format!("{foreign} nobody vouches for"));
            }
            let words = if words.is_empty() { "-".to_owned() } else { words.join(", ") };
            writeln!(f, "{words:24}  {}", Foreign(&row.subject))?;
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let repository = cx.repository()?;
    let rev = args.rev.as_deref().unwrap_or("HEAD");
    let count = format!("--max-count={}", args.max_count);
    let listed = cx.git()?.reading().ask(["rev-list", &count, "--end-of-options", rev, "--"])?;
    if listed.code != 0 {
        let words = format!("'{}' names no commit here", rev.escape_debug());
        return Err(Failure::could_not("unknown-revision", words));
    }
    let mut commits = Vec::new();
    for id in listed.text().lines() {
        let commit = repository.commit(id)?;
        let tree = repository.tree_of(commit)?;
        let object =
            repository.gix.find_commit(commit).map_err(|e| anyhow!(in_words(&e))).context("cannot read a commit")?;
        let subject = object.message().map(|message| message.summary().to_string()).unwrap_or_default();
        let checks = last(note::read(cx, tree)?);
        commits.push(Row { commit: commit.to_string(), tree: tree.to_string(), subject, checks });
    }
    cx.output.answer(&Answer { commits })?;
    Ok(Status::Done)
}

/// The last word on each check; one that somebody vouches for beats one that nobody does.
fn last(noted: Vec<Noted>) -> Vec<Last> {
    let mut found: Vec<Last> = Vec::new();
    for Noted { line, source } in noted {
        let result = Last { name: line.check, status: line.status, source, by: line.by, time: line.time };
        match found.iter_mut().find(|known| known.name == result.name) {
            Some(known) => {
                let rank = |result: &Last| (result.source != Source::Foreign, result.time);
                if rank(&result) >= rank(known) {
                    *known = result;
                }
            }
            None => found.push(result),
        }
    }
    found
}
