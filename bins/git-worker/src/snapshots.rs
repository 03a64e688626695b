//! `git worker snapshots`: the states of a worktree that a job left behind.

use std::fmt;

use anyhow::Result;
use clap_complete::ArgValueCompleter;
use jiff::Timestamp;
use serde::Serialize;
use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process::Git;

use crate::cli;
use crate::job::{Job, Jobs, Name};
use crate::snapshot;

/// List the snapshots of a job's worktree, the first first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Job, as slug#number, or slug for its latest
    #[arg(value_name = "job", add = ArgValueCompleter::new(cli::complete_job))]
    job: Name,
}

/// One snapshot.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) number: u64,
    #[serde(rename = "ref")]
    pub(crate) name: String,
    pub(crate) commit: String,
    time: Timestamp,
    /// `milestone`, `stall`, `restore`, or the state in which the job ended.
    why: String,
    milestone: Option<String>,
    /// Files that differ from the one before, or from where the job began.
    files: u64,
    /// Paths that are not in it: too large, not readable, repositories of their own.
    left_out: u64,
}

#[derive(Debug, Serialize)]
struct Answer {
    job: String,
    snapshots: Vec<Snapshot>,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let job = Jobs::here(cx)?.find(&args.job)?;
    // Of the repository that the command runs in, whatever the record says; nothing is started in it.
    let common = cx.repository_unchecked()?.common_dir();
    let git = Git::at(common)?.pinned(common, None).env("GIT_COMMON_DIR", common);
    let snapshots = read(&git, &job)?;
    cx.output.answer(&Answer { job: job.id(), snapshots })?;
    Ok(Status::Done)
}

/// Reads all snapshots of a job, the first first.
pub(crate) fn read(git: &Git, job: &Job) -> Result<Vec<Snapshot>> {
    let prefix = snapshot::prefix(job);
    let format = "--format=%(refname)%00%(objectname)%00%(committerdate:unix)%00%(contents)%00";
    let listed = git.clone().reading().run(["for-each-ref", format, &prefix])?.stdout;
    let listed = String::from_utf8_lossy(&listed);
    let fields: Vec<&str> = listed.split('\0').collect();
    let mut all: Vec<Snapshot> = fields
        .chunks_exact(4)
        .filter_map(|fields| {
            let name = fields[0].trim_start_matches('\n');
            let said = |key: &str| fields[3].lines().rev().find_map(|line| line.strip_prefix(key));
            let number = |key: &str| said(key).and_then(|text| text.parse().ok()).unwrap_or(0);
            Some(Snapshot {
                number: name.strip_prefix(&prefix)?.parse().ok()?,
                name: name.to_owned(),
                commit: fields[1].to_owned(),
                time: Timestamp::from_second(fields[2].parse().ok()?).ok()?,
                why: said("Why: ").unwrap_or_default().to_owned(),
                milestone: said("Milestone: ").map(str::to_owned),
                files: number("Files: "),
                left_out: number("Left-out: "),
            })
        })
        .collect();
    all.sort_by_key(|snapshot| snapshot.number);
    Ok(all)
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.files == 1 { "" } else { "s" };
        let short = self.commit.get(..10).unwrap_or(&self.commit);
        let age = clock::age(self.time);
        write!(f, "@{:<3} {short}  {age:>4}  {} file{s}  {}", self.number, self.files, Foreign(&self.why))?;
        if let Some(milestone) = &self.milestone {
            write!(f, ": {}", Foreign(milestone))?;
        }
        if self.left_out > 0 {
            write!(f, "  ({} left out)", self.left_out)?;
        }
        Ok(())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshots.iter().try_for_each(|snapshot| writeln!(f, "{snapshot}"))
    }
}
