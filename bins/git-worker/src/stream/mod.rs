//! The stream of an agent: lines of JSON, each agent's own, read into facts of one shape.
//!
//! Nothing that is printed can break it: what is no line of JSON, too long or unknown is counted
//! as unparsed, and the next line is read as if nothing had been.

mod claude;
mod codex;
mod gemini;
mod ledger;
mod opencode;
mod said;
mod suite;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use ledger::{Ledger, Verdict};
pub(crate) use said::{ErrorKind, Said, ToolKind, Usage, cut, spell_usage, status_in};

use crate::record::Exit;

/// A longer line is not read: with its value it has to fit into memory several times.
const LONGEST: usize = 8 * 1024 * 1024;
/// So much of a buffer is kept for the next line.
const KEPT: usize = 64 * 1024;

/// The form in which an agent says what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    Codex,
    Claude,
    Opencode,
    Gemini,
    /// The events of this suite, as `events.jsonl` holds them.
    Events,
}

/// Reads a stream piece by piece.
#[derive(Debug)]
pub(crate) struct Stream {
    reader: Reader,
    line: Vec<u8>,
    /// The line is too long and read over.
    over: u64,
    parsed: u64,
    unparsed: u64,
}

/// What a line was.
#[derive(Debug)]
pub(crate) enum Heard {
    Said(Said),
    /// Nobody knows what it says; the beginning of it.
    Unparsed(String),
}

#[derive(Debug)]
enum Reader {
    Codex,
    Claude(claude::Claude),
    Opencode(opencode::Opencode),
    Gemini(gemini::Gemini),
    Events,
}

impl Format {
    /// Returns the form of this name.
    pub(crate) fn named(name: &str) -> Option<Format> {
        Some(match name {
            "codex" => Format::Codex,
            "claude" => Format::Claude,
            "opencode" => Format::Opencode,
            "gemini" => Format::Gemini,
            "events" => Format::Events,
            _ => return None,
        })
    }

    /// Returns what kept an agent from its work, where its exit code tells it.
    pub(crate) fn kind_of_exit(self, exit: Exit) -> Option<ErrorKind> {
        match (self, exit) {
            (Format::Gemini, Exit::Code(gemini::NO_LOGIN)) => Some(ErrorKind::Auth),
            _ => None,
        }
    }
}

impl Stream {
    pub(crate) fn new(format: Format) -> Stream {
        let reader = match format {
            Format::Codex => Reader::Codex,
            Format::Claude => Reader::Claude(claude::Claude::default()),
            Format::Opencode => Reader::Opencode(opencode::Opencode::default()),
            Format::Gemini => Reader::Gemini(gemini::Gemini::default()),
            Format::Events => Reader::Events,
        };
        Stream { reader, line: Vec::new(), over: 0, parsed: 0, unparsed: 0 }
    }

    /// Takes what was printed, in pieces of any size.
    pub(crate) fn feed(&mut self, bytes: &[u8], hear: &mut impl FnMut(Heard)) {
        let mut rest = bytes;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            self.keep(&rest[..at]);
            self.end_line(hear);
            rest = &rest[at + 1..];
        }
        self.keep(rest);
    }

    /// Takes a last line without newline for a whole one.
    pub(crate) fn end(&mut self, hear: &mut impl FnMut(Heard)) {
        self.end_line(hear);
    }

    /// Returns how many lines were understood, and how many were not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.parsed, self.unparsed)
    }

    /// Says whether a line has begun that has not ended.
    pub(crate) fn is_within_line(&self) -> bool {
        self.over > 0 || !self.line.is_empty()
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.over > 0 || self.line.len() + bytes.len() > LONGEST {
            self.over += bytes.len() as u64;
            return;
        }
        self.line.extend_from_slice(bytes);
    }

    fn end_line(&mut self, hear: &mut impl FnMut(Heard)) {
        let line = std::mem::take(&mut self.line);
        let over = std::mem::take(&mut self.over);
        let text = line.trim_ascii();
        if over > 0 {
            self.unparsed += 1;
            hear(Heard::Unparsed(format!("a line of {} bytes", line.len() as u64 + over)));
        } else if !text.is_empty() {
            self.line(text, hear);
        }
        if line.capacity() <= KEPT {
            self.line = line;
            self.line.clear();
        }
    }

    fn line(&mut self, line: &[u8], hear: &mut impl FnMut(Heard)) {
        let said = value(line).and_then(|value| self.reader.read(&value));
        match said {
            Some(said) => {
                self.parsed += 1;
                said.into_iter().for_each(|said| hear(Heard::Said(said)));
            }
            None => {
                self.unparsed += 1;
                let text = String::from_utf8_lossy(&line[..line.len().min(400)]);
                hear(Heard::Unparsed(cut(&text, 300).to_owned()));
            }
        }
    }
}

impl Reader {
    fn read(&mut self, line: &Value) -> Option<Vec<Said>> {
        match self {
            Reader::Codex => codex::read(line),
            Reader::Claude(claude) => claude.read(line),
            Reader::Opencode(opencode) => opencode.read(line),
            Reader::Gemini(gemini) => gemini.read(line),
            Reader::Events => suite::read(line),
        }
    }
}

/// Reads a line of JSON, also one whose text is not quite UTF-8.
fn value(line: &[u8]) -> Option<Value> {
    if line.first() != Some(&b'{') {
        return None;
    }
    match serde_json::from_slice(line) {
        Ok(value) => Some(value),
        Err(_) if str::from_utf8(line).is_err() => serde_json::from_str(&String::from_utf8_lossy(line)).ok(),
        Err(_) => None,
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

fn text_at<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path)?.as_str()
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}
