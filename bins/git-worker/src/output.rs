//! What the job prints: from the pipe to the log, with the milestones noticed on the way.
//!
//! The log can fail and the disk be full: what does not fit is dropped and counted, and the child
//! neither waits nor dies.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, PipeReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// A line of this form is a milestone.
const MILESTONE: &str = "::milestone:: ";
/// What is kept of a line to look for milestones.
const LINE: usize = 1024;
/// What is read at once.
const CHUNK: usize = 64 * 1024;

/// The log of a job and what is waiting to be written to it.
#[derive(Debug)]
pub(crate) struct Capture {
    pipe: Option<PipeReader>,
    log: File,
    buffer: Vec<u8>,
    line: Vec<u8>,
    milestones: Vec<String>,
    logged: u64,
    dropped: u64,
}

impl Capture {
    /// Opens the log, and makes the pipe's reader ready to be asked without waiting.
    pub(crate) fn new(pipe: PipeReader, log: &Path) -> Result<Capture> {
        rustix::io::ioctl_fionbio(&pipe, true).context("cannot set up the pipe")?;
        let log = OpenOptions::new()
            .append(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(log)
            .with_context(|| format!("cannot open the log '{}'", log.display()))?;
        Ok(Capture {
            pipe: Some(pipe),
            log,
            buffer: Vec::new(),
            line: Vec::new(),
            milestones: Vec::new(),
            logged: 0,
            dropped: 0,
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
                    self.take(&buffer[..n]);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.pipe = None,
            }
        }
        self.buffer = buffer;
        moved
    }

    /// Returns the milestones since the last call.
    pub(crate) fn milestones(&mut self) -> Vec<String> {
        std::mem::take(&mut self.milestones)
    }

    /// Returns the bytes in the log, and those that did not fit.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.logged, self.dropped)
    }

    /// Takes a last line without newline for a whole one.
    pub(crate) fn end(&mut self) {
        self.pipe = None;
        self.end_line();
    }

    fn take(&mut self, bytes: &[u8]) {
        self.write(bytes);
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|b| *b == b'\n') {
            self.keep(&rest[..at]);
            self.end_line();
            rest = &rest[at + 1..];
        }
        self.keep(rest);
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
