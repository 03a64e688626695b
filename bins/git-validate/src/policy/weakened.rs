//! Whether a change of the repository's settings lets the gate ask for less.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use shared::config::REPOSITORY_FILE;
use shared::config::layer::{self, Entry, Layer, parse_size};
use shared::failure::Failure;
use toml::Value;

use super::catalog::{POLICY_CHANGE, RULES, Rule, Weaker};
use super::objects::Blob;
use super::outcome::Gather;
use super::tree::file_at;
use super::{Ground, Outcome, Policy};
use crate::finding::Severity;

/// One thing that is weaker, or may be.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    line: u32,
    severity: Severity,
    message: String,
}

/// Judges the change of the settings file.
pub(super) fn judge(ground: &Ground<'_>, policy: &Policy) -> Result<Outcome, Failure> {
    let mut gather = Gather::of(policy);
    let Some(base) = ground.scene.base else { return Ok(gather.end()) };
    let old = file_at(&ground.objects, base, REPOSITORY_FILE)?;
    let new = file_at(&ground.objects, ground.scene.tree, REPOSITORY_FILE)?;
    if old == new {
        return Ok(gather.end());
    }
    let read = |id: Option<gix::ObjectId>| -> Result<Result<Vec<Entry>>> {
        let Some(id) = id else { return Ok(Ok(Vec::new())) };
        ground.objects.blob(id, |blob| match blob {
            Blob::Data(data) => layer::from_toml(data, Layer::Repository, Path::new(REPOSITORY_FILE)),
            Blob::TooLarge(_) => Err(anyhow::anyhow!("'{REPOSITORY_FILE}' is larger than 1 MiB")),
        })
    };
    // What could not be read before asked for nothing.
    let old = read(old)?.unwrap_or_default();
    let faults = match read(new)? {
        Ok(new) => {
            let agreed = ground.scene.cx.config()?.is_trusted() && checks_of(&in_force(ground)?) == checks_of(&new);
            faults(&old, &new, &elsewhere(ground)?, agreed)
        }
        Err(error) => vec![Fault { line: 0, severity: Severity::Error, message: format!("{error:#}") }],
    };
    for fault in faults {
        let severity = fault.severity.min(policy.severity);
        gather.add(REPOSITORY_FILE.as_bytes(), fault.line, severity, || fault.message);
    }
    Ok(gather.end())
}

/// The rules that somebody else than the repository has switched on; what it adds may weaken them.
fn elsewhere(ground: &Ground<'_>) -> Result<BTreeSet<&'static str>, Failure> {
    let config = ground.scene.cx.config()?;
    let own = config.values().into_iter().filter(|entry| !entry.origin.layer.is_foreign());
    let keys: Vec<&str> = own.map(|entry| entry.key.as_str()).collect();
    let is_set = |rule: &&Rule| keys.iter().any(|key| field_of(key, rule.name).is_some());
    Ok(RULES.iter().filter(is_set).map(|rule| rule.name).collect())
}

/// What the main checkout's file says.
fn in_force(ground: &Ground<'_>) -> Result<Vec<Entry>, Failure> {
    let config = ground.scene.cx.config()?;
    let all = config.values().into_iter().chain(config.withheld());
    Ok(all.filter(|entry| entry.origin.layer == Layer::Repository).cloned().collect())
}

/// The checks, without where they stand.
fn checks_of(entries: &[Entry]) -> BTreeMap<&str, String> {
    let checks = entries.iter().filter(|entry| entry.key.starts_with("checks."));
    checks.map(|entry| (entry.key.as_str(), entry.value.to_string())).collect()
}

fn field_of<'a>(key: &'a str, rule: &str) -> Option<&'a str> {
    key.strip_prefix("policies.")?.strip_prefix(rule)?.strip_prefix('.')
}

/// `agreed`: the user has seen the new checks and trusts them.
fn faults(old: &[Entry], new: &[Entry], elsewhere: &BTreeSet<&str>, agreed: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for rule in RULES.iter().filter(|rule| rule.name != POLICY_CHANGE) {
        let of = |entries| Own { rule, set: set_of(entries, |key| field_of(key, rule.name)) };
        compare_policy(&of(old), &of(new), elsewhere.contains(rule.name), &mut faults);
    }
    if !agreed {
        compare_checks(old, new, &mut faults);
    }
    faults.sort_by_key(|fault| fault.line);
    faults
}

fn set_of<'a>(entries: &'a [Entry], field: impl Fn(&'a str) -> Option<&'a str>) -> BTreeMap<&'a str, &'a Entry> {
    entries.iter().filter_map(|entry| Some((field(&entry.key)?, entry))).collect()
}

/// What one side says of one rule.
struct Own<'a> {
    rule: &'static Rule,
    set: BTreeMap<&'a str, &'a Entry>,
}

