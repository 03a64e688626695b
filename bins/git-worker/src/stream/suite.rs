//! The events of this suite as a stream: what a program prints that was written for it.

use serde_json::Value;

use super::said::{ErrorKind, Said, Scope, ToolEnd, ToolKind, Usage, status_in};
use super::{number, text};

/// Returns what a line says; none if nobody knows it.
pub(crate) fn read(line: &Value) -> Option<Vec<Said>> {
    let own = |key| text(line, key).map(str::to_owned);
    let words = own("text").unwrap_or_default();
    Some(vec![match text(line, "event")? {
        "started" => Said::Started { session: own("session"), model: own("model") },
        "message" => Said::Message { text: words },
        "tool" => Said::Tool { id: own("id"), kind: kind(line), text: words, end: end(line) },
        "file" => Said::File { path: own("path")?, change: change(line) },
        "usage" => Said::Usage { scope: scope(line), usage: usage(line) },
        "error" => {
            let status = line.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
            let status = status.or_else(|| status_in(&words));
            let told = line.get("kind").and_then(|kind| serde_json::from_value(kind.clone()).ok());
            let kind = told.unwrap_or_else(|| ErrorKind::of(status, &words));
            let retry = line.get("retry").and_then(Value::as_bool) == Some(true);
            Said::Error { kind, status, text: words, retry }
        }
        "ended" => Said::Ended { good: line.get("good").and_then(Value::as_bool) == Some(true), text: own("text") },
        _ => return None,
    }])
}

fn kind(line: &Value) -> ToolKind {
    match text(line, "kind") {
        Some("command") => ToolKind::Command,
        Some("edit") => ToolKind::Edit,
        Some("read") => ToolKind::Read,
        Some(_) | None => ToolKind::Other,
    }
}

fn end(line: &Value) -> Option<ToolEnd> {
    let over = text(line, "phase") == Some("end");
    let ok = line.get("ok").and_then(Value::as_bool) == Some(true);
    over.then(|| ToolEnd { ok, exit: line.get("exit").and_then(Value::as_i64) })
}

fn change(line: &Value) -> &'static str {
    match text(line, "change") {
        Some("add") => "add",
        Some("delete") => "delete",
        Some(_) | None => "update",
    }
}

fn scope(line: &Value) -> Scope {
    match text(line, "scope") {
        Some("step") => Scope::Step,
        Some("session") => Scope::Session,
        Some(_) | None => Scope::Run,
    }
}

fn usage(line: &Value) -> Usage {
    let of = |key| number(line, key);
    let cost = line.get("cost").and_then(Value::as_f64);
    Usage { input: of("input"), cached: of("cached"), output: of("output"), cost }
}
