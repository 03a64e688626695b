//! The stream of `opencode run --format json` (1.18).
//!
//! The session stands on every line; tokens are those of each step.

use serde_json::Value;

use super::said::{ErrorKind, Said, Scope, ToolEnd, ToolKind, Usage};
use super::{number, text, text_at};

/// What is to be remembered from line to line.
#[derive(Debug, Default)]
pub(crate) struct Opencode {
    begun: bool,
}

impl Opencode {
    /// Returns what a line says; none if nobody knows it.
    pub(crate) fn read(&mut self, line: &Value) -> Option<Vec<Said>> {
        let mut said = match text(line, "type")? {
            "step_start" | "reasoning" => vec![Said::Nothing],
            "text" => vec![Said::Message { text: text_at(line, "/part/text")?.to_owned() }],
            "tool_use" => tool(line.get("part")?)?,
            "step_finish" => step(line.get("part")?),
            "error" => {
                let status = line.pointer("/error/data/statusCode").and_then(Value::as_u64);
                let status = status.and_then(|status| u16::try_from(status).ok());
                let name = text_at(line, "/error/name").unwrap_or("error");
                let words = text_at(line, "/error/data/message").unwrap_or(name).to_owned();
                let kind = ErrorKind::of(status, &words);
                let error = Said::Error { kind, status, text: words, retry: false };
                vec![error, Said::Ended { good: false, text: None }]
            }
            _ => return None,
        };
        if !self.begun
            && let Some(session) = text(line, "sessionID")
        {
            self.begun = true;
            said.insert(0, Said::Started { session: Some(session.to_owned()), model: None });
        }
        Some(said)
    }
}

/// A tool is told of only when it is over.
fn tool(part: &Value) -> Option<Vec<Said>> {
    let (name, state) = (text(part, "tool")?, part.get("state")?);
    let path = text_at(state, "/input/filePath");
    let (kind, words) = match (name, path) {
        ("bash", _) => (ToolKind::Command, text_at(state, "/input/command").unwrap_or_default()),
        ("write" | "edit" | "multiedit" | "patch", Some(path)) => (ToolKind::Edit, path),
        ("read", Some(path)) => (ToolKind::Read, path),
        (name, _) => (ToolKind::Other, name),
    };
    let exit = state.pointer("/metadata/exit").and_then(Value::as_i64);
    let ok = text(state, "status") == Some("completed") && exit.unwrap_or(0) == 0;
    let id = text(part, "callID").map(str::to_owned);
    let new = state.pointer("/metadata/exists").and_then(Value::as_bool) == Some(false);
    let file = (kind == ToolKind::Edit && ok).then(|| {
        let change = if name == "write" && new { "add" } else { "update" };
        Said::File { path: words.to_owned(), change }
    });
    let tool = Said::Tool { id, kind, text: words.to_owned(), end: Some(ToolEnd { ok, exit }) };
    Some([tool].into_iter().chain(file).collect())
}

fn step(part: &Value) -> Vec<Said> {
    let none = Value::Null;
    let tokens = part.get("tokens").unwrap_or(&none);
    let cached = tokens.pointer("/cache/read").and_then(Value::as_u64).unwrap_or(0);
    let written = tokens.pointer("/cache/write").and_then(Value::as_u64).unwrap_or(0);
    let usage = Usage {
        input: number(tokens, "input").saturating_add(cached).saturating_add(written),
        cached,
        output: number(tokens, "output").saturating_add(number(tokens, "reasoning")),
        cost: part.get("cost").and_then(Value::as_f64).filter(|cost| *cost > 0.0),
    };
    let mut said = vec![Said::Usage { scope: Scope::Step, usage }, Said::Step { tokens: usage.total() }];
    if text(part, "reason") == Some("stop") {
        said.push(Said::Ended { good: true, text: None });
    }
    said
}
