//! The stream of `codex exec --json` (0.94 to 0.169).
//!
//! The tokens of `turn.completed` are those of the whole thread, resumed runs included. An `error`
//! at the top is a retry until `turn.failed` says otherwise.

use serde_json::Value;

use super::said::{ErrorKind, Said, Scope, ToolEnd, ToolKind, Usage, status_in};
use super::{number, text, text_at};

/// Returns what a line says; none if nobody knows it.
pub(crate) fn read(line: &Value) -> Option<Vec<Said>> {
    Some(match text(line, "type")? {
        "thread.started" => vec![Said::Started { session: text(line, "thread_id").map(str::to_owned), model: None }],
        "turn.started" => vec![Said::Nothing],
        "turn.completed" => {
            let usage = usage(line.get("usage"));
            let usage = usage.map(|usage| Said::Usage { scope: Scope::Session, usage });
            usage.into_iter().chain([Said::Ended { good: true, text: None }]).collect()
        }
        "turn.failed" => {
            let error = error(text_at(line, "/error/message").unwrap_or("the turn failed"), false);
            vec![error, Said::Ended { good: false, text: None }]
        }
        "error" => vec![error(text(line, "message").unwrap_or_default(), true)],
        "item.started" => item(line.get("item")?, false)?,
        "item.updated" => vec![Said::Nothing],
        "item.completed" => item(line.get("item")?, true)?,
        _ => return None,
    })
}

fn error(message: &str, retry: bool) -> Said {
    // A bad request is told by its body alone.
    let status = status_in(message).or_else(|| message.contains("invalid_request_error").then_some(400));
    // After this beginning comes what happened, be it on the line or in what the model said.
    let told = message.split_once("stream disconnected before completion: ").map(|(_, told)| told);
    let kind = match told.map(|told| (ErrorKind::of(status, told), told)) {
        None => ErrorKind::of(status, message),
        Some((_, told)) if told.starts_with("stream closed") => ErrorKind::Network,
        Some((ErrorKind::Other, _)) => ErrorKind::Model,
        Some((kind, _)) => kind,
    };
    Said::Error { kind, status, text: message.to_owned(), retry }
}

fn item(item: &Value, over: bool) -> Option<Vec<Said>> {
    let id = text(item, "id").map(str::to_owned);
    let ok = text(item, "status") == Some("completed");
    let end = |exit: Option<i64>| over.then_some(ToolEnd { ok, exit });
    let tool = |kind, text: &str, end| vec![Said::Tool { id: id.clone(), kind, text: text.to_owned(), end }];
    Some(match text(item, "type")? {
        "agent_message" if over => vec![Said::Message { text: text(item, "text").unwrap_or_default().to_owned() }],
        "agent_message" | "reasoning" | "todo_list" => vec![Said::Nothing],
        "command_execution" => {
            let exit = item.get("exit_code").and_then(Value::as_i64);
            tool(ToolKind::Command, text(item, "command").unwrap_or_default(), end(exit))
        }
        "file_change" if over && ok => item.get("changes")?.as_array()?.iter().filter_map(change).collect(),
        "file_change" => vec![Said::Nothing],
        "mcp_tool_call" => tool(ToolKind::Other, text(item, "tool").unwrap_or_default(), end(None)),
        "web_search" => tool(ToolKind::Other, text(item, "query").unwrap_or_default(), end(None)),
        // A warning, such as of a model that it does not know.
        "error" => {
            let message = text(item, "message").unwrap_or_default();
            vec![Said::Error { kind: ErrorKind::Other, status: None, text: message.to_owned(), retry: true }]
        }
        _ => return None,
    })
}

fn change(change: &Value) -> Option<Said> {
    let kind = match text(change, "kind")? {
        "add" => "add",
        "delete" => "delete",
        _ => "update",
    };
    Some(Said::File { path: text(change, "path")?.to_owned(), change: kind })
}

fn usage(usage: Option<&Value>) -> Option<Usage> {
    let usage = usage?;
    Some(Usage {
        input: number(usage, "input_tokens"),
        cached: number(usage, "cached_input_tokens"),
        output: number(usage, "output_tokens"),
        cost: None,
    })
}
