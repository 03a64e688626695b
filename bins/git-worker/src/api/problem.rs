//! Why a model gave no reply, and whether it is any use to ask again.

use std::time::Duration;

use serde_json::Value;

use crate::stream::ErrorKind;

/// Why there is no reply.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) kind: ErrorKind,
    pub(super) status: Option<u16>,
    pub(super) text: String,
    /// Whether the same may go well a moment later.
    pub(super) again: bool,
    /// When the server wants to be asked again.
    pub(super) after: Option<Duration>,
}

impl Problem {
    /// Something that another try does not change.
    pub(super) fn new(kind: ErrorKind, text: impl Into<String>) -> Problem {
        Problem { kind, status: None, text: text.into(), again: false, after: None }
    }

    /// The model or its server did not do what it should, and will not.
    pub(super) fn model(text: impl Into<String>) -> Problem {
        Problem::new(ErrorKind::Model, text)
    }

    /// Something that passes.
    pub(super) fn again(kind: ErrorKind, text: String) -> Problem {
        Problem { again: true, ..Problem::new(kind, text) }
    }

    /// The reply is there and not whole.
    pub(super) fn unfinished(reason: &str) -> Problem {
        Problem::model(format!("the reply is not whole: {reason}"))
    }

    /// An error that came in the stream.
    pub(super) fn told(error: &Value) -> Problem {
        let text = message_of(error).unwrap_or_else(|| error.to_string());
        Problem::again(ErrorKind::of(None, &text), format!("the server says: {text}")).or_model()
    }

    /// An answer of a status that is none of success; `body` is what came with it.
    pub(super) fn status(status: u16, body: &[u8], after: Option<Duration>) -> Problem {
        let said: Option<Value> = serde_json::from_slice(body).ok();
        let error = said.as_ref().and_then(|said| said.get("error")).or(said.as_ref());
        let text = error.and_then(message_of).unwrap_or_else(|| {
            String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(200).collect::<String>()
        });
        // What is used up is so for longer than anybody waits.
        let spent = ["insufficient_quota", "billing"].iter().any(|word| {
            error.is_some_and(|error| ["code", "type"].iter().any(|key| error.get(key).is_some_and(|v| v == word)))
        });
        Problem {
            kind: ErrorKind::of(Some(status), &text),
            status: Some(status),
            text: format!("status {status}: {text}"),
            again: matches!(status, 408 | 409 | 425 | 429 | 500..=599) && !spent,
            after,
        }
    }

    /// What could not be told by its words came from the server.
    fn or_model(self) -> Problem {
        let kind = if self.kind == ErrorKind::Other { ErrorKind::Model } else { self.kind };
        Problem { kind, ..self }
    }
}

fn message_of(error: &Value) -> Option<String> {
    let text = error.get("message").and_then(Value::as_str).or_else(|| error.as_str())?;
    Some(text.chars().take(1000).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_is_tried_again() {
        let of = |status: u16, body: &str| Problem::status(status, body.as_bytes(), None);
        assert!(of(500, "").again && of(529, "").again && of(429, "{}").again);
        assert!(!of(400, "").again && !of(401, "").again && !of(404, "").again);
        let spent = of(429, r#"{"error":{"code":"insufficient_quota","message":"pay"}}"#);
        assert!(!spent.again && spent.kind == ErrorKind::Quota && spent.text == "status 429: pay");
    }
}
