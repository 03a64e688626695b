//! The settings of the policies, read and checked once.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::bytes::Regex;
use sha2::{Digest, Sha256};
use shared::config::Config;
use shared::config::layer::{Entry, parse_size};
use shared::failure::Failure;
use toml::Value;

use super::Policy;
use super::catalog::{self, POLICY_CHANGE, Rule};
use super::code::Language;
use super::content::secrets::Secrets;
use super::content::todo::Todo;
use super::scope::{Patterns, Scope, Values, broken};
use crate::finding::Severity;

/// What one policy asks.
#[derive(Debug)]
pub(crate) enum Ask {
    LineLength,
    Whitespace,
    FinalNewline,
    ConflictMarkers,
    LineEndings(Style),
    FileSize,
    ForbiddenPaths(Patterns),
    ProtectedPaths(Patterns),
    DiffSize(DiffSize),
    CommitMessage(CommitMessage),
    Documentation(Documentation),
    Coverage(Coverage),
    Tests(Tests),
    Secrets(Secrets),
    Todo(Todo),
    Licence(Licence),
    PolicyChange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Either,
    Lf,
    Crlf,
}

#[derive(Debug)]
pub(crate) struct DiffSize {
    pub(crate) max_lines: u64,
    pub(crate) max_files: u64,
    pub(crate) generated: Patterns,
}

#[derive(Debug)]
pub(crate) struct CommitMessage {
    pub(crate) subject_max: u64,
    pub(crate) body_max: u64,
    pub(crate) pattern: Option<regex::Regex>,
    pub(crate) trailers: Vec<String>,
    pub(crate) allow_wip: bool,
}

#[derive(Debug)]
pub(crate) struct Documentation {
    pub(crate) min: u64,
    pub(crate) new_items: bool,
    pub(crate) max_drop: Option<u64>,
    pub(crate) languages: Vec<Language>,
}

#[derive(Debug)]
pub(crate) struct Coverage {
    pub(crate) min: u64,
    pub(crate) max_drop: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Tests {
    pub(crate) max_fewer: u64,
    pub(crate) max_skipped: u64,
    pub(crate) max_deleted: u64,
}

#[derive(Debug)]
pub(crate) struct Licence {
    pub(crate) text: Option<String>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) lines: u64,
}

/// Reads all policies that are on, in the order of the catalog.
///
/// # Errors
/// When a setting cannot be understood.
pub(crate) fn read(config: &Config) -> Result<Vec<Policy>, Failure> {
    let mut policies = Vec::new();
    for rule in catalog::RULES {
        let prefix = format!("policies.{}.", rule.name);
        let own = config.values().into_iter().filter_map(|entry| Some((entry.key.strip_prefix(&prefix)?, entry)));
        let values = Own { rule, set: own.collect() };
        let is_on = !values.set.is_empty() || rule.name == POLICY_CHANGE;
        let Some(severity) = values.severity().filter(|_| is_on) else { continue };
        policies.push(policy(rule, severity, &values)?);
    }
    Ok(policies)
}

fn policy(rule: &'static Rule, severity: Severity, values: &Own<'_>) -> Result<Policy, Failure> {
    let kind = match rule.name {
        "line-length" => Values::Numbers,
        "file-size" => Values::Sizes,
        _ => Values::None,
    };
    let scope = Scope::everywhere(severity, values.number("max"));
    let scope = scope.narrowed(rule.name, &values.list("paths"), &values.list("exclude"))?;
    let scope = scope.overridden(rule.name, &values.list("overrides"), kind)?;
    let ask = Arc::new(ask(values)?);
    let content = values.digest(|field| !matches!(field, "severity" | "paths" | "exclude" | "overrides" | "max"));
    Ok(Policy { rule: rule.name, severity, scope, ask, settings: values.digest(|_| true), content })
}

fn ask(values: &Own<'_>) -> Result<Ask, Failure> {
    Ok(match values.rule.name {
        "line-length" => Ask::LineLength,
        "whitespace" => Ask::Whitespace,
        "final-newline" => Ask::FinalNewline,
        "conflict-markers" => Ask::ConflictMarkers,
        "line-endings" => Ask::LineEndings(match values.text("style").as_deref() {
            Some("lf") => Style::Lf,
            Some("crlf") => Style::Crlf,
            Some(_) | None => Style::Either,
        }),
        "file-size" => Ask::FileSize,
        "forbidden-paths" => Ask::ForbiddenPaths(values.patterns("patterns")?),
        "protected-paths" => Ask::ProtectedPaths(values.patterns("patterns")?),
        "diff-size" => Ask::DiffSize(DiffSize {
            max_lines: values.number("max-lines"),
            max_files: values.number("max-files"),
            generated: values.patterns("generated")?,
        }),
        "commit-message" => Ask::CommitMessage(commit_message(values)?),
        "documentation" => Ask::Documentation(documentation(values)?),
        "coverage" => Ask::Coverage(coverage(values)?),
        "tests" => Ask::Tests(Tests {
            max_fewer: values.number("max-fewer"),
            max_skipped: values.number("max-skipped"),
            max_deleted: values.number("max-deleted"),
        }),
        "secrets" => Ask::Secrets(Secrets::new(values.expressions("allow")?)),
        "todo" => Ask::Todo(todo(values)?),
        "licence" => Ask::Licence(Licence {
            text: values.text("text"),
            pattern: values.expression("pattern")?,
            lines: values.number("lines"),
        }),
        _ => Ask::PolicyChange,
    })
}

