//! What happened to a job, a line of JSON each.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::clock;

/// The open file of events; one that cannot be written loses its events and stops nobody.
#[derive(Debug)]
pub(crate) struct Events {
    file: Option<File>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    time: Timestamp,
    event: &'a str,
    #[serde(flatten)]
    more: Value,
}

impl Events {
    /// Opens the file of events, never through a link.
    pub(crate) fn open(path: &Path) -> Events {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
        Events { file: options.open(path).ok() }
    }

    /// Adds an event; `more` is an object.
    pub(crate) fn add(&mut self, event: &str, more: Value) {
        let Some(file) = &mut self.file else { return };
        let Ok(mut line) = serde_json::to_string(&Line { time: clock::now(), event, more }) else { return };
        line.push('\n');
        let _ = file.write_all(line.as_bytes());
    }
}
