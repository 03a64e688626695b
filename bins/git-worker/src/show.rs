//! `git worker show`: all that a job left behind.

use std::fmt;
use std::fs;
use std::io::IsTerminal;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use serde_json::Value;
use shared::app::Context;
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::{Foreign, escape};
use shared::process::Git;

use crate::cli;
use crate::job::{self, Job, Jobs, Name};
use crate::listing::Listing;
use crate::record::Record;
use crate::stream::spell_usage;
use crate::{shown, snapshots};

/// More of a message is not shown.
const MOST: usize = 4 * 1024 * 1024;

/// Show what a job left behind: its end, last words, changes, commits and files
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Job, as slug#number, or slug for its latest
    #[arg(value_name = "job", add = ArgValueCompleter::new(cli::complete_job))]
    job: Name,
    /// Print what it changed as a patch: from where its branch was at the start to its last snapshot
    #[arg(long, conflicts_with = "message")]
    patch: bool,
    /// Print the last words of its agent and nothing else
    #[arg(long)]
    message: bool,
}

#[derive(Debug, Serialize)]
struct Shown {
    job: Value,
    /// The last words of its agent.
    message: Option<String>,
    /// What the last snapshot changed, seen from where the branch was at the start.
    changes: Vec<Change>,
    /// Commits on the branch since the start that name the job.
    commits: Vec<Commit>,
    /// Number of snapshots.
    snapshots: usize,
    artefacts: Vec<Artefact>,
}

#[derive(Debug, Serialize)]
struct Change {
    /// `A`, `M`, `D` or `T`, as git's.
    status: String,
    path: String,
}

#[derive(Debug, Serialize)]
struct Commit {
    commit: String,
    subject: String,
}

/// A file that the job left in its folder.
#[derive(Debug, Serialize)]
struct Artefact {
    name: String,
    path: String,
    bytes: u64,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let job = Jobs::here(cx)?.find(&args.job)?;
    let record = job.read()?;
    let message = durable::read_foreign(&job.path(job::MESSAGE), MOST)?;
    let message = message.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if args.message {
        let Some(message) = message else {
            return Err(Failure::no("no-message", format!("job '{}' left no last words", job.id())));
        };
        // As it is for a program; a terminal is not to be taken over.
        let text = if std::io::stdout().is_terminal() { escape(&message).to_string() } else { message };
        return cx.output.raw(text.as_bytes()).map(|()| Status::Done);
    }
    // Of the repository that the command runs in, whatever the record says; nothing is started in it.
    let common = cx.repository_unchecked()?.common_dir();
    let git = Git::at(common)?.pinned(common, None).env("GIT_COMMON_DIR", common).reading();
    let snapshots = snapshots::read(&git, &job)?;
    let from = record.folders.as_ref().and_then(|folders| folders.head.clone());
    let span = from.zip(snapshots.last().map(|last| last.commit.clone()));
    if args.patch {
        let Some((from, to)) = span else {
            return Err(Failure::no("no-snapshot", format!("job '{}' left no snapshot", job.id())));
        };
        let patch = git.run(["diff-tree", "-p", "--binary", "--no-ext-diff", "--no-textconv", "-r", &from, &to])?;
        return cx.output.raw(&patch.stdout).map(|()| Status::Done);
    }
    let changes = span.map(|(from, to)| changes(&git, &from, &to)).transpose()?.unwrap_or_default();
    cx.output.answer(&Shown {
        message,
        changes,
        commits: commits(&git, &job, &record)?,
        snapshots: snapshots.len(),
        artefacts: artefacts(&job)?,
        job: as_json(&job, record)?,
    })?;
    Ok(Status::Done)
}

fn as_json(job: &Job, record: Record) -> Result<Value> {
    let listing = Listing::one(job.clone(), record);
    let mut text = String::new();
    let entry = listing.jobs.first().context("there is one job")?;
    shown::append_json(&mut text, entry)?;
    Ok(serde_json::from_str(&text)?)
}

