//! `git validate policy list` and `explain`: what can be asked of a tree.

use std::fmt;

use serde::Serialize;
use shared::app::Context;
use shared::config::layer::Entry;
use shared::config::schema::{self, Class, Kind};
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

use super::catalog::{self, Rule};
use super::{check, configured};
use crate::finding::Severity;

/// What to do with the policies.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the policies that there are, and which are on
    List,
    Explain(ExplainArgs),
    Check(check::Args),
}

/// List and explain the policies, or judge a tree by them alone
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// Explain a policy: what it asks, its settings, how a finding is put right
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// Policy to explain
    #[arg(value_name = "rule")]
    rule: String,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    match args.command {
        Command::List => list(cx),
        Command::Explain(args) => explain(cx, &args.rule),
        Command::Check(args) => check::run(cx, args),
    }
}

/// Says that there is no policy of that name.
pub(super) fn unknown(name: &str) -> Failure {
    let names: Vec<&str> = catalog::RULES.iter().map(|rule| rule.name).collect();
    Failure::usage(format!("there is no policy '{}'; there are {}", name.escape_debug(), names.join(", ")))
}

#[derive(Debug, Serialize)]
struct Row {
    rule: &'static str,
    on: bool,
    /// Nothing if it is off.
    severity: Option<Severity>,
    asks: &'static str,
}

#[derive(Debug, Serialize)]
struct List {
    policies: Vec<Row>,
}

fn list(cx: &Context) -> Result<Status, Failure> {
    let on = configured(cx)?;
    let row = |rule: &Rule| {
        let own = on.iter().find(|policy| policy.rule == rule.name);
        Row { rule: rule.name, on: own.is_some(), severity: own.map(|policy| policy.severity), asks: rule.asks }
    };
    cx.output.answer(&List { policies: catalog::RULES.iter().map(row).collect() })?;
    Ok(Status::Done)
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.policies.iter().map(|row| row.rule.len()).max().unwrap_or(0);
        for row in &self.policies {
            let state = row.severity.map_or_else(|| "off".to_owned(), |severity| severity.to_string());
            writeln!(f, "{:width$}  {state:7}  {}", row.rule, row.asks)?;
        }
        Ok(())
    }
}

#[derive(Debug, Serialize)]
struct Key {
    key: String,
    kind: String,
    /// As TOML; nothing if there is none.
    default: Option<String>,
    /// As TOML; nothing if it is not set.
    value: Option<String>,
    /// Where the value comes from.
    origin: Option<String>,
    about: &'static str,
}

#[derive(Debug, Serialize)]
struct Explanation {
    rule: &'static str,
    on: bool,
    severity: Option<Severity>,
    asks: &'static str,
    fix: &'static str,
    keys: Vec<Key>,
}

fn explain(cx: &Context, name: &str) -> Result<Status, Failure> {
    let rule = catalog::find(name).ok_or_else(|| unknown(name))?;
    let config = cx.config()?;
    let values = config.values();
    let key = |field: &catalog::Field| {
        let key = format!("policies.{}.{}", rule.name, field.name);
        let set: Option<&&Entry> = values.iter().find(|entry| entry.key == key);
        let known = schema::find(&key);
        Key {
            kind: known.map(|key| kind_text(key.kind)).unwrap_or_default(),
            default: Some(field.default).filter(|text| !text.is_empty()).map(str::to_owned),
            value: set.map(|entry| entry.value.to_string()),
            origin: set.map(|entry| entry.origin.to_string()),
            about: known.map_or("", |key| key.about),
            key,
        }
    };
    let on = configured(cx)?.into_iter().find(|policy| policy.rule == rule.name);
    cx.output.answer(&Explanation {
        rule: rule.name,
        on: on.is_some(),
        severity: on.map(|policy| policy.severity),
        asks: rule.asks,
        fix: rule.fix,
        keys: rule.fields.iter().map(key).collect(),
    })?;
    Ok(Status::Done)
}

fn kind_text(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Integer => "number".to_owned(),
        Kind::Duration => "time span".to_owned(),
        Kind::Size => "size".to_owned(),
        Kind::List => "list of texts".to_owned(),
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.severity.map_or_else(|| "off".to_owned(), |severity| format!("on, {severity}"));
        writeln!(f, "{} ({state})", self.rule)?;
        writeln!(f, "  {}", self.asks)?;
        writeln!(f, "  To put a finding right: {}", self.fix)?;
        for key in &self.keys {
            writeln!(f, "\n  {}  ({})", key.key, key.kind)?;
            writeln!(f, "    {}", key.about)?;
            if let Some(default) = &key.default {
                writeln!(f, "    default: {default}")?;
            }
            if let (Some(value), Some(origin)) = (&key.value, &key.origin) {
                writeln!(f, "    value:   {}  ({})", Foreign(value), Foreign(origin))?;
            }
        }
        let is_users =
            schema::find(&format!("policies.{}.severity", self.rule)).is_some_and(|k| k.class == Class::User);
        if is_users {
            writeln!(f, "\n  It is always on; only the user may change that.")?;
        }
        Ok(())
    }
}
