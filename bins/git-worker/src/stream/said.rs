//! What an agent says of its work: one shape, whoever says it.
//!
//! An agent's word is a hint; what it changed is read from git.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is kept of a text, in bytes.
const TEXT: usize = 16 * 1024;

/// One fact of an agent's stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// A session began, or goes on.
    Started { session: Option<String>, model: Option<String> },
    /// Words of the agent to its user.
    Message { text: String },
    /// A tool is used; `end` is none while it runs.
    Tool { id: Option<String>, kind: ToolKind, text: String, end: Option<ToolEnd> },
    /// A file is said to be changed: `add`, `update` or `delete`.
    File { path: String, change: &'static str },
    /// Tokens that were used.
    Usage { scope: Scope, usage: Usage },
    /// Something went wrong; with `retry` the agent tries again.
    Error { kind: ErrorKind, status: Option<u16>, text: String, retry: bool },
    /// A round of model and tools was over, and used this many tokens.
    Step { tokens: u64 },
    /// The run is over, for better or worse; `text` is the last message where the end repeats it.
    Ended { good: bool, text: Option<String> },
    /// Known, and nothing that anybody asks for.
    Nothing,
}

/// What a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ToolKind {
    Command,
    Edit,
    Read,
    Other,
}

/// How the use of a tool ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ToolEnd {
    pub(crate) ok: bool,
    /// Exit code of a command, where the agent tells it.
    pub(crate) exit: Option<i64>,
}

/// What a number of tokens is the sum of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scope {
    /// Of one request: to be added.
    Step,
    /// Of this run of the program: the whole.
    Run,
    /// Of the session, with all that ran in it before.
    Session,
}

/// Tokens and their price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Tokens that went in, the cached ones among them.
    pub(crate) input: u64,
    /// Those of them that came from a cache.
    pub(crate) cached: u64,
    /// Tokens that came out, thoughts among them.
    pub(crate) output: u64,
    /// US dollars, as the agent reckons them; none where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<f64>,
}

/// What kept an agent from its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ErrorKind {
    /// It is not logged in, or not let in.
    Auth,
    /// Its quota is used up, or it asks too often.
    Quota,
    /// The model's server cannot be reached, or the line broke.
    Network,
    /// The model's server answers with an error or with nothing of use.
    Model,
    Other,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::Auth => "auth",
            ErrorKind::Quota => "quota",
            ErrorKind::Network => "network",
            ErrorKind::Model => "model",
            ErrorKind::Other => "other",
        })
    }
}

impl ErrorKind {
    /// Tells the kind by the status of the answer and, without one, by the words.
    pub(crate) fn of(status: Option<u16>, text: &str) -> ErrorKind {
        match status {
            Some(401 | 403) => return ErrorKind::Auth,
            Some(402 | 429) => return ErrorKind::Quota,
            Some(400..=599) => return ErrorKind::Model,
            Some(_) | None => {}
        }
        let text = text.to_ascii_lowercase();
        let begins_at = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric());
        let says = |words: &[&str]| words.iter().any(|word| text.match_indices(word).any(|(at, _)| begins_at(at)));
        if says(&["not logged in", "log in", "login", "authenticat", "unauthorized", "api key", "forbidden"]) {
            ErrorKind::Auth
        } else if says(&["rate limit", "usage limit", "session limit", "quota", "too many requests", "rejected (429)"])
        {
            ErrorKind::Quota
        } else if says(&[
            "econn",
            "connect",
            "disconnected",
            "network",
            "fetch failed",
            "terminated",
            "timed out",
            "timeout",
            "error sending request",
            "socket",
            "dns",
        ]) {
            ErrorKind::Network
        } else if says(&[
            "json",
            "stream",
            "finish reason",
            "malformed",
            "server",
            "high demand",
            "overloaded",
            "model",
        ]) {
            ErrorKind::Model
        } else {
            ErrorKind::Other
        }
    }
}

/// Finds the status of an answer in words such as `unexpected status 401 Unauthorized` or `"code":401`.
pub(crate) fn status_in(text: &str) -> Option<u16> {
    ["status ", "status: ", "status\":", "\"code\":", "API Error: ", "rejected ("].iter().find_map(|before| {
        let rest = text.split_once(before)?.1.trim_start();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (digits.len() == 3).then(|| digits.parse().ok()).flatten().filter(|status| (400..600).contains(status))
    })
}

