//! `git worker resume`: go on where an agent's job ended, in the same worktree, as a job of its own.

use std::fmt::Write as _;

use serde_json::Value;
use shared::app::{Context, Global};
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;
use shared::process::Git;

use crate::agent::{Agent, Wanted};
use crate::job::{self, Job};
use crate::launch;
use crate::record::Record;
use crate::what::{self, Again, What};
use crate::{given, snapshots, stop};

/// What an agent is told when nothing else is said.
const GO_ON: &str = "Go on with the task where you were interrupted.";
/// So many of the last words of an earlier run are told to the next.
const LAST_WORDS: usize = 12;
/// More of the events is not read.
const MOST: usize = 16 * 1024 * 1024;

/// Go on with the session of a job that has ended: same agent and worktree, the next number
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the agent is asked now
    #[arg(long, value_name = "text")]
    prompt: Option<String>,
    /// Begin a new session, told how far the old one came; so it is where there is no session to go on with
    #[arg(long)]
    fresh: bool,
    /// Stay in the foreground, show what it prints and wait for its end, as run does
    #[arg(long)]
    foreground: bool,
    #[command(flatten)]
    again: Again,
}

pub(crate) fn run(cx: Context, global: &Global, args: Args) -> Result<Status, Failure> {
    let job = args.again.find(&cx)?;
    if !args.again.dry_run {
        // What a dead supervisor left behind would work on beside the new job.
        stop::bury_lost(&job)?;
    }
    let record = what::read_ended(&job)?;
    let Some(agent) = &record.agent else {
        let message = format!("job '{}' ran a command, which has no session", job.id());
        return Err(Failure::could_not("no-session", message).hint("'git worker retry' runs it once more"));
    };
    let can = Agent::can_resume(cx.config()?, agent)?;
    let session = record.run.session.clone().filter(|_| !args.fresh && can);
    if let Some(session) = session.as_ref().filter(|session| !is_session(session)) {
        let message = format!("'{}' is no session that an agent could go on with", session.escape_debug());
        return Err(Failure::could_not("bad-session", message).hint("--fresh begins a new one"));
    }
    let prompt = match &session {
        Some(_) => args.prompt.unwrap_or_else(|| GO_ON.to_owned()).into_bytes(),
        None => {
            if !args.fresh {
                cx.output.note(format!("there is no session of '{}' to go on with: a new one is told of it", job.id()));
            }
            again(&cx, &job, &record, args.prompt.as_deref())?
        }
    };
    let wanted = Wanted {
        usage_before: session.as_ref().and(record.run.session_usage),
        session,
        resumes: Some(job.id()),
        ..Wanted::default()
    };
    let what = What::again(&record, Some(prompt), &args.again).with(wanted);
    launch::launch(cx, global, what, args.foreground)
}

/// It becomes a word of the agent's command line, where it may not pass for an option or a sentence.
fn is_session(text: &str) -> bool {
    !text.starts_with('-') && (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The prompt of a session that knows nothing of the one before: what was asked, and how far that came.
fn again(cx: &Context, job: &Job, record: &Record, more: Option<&str>) -> Result<Vec<u8>, Failure> {
    if record.request_redacted {
        return Err(given::refuse_redacted(job));
    }
    let mut prompt = durable::read(&job.path(job::PROMPT))?.unwrap_or_default();
    let mut told = format!("\n\n---\nAn earlier run ({}) worked on this and ended: {}", job.id(), record.state);
    if let Some(reason) = &record.reason {
        let _ = write!(told, " ({reason})");
    }
    told.push_str(".\nIts changes are in the worktree; look at them first.\n");
    let common = cx.repository_unchecked()?.common_dir();
    let git = Git::at(common)?.pinned(common, None).env("GIT_COMMON_DIR", common);
    if let Some(last) = snapshots::read(&git, job)?.last() {
        let _ = writeln!(told, "The worktree as it left it: commit {} ({}).", last.commit, last.name);
    }
    let words = last_words(job);
    if !words.is_empty() {
        told.push_str("What it said and did last:\n");
        for line in &words {
            let _ = writeln!(told, "- {line}");
        }
    }
    prompt.extend_from_slice(told.as_bytes());
    if let Some(more) = more {
        prompt.extend_from_slice(format!("\n{more}\n").as_bytes());
    }
    Ok(prompt)
}

/// The last messages, commands and milestones of a job, one line each.
fn last_words(job: &Job) -> Vec<String> {
    let bytes = durable::read_foreign(&job.path(job::EVENTS), MOST).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter_map(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        let text = crate::output::first_line(event.get("text")?.as_str()?);
        match event.get("event")?.as_str()? {
            "message" | "milestone" => Some(text),
            "tool" if event.get("phase")?.as_str()? == "end" && !text.is_empty() => Some(format!("ran: {text}")),
            _ => None,
        }
    });
    let lines: Vec<String> = lines.collect();
    lines[lines.len().saturating_sub(LAST_WORDS)..].to_vec()
}
