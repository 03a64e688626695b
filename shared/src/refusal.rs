//! A refusal with a way on, made deep inside and shown at the edge.

use std::fmt;

/// Why something is refused, in words and in one word for programs, with a way on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The word that programs match on, such as `no-repository` or `untrusted`.
    pub kind: &'static str,
    /// What is refused and why.
    pub message: String,
    /// What can be done; it never names a command that destroys something.
    pub hint: Option<String>,
}

impl Refusal {
    /// Makes a refusal without a hint.
    pub fn new(kind: &'static str, message: impl fmt::Display) -> Self {
        Refusal { kind, message: message.to_string(), hint: None }
    }

    /// Adds the way on.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}
