//! What an agent does, for a person to follow: one readable stream, whichever agent it is.
//!
//! It is made from the events, in which nothing that a command printed can pass for something
//! else; `logs --raw` has the agent's own stream.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;
use shared::app::Context;
use shared::failure::Failure;

use crate::job::{self, Job};
use crate::stream::spell_usage;

/// For the last lines, no more of the events is read.
const TAIL: u64 = 4 * 1024 * 1024;
/// A longer line is no event of ours.
const LONGEST: usize = 1024 * 1024;

/// Reads the events of a job as they come.
#[derive(Debug)]
pub(crate) struct Mirror {
    file: File,
    rest: Vec<u8>,
    /// Uses of tools that have begun; their ends do not repeat what they are.
    begun: BTreeSet<String>,
    /// Earlier ones are passed over.
    since: Option<Timestamp>,
}

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// For a person.
    Readable,
    /// As they are, a line of JSON each.
    Lines,
}

impl Mirror {
    /// Opens the events of a job; none if it has none yet.
    pub(crate) fn open(job: &Job, since: Option<Timestamp>) -> Result<Option<Mirror>> {
        let path = job.path(job::EVENTS);
        match File::open(&path) {
            Ok(file) => Ok(Some(Mirror { file, rest: Vec::new(), begun: BTreeSet::new(), since })),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot read '{}'", path.display())),
        }
    }

    /// Shows what is there, of it the last lines only.
    pub(crate) fn show_last(&mut self, cx: &Context, view: View, lines: u64) -> Result<(), Failure> {
        let length = self.file.metadata().context("cannot read the events")?.len();
        self.file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).context("cannot read the events")?;
        let all: Vec<String> = self.take(cx, view)?;
        let skip = all.len().saturating_sub(usize::try_from(lines).unwrap_or(usize::MAX));
        cx.output.raw(all[skip..].concat().as_bytes())
    }

    /// Shows what came since the last call.
    pub(crate) fn show_new(&mut self, cx: &Context, view: View) -> Result<(), Failure> {
        let new = self.take(cx, view)?;
        if new.is_empty() { Ok(()) } else { cx.output.raw(new.concat().as_bytes()) }
    }

    /// Takes the whole lines that came.
    fn take(&mut self, cx: &Context, view: View) -> Result<Vec<String>> {
        self.file.by_ref().read_to_end(&mut self.rest).context("cannot read the events")?;
        let whole = memchr::memrchr(b'\n', &self.rest).map_or(0, |at| at + 1);
        let rest = self.rest.split_off(whole);
        let lines = std::mem::replace(&mut self.rest, rest);
        if self.rest.len() > LONGEST {
            self.rest.clear();
        }
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut shown = Vec::new();
        for line in lines {
            shown.extend(self.show(cx, view, line).into_iter().flatten());
        }
        Ok(shown)
    }

    fn show(&mut self, cx: &Context, view: View, line: &[u8]) -> Option<Vec<String>> {
        let event: Value = serde_json::from_slice(line).ok()?;
        let time: Option<Timestamp> = event.get("time").and_then(Value::as_str).and_then(|time| time.parse().ok());
        if self.since.is_some_and(|since| time.is_none_or(|time| time < since)) {
            return None;
        }
        match view {
            View::Lines => Some(vec![format!("{}\n", String::from_utf8_lossy(line))]),
            View::Readable => {
                let (style, text) = readable(&event, &mut self.begun)?;
                let lines = text.lines().map(|line| format!("{}\n", cx.output.paint(style, line)));
                Some(lines.collect())
            }
        }
    }
}

/// Returns an event in words; none if it is not for a person.
fn readable(event: &Value, begun: &mut BTreeSet<String>) -> Option<(Style, String)> {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
    let plain = Style::new();
    let dim = Style::new().dimmed();
    let agent = text("source") == "agent";
    Some(match text("event") {
        "message" => (plain, left_out(event, text("text"))),
        "milestone" => (AnsiColor::Cyan.on_default(), format!("* {}", text("text"))),
        "tool" => tool(event, begun)?,
        "file" => (AnsiColor::Green.on_default(), format!("{} {}", text("change"), text("path"))),
        "error" => {
            let again = if event.get("retry") == Some(&Value::Bool(true)) { ", tries again" } else { "" };
            (AnsiColor::Red.on_default(), format!("error ({}{again}): {}", text("kind"), text("text")))
        }
        "usage" => (dim, format!("tokens: {}", spell_usage(event))),
        "started" if agent => {
            let model = event.get("model").and_then(Value::as_str).map(|model| format!(", {model}"));
            (dim, format!("session {}{}", text("session"), model.unwrap_or_default()))
        }
        "unparsed" => (dim, text("text").to_owned()),
        "stall" => (AnsiColor::Yellow.on_default(), format!("no sign of life: {}", text("step"))),
        "danger" => (AnsiColor::Yellow.on_default(), format!("danger ({}): {}", text("pattern"), text("text"))),
        "stopping" => (AnsiColor::Yellow.on_default(), format!("stopping, by {}", text("by"))),
        "waiting" => (AnsiColor::Yellow.on_default(), format!("waits until {}", text("until"))),
        "ended" if !agent => {
            let reason = event.get("reason").and_then(Value::as_str).map(|reason| format!(": {reason}"));
            (dim, format!("{}{}", text("state"), reason.unwrap_or_default()))
        }
        _ => return None,
    })
}

/// A command when it begins, and its end only when it failed; agents that tell no begin tell it at the end.
fn tool(event: &Value, begun: &mut BTreeSet<String>) -> Option<(Style, String)> {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
    let over = text("phase") == "end";
    let failed = event.get("ok") == Some(&Value::Bool(false));
    let exit = event.get("exit").and_then(Value::as_i64).map(|code| format!("exit {code}"));
    let words = match (text("kind"), text("text")) {
        (_, "") => String::new(),
        ("command", command) => format!("$ {command}"),
        ("edit", path) => format!("edit {path}"),
        ("read", path) => format!("read {path}"),
        (_, name) => format!("use {name}"),
    };
    let failure = failed.then(|| exit.unwrap_or_else(|| "it failed".to_owned()));
    let known = if over { begun.remove(text("id")) } else { !begun.insert(text("id").to_owned()) };
    let words = if known { String::new() } else { words };
    let said = [Some(words).filter(|words| !words.is_empty()), failure].into_iter().flatten();
    let said: Vec<String> = said.collect();
    let style = if failed { AnsiColor::Red.on_default() } else { AnsiColor::Blue.on_default() };
    (!said.is_empty()).then(|| (style, said.join("\n")))
}

fn left_out(event: &Value, text: &str) -> String {
    match event.get("left_out").and_then(Value::as_u64) {
        Some(bytes) => format!("{text}\n[{bytes} more bytes]"),
        None => text.to_owned(),
    }
}
