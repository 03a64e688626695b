//! What is said when a program cannot do what it was asked.

use std::fmt;

use serde_json::{Value, json};

use crate::exit::Status;
use crate::refusal::Refusal;

/// A failure at the edge of a program: how it exits, what failed, and a way on.
#[derive(Debug)]
pub struct Failure(Box<Said>);

/// Boxed, because most results carry none.
#[derive(Debug)]
struct Said {
    status: Status,
    kind: &'static str,
    message: String,
    hint: Option<String>,
    details: Option<Value>,
}

impl Failure {
    fn new(status: Status, kind: &'static str, message: impl fmt::Display) -> Self {
        Failure(Box::new(Said { status, kind, message: message.to_string(), hint: None, details: None }))
    }

    /// Makes a failure of exit 128 with a `kind` that programs can match on.
    pub fn could_not(kind: &'static str, message: impl fmt::Display) -> Self {
        Failure::new(Status::CouldNot, kind, message)
    }

    /// Makes a failure of exit 1: the answer is no.
    pub fn no(kind: &'static str, message: impl fmt::Display) -> Self {
        Failure::new(Status::No, kind, message)
    }

    /// Makes a failure of exit 129: the request is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Failure::new(Status::Usage, "usage", message)
    }

    /// Makes a failure by a signal, which has its own exit code.
    pub fn ended(status: Status, message: impl fmt::Display) -> Self {
        Failure::new(status, "interrupted", message)
    }

    /// Adds the way on; it must never name a command that destroys something.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.0.hint = Some(hint.to_string());
        self
    }

    /// Adds facts for programs, shown only in JSON.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Returns how the program exits.
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// Returns the word that programs match on.
    pub fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// Returns what failed, for a person.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the way on, where one is known.
    pub fn way_on(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Returns the failure as the JSON document: `{"schema":1,"error":{…}}`.
    pub fn to_json(&self) -> Value {
        let mut error = json!({
            "kind": self.kind(),
            "status": self.status().code(),
            "message": self.message(),
        });
        if let Some(hint) = self.way_on() {
            error["hint"] = json!(hint);
        }
        if let Some(details) = &self.0.details {
            error["details"] = details.clone();
        }
        json!({ "schema": 1, "error": error })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
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
                    Some(refusal) => Refusal { message, ..refusal.clone() }.into(),
                    None => Failure::could_not("failed", message),
                }
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let failure = Failure::could_not(refusal.kind, refusal.message);
        match refusal.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
