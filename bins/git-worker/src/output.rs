//! What the job prints: from the pipe to the log, without secrets, with the milestones noticed on the way.
//!
//! The log can fail and the disk be full: what does not fit is dropped and counted, and the child
//! neither waits nor dies.

use std::io::{ErrorKind, PipeReader, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use crate::announced::Announced;
use crate::complaint::Complaint;
use crate::job;
use crate::redact::Redactor;
use crate::secrets::Secrets;
use crate::stream::{Format, Heard, Said, Stream, ToolKind, cut};
use crate::tape::{Shape, Tape};
use crate::times::Times;

/// A line of this form is a milestone.
pub(crate) const MILESTONE: &str = "::milestone:: ";
/// What is kept of a line to look for milestones and commands.
const LINE: usize = 1024;
/// What is read at once.
const CHUNK: usize = 64 * 1024;

/// After this much silence what was held back comes out.
const SILENCE: Duration = Duration::from_millis(200);

/// So much of what goes to stderr waits for the end of a line on stdout.
const HELD: usize = 64 * 1024;

/// The pipes of a job, and on the way from them to the log the secrets taken out.
#[derive(Debug)]
pub(crate) struct Capture {
    /// Stdout and stderr together, or stdout alone if it is read as a stream.
    main: Source,
    /// Stderr of an agent whose stdout is read.
    errors: Option<Source>,
    buffer: Vec<u8>,
    sink: Sink,
    last: Instant,
    earlier: Earlier,
}

/// What was counted in runs before this one.
#[derive(Debug, Default)]
struct Earlier {
    parsed: u64,
    unparsed: u64,
    redactions: u64,
}

/// One pipe.
#[derive(Debug)]
struct Source {
    pipe: Option<PipeReader>,
    redactor: Redactor,
}

/// The log of a job and what was noticed in it.
#[derive(Debug)]
struct Sink {
    log: Tape,
    times: Times,
    line: Vec<u8>,
    milestones: Vec<String>,
    announced: Announced,
    /// What stdout says, if it is read.
    stream: Option<Stream>,
    heard: Vec<Heard>,
    /// Of stderr, until a line of stdout ends.
    held: Vec<u8>,
    complaint: Complaint,
}

impl Capture {
    /// Opens the log, and makes the pipes' readers ready to be asked without waiting.
    pub(crate) fn new(pipes: Pipes, log: &Path, shape: Option<Shape>, secrets: &Secrets) -> Result<Capture> {
        let (errors, stream) = pipes.errors.map(|(pipe, format)| (pipe, Stream::new(format))).unzip();
        let times = Times::new(log.with_file_name(job::TIMES));
        let log = Tape::open(log, shape).with_context(|| format!("cannot open the log '{}'", log.display()))?;
        let sink = Sink {
            log,
            times,
            line: Vec::new(),
            milestones: Vec::new(),
            announced: Announced::default(),
            stream,
            heard: Vec::new(),
            held: Vec::new(),
            complaint: Complaint::default(),
        };
        let main = Source::new(pipes.main, secrets)?;
        let errors = errors.map(|pipe| Source::new(pipe, secrets)).transpose()?;
        let earlier = Earlier::default();
        Ok(Capture { main, errors, buffer: Vec::new(), sink, last: Instant::now(), earlier })
    }

    /// Returns the pipes to which somebody can still write.
    pub(crate) fn pipes(&self) -> impl Iterator<Item = &PipeReader> {
        self.main.pipe.iter().chain(self.errors.iter().flat_map(|errors| &errors.pipe))
    }

    /// Moves what is there from the pipes to the log, at most 16 chunks of each; false if nothing was.
    pub(crate) fn pump(&mut self) -> bool {
        // Only a job that prints pays for the buffer.
        if self.buffer.is_empty() && !self.pipes().any(has_something) {
            return false;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(CHUNK, 0);
        let mut moved = self.main.pump(&mut buffer, &mut |bytes| self.sink.take(bytes));
        if let Some(errors) = &mut self.errors {
            moved |= errors.pump(&mut buffer, &mut |bytes| self.sink.hold(bytes));
        }
        self.sink.let_go(false);
        self.buffer = buffer;
        if moved {
            self.last = Instant::now();
        } else if self.is_waiting() && self.last.elapsed() >= SILENCE {
            self.main.redactor.idle(&mut |bytes| self.sink.take(bytes));
            if let Some(errors) = &mut self.errors {
                errors.redactor.idle(&mut |bytes| self.sink.hold(bytes));
            }
        }
        moved
    }

    /// Returns how long it is until something that was held back comes out.
    pub(crate) fn until_flush(&self) -> Option<Duration> {
        self.is_waiting().then(|| SILENCE.saturating_sub(self.last.elapsed()))
    }

    fn is_waiting(&self) -> bool {
        self.main.redactor.is_waiting() || self.errors.as_ref().is_some_and(|errors| errors.redactor.is_waiting())
    }

    /// Returns how many secrets were taken out.
    pub(crate) fn redactions(&self) -> u64 {
        self.earlier.redactions
            + self.main.redactor.count()
            + self.errors.as_ref().map_or(0, |errors| errors.redactor.count())
    }

    /// Returns what the stream said since the last call.
    pub(crate) fn heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.sink.heard)
    }

    /// Returns what was complained of on stderr.
    pub(crate) fn complaint(&self) -> Option<&str> {
        self.sink.complaint.line()
    }

    /// Returns how many lines of the stream were understood, and how many were not.
    pub(crate) fn lines(&self) -> (u64, u64) {
        let (parsed, unparsed) = self.sink.stream.as_ref().map_or((0, 0), Stream::counts);
        (parsed + self.earlier.parsed, unparsed + self.earlier.unparsed)
    }

    /// Returns the milestones since the last call.
    pub(crate) fn milestones(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sink.milestones)
    }

    /// Returns the commands that were announced since the last call.
    pub(crate) fn announced(&mut self) -> Vec<String> {
        self.sink.announced.take()
    }

    /// Returns the bytes in the log, and those that did not fit.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.sink.log.counts()
    }

    /// Takes a last line without newline for a whole one.
    pub(crate) fn end(&mut self) {
        self.main.end(&mut |bytes| self.sink.take(bytes));
        if let Some(errors) = &mut self.errors {
            errors.end(&mut |bytes| self.sink.hold(bytes));
        }
        self.sink.let_go(true);
        self.sink.end();
    }

    /// Takes the pipes of another run of the same job.
    pub(crate) fn go_on(&mut self, pipes: Pipes, secrets: &Secrets) -> Result<()> {
        let (parsed, unparsed) = self.lines();
        let redactions = self.redactions();
        let (errors, format) = pipes.errors.unzip();
        self.main = Source::new(pipes.main, secrets)?;
        self.errors = errors.map(|pipe| Source::new(pipe, secrets)).transpose()?;
        self.sink.stream = format.map(Stream::new);
        self.earlier = Earlier { parsed, unparsed, redactions };
        Ok(())
    }

    /// Finishes the log.
    pub(crate) fn close(&mut self) {
        self.sink.times.end(self.sink.log.place());
        self.sink.log.end();
    }
}

