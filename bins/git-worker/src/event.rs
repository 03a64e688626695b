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
    /// Bytes of agents' words so far.
    told: u64,
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
        Events { file: options.open(path).ok(), told: 0 }
    }

    /// Adds an event; `more` is an object.
    pub(crate) fn add(&mut self, event: &str, more: Value) {
        self.write(event, more);
    }

    /// Adds what an agent says, up to so many bytes of it; 0 is without limit. Its end and its errors are always told.
    pub(crate) fn add_told(&mut self, event: &str, mut more: Value, cap: u64) {
        let full = cap > 0 && self.told >= cap;
        if full && !matches!(event, "started" | "error" | "ended") {
            return;
        }
        more["source"] = Value::from("agent");
        self.told += self.write(event, more);
        if cap > 0 && self.told >= cap && !full {
            self.write("events-capped", serde_json::json!({ "bytes": self.told }));
        }
    }

    fn write(&mut self, event: &str, more: Value) -> u64 {
        let Some(file) = &mut self.file else { return 0 };
        let Ok(mut line) = serde_json::to_string(&Line { time: clock::now(), event, more }) else { return 0 };
        line.push('\n');
        let _ = file.write_all(line.as_bytes());
        line.len() as u64
    }
}
