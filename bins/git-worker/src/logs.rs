//! `git worker logs`: what a job printed.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read, Seek, SeekFrom};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap_complete::ArgValueCompleter;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::escape;

use crate::cli;
use crate::job::{self, Job, Jobs, Name};

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
    /// Print the bytes as they are; refused on a terminal
    #[arg(long)]
    raw: bool,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    job: &'a str,
    line: &'a str,
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
    let path = job.path(job::LOG);
    let mut log = match File::open(&path) {
        Ok(log) => log,
        // It did not come so far as to print.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Status::Done),
        Err(e) => return Err(anyhow::Error::new(e).context(format!("cannot read '{}'", path.display())).into()),
    };
    if let Some(lines) = args.lines {
        seek_to_tail(&mut log, lines).with_context(|| format!("cannot read '{}'", path.display()))?;
    }
    show(cx, &job, log, &voice, args.follow)?;
    Ok(Status::Done)
}

fn latest(jobs: &Jobs) -> Result<Job, Failure> {
    let job = jobs.latest()?.map(|(job, _)| job);
    job.ok_or_else(|| Failure::could_not("no-job", "there is no job here"))
}

/// Moves to the start of the last lines, reading from the end.
fn seek_to_tail(log: &mut File, lines: u64) -> std::io::Result<()> {
    let mut end = log.seek(SeekFrom::End(0))?;
    let mut wanted = lines;
    let mut buffer = vec![0; CHUNK];
    let mut first = true;
    while end > 0 {
        let length = end.min(CHUNK as u64);
        end -= length;
        log.seek(SeekFrom::Start(end))?;
        let part = &mut buffer[..length as usize];
        log.read_exact(part)?;
        for at in (0..part.len()).rev() {
            // The newline at the very end ends the last line and begins none.
            let closes = std::mem::take(&mut first);
            if part[at] == b'\n' && !closes {
                wanted = wanted.saturating_sub(1);
            }
            if wanted == 0 {
                // With no line wanted, behind whatever stands at the end.
                let skip = if lines == 0 { length } else { at as u64 + 1 };
                log.seek(SeekFrom::Start(end + skip))?;
                return Ok(());
            }
        }
    }
    log.seek(SeekFrom::Start(0))?;
    Ok(())
}

fn show(cx: &Context, job: &Job, mut log: File, voice: &Voice<'_>, follow: bool) -> Result<(), Failure> {
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
            text.lines().try_for_each(|line| cx.output.document(&Line { job, line }))
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

    fn tail(content: &str, lines: u64) -> String {
        let name = format!("git-worker-tail-{}-{lines}-{}", std::process::id(), content.len());
        let path = std::env::temp_dir().join(name);
        shared::durable::replace(&path, content.as_bytes(), shared::durable::Previous::Drop).unwrap();
        let mut file = File::open(&path).unwrap();
        seek_to_tail(&mut file, lines).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        std::fs::remove_file(path).unwrap();
        text
    }

    #[test]
    fn the_tail_begins_at_a_line() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(tail("a\nb\nc", 1), "c");
        assert_eq!(tail("a\nb\n", 9), "a\nb\n");
        assert_eq!(tail("a\nb\n", 0), "");
        let long = format!("{}\n{}\nend\n", "x".repeat(CHUNK), "y".repeat(CHUNK));
        assert_eq!(tail(&long, 2), long[CHUNK + 1..]);
    }

    #[test]
    fn a_character_is_not_cut() {
        assert_eq!(whole_characters("aé".as_bytes()), 1);
        assert_eq!(whole_characters(b"abc"), 3);
        assert_eq!(whole_characters(b"\x80\x80\x80\x80\x80"), 5);
    }
}