impl Own<'_> {
    fn is_off(&self) -> bool {
        self.set.get("severity").is_some_and(|entry| entry.value.as_str() == Some("off"))
    }

    fn value(&self, field: &str) -> Option<Value> {
        let default = || self.rule.field(field).and_then(|field| field.default.parse().ok());
        self.set.get(field).map(|entry| entry.value.clone()).or_else(default)
    }

    fn line(&self, field: &str) -> u32 {
        self.set.get(field).map_or(0, |entry| line_of(entry))
    }
}

fn line_of(entry: &Entry) -> u32 {
    entry.origin.line.and_then(|line| line.try_into().ok()).unwrap_or(0)
}

fn compare_policy(old: &Own<'_>, new: &Own<'_>, is_on_elsewhere: bool, faults: &mut Vec<Fault>) {
    let rule = old.rule;
    if old.is_off() || (old.set.is_empty() && !is_on_elsewhere) {
        return;
    }
    let mut add = |line, severity, message| faults.push(Fault { line, severity, message });
    if new.is_off() {
        add(new.line("severity"), Severity::Error, format!("the policy '{}' is switched off", rule.name));
        return;
    }
    if new.set.is_empty() && !is_on_elsewhere {
        add(0, Severity::Error, format!("the policy '{}' is taken away", rule.name));
        return;
    }
    for field in rule.fields {
        let (before, after) = (old.value(field.name), new.value(field.name));
        if before == after {
            continue;
        }
        let severity = match change(field.weaker, before.as_ref(), after.as_ref()) {
            Change::Stricter => continue,
            Change::Weaker => Severity::Error,
            Change::Unclear => Severity::Warning,
        };
        let what = if severity == Severity::Error { "asks for less" } else { "asks for something else" };
        let (before, after) = (told(before.as_ref()), told(after.as_ref()));
        let key = format!("policies.{}.{}", rule.name, field.name);
        add(new.line(field.name), severity, format!("'{key}' {what}: it was {before} and is {after}"));
    }
}

/// A value in a message, of a long one the beginning.
fn told(value: Option<&Value>) -> String {
    let Some(value) = value else { return "not set".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Stricter,
    Weaker,
    Unclear,
}

fn change(weaker: Weaker, old: Option<&Value>, new: Option<&Value>) -> Change {
    let is_weaker = match weaker {
        Weaker::Lower => rank(new) < rank(old),
        Weaker::Larger => number(new).unwrap_or(u64::MAX) > number(old).unwrap_or(u64::MAX),
        Weaker::LargerOrNone => limit(new) > limit(old),
        Weaker::Smaller => number(new) < number(old),
        Weaker::More => !list(new).is_subset(&list(old)),
        Weaker::Fewer => !list(old).is_subset(&list(new)),
        Weaker::Narrower => !list(new).is_empty() && (list(old).is_empty() || !list(old).is_subset(&list(new))),
        Weaker::On => new.and_then(Value::as_bool) == Some(true),
        Weaker::Off => new.and_then(Value::as_bool) != Some(true),
        Weaker::Other => return Change::Unclear,
    };
    // The order of patterns counts, for the last that matches wins.
    let is_reordered = matches!(weaker, Weaker::More | Weaker::Narrower) && list(new) == list(old);
    match (is_weaker, is_reordered) {
        (true, _) => Change::Weaker,
        (false, true) => Change::Unclear,
        (false, false) if has_exceptions(old) || has_exceptions(new) => Change::Unclear,
        (false, false) => Change::Stricter,
    }
}

/// Says whether a pattern takes back what another one names.
fn has_exceptions(value: Option<&Value>) -> bool {
    list(value).iter().any(|item| item.starts_with('!'))
}

fn rank(value: Option<&Value>) -> usize {
    let words = ["off", "note", "warning", "error"];
    words.iter().position(|word| value.and_then(Value::as_str) == Some(*word)).unwrap_or(words.len() - 1)
}

fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Integer(number) => (*number).try_into().ok(),
        Value::String(size) => parse_size(size),
        _ => None,
    }
}

/// A number of which 0 means none at all.
fn limit(value: Option<&Value>) -> u64 {
    number(value).filter(|number| *number > 0).unwrap_or(u64::MAX)
}

fn list(value: Option<&Value>) -> BTreeSet<&str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

