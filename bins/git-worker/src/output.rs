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
use crate::job;
use crate::redact::Redactor;
use crate::tape::{Shape, Tape};
use crate::times::Times;

/// A line of this form is a milestone.
const MILESTONE: &str = "::milestone:: ";
/// What is kept of a line to look for milestones and commands.
const LINE: usize = 1024;
/// What is read at once.
const CHUNK: usize = 64 * 1024;

/// After this much silence what was held back comes out.
const SILENCE: Duration = Duration::from_millis(200);

/// The pipe of a job, and on the way from it to the log the secrets taken out.
#[derive(Debug)]
pub(crate) struct Capture {
    pipe: Option<PipeReader>,
    buffer: Vec<u8>,
    redactor: Redactor,
    sink: Sink,
    last: Instant,
}

/// The log of a job and what was noticed in it.
#[derive(Debug)]
struct Sink {
    log: Tape,
    times: Times,
    line: Vec<u8>,
    milestones: Vec<String>,
    announced: Announced,
}

impl Capture {
    /// Opens the log, and makes the pipe's reader ready to be asked without waiting.
    pub(crate) fn new(pipe: PipeReader, log: &Path, shape: Option<Shape>, redactor: Redactor) -> Result<Capture> {
        rustix::io::ioctl_fionbio(&pipe, true).context("cannot set up the pipe")?;
        let times = Times::new(log.with_file_name(job::TIMES));
        let log = Tape::open(log, shape).with_context(|| format!("cannot open the log '{}'", log.display()))?;
        Ok(Capture {
            pipe: Some(pipe),
            buffer: Vec::new(),
            redactor,
            sink: Sink { log, times, line: Vec::new(), milestones: Vec::new(), announced: Announced::default() },
            last: Instant::now(),
        })
    }

    /// Returns the pipe while somebody can still write to it.
    pub(crate) fn pipe(&self) -> Option<&PipeReader> {
        self.pipe.as_ref()
    }

    /// Moves what is there from the pipe to the log, at most 16 chunks; false if nothing was.
    pub(crate) fn pump(&mut self) -> bool {
        // Only a job that prints pays for the buffer.
        if self.buffer.is_empty() && !self.pipe.as_ref().is_some_and(has_something) {
            return false;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(CHUNK, 0);
        let mut moved = false;
        for _ in 0..16 {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => {
                    moved = true;
                    self.redactor.feed(&buffer[..n], &mut |bytes| self.sink.take(bytes));
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.pipe = None,
            }
        }
        self.buffer = buffer;
        if moved {
            self.last = Instant::now();
        } else if self.redactor.is_waiting() && self.last.elapsed() >= SILENCE {
            self.redactor.idle(&mut |bytes| self.sink.take(bytes));
        }
        moved
    }

    /// Returns how long it is until something that was held back comes out.
    pub(crate) fn until_flush(&self) -> Option<Duration> {
        self.redactor.is_waiting().then(|| SILENCE.saturating_sub(self.last.elapsed()))
    }

    /// Returns how many secrets were taken out.
    pub(crate) fn redactions(&self) -> u64 {
        self.redactor.count()
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
        self.pipe = None;
        self.redactor.end(&mut |bytes| self.sink.take(bytes));
        self.sink.end_line();
        self.sink.times.end(self.sink.log.place());
        self.sink.log.end();
    }
}

/// Says whether there is something to read, or the end.
fn has_something(pipe: &PipeReader) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&now)), Ok(0))
}

impl Sink {
    fn take(&mut self, bytes: &[u8]) {
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

    fn end_line(&mut self) {
        if let Some(text) = self.line.strip_prefix(MILESTONE.as_bytes()) {
            self.milestones.push(String::from_utf8_lossy(text).trim_end().to_owned());
        }
        self.announced.line(&self.line);
        self.line.clear();
    }
}
