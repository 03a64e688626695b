//! The JSON Schema of an answer: what it asks for, and what an answer lacks.

use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas, UrlLoader, ValidationError};
use serde_json::{Map, Value};
use shared::durable;
use shared::failure::Failure;

use crate::agent::Shape;

/// A larger schema is refused: it goes into the prompt and into command lines.
const MOST: usize = 64 * 1024;
/// So many problems are told.
const PROBLEMS: usize = 10;
/// What is told of one, in characters.
const LINE: usize = 300;
/// Under this name the schema knows itself; nothing is loaded from anywhere.
const NAME: &str = "mem:///schema.json";

/// What OpenAI's strict mode knows; anything else is refused there.
const STRICT: &[&str] = &[
    "$schema",
    "$defs",
    "$ref",
    "title",
    "description",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "anyOf",
];

/// A schema that was read and is one.
pub(crate) struct Schema {
    text: String,
    value: Value,
    schemas: Schemas,
    index: SchemaIndex,
}

/// Refuses whatever a schema refers to outside itself.
struct Nothing;

impl UrlLoader for Nothing {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err(format!("'{url}' is not in the schema itself, and nothing else is read").into())
    }
}

impl Schema {
    /// Reads a schema from a file.
    ///
    /// # Errors
    /// When there is none, or what it holds is no JSON Schema.
    pub(crate) fn read(path: &Path) -> Result<Schema, Failure> {
        let bad = |why: String| Failure::could_not("bad-schema", format!("'{}' {why}", path.display()));
        let bytes = durable::read_foreign(path, MOST + 1)?.ok_or_else(|| bad("is missing".to_owned()))?;
        if bytes.len() > MOST {
            return Err(bad(format!("has more than {MOST} bytes")));
        }
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| bad(format!("is no JSON: {error}")))?;
        Schema::new(value).map_err(|why| bad(format!("is no JSON Schema: {why}")))
    }

    fn new(value: Value) -> Result<Schema, String> {
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.use_loader(Box::new(Nothing));
        compiler.add_resource(NAME, value.clone()).map_err(|error| words(&format!("{error:#}")))?;
        let index = compiler.compile(NAME, &mut schemas).map_err(|error| words(&format!("{error:#}")))?;
        Ok(Schema { text: value.to_string(), value, schemas, index })
    }

    /// Returns it as one line of JSON.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns how much it asks of whoever enforces it.
    pub(crate) fn shape(&self) -> Shape {
        match self.value.get("type").and_then(Value::as_str) {
            Some("object") if is_strict(&self.value) => Shape::Strict,
            Some("object") => Shape::Object,
            Some(_) | None => Shape::Any,
        }
    }

    /// Lists what is wrong with a value; nothing if it fits.
    pub(crate) fn problems(&self, value: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        if let Err(error) = self.schemas.validate(value, self.index) {
            collect(&error, &mut problems);
        }
        problems
    }
}

/// The innermost reasons, which say what is to be changed.
fn collect(error: &ValidationError<'_, '_>, problems: &mut Vec<String>) {
    if error.causes.is_empty() && problems.len() < PROBLEMS {
        let place = error.instance_location.to_string();
        let place = if place.is_empty() { "the whole".to_owned() } else { place };
        problems.push(words(&format!("{place}: {}", error.kind)));
    }
    error.causes.iter().for_each(|cause| collect(cause, problems));
}

fn words(text: &str) -> String {
    text.replace('\n', " ").replace(NAME, "").chars().take(LINE).collect()
}

/// Says whether all objects in it name all that they hold, and nothing is used that strict mode does not know.
fn is_strict(schema: &Value) -> bool {
    let Value::Object(fields) = schema else { return schema.is_boolean() };
    let known = fields.keys().all(|key| STRICT.contains(&key.as_str()));
    let within = |key: &str| match fields.get(key) {
        Some(Value::Object(all)) => all.values().all(is_strict),
        Some(_) => false,
        None => true,
    };
    let each = fields.get("anyOf").is_none_or(|all| all.as_array().is_some_and(|all| all.iter().all(is_strict)));
    let items = fields.get("items").is_none_or(is_strict);
    known && each && items && within("properties") && within("$defs") && names_all(fields)
}

fn names_all(fields: &Map<String, Value>) -> bool {
    let is_object = fields.get("type").is_some_and(|kind| match kind {
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "object"),
        kind => kind == "object",
    });
    if !is_object && !fields.contains_key("properties") {
        return true;
    }
    let required: Vec<&str> =
        fields.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut names = fields.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    fields.get("additionalProperties") == Some(&Value::Bool(false)) && names.all(|name| required.contains(&&**name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let schema = json!({ "type": "object", "required": ["a"], "properties": { "a": { "enum": [1] }, "b": { "type": "array", "items": { "type": "string" } } } });
        let schema = Schema::new(schema).unwrap_or_else(|why| panic!("{why}"));
        assert!(schema.problems(&json!({ "a": 1, "b": ["x"] })).is_empty());
        let problems = schema.problems(&json!({ "b": ["x", 2] })).join("; ");
        assert!(problems.contains("'a'") && problems.contains("/b/1"), "{problems}");
        assert!(!schema.problems(&Value::Null).is_empty());
    }

    #[test]
    fn nothing_outside_is_read() {
        for url in ["file:///etc/hostname", "http://127.0.0.1:1/x.json", "other.json"] {
            assert!(Schema::new(json!({ "$ref": url })).is_err(), "{url}");
        }
        assert!(Schema::new(json!({ "type": "no such type" })).is_err());
        assert!(Schema::new(json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "null" } } })).is_ok());
    }

    #[test]
    fn a_schema_is_strict_only_if_it_names_everything() {
        let shape = |value: Value| Schema::new(value).map(|schema| schema.shape()).ok();
        let strict = json!({ "type": "object", "required": ["a"], "additionalProperties": false, "properties": { "a": { "type": "string" } } });
        assert_eq!(shape(strict.clone()), Some(Shape::Strict));
        for (key, value) in [
            ("required", json!([])),
            ("additionalProperties", json!(true)),
            ("oneOf", json!([{ "type": "object" }])),
            ("properties", json!({ "a": { "type": "object" } })),
        ] {
            let mut other = strict.clone();
            other[key] = value;
            assert_eq!(shape(other), Some(Shape::Object), "{key}");
        }
        assert_eq!(shape(json!({ "type": "array" })), Some(Shape::Any));
        assert_eq!(shape(json!(true)), Some(Shape::Any));
    }
}