fn compare_checks(old: &[Entry], new: &[Entry], faults: &mut Vec<Fault>) {
    let checks = |entries| -> BTreeMap<&str, &Entry> { set_of(entries, |key| key.strip_prefix("checks.")) };
    let (old, new) = (checks(old), checks(new));
    let name_of = |key: &str| key.rsplit_once('.').map_or(key, |(name, _)| name).to_owned();
    let kept: BTreeSet<String> = new.keys().map(|key| name_of(key)).collect();
    let names: BTreeSet<String> = old.keys().map(|key| name_of(key)).collect();
    for name in names.iter().filter(|name| !kept.contains(*name)) {
        let message = format!("the check '{name}' is taken away");
        faults.push(Fault { line: 0, severity: Severity::Error, message });
    }
    let keys: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    for key in keys.into_iter().filter(|key| names.contains(&name_of(key)) && kept.contains(&name_of(key))) {
        let value = |side: &BTreeMap<&str, &Entry>| side.get(key).map(|entry| entry.value.clone());
        let (before, after) = (value(&old), value(&new));
        if before == after {
            continue;
        }
        let is_weaker = |weaker| change(weaker, before.as_ref(), after.as_ref()) == Change::Weaker;
        let severity = match key.rsplit('.').next() {
            Some("command" | "shell") => Severity::Warning,
            // Without a word each of these means all.
            Some("paths" | "inputs" | "stage") if is_weaker(Weaker::Narrower) => Severity::Error,
            Some("exclude") if is_weaker(Weaker::More) => Severity::Error,
            Some("outputs") if is_weaker(Weaker::Fewer) => Severity::Error,
            Some(_) | None => Severity::Note,
        };
        let (before, after) = (told(before.as_ref()), told(after.as_ref()));
        let line = new.get(key).map_or(0, |entry| line_of(entry));
        faults.push(Fault { line, severity, message: format!("'checks.{key}' was {before} and is {after}") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(old: &str, new: &str) -> Vec<String> {
        let read = |text: &str| layer::from_toml(text.as_bytes(), Layer::Repository, Path::new("c")).unwrap();
        let all = faults(&read(old), &read(new), &BTreeSet::from(["secrets"]), false);
        all.into_iter().map(|fault| format!("{}:{}: {}", fault.line, fault.severity, fault.message)).collect()
    }

    #[test]
    fn what_asks_for_less_is_an_error() {
        let old = "[policies.line-length]\nmax = 100\n[policies.todo]\nwords = [\"A\", \"B\"]\n";
        let less = |new: &str| found(old, new).first().cloned().unwrap_or_default();
        let keep = "[policies.todo]\nwords = [\"A\", \"B\"]\n";
        assert_eq!(less(keep), "0:error: the policy 'line-length' is taken away");
        let line = |text: &str| less(&format!("{keep}[policies.line-length]\n{text}"));
        assert_eq!(line("severity = \"off\""), "4:error: the policy 'line-length' is switched off");
        assert!(line("max = 101").contains("asks for less: it was 100 and is 101"));
        assert!(line("severity = \"error\"").contains("it was 100 and is 120"));
        assert!(line("max = 100\nseverity = \"note\"").contains("'policies.line-length.severity' asks for less"));
        assert!(line("max = 100\nexclude = [\"*.md\"]").starts_with("5:error: 'policies.line-length.exclude'"));
        assert!(line("max = 100\npaths = [\"src\"]").contains("policies.line-length.paths"));
        assert_eq!(line("max = 80\nseverity = \"error\""), "");
        assert!(
            found(old, "[policies.line-length]\nmax = 100\n[policies.todo]\nwords = [\"A\"]\n")[0].contains("words")
        );
        assert!(found("", "[policies.secrets]\nallow = [\".\"]\n")[0].contains("policies.secrets.allow"));
        assert!(found("", "[policies.todo]\nexclude = [\"x\"]\n").is_empty());
    }

    #[test]
    fn checks_do_not_go_away_and_do_not_change_unseen() {
        let old = "[[checks]]\nname = \"unit\"\ncommand = [\"make\"]\n";
        assert_eq!(found(old, ""), ["0:error: the check 'unit' is taken away"]);
        let other = found(old, "[[checks]]\nname = \"unit\"\ncommand = [\"true\"]\n");
        assert_eq!(other, ["3:warning: 'checks.unit.command' was [\"make\"] and is [\"true\"]"]);
        let narrow = found(old, "[[checks]]\nname = \"unit\"\ncommand = [\"make\"]\npaths = [\"x\"]\n");
        assert!(narrow[0].starts_with("4:error: 'checks.unit.paths'"), "{narrow:?}");
        let shell = |script: &str| format!("[[checks]]\nname = \"unit\"\nshell = \"make\"\n{script}\n");
        let of_shell = |new: &str| found(&shell(""), new).first().cloned().unwrap_or_default();
        assert!(of_shell(&shell("").replace("make", "true")).starts_with("3:warning: 'checks.unit.shell'"));
        for field in ["inputs = [\"x\"]", "stage = [\"complete\"]", "exclude = [\"x\"]"] {
            assert!(of_shell(&shell(field)).starts_with("4:error: 'checks.unit."), "{field}");
            let more = found(&shell(field), &shell(""));
            assert!(more[0].starts_with("0:note: 'checks.unit."), "{more:?}");
        }
        let fewer = found(&shell("outputs = [\"junit:a.xml\"]"), &shell(""));
        assert!(fewer[0].starts_with("0:error: 'checks.unit.outputs'"), "{fewer:?}");
    }
}
