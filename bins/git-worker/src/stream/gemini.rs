//! The stream of `gemini -o stream-json` (0.61).
//!
//! Messages come in pieces; the status of the result counts, and the exit code does not.

use serde_json::Value;

use super::said::{ErrorKind, Said, Scope, ToolEnd, ToolKind, Usage, status_in};
use super::{number, text, text_at};

/// Its exit code without a login, before it has said anything.
pub(super) const NO_LOGIN: i32 = 41;

/// What is to be remembered from line to line.
#[derive(Debug, Default)]
pub(crate) struct Gemini {
    pieces: String,
    error: Option<String>,
    cut_short: bool,
}

/// More of one message is not kept.
const MESSAGE: usize = 4 * 1024 * 1024;

impl Gemini {
    /// Returns what a line says; none if nobody knows it.
    pub(crate) fn read(&mut self, line: &Value) -> Option<Vec<Said>> {
        let kind = text(line, "type")?;
        if kind == "message" {
            return Some(self.message(line));
        }
        let mut said = match kind {
            "init" => {
                let own = |key| text(line, key).map(str::to_owned);
                vec![Said::Started { session: own("session_id"), model: own("model") }]
            }
            "tool_use" => tool(line),
            "tool_result" => {
                let end = ToolEnd { ok: text(line, "status") == Some("success"), exit: None };
                let id = text(line, "tool_id").map(str::to_owned);
                vec![Said::Tool { id, kind: ToolKind::Other, text: String::new(), end: Some(end) }]
            }
            "error" => vec![self.error(line)],
            "result" => self.result(line),
            _ => return None,
        };
        // Whatever else comes: the message before it is whole.
        if !self.pieces.is_empty() {
            said.insert(0, Said::Message { text: std::mem::take(&mut self.pieces) });
        }
        Some(said)
    }

    fn message(&mut self, line: &Value) -> Vec<Said> {
        let words = text(line, "content").unwrap_or_default();
        if text(line, "role") != Some("assistant") {
            return vec![Said::Nothing];
        }
        if self.pieces.len() < MESSAGE {
            self.pieces.push_str(words);
        }
        match line.get("delta").and_then(Value::as_bool) {
            Some(true) => vec![Said::Nothing],
            Some(false) | None => vec![Said::Message { text: std::mem::take(&mut self.pieces) }],
        }
    }

    /// A warning that it stops is more than a warning.
    fn error(&mut self, line: &Value) -> Said {
        let words = text(line, "message").unwrap_or_default().to_owned();
        let warning = text(line, "severity") == Some("warning");
        self.cut_short |= warning && words.contains("stopping execution");
        self.error = Some(words.clone());
        let status = status_in(&words);
        Said::Error { kind: ErrorKind::of(status, &words), status, text: words, retry: warning }
    }

    fn result(&mut self, line: &Value) -> Vec<Said> {
        let mut said = Vec::new();
        if let Some(stats) = line.get("stats") {
            let usage = Usage {
                input: number(stats, "input_tokens"),
                cached: number(stats, "cached"),
                output: number(stats, "output_tokens"),
                cost: None,
            };
            said.push(Said::Usage { scope: Scope::Run, usage });
        }
        let good = text(line, "status") == Some("success") && !self.cut_short;
        if !good {
            let told = text_at(line, "/error/message").map(str::to_owned).or_else(|| self.error.take());
            let words = told.unwrap_or_else(|| "the run failed".to_owned());
            let status = status_in(&words).or_else(|| words.contains("429").then_some(429));
            said.push(Said::Error { kind: ErrorKind::of(status, &words), status, text: words, retry: false });
        }
        said.push(Said::Ended { good, text: None });
        said
    }
}

fn tool(line: &Value) -> Vec<Said> {
    let name = text(line, "tool_name").unwrap_or_default();
    let path = text_at(line, "/parameters/file_path").or_else(|| text_at(line, "/parameters/absolute_path"));
    let (kind, words) = match (name, path) {
        ("run_shell_command", _) => (ToolKind::Command, text_at(line, "/parameters/command").unwrap_or_default()),
        ("write_file" | "replace", Some(path)) => (ToolKind::Edit, path),
        ("read_file", Some(path)) => (ToolKind::Read, path),
        (name, _) => (ToolKind::Other, name),
    };
    let id = text(line, "tool_id").map(str::to_owned);
    let file = (kind == ToolKind::Edit).then(|| {
        let change = if name == "write_file" { "add" } else { "update" };
        Said::File { path: words.to_owned(), change }
    });
    let tool = Said::Tool { id, kind, text: words.to_owned(), end: None };
    [tool].into_iter().chain(file).collect()
}