impl Usage {
    /// Returns both together.
    pub(crate) fn plus(self, other: Usage) -> Usage {
        let cost = match (self.cost, other.cost) {
            (Some(one), Some(two)) => Some(one + two),
            (one, two) => one.or(two),
        };
        Usage {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            output: self.output.saturating_add(other.output),
            cost,
        }
    }

    /// Returns what is left without those of before.
    pub(crate) fn minus(self, before: Usage) -> Usage {
        Usage {
            input: self.input.saturating_sub(before.input),
            cached: self.cached.saturating_sub(before.cached),
            output: self.output.saturating_sub(before.output),
            cost: self.cost,
        }
    }

    fn event(self, scope: Scope) -> Value {
        let Usage { input, cached, output, cost } = self;
        json!({ "scope": scope, "input": input, "cached": cached, "output": output, "cost": cost })
    }

    /// Returns all tokens, in and out.
    pub(crate) fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// Spells the tokens of an event, or of a record.
pub(crate) fn spell_usage(usage: &Value) -> String {
    let number = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or(0);
    let cost = usage.get("cost").and_then(Value::as_f64).map(|cost| format!(", ${cost:.4}")).unwrap_or_default();
    format!("{} in ({} cached), {} out{cost}", number("input"), number("cached"), number("output"))
}

impl Said {
    /// Returns the name of the event and what it says; none for what is not written down.
    pub(crate) fn event(&self) -> Option<(&'static str, Value)> {
        Some(match self {
            Said::Started { session, model } => ("started", json!({ "session": session, "model": model })),
            Said::Message { text } => ("message", with_text(text, json!({}))),
            Said::Tool { id, kind, text, end } => {
                let phase = if end.is_some() { "end" } else { "begin" };
                let (ok, exit) = (end.map(|end| end.ok), end.and_then(|end| end.exit));
                ("tool", with_text(text, json!({ "id": id, "kind": kind, "phase": phase, "ok": ok, "exit": exit })))
            }
            Said::File { path, change } => ("file", json!({ "path": path, "change": change })),
            Said::Usage { scope, usage } => ("usage", usage.event(*scope)),
            Said::Step { .. } | Said::Nothing => return None,
            Said::Error { kind, status, text, retry } => {
                ("error", with_text(text, json!({ "kind": kind, "status": status, "retry": retry })))
            }
            Said::Ended { good, .. } => ("ended", json!({ "good": good })),
        })
    }
}

/// Adds a text, cut to a size that one line bears.
fn with_text(text: &str, mut more: Value) -> Value {
    let kept = cut(text, TEXT);
    more["text"] = Value::from(kept);
    if kept.len() < text.len() {
        more["left_out"] = Value::from(text.len() - kept.len());
    }
    more
}

/// Returns the beginning of a text, at most this many bytes and whole characters.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_answer_is_found_in_words() {
        assert_eq!(status_in("unexpected status 401 Unauthorized: x, url: y"), Some(401));
        assert_eq!(status_in("exceeded retry limit, last status: 429 Too Many"), Some(429));
        assert_eq!(status_in("[API Error: {\"error\":{\"code\":500,\"message\":1}}]"), Some(500));
        assert_eq!(status_in("API Error: 400 scripted bad request"), Some(400));
        assert_eq!(status_in("status 2000, status: 20"), None);
    }

    #[test]
    fn the_kind_of_an_error_is_told_by_status_first() {
        assert_eq!(ErrorKind::of(Some(429), "not logged in"), ErrorKind::Quota);
        assert_eq!(ErrorKind::of(None, "Not logged in · Please run /login"), ErrorKind::Auth);
        assert_eq!(ErrorKind::of(None, "stream disconnected before completion"), ErrorKind::Network);
        assert_eq!(ErrorKind::of(None, "We’re currently experiencing high demand"), ErrorKind::Model);
        assert_eq!(ErrorKind::of(None, "[API Error: Unterminated string in JSON]"), ErrorKind::Model);
        assert_eq!(ErrorKind::of(None, "?"), ErrorKind::Other);
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_how_much_is_left_out() {
        let text = "ä".repeat(TEXT);
        let (_, event) = Said::Message { text }.event().unwrap();
        assert_eq!(event["text"].as_str().unwrap().len(), TEXT);
        assert_eq!(event["left_out"], TEXT);
    }
}
