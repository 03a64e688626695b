//! Commands that are announced: agents and `sh -x` print what they run.
//!
//! A line that does begins with `$ `, `+ ` or `> `, or is an event in JSON with a "command"; an
//! agent whose stream is read tells of them there.

use memchr::{memchr, memmem, memrchr};
use serde_json::Value;

use crate::stream::cut;

/// Of a flood of them this many are kept until somebody asks.
const MOST: usize = 256;
/// A longer line is cut off.
const LONGEST: usize = 4 * 1024;
const COMMAND: &[u8] = b"\"command\"";

/// What was announced since somebody asked.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    texts: Vec<String>,
}

impl Announced {
    /// Looks through whole lines.
    pub(crate) fn scan(&mut self, lines: &[u8]) {
        // Most lines announce nothing: not line by line.
        for sign in [b"$ ", b"+ ", b"> "] {
            for at in memmem::find_iter(lines, sign) {
                let begin = lines[..at].iter().rposition(|b| *b != b'+').map_or(0, |before| before + 1);
                if begin == 0 || lines[begin - 1] == b'\n' {
                    self.line(&lines[begin..end(lines, at)]);
                }
            }
        }
        let mut rest = lines;
        while let Some(at) = memmem::find(rest, COMMAND) {
            let begin = memrchr(b'\n', &rest[..at]).map_or(0, |before| before + 1);
            let end = end(rest, at);
            if rest[begin] == b'{' {
                self.line(&rest[begin..end]);
            }
            rest = &rest[end..];
        }
    }

    /// Looks at one line.
    pub(crate) fn line(&mut self, line: &[u8]) {
        if self.texts.len() >= MOST {
            return;
        }
        let line = &line[..line.len().min(LONGEST)];
        let prompted = [&b"$ "[..], b"> "].iter().find_map(|sign| line.strip_prefix(*sign));
        let depth = line.iter().take_while(|b| **b == b'+').count();
        let traced = || line[depth..].strip_prefix(b" ").filter(|_| depth > 0);
        let said = prompted.or_else(traced);
        if let Some(text) = said.map(<[u8]>::trim_ascii).filter(|text| !text.is_empty()) {
            self.texts.push(String::from_utf8_lossy(text).into_owned());
        } else if line.starts_with(b"{") {
            self.texts.extend(command_of(line));
        }
    }

    /// Takes a command that an agent tells of.
    pub(crate) fn say(&mut self, command: &str) {
        let text = cut(command, LONGEST).trim();
        if self.texts.len() < MOST && !text.is_empty() {
            self.texts.push(text.to_owned());
        }
    }

    /// Returns what was announced since the last call.
    pub(crate) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.texts)
    }
}

fn end(lines: &[u8], from: usize) -> usize {
    memchr(b'\n', &lines[from..]).map_or(lines.len(), |end| from + end)
}

/// Returns the first command of an event, also of one that is cut off behind it.
fn command_of(line: &[u8]) -> Option<String> {
    let after = &line[memmem::find(line, COMMAND)? + COMMAND.len()..];
    let value = after.trim_ascii_start().strip_prefix(b":")?;
    let value = serde_json::Deserializer::from_slice(value).into_iter::<Value>().next()?.ok()?;
    match value {
        Value::String(text) => Some(text),
        Value::Array(words) => {
            let words = words.iter().filter_map(Value::as_str);
            Some(words.map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect::<Vec<_>>().join(" "))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_announces_a_command_is_kept() {
        let mut announced = Announced::default();
        announced
            .scan(b"$ a b\nx $ c\n++ d\n> e\n+f\n+++ b/file\n{\"x\":{\"command\":\"g \\\"h\\\"\",\"command\":1}}\n");
        announced.line(br#"{"command": ["sh", "-c", "it's"], "more": "cut"#);
        announced.line(br#"say {"command":"no"}"#);
        assert_eq!(announced.take(), ["a b", "d", "b/file", "e", "g \"h\"", r"'sh' '-c' 'it'\''s'"]);
        assert_eq!(announced.take(), [""; 0]);
    }

    #[test]
    fn a_command_that_is_told_of_is_kept_within_bounds() {
        let mut announced = Announced::default();
        announced.say(" \n");
        announced.say("a b\nc\n");
        announced.say(&"ä".repeat(LONGEST));
        (0..MOST).for_each(|_| announced.say("d"));
        let kept = announced.take();
        assert_eq!((kept.len(), kept[0].as_str(), kept[1].len(), kept[2].as_str()), (MOST, "a b\nc", LONGEST, "d"));
    }
}
