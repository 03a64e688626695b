//! What the job prints: from the pipe to the log, without secrets, with the milestones noticed on the way.
//!
//! The log can fail and the disk be full: what does not fit is dropped and counted, and the child
//! neither waits nor dies.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, PipeReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::redact::Redactor;

/// A line of this form is a milestone.
const MILESTONE: &str = "::milestone:: ";
/// What is kept of a line to look for milestones.
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
    log: File,
    line: Vec<u8>,
    milestones: Vec<String>,
    logged: u64,
    dropped: u64,
}

impl Capture {
    /// Opens the log, and makes the pipe's reader ready to be asked without waiting.
    pub(crate) fn new(pipe: PipeReader, log: &Path, redactor: Redactor) -> Result<Capture> {
        rustix::io::ioctl_fionbio(&pipe, true).context("cannot set up the pipe")?;
        let log = OpenOptions::new()
            .append(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(log)
            .with_context(|| format!("cannot open the log '{}'", log.display()))?;
        Ok(Capture {
            pipe: Some(pipe),
            buffer: Vec::new(),
            redactor,
            sink: Sink { log, line: Vec::new(), milestones: Vec::new(), logged: 0, dropped: 0 },
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

    /// Returns the bytes in the log, and those that did not fit.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.sink.logged, self.sink.dropped)
    }

    /// Takes a last line without newline for a whole one.
    pub(crate) fn end(&mut self) {
        self.pipe = None;
        self.redactor.end(&mut |bytes| self.sink.take(bytes));
        self.sink.end_line();
    }
}

impl Sink {
    fn take(&mut self, bytes: &[u8]) {
        self.write(bytes);
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
        self.keep(&rest[whole..]);
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.log.write(bytes) {
                Ok(n) if n > 0 => {
                    self.logged += n as u64;
                    bytes = &bytes[n..];
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    self.dropped += bytes.len() as u64;
                    return;
                }
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self) {
        if let Some(text) = self.line.strip_prefix(MILESTONE.as_bytes()) {
            self.milestones.push(String::from_utf8_lossy(text).trim_end().to_owned());
        }
        self.line.clear();
    }
}