/// The ends of the pipes that a job writes to.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// Of stdout, and of stderr unless that has its own.
    pub(crate) main: PipeReader,
    /// Of stderr, and how stdout is read.
    pub(crate) errors: Option<(PipeReader, Format)>,
}

/// Returns the first line of a text that is not empty, cut to what one looks at.
pub(crate) fn first_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    cut(line, 300).to_owned()
}

/// Says whether there is something to read, or the end.
fn has_something(pipe: &PipeReader) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&now)), Ok(0))
}

impl Source {
    fn new(pipe: PipeReader, secrets: &Secrets) -> Result<Source> {
        rustix::io::ioctl_fionbio(&pipe, true).context("cannot set up the pipe")?;
        Ok(Source { pipe: Some(pipe), redactor: Redactor::new(secrets.clone()) })
    }

    fn pump(&mut self, buffer: &mut [u8], out: &mut dyn FnMut(&[u8])) -> bool {
        let mut moved = false;
        for _ in 0..16 {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => {
                    moved = true;
                    self.redactor.feed(&buffer[..n], out);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.pipe = None,
            }
        }
        moved
    }

    fn end(&mut self, out: &mut dyn FnMut(&[u8])) {
        self.pipe = None;
        self.redactor.end(out);
    }
}

impl Sink {
    /// Holds what comes from stderr, so that no line of stdout is cut in two.
    fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        if self.held.len() > HELD {
            self.let_go(true);
        }
    }

    /// Lets go of the whole lines that were held if no line of stdout has begun; with `all` of everything.
    fn let_go(&mut self, all: bool) {
        if self.held.is_empty() || (!all && self.stream.as_ref().is_some_and(Stream::is_within_line)) {
            return;
        }
        let whole = memchr::memrchr(b'\n', &self.held).map_or(0, |at| at + 1);
        let rest = self.held.split_off(if all { self.held.len() } else { whole });
        let out = std::mem::replace(&mut self.held, rest);
        if !out.is_empty() {
            self.complaint.hear(&out);
            self.log(&out);
        }
        self.held.shrink_to(CHUNK);
    }

    fn take(&mut self, bytes: &[u8]) {
        let Some(stream) = &mut self.stream else { return self.log(bytes) };
        stream.feed(bytes, &mut |heard| hear(heard, &mut self.heard, &mut self.announced));
        // Milestones and commands stand in what the agent says, not in the lines of its stream.
        self.times.note(self.log.place());
        self.log.write(bytes);
    }

    fn log(&mut self, bytes: &[u8]) {
        self.times.note(self.log.place());
        self.log.write(bytes);
        let mut rest = bytes;
        if !self.line.is_empty() {
            let Some(at) = memchr::memchr(b'\n', rest) else { return self.keep(rest) };
            self.keep(&rest[..at]);
            self.end_line();
            rest = &rest[at + 1..];
        }
        let whole = memchr::memrchr(b'\n', rest).map_or(0, |at| at + 1);
        // Most of what is printed is no milestone: not line by line.
        for at in memchr::memmem::find_iter(&rest[..whole], MILESTONE) {
            if at == 0 || rest[at - 1] == b'\n' {
                let end = memchr::memchr(b'\n', &rest[at..]).map_or(whole, |end| at + end);
                self.keep(&rest[at..end]);
                self.end_line();
            }
        }
        self.announced.scan(&rest[..whole]);
        self.keep(&rest[whole..]);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Ends the line that was kept; beside a stream it is one of stderr, where no milestone is said.
    fn end_line(&mut self) {
        let milestone = self.line.strip_prefix(MILESTONE.as_bytes()).filter(|_| self.stream.is_none());
        self.milestones.extend(milestone.map(|text| String::from_utf8_lossy(text).trim_end().to_owned()));
        self.announced.line(&self.line);
        self.line.clear();
    }

    /// Takes a last line without newline for a whole one, in the stream and beside it.
    fn end(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.end(&mut |heard| hear(heard, &mut self.heard, &mut self.announced));
        }
        self.end_line();
    }
}

/// Keeps what the stream says; a command that the agent tells of is announced by that.
fn hear(heard: Heard, all: &mut Vec<Heard>, announced: &mut Announced) {
    if let Heard::Said(Said::Tool { kind: ToolKind::Command, text, .. }) = &heard {
        announced.say(text);
    }
    all.push(heard);
}