fn changes(git: &Git, from: &str, to: &str) -> Result<Vec<Change>> {
    let listed = git.run(["diff-tree", "-r", "-z", "--no-renames", "--name-status", from, to])?.stdout;
    let fields: Vec<&[u8]> = listed.split(|byte| *byte == 0).collect();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(fields.chunks_exact(2).map(|pair| Change { status: text(pair[0]), path: text(pair[1]) }).collect())
}

/// The commits of the job: those since its start whose note or message names it.
fn commits(git: &Git, job: &Job, record: &Record) -> Result<Vec<Commit>> {
    let head = record.folders.as_ref().and_then(|folders| folders.head.clone());
    let (Some(head), Some(branch)) = (head, &record.branch) else { return Ok(Vec::new()) };
    let format = "--format=%H%x00%s%x00%N%x00%B%x01";
    let range = ["log", "--notes=refs/notes/agent", "--max-count=200", "-z", format, branch, "--not", &head, "--"];
    let done = git.ask(range)?;
    if done.code != 0 {
        // The branch is gone; what became of its commits is not known here.
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let (trailer, note) = (format!("Job: {}", job.id()), format!("\"job\":\"{}\"", job.id()));
    let found = text.split('\u{1}').filter_map(|entry| {
        let fields: Vec<&str> = entry.trim_start_matches(['\0', '\n']).splitn(4, '\0').collect();
        let [commit, subject, notes, body] = fields[..] else { return None };
        let own = notes.contains(&note) || body.lines().any(|line| line == trailer);
        own.then(|| Commit { commit: commit.to_owned(), subject: subject.to_owned() })
    });
    Ok(found.collect())
}

fn artefacts(job: &Job) -> Result<Vec<Artefact>> {
    let list = |folder: &Path| -> std::io::Result<Vec<Artefact>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (name, facts) = (entry.file_name().to_string_lossy().into_owned(), entry.metadata()?);
            if facts.is_file() && !name.starts_with('.') && name != job::LOCK && facts.len() > 0 {
                all.push(Artefact { path: entry.path().display().to_string(), name, bytes: facts.len() });
            }
        }
        all.sort_by(|one, two| one.name.cmp(&two.name));
        Ok(all)
    };
    list(job.folder()).with_context(|| format!("cannot list '{}'", job.folder().display()))
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |key: &str| self.job.get(key).and_then(Value::as_str);
        let mut line = |name: &str, value: Option<String>| match value {
            Some(value) => writeln!(f, "{name:10} {}", Foreign(&value)),
            None => Ok(()),
        };
        line("job", text("id").map(str::to_owned))?;
        let reason = text("reason").map(|reason| format!(" ({reason})")).unwrap_or_default();
        line("state", text("state").map(|state| format!("{state}{reason}")))?;
        let version = text("agent_version").map(|version| format!(" {version}")).unwrap_or_default();
        let model = text("model").map(|model| format!(", {model}")).unwrap_or_default();
        line("agent", text("agent").map(|agent| format!("{agent}{version}{model}")))?;
        line("session", text("session").map(str::to_owned))?;
        line("tokens", tokens(&self.job))?;
        line("worktree", text("worktree").map(str::to_owned))?;
        line("snapshots", Some(self.snapshots.to_string()).filter(|_| self.snapshots > 0))?;
        for commit in &self.commits {
            line("commit", Some(format!("{} {}", commit.commit.get(..10).unwrap_or_default(), commit.subject)))?;
        }
        for change in &self.changes {
            line("change", Some(format!("{} {}", change.status, change.path)))?;
        }
        for artefact in &self.artefacts {
            line("file", Some(format!("{} ({} bytes)", artefact.path, artefact.bytes)))?;
        }
        match &self.message {
            Some(message) => writeln!(f, "\n{}", escape(message.trim_end())),
            None => Ok(()),
        }
    }
}

/// The tokens of a job in words; where an agent's are not known, that is said.
fn tokens(job: &Value) -> Option<String> {
    job.get("format").filter(|format| !format.is_null())?;
    let Some(usage) = job.get("usage").filter(|usage| !usage.is_null()) else { return Some("not metered".to_owned()) };
    Some(spell_usage(usage))
}
