//! A checker for the part of JSON Schema that the published schemas use.
//!
//! It refuses keywords that it does not know, so that no rule is passed over. It asks for more than
//! the standard: each key of an answer must be named by its schema, unless the schema declares a
//! map, and it records what was seen, so that a schema cannot promise what no answer holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use regex::Regex;
use serde_json::Value;

use super::super::top;

/// The published schemas by name, and the places in them that answers have reached.
pub(super) struct Schemas {
    files: BTreeMap<String, Value>,
    seen: BTreeSet<String>,
}

impl Schemas {
    /// Reads all of `shared/schemas`.
    pub(super) fn load() -> Schemas {
        let read = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            let schema: Value = serde_json::from_slice(&fs::read(entry.path()).unwrap()).unwrap();
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
            assert!(schema["title"].is_string(), "{name} has no title");
            (name, schema)
        };
        let entries = fs::read_dir(top().join("shared/schemas")).unwrap();
        Schemas { files: entries.map(|entry| read(entry.unwrap())).collect(), seen: BTreeSet::new() }
    }

    /// Says whether there is a schema of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(&format!("{name}.json"))
    }

    /// Lists what is wrong with a value, by the schema of this name.
    pub(super) fn check(&mut self, name: &str, value: &Value) -> Vec<String> {
        let file = format!("{name}.json");
        let schema = self.files.get(&file).unwrap_or_else(|| panic!("there is no shared/schemas/{file}"));
        let mut walk = Walk { files: &self.files, problems: Vec::new(), seen: BTreeSet::new() };
        walk.value(&Place { file: &file, pointer: String::new(), schema }, value, "");
        let Walk { problems, seen, .. } = walk;
        self.seen.extend(seen);
        problems
    }

    /// Lists the properties of some files that no answer had, or only as null.
    pub(super) fn unseen(&self, chosen: impl Fn(&str) -> bool) -> Vec<String> {
        let mut all = BTreeSet::new();
        for (name, schema) in self.files.iter().filter(|(name, _)| chosen(name)) {
            properties(schema, &format!("{name}#"), &mut all);
        }
        all.difference(&self.seen).cloned().collect()
    }
}

fn properties(schema: &Value, at: &str, all: &mut BTreeSet<String>) {
    for (keyword, rule) in schema.as_object().into_iter().flatten() {
        match (keyword.as_str(), rule) {
            ("properties" | "$defs", Value::Object(parts)) => {
                for (name, part) in parts {
                    let at = format!("{at}/{keyword}/{name}");
                    properties(part, &at, all);
                    if keyword == "properties" {
                        all.insert(at);
                    }
                }
            }
            ("anyOf", Value::Array(parts)) => {
                parts.iter().enumerate().for_each(|(n, part)| properties(part, &format!("{at}/anyOf/{n}"), all));
            }
            ("items" | "additionalProperties", part) => properties(part, &format!("{at}/{keyword}"), all),
            _ => {}
        }
    }
}

/// A schema, and where it stands.
struct Place<'a> {
    file: &'a str,
    pointer: String,
    schema: &'a Value,
}

impl<'a> Place<'a> {
    fn below(&self, step: &str, schema: &'a Value) -> Place<'a> {
        Place { file: self.file, pointer: format!("{}/{step}", self.pointer), schema }
    }
}

/// The keys of an object that its schema names.
#[derive(Default)]
struct Known {
    names: BTreeSet<String>,
    is_map: bool,
}

impl Known {
    fn add(&mut self, other: Known) {
        self.names.extend(other.names);
        self.is_map |= other.is_map;
    }
}

struct Walk<'a> {
    files: &'a BTreeMap<String, Value>,
    problems: Vec<String>,
    seen: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    /// Checks a value, and that its schema names all its keys.
    fn value(&mut self, place: &Place<'a>, value: &Value, path: &str) {
        let known = self.rules(place, value, path);
        for key in value.as_object().into_iter().flat_map(|object| object.keys()) {
            if !known.is_map && !known.names.contains(key) {
                self.problems
                    .push(format!("{path}/{key} is printed, but {}#{} does not name it", place.file, place.pointer));
            }
        }
    }