fn commit_message(values: &Own<'_>) -> Result<CommitMessage, Failure> {
    let read = |text: String| regex::Regex::new(&text).map_err(|e| values.broken("pattern", e));
    let trailers = values.list("trailers");
    let is_token = |text: &&String| text.is_empty() || text.contains(|c: char| c != '-' && !c.is_ascii_alphanumeric());
    if let Some(bad) = trailers.iter().find(is_token) {
        return Err(values.broken("trailers", format!("'{}' is no name of a trailer", bad.escape_debug())));
    }
    Ok(CommitMessage {
        subject_max: values.number("subject-max"),
        body_max: values.number("body-max"),
        pattern: values.text("pattern").map(read).transpose()?,
        trailers,
        allow_wip: values.switch("allow-wip"),
    })
}

fn refuse_beyond_100(values: &Own<'_>) -> Result<(), Failure> {
    match ["min", "max-drop"].into_iter().find(|field| values.number(field) > 100) {
        Some(field) => Err(values.broken(field, "more than 100 per cent")),
        None => Ok(()),
    }
}

fn coverage(values: &Own<'_>) -> Result<Coverage, Failure> {
    refuse_beyond_100(values)?;
    let max_drop = values.set.contains_key("max-drop").then(|| values.number("max-drop"));
    Ok(Coverage { min: values.number("min"), max_drop })
}

fn documentation(values: &Own<'_>) -> Result<Documentation, Failure> {
    refuse_beyond_100(values)?;
    let mut languages = Vec::new();
    for name in values.list("languages") {
        let found = Language::named(&name);
        if found.is_empty() {
            let known = "rust, python, typescript, javascript, go";
            return Err(values.broken("languages", format!("'{}' is none of {known}", name.escape_debug())));
        }
        languages.extend_from_slice(found);
    }
    Ok(Documentation {
        min: values.number("min"),
        new_items: values.switch("new-items"),
        max_drop: values.set.contains_key("max-drop").then(|| values.number("max-drop")),
        languages,
    })
}

fn todo(values: &Own<'_>) -> Result<Todo, Failure> {
    let words = values.list("words");
    if words.is_empty() || words.iter().any(|word| word.trim().is_empty()) {
        return Err(values.broken("words", "there is no word to look for"));
    }
    Ok(Todo::new(&words, values.expression("reference")?))
}

/// The keys of one rule that are set.
struct Own<'a> {
    rule: &'static Rule,
    set: BTreeMap<&'a str, &'a Entry>,
}

impl Own<'_> {
    /// The value of a key, or what counts if it is not set.
    fn value(&self, field: &str) -> Option<Value> {
        match self.set.get(field) {
            Some(entry) => Some(entry.value.clone()),
            None => self.rule.field(field).and_then(|field| field.default.parse().ok()),
        }
    }

    /// Nothing if the policy is off.
    fn severity(&self) -> Option<Severity> {
        match self.text("severity").as_deref() {
            Some("off") => None,
            Some("note") => Some(Severity::Note),
            Some("warning") => Some(Severity::Warning),
            Some(_) | None => Some(Severity::Error),
        }
    }

    fn number(&self, field: &str) -> u64 {
        match self.value(field) {
            Some(Value::Integer(number)) => number.try_into().unwrap_or(0),
            Some(Value::String(size)) => parse_size(&size).unwrap_or(0),
            Some(_) | None => 0,
        }
    }

    fn switch(&self, field: &str) -> bool {
        self.value(field).and_then(|value| value.as_bool()).unwrap_or(false)
    }

    fn text(&self, field: &str) -> Option<String> {
        self.value(field).and_then(|value| value.as_str().map(str::to_owned)).filter(|text| !text.is_empty())
    }

    fn list(&self, field: &str) -> Vec<String> {
        let value = self.value(field);
        let items = value.as_ref().and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    fn patterns(&self, field: &str) -> Result<Patterns, Failure> {
        Patterns::parse(&self.key(field), &self.list(field))
    }

    fn expression(&self, field: &str) -> Result<Option<Regex>, Failure> {
        self.text(field).map(|text| Regex::new(&text).map_err(|e| self.broken(field, e))).transpose()
    }

    fn expressions(&self, field: &str) -> Result<Vec<Regex>, Failure> {
        self.list(field).iter().map(|text| Regex::new(text).map_err(|e| self.broken(field, e))).collect()
    }

    fn key(&self, field: &str) -> String {
        format!("policies.{}.{field}", self.rule.name)
    }

    /// Says which setting cannot be understood, and where it stands.
    fn broken(&self, field: &str, why: impl std::fmt::Display) -> Failure {
        // An expression's fault is drawn over several lines, the last of which says it.
        let why = why.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        match self.set.get(field) {
            Some(entry) => Failure::could_not("broken-config", format!("{}: '{}': {why}", entry.origin, entry.key)),
            None => broken(&self.key(field), why),
        }
    }

    /// The hash of the values that count of some keys, set or not.
    fn digest(&self, includes: impl Fn(&str) -> bool) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for field in self.rule.fields.iter().filter(|field| includes(field.name)) {
            let value = self.value(field.name).map(|value| value.to_string()).unwrap_or_default();
            for part in [field.name, &value] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        hasher.finalize().into()
    }
}
