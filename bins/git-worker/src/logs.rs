//! `git worker logs`: what a job printed.

use std::io::{ErrorKind, IsTerminal};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap_complete::ArgValueCompleter;
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use serde::{Deserialize, Serialize};
use shared::app::Context;
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::escape;

use crate::cli;
use crate::job::{self, Job, Jobs, Name};
use crate::mirror::{Mirror, View};
use crate::tape::{Reader, Shape};
use crate::times;

/// Read at once.
const CHUNK: usize = 64 * 1024;
/// A line longer than this is shown in pieces.
const LONGEST: usize = 1024 * 1024;
/// Between two looks at a log that grows.
const PAUSE: Duration = Duration::from_millis(50);

/// Show what a job printed, control characters made visible
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Job, as slug#number, or slug for its latest; the one launched last if not given
    #[arg(value_name = "job", add = ArgValueCompleter::new(cli::complete_job))]
    job: Option<Name>,
    /// Go on until the job has ended
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last n lines
    #[arg(short = 'n', long, value_name = "n")]
    lines: Option<u64>,
    /// Print the bytes as they are, an agent's own stream too; refused on a terminal
    #[arg(long, conflicts_with = "milestones")]
    raw: bool,
    /// Print the events of the job, a line of JSON each
    #[arg(long, conflicts_with_all = ["milestones", "raw"])]
    jsonl: bool,
    /// Show the milestones only, each with its time
    #[arg(long)]
    milestones: bool,
    /// Begin with what was printed since a time, as 2026-03-01T09:30:00Z, or in the last 90s, 10m or 2h
    #[arg(long, value_name = "time", value_parser = cli::since, conflicts_with = "lines")]
    since: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    job: &'a str,
    line: &'a str,
    /// When; only milestones know.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
}

/// What is asked of an event.
#[derive(Debug, Deserialize)]
struct Event {
    time: Timestamp,
    event: String,
    #[serde(default)]
    text: String,
}

/// How the log is printed.
enum Voice<'a> {
    Raw,
    Text,
    Json { job: &'a str },
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    if args.raw && std::io::stdout().is_terminal() {
        return Err(Failure::usage("--raw is not for a terminal: what a job prints can take it over")
            .hint("write it into a file or a pipe, or leave --raw out"));
    }
    let jobs = Jobs::here(cx)?;
    let job = match &args.job {
        Some(name) => jobs.find(name)?,
        None => latest(&jobs)?,
    };
    let id = job.id();
    let voice = match (args.raw, cx.output.is_json()) {
        (true, _) => Voice::Raw,
        (false, true) => Voice::Json { job: &id },
        (false, false) => Voice::Text,
    };
    let reads_agent = job.load().is_ok_and(|record| record.run.format.is_some());
    if args.jsonl || (reads_agent && !args.raw && !args.milestones && !cx.output.is_json()) {
        let view = if args.jsonl { View::Lines } else { View::Readable };
        show_events(cx, &job, view, &args)?;
        return Ok(Status::Done);
    }
    let path = job.path(job::LOG);
    // What is broken is shown all the same, only not how much is left out of it.
    let shape = job.load().ok().and_then(|record| Shape::of(record.rules.log_cap));
    let mut log = match Reader::open(&job, shape) {
        Ok(log) => log,
        // It did not come so far as to print.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Status::Done),
        Err(e) => return Err(anyhow::Error::new(e).context(format!("cannot read '{}'", path.display())).into()),
    };
    if let Some(place) = args.since.and_then(|since| times::find(&job.path(job::TIMES), since, log.last_write())) {
        log.seek_to(place).with_context(|| format!("cannot read '{}'", path.display()))?;
    }
    if let Some(lines) = args.lines {
        log.seek_to_tail(lines).with_context(|| format!("cannot read '{}'", path.display()))?;
    }
    match args.milestones {
        true => show_milestones(cx, &job, &voice, &args)?,
        false => show(cx, &job, log, &voice, args.follow)?,
    }
    Ok(Status::Done)
}

fn latest(jobs: &Jobs) -> Result<Job, Failure> {
    let job = jobs.latest()?.map(|(job, _)| job);
    job.ok_or_else(|| Failure::could_not("no-job", "there is no job here"))
}