    fn rules(&mut self, place: &Place<'a>, value: &Value, path: &str) -> Known {
        let mut known = Known::default();
        let rules = place.schema.as_object().unwrap_or_else(|| panic!("{}#{} is no schema", place.file, place.pointer));
        for (keyword, rule) in rules {
            match keyword.as_str() {
                "$schema" | "title" | "description" | "examples" | "$defs" => {}
                "$ref" => known.add(self.rules(&self.target(place, rule), value, path)),
                "anyOf" => known.add(self.any_of(place, rule, value, path)),
                "properties" => known.add(self.properties(place, rule, value, path)),
                "additionalProperties" => known.add(self.map(place, rule, value, path)),
                "items" => {
                    let place = place.below("items", rule);
                    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.value(&place, item, &format!("{path}/{n}"));
                    }
                }
                _ => {
                    if !holds(keyword, rule, value) {
                        self.problems.push(format!("{path} is {value}, but {keyword} says {rule}"));
                    }
                }
            }
        }
        known
    }

    /// Finds what a reference means: `#/…` in the same file, or `<file>` with or without it.
    fn target(&self, place: &Place<'a>, rule: &Value) -> Place<'a> {
        let text = rule.as_str().unwrap();
        let (file, pointer) = text.split_once('#').unwrap_or((text, ""));
        let file = if file.is_empty() { place.file } else { file };
        let found = self.files.get_key_value(file).and_then(|(file, whole)| Some((file, whole.pointer(pointer)?)));
        let (file, schema) = found.unwrap_or_else(|| panic!("{} refers to {text}, which is not there", place.file));
        Place { file, pointer: pointer.to_owned(), schema }
    }

    fn any_of(&mut self, place: &Place<'a>, rule: &'a Value, value: &Value, path: &str) -> Known {
        let mut known = Known::default();
        let mut reasons = Vec::new();
        let mut fits = false;
        for (n, branch) in rule.as_array().unwrap().iter().enumerate() {
            let mut walk = Walk { files: self.files, problems: Vec::new(), seen: BTreeSet::new() };
            let names = walk.rules(&place.below(&format!("anyOf/{n}"), branch), value, path);
            if walk.problems.is_empty() {
                fits = true;
                known.add(names);
                self.seen.extend(walk.seen);
            } else {
                reasons.extend(walk.problems);
            }
        }
        if !fits {
            self.problems.push(format!("{path} fits nothing that it may be: {}", reasons.join("; ")));
        }
        known
    }

    fn properties(&mut self, place: &Place<'a>, rule: &'a Value, value: &Value, path: &str) -> Known {
        let parts = rule.as_object().unwrap();
        for (name, part) in parts {
            let Some(value) = value.get(name) else { continue };
            let place = place.below(&format!("properties/{name}"), part);
            if !value.is_null() {
                self.seen.insert(format!("{}#{}", place.file, place.pointer));
            }
            self.value(&place, value, &format!("{path}/{name}"));
        }
        Known { names: parts.keys().cloned().collect(), is_map: false }
    }

    /// A map: each value is as the rule says.
    fn map(&mut self, place: &Place<'a>, rule: &'a Value, value: &Value, path: &str) -> Known {
        let own = &place.schema["properties"];
        for (name, value) in value.as_object().into_iter().flatten().filter(|(name, _)| own.get(name).is_none()) {
            self.value(&place.below("additionalProperties", rule), value, &format!("{path}/{name}"));
        }
        Known { is_map: true, ..Known::default() }
    }
}

/// The rules about a value by itself. As the standard has it, each says nothing of other types.
fn holds(keyword: &str, rule: &Value, value: &Value) -> bool {
    let number = || rule.as_f64().unwrap();
    let text = || rule.as_str().unwrap();
    match keyword {
        "const" => value == rule,
        "enum" => rule.as_array().unwrap().contains(value),
        "type" => match rule {
            Value::Array(types) => types.iter().any(|one| is_of_type(one.as_str().unwrap(), value)),
            one => is_of_type(one.as_str().unwrap(), value),
        },
        "required" => {
            let names = rule.as_array().unwrap();
            value.as_object().is_none_or(|object| names.iter().all(|name| object.contains_key(name.as_str().unwrap())))
        }
        "minProperties" => value.as_object().is_none_or(|object| object.len() as f64 >= number()),
        "minimum" => value.as_f64().is_none_or(|found| found >= number()),
        "maximum" => value.as_f64().is_none_or(|found| found <= number()),
        "minLength" => value.as_str().is_none_or(|found| found.chars().count() as f64 >= number()),
        "pattern" => value.as_str().is_none_or(|found| Regex::new(text()).unwrap().is_match(found)),
        "format" if text() == "date-time" => {
            let time = Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$").unwrap();
            value.as_str().is_none_or(|found| time.is_match(found))
        }
        _ => panic!("the checker does not know the keyword '{keyword}' ({rule})"),
    }
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type '{other}'"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(schema: Value, value: Value) -> usize {
        let files = BTreeMap::from([("x.json".to_owned(), schema)]);
        Schemas { files, seen: BTreeSet::new() }.check("x", &value).len()
    }

    #[test]
    fn the_checker_finds_what_is_wrong() {
        let schema = json!({
            "type": "object", "required": ["a"],
            "properties": {
                "a": { "type": ["integer", "null"], "minimum": 1 }, "b": { "$ref": "#/$defs/b" },
                "c": { "anyOf": [{ "$ref": "#/$defs/b" }, { "type": "null" }] },
                "m": { "type": "object", "additionalProperties": { "type": "string", "pattern": "^x" } }
            },
            "$defs": { "b": { "type": "array", "items": { "properties": { "t": { "format": "date-time" } } } } }
        });
        let good = json!({ "a": 2, "b": [{ "t": "2026-03-01T09:30:00.5Z" }], "c": null, "m": { "any": "x" } });
        assert_eq!(problems(schema.clone(), good), 0);
        for bad in [
            json!({}),
            json!([]),
            json!({ "a": 0 }),
            json!({ "a": 1.5 }),
            json!({ "a": "1" }),
            json!({ "a": 1, "new": 1 }),
            json!({ "a": 1, "b": {} }),
            json!({ "a": 1, "b": [{ "t": "yesterday" }] }),
            json!({ "a": 1, "b": [{ "new": 1 }] }),
            json!({ "a": 1, "c": [{ "new": 1 }] }),
            json!({ "a": 1, "m": { "any": "y" } }),
        ] {
            assert_eq!(problems(schema.clone(), bad.clone()), 1, "{bad}");
        }
    }
}
