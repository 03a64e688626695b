//! What is said when a program cannot do what it was asked.

use std::fmt;

use serde_json::{Value, json};

use crate::exit::Status;
use crate::refusal::Refusal;

/// A failure at the edge of a program: how it exits, what failed, and a way on.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    kind: &'static str,
    message: String,
    hint: Option<String>,
    details: Option<Value>,
}

impl Failure {
    /// Makes a failure of exit 128 with a `kind` that programs can match on.
    pub fn could_not(kind: &'static str, message: impl fmt::Display) -> Self {
        Failure { status: Status::CouldNot, kind, message: message.to_string(), hint: None, details: None }
    }

    /// Makes a failure of exit 1: the answer is no.
    pub fn no(kind: &'static str, message: impl fmt::Display) -> Self {
        Failure { status: Status::No, ..Failure::could_not(kind, message) }
    }

    /// Makes a failure of exit 129: the request is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Failure { status: Status::Usage, ..Failure::could_not("usage", message) }
    }

    /// Makes a failure by a signal, which has its own exit code.
    pub fn ended(status: Status, message: impl fmt::Display) -> Self {
        Failure { status, ..Failure::could_not("interrupted", message) }
    }

    /// Adds the way on; it must never name a command that destroys something.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Adds facts for programs, shown only in JSON.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Returns how the program exits.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Returns the word that programs match on.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Returns what failed, for a person.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the way on, where one is known.
    pub fn way_on(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns the failure as the JSON document: `{"schema":1,"error":{…}}`.
    pub fn to_json(&self) -> Value {
        let mut error = json!({
            "kind": self.kind,
            "status": self.status.code(),
            "message": self.message,
        });
        if let Some(hint) = &self.hint {
            error["hint"] = json!(hint);
        }
        if let Some(details) = &self.details {
            error["details"] = details.clone();
        }
        json!({ "schema": 1, "error": error })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        // A failure that travelled as an `anyhow::Error` keeps its status, kind and hint.
        match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => {
                let message = format!("{error:#}");
                match error.chain().find_map(|cause| cause.downcast_ref::<Refusal>()) {
                    Some(refusal) => {
                        Failure { hint: refusal.hint.clone(), ..Failure::could_not(refusal.kind, message) }
                    }
                    None => Failure::could_not("failed", message),
                }
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure { hint: refusal.hint, ..Failure::could_not(refusal.kind, refusal.message) }
    }
}
