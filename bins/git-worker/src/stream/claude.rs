//! The stream of `claude -p --output-format stream-json` (2.1).
//!
//! The tokens of a message are repeated with each of its blocks; those of the result are the run's.
//! A result with `is_error` is a failure, whatever its `subtype` says.

use serde_json::Value;

use super::said::{ErrorKind, Said, Scope, ToolEnd, ToolKind, Usage, status_in};
use super::{number, text, text_at};

/// What is to be remembered from line to line.
#[derive(Debug, Default)]
pub(crate) struct Claude {
    message: Option<String>,
}

impl Claude {
    /// Returns what a line says; none if nobody knows it.
    pub(crate) fn read(&mut self, line: &Value) -> Option<Vec<Said>> {
        Some(match (text(line, "type")?, text(line, "subtype")) {
            ("system", Some("init")) => {
                let own = |key| text(line, key).map(str::to_owned);
                vec![Said::Started { session: own("session_id"), model: own("model") }]
            }
            ("system", Some("api_retry")) => vec![retry(line)],
            ("system" | "stream_event" | "rate_limit_event", _) => vec![Said::Nothing],
            ("assistant", _) => self.assistant(line)?,
            ("user", _) => results(line),
            ("result", _) => result(line),
            _ => return None,
        })
    }

    fn assistant(&mut self, line: &Value) -> Option<Vec<Said>> {
        let message = line.get("message")?;
        let mut said: Vec<Said> = message.get("content")?.as_array()?.iter().flat_map(block).collect();
        let id = text(message, "id").map(str::to_owned);
        if id != self.message {
            let step = message.get("usage").map(usage).map(|usage| Said::Usage { scope: Scope::Step, usage });
            said.extend(step);
            self.message = id;
        }
        // The words of a helper of the agent are not the agent's.
        if line.get("parent_tool_use_id").is_some_and(Value::is_string) {
            said.retain(|said| !matches!(said, Said::Message { .. }));
            said.push(Said::Nothing);
        }
        Some(said)
    }
}

fn block(block: &Value) -> Vec<Said> {
    match text(block, "type") {
        Some("text") => vec![Said::Message { text: text(block, "text").unwrap_or_default().to_owned() }],
        Some("tool_use") => {
            let name = text(block, "name").unwrap_or_default();
            let path = text_at(block, "/input/file_path").or_else(|| text_at(block, "/input/notebook_path"));
            let (kind, words) = match (name, path) {
                ("Bash", _) => (ToolKind::Command, text_at(block, "/input/command").unwrap_or_default()),
                ("Write" | "Edit" | "MultiEdit" | "NotebookEdit", Some(path)) => (ToolKind::Edit, path),
                ("Read", Some(path)) => (ToolKind::Read, path),
                (name, _) => (ToolKind::Other, name),
            };
            let id = text(block, "id").map(str::to_owned);
            let file = (kind == ToolKind::Edit).then(|| {
                let change = if name == "Write" { "add" } else { "update" };
                Said::File { path: words.to_owned(), change }
            });
            let tool = Said::Tool { id, kind, text: words.to_owned(), end: None };
            [tool].into_iter().chain(file).collect()
        }
        _ => vec![Said::Nothing],
    }
}

/// The results of tools; a command that failed says its exit code in words.
fn results(line: &Value) -> Vec<Said> {
    let blocks = line.pointer("/message/content").and_then(Value::as_array);
    let ends = blocks.into_iter().flatten().filter(|block| text(block, "type") == Some("tool_result")).map(|block| {
        let ok = block.get("is_error").and_then(Value::as_bool) != Some(true);
        let words = text(block, "content").unwrap_or_default();
        let exit = words.strip_prefix("Exit code ").and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        let id = text(block, "tool_use_id").map(str::to_owned);
        Said::Tool { id, kind: ToolKind::Other, text: String::new(), end: Some(ToolEnd { ok, exit }) }
    });
    ends.chain([Said::Nothing]).collect()
}

fn retry(line: &Value) -> Said {
    let status = line.get("error_status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    let words = text(line, "error").unwrap_or("unknown").to_owned();
    // Without a status the server was not reached.
    let kind = if status.is_some() { ErrorKind::of(status, &words) } else { ErrorKind::Network };
    Said::Error { kind, status, text: words, retry: true }
}

fn result(line: &Value) -> Vec<Said> {
    let bad = line.get("is_error").and_then(Value::as_bool) != Some(false);
    // An answer by a schema is not among the words.
    let answer = line.get("structured_output").filter(|answer| !answer.is_null()).map(Value::to_string);
    let words = answer.filter(|_| !bad).or_else(|| text(line, "result").map(str::to_owned));
    let mut said = Vec::new();
    if let Some(tokens) = line.get("usage") {
        let cost = line.get("total_cost_usd").and_then(Value::as_f64);
        said.push(Said::Usage { scope: Scope::Run, usage: Usage { cost, ..usage(tokens) } });
    }
    if bad {
        let told = line.get("api_error_status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        let first = text_at(line, "/errors/0").or_else(|| text(line, "subtype")).map(str::to_owned);
        let reason = words.clone().or(first).unwrap_or_default();
        let status = told.or_else(|| status_in(&reason));
        said.push(Said::Error { kind: ErrorKind::of(status, &reason), status, text: reason, retry: false });
    }
    said.push(Said::Ended { good: !bad, text: words });
    said
}

fn usage(usage: &Value) -> Usage {
    let cached = number(usage, "cache_read_input_tokens");
    let made = number(usage, "cache_creation_input_tokens");
    let input = number(usage, "input_tokens").saturating_add(cached).saturating_add(made);
    Usage { input, cached, output: number(usage, "output_tokens"), cost: None }
}