fn show(cx: &Context, job: &Job, mut log: Reader, voice: &Voice<'_>, follow: bool) -> Result<(), Failure> {
    let mut buffer = vec![0; CHUNK];
    let mut rest = Vec::new();
    loop {
        // Asked before the reading: what a dead job has printed is all there.
        let live = follow && job.is_unended()?;
        loop {
            let n = log.read(&mut buffer).context("cannot read the log")?;
            if n == 0 {
                break;
            }
            rest.extend_from_slice(&buffer[..n]);
            let whole = rest.iter().rposition(|b| *b == b'\n').map(|at| at + 1);
            let whole = whole.or_else(|| (rest.len() > LONGEST).then(|| whole_characters(&rest)));
            if let Some(whole) = whole {
                say(cx, voice, &rest[..whole])?;
                rest.drain(..whole);
            }
        }
        if !live {
            return say(cx, voice, &rest);
        }
        if nobody_reads() {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
}

/// Shows the events.
fn show_events(cx: &Context, job: &Job, view: View, args: &Args) -> Result<(), Failure> {
    let mut mirror = None;
    loop {
        // Asked before the reading: what a dead job has told is all there.
        let live = args.follow && job.is_unended()?;
        if mirror.is_none() {
            mirror = Mirror::open(job, args.since)?;
            if let (Some(mirror), Some(lines)) = (&mut mirror, args.lines) {
                mirror.show_last(cx, view, lines)?;
            }
        }
        if let Some(mirror) = &mut mirror {
            mirror.show_new(cx, view)?;
        }
        if !live || nobody_reads() {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
}

/// Shows the milestones among the events, the last `--lines` of them.
fn show_milestones(cx: &Context, job: &Job, voice: &Voice<'_>, args: &Args) -> Result<(), Failure> {
    let mut shown = 0;
    loop {
        let live = args.follow && job.is_live()?;
        let events = durable::read(&job.path(job::EVENTS))?.unwrap_or_default();
        let events = events.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Event>(line).ok());
        let since = |event: &Event| args.since.is_none_or(|since| event.time >= since);
        let all: Vec<Event> = events.filter(|event| is_milestone(event) && since(event)).collect();
        if let (0, Some(lines)) = (shown, args.lines) {
            shown = all.len().saturating_sub(lines.try_into().unwrap_or(usize::MAX));
        }
        for Event { time, text, .. } in all.iter().skip(shown) {
            let text = &crate::output::first_line(text);
            match voice {
                Voice::Json { job } => cx.output.document(&Line { job, line: text, time: Some(*time) })?,
                Voice::Text | Voice::Raw => cx.output.text(&format!("{time}  {}\n", escape(text)))?,
            }
        }
        shown = all.len();
        if !live || nobody_reads() {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
}

/// A milestone, or a message of an agent that names none.
fn is_milestone(event: &Event) -> bool {
    match event.event.as_str() {
        "milestone" => true,
        "message" => !event.text.lines().any(|line| line.starts_with(crate::output::MILESTONE)),
        _ => false,
    }
}

/// Says whether standard output is a pipe whose reader went away.
pub(crate) fn nobody_reads() -> bool {
    let stdout = std::io::stdout();
    let mut sources = [PollFd::new(&stdout, PollFlags::empty())];
    let asked = poll(&mut sources, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    asked.is_ok() && sources[0].revents().contains(PollFlags::ERR)
}

fn say(cx: &Context, voice: &Voice<'_>, bytes: &[u8]) -> Result<(), Failure> {
    match voice {
        Voice::Raw => cx.output.raw(bytes),
        Voice::Text => cx.output.raw(escape(&String::from_utf8_lossy(bytes)).as_bytes()),
        Voice::Json { job } => {
            let text = String::from_utf8_lossy(bytes);
            text.lines().try_for_each(|line| cx.output.document(&Line { job, line, time: None }))
        }
    }
}

/// Returns a length that does not cut a character in two.
fn whole_characters(bytes: &[u8]) -> usize {
    let start = (bytes.len().saturating_sub(4)..bytes.len()).rev().find(|at| bytes[*at] & 0xc0 != 0x80);
    start.filter(|at| bytes[*at] >= 0xc0).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_not_cut() {
        assert_eq!(whole_characters("aé".as_bytes()), 1);
        assert_eq!(whole_characters(b"abc"), 3);
        assert_eq!(whole_characters(b"\x80\x80\x80\x80\x80"), 5);
    }
}
