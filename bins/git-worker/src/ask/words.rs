//! What an agent is told about the form of its answer.

use std::fmt::Write as _;

use super::schema::Schema;
use crate::agent::Wanted;

/// What is asked, with what form the answer is to have.
pub(super) fn with_schema(mut given: Vec<u8>, schema: Option<&Schema>) -> Vec<u8> {
    if let Some(schema) = schema {
        let words = "Answer with one JSON value and nothing else: no words before or after it, and no code fence. \
                     It has to fit this JSON Schema:";
        given.extend_from_slice(format!("\n\n{words}\n{}\n", schema.text()).as_bytes());
    }
    given
}

/// The prompt of the second job: what is wrong with the answer of the first.
pub(super) fn complaint(
    mut prompt: Vec<u8>,
    wanted: &Wanted,
    words: Option<&str>,
    problems: &[String],
    schema: &Schema,
) -> Vec<u8> {
    let mut text = String::new();
    if let (None, Some(words)) = (&wanted.session, words) {
        let _ = write!(text, "\n---\nThis was answered before:\n{words}\n\n");
    }
    text.push_str("Your last answer does not fit the JSON Schema:\n");
    for problem in problems {
        let _ = writeln!(text, "- {problem}");
    }
    prompt.extend_from_slice(text.as_bytes());
    with_schema(prompt, Some(schema))
}
