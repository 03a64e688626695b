//! The layers that settings come from, each read into the same flat entries.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use toml::Value;
use toml_edit::{Document, Item, TableLike};

use super::schema::{self, Kind};
use crate::clock;
use crate::refusal::Refusal;
use crate::repository::{Scope, Setting};

/// A config file may not be larger, in bytes.
pub(super) const MAX_SIZE: usize = 1 << 20;

/// The layers, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Built into the programs.
    BuiltIn,
    /// `codex-agents/config.toml` of the user.
    User,
    /// `codex-agents.*` in the user's or the system's git configuration.
    UserGit,
    /// `.codex-agent/config.toml` of the repository.
    Repository,
    /// `codex-agents.*` in the repository's own git configuration.
    RepositoryGit,
    /// `CODEX_AGENTS_…` in the environment.
    Environment,
    /// `git -c codex-agents.…`.
    CommandLine,
}

impl Layer {
    /// Says whether a cloned repository can have written this layer.
    pub fn is_foreign(self) -> bool {
        matches!(self, Layer::Repository | Layer::RepositoryGit)
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its layer.
    pub layer: Layer,
    /// Its file, if it has one.
    pub file: Option<PathBuf>,
    /// Its line in the file, from 1.
    pub line: Option<usize>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}", file.display()),
            (Some(file), None) => write!(f, "{}", file.display()),
            (None, _) => f.write_str(match self.layer {
                Layer::BuiltIn => "built in",
                Layer::User | Layer::Repository => "file",
                Layer::UserGit | Layer::RepositoryGit => "git config",
                Layer::Environment => "environment",
                Layer::CommandLine => "git -c",
            }),
        }
    }
}

/// One value of one key in one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The full name of the key.
    pub key: String,
    /// Its value, of the key's kind.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// Returns the built-in values.
pub fn built_in() -> Vec<Entry> {
    let origin = Origin { layer: Layer::BuiltIn, file: None, line: None };
    schema::KEYS
        .iter()
        .filter(|key| !key.default.is_empty() && !key.name.contains('*'))
        .map(|key| Entry {
            key: key.name.to_owned(),
            value: key.default.parse().expect("a test parses every default"),
            origin: origin.clone(),
        })
        .collect()
}

/// Reads a TOML file of settings; `place` names it in messages.
///
/// # Errors
/// When it is no TOML, has an unknown key, or a value of the wrong kind; each names file and line.
pub fn from_toml(bytes: &[u8], layer: Layer, place: &Path) -> Result<Vec<Entry>> {
    if bytes.len() > MAX_SIZE {
        bail!(Refusal::new("broken-config", format!("'{}' is larger than 1 MiB", place.display())));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
        Refusal::new("broken-config", format!("{}:{line}: not UTF-8", place.display()))
    })?;
    let document = Document::parse(text).map_err(|e| {
        let line = e.span().map_or(1, |span| line_of(text, span.start));
        Refusal::new("broken-config", format!("{}:{line}: {}", place.display(), e.message()))
    })?;
    let mut reader = Reader { text, layer, place, entries: Vec::new() };
    reader.table(document.as_table(), "")?;
    Ok(reader.entries)
}

struct Reader<'a> {
    text: &'a str,
    layer: Layer,
    place: &'a Path,
    entries: Vec<Entry>,
}

impl Reader<'_> {
    fn table(&mut self, table: &dyn TableLike, prefix: &str) -> Result<()> {
        for (name, item) in table.iter() {
            let span = table.get_key_value(name).and_then(|(key, _)| key.span()).or_else(|| item.span());
            let line = span.map(|span| line_of(self.text, span.start));
            let key = format!("{prefix}{name}");
            if let Item::ArrayOfTables(tables) = item {
                self.named_tables(tables.iter().map(|table| table as &dyn TableLike), &key, line)?;
            } else if let Some(table) = item.as_table_like() {
                self.table(table, &format!("{key}."))?;
            } else {
                self.value(&key, item, line)?;
            }
        }
        Ok(())
    }

    /// `[[checks]]` with a `name` reads like `[checks.<name>]`.
    fn named_tables<'t>(
        &mut self,
        tables: impl Iterator<Item = &'t dyn TableLike>,
        key: &str,
        line: Option<usize>,
    ) -> Result<()> {
        for table in tables {
            let place = self.place.display();
            let Some(name) = table.get("name").and_then(Item::as_str) else {
                let line = line.unwrap_or(1);
                bail!(Refusal::new("broken-config", format!("{place}:{line}: an entry of [[{key}]] has no 'name'")));
            };
            if name.is_empty() || name.contains(['.', '\n']) {
                let message = format!("{place}: '{}' cannot be the name of an entry of [[{key}]]", name.escape_debug());
                bail!(Refusal::new("broken-config", message));
            }
            let prefix = format!("{key}.{name}.");
            if self.entries.iter().any(|entry| entry.key.starts_with(&prefix)) {
                bail!(Refusal::new("broken-config", format!("{place}: there are two [[{key}]] named '{name}'")));
            }
            let before = self.entries.len();
            for (field, item) in table.iter().filter(|(field, _)| *field != "name") {
                let line = item.span().map(|span| line_of(self.text, span.start)).or(line);
                self.value(&format!("{prefix}{field}"), item, line)?;
            }
            if self.entries.len() == before {
                bail!(Refusal::new("broken-config", format!("{place}: [[{key}]] '{name}' says nothing")));
            }
        }
        Ok(())
    }

    fn value(&mut self, key: &str, item: &Item, line: Option<usize>) -> Result<()> {
        let origin = Origin { layer: self.layer, file: Some(self.place.to_owned()), line };
        let known = known(key, &origin)?;
        let text = item.as_value().map(|value| value.clone().decorated("", "").to_string()).unwrap_or_default();
        let value = text.parse::<Value>().with_context(|| format!("{origin}: cannot read the value of '{key}'"))?;
        let value = of_kind(value, known.kind).map_err(|wanted| wrong(key, &origin, &wanted))?;
        self.entries.push(Entry { key: key.to_owned(), value, origin });
        Ok(())
    }
}

/// Reads the settings of git's configuration that belong to `scope`; several values make a list.
///
/// # Errors
/// When a key is unknown or a value of the wrong kind.
pub fn from_git(settings: &[Setting], scope: Scope) -> Result<Vec<Entry>> {
    let layer = match scope {
        Scope::User => Layer::UserGit,
        Scope::Repository => Layer::RepositoryGit,
        Scope::Command => Layer::CommandLine,
    };
    let mut entries: Vec<Entry> = Vec::new();
    for setting in settings.iter().filter(|setting| setting.scope == scope) {
        let origin = Origin { layer, file: setting.file.clone(), line: None };
        let known = known(&setting.key, &origin)?;
        let value = parse(&setting.value, known.kind).map_err(|wanted| wrong(&setting.key, &origin, &wanted))?;
        match entries.iter_mut().find(|entry| entry.key == setting.key) {
            Some(Entry { value: Value::Array(list), .. }) => {
                let Value::Array(more) = value else { continue };
                list.extend(more);
            }
            Some(entry) => *entry = Entry { key: setting.key.clone(), value, origin },
            None => entries.push(Entry { key: setting.key.clone(), value, origin }),
        }
    }
    Ok(entries)
}

/// Reads the environment variables of the plain keys.
///
/// # Errors
/// When a variable with our prefix is unknown, or a value of the wrong kind.
pub fn from_environment() -> Result<Vec<Entry>> {
    let origin = Origin { layer: Layer::Environment, file: None, line: None };
    let mut entries = Vec::new();
    for (variable, text) in std::env::vars_os() {
        let Some(variable) = variable.to_str().filter(|name| name.starts_with(schema::VARIABLE_PREFIX)) else {
            continue;
        };
        if variable == clock::VARIABLE {
            continue;
        }
        let plain = schema::KEYS.iter().filter(|key| !key.name.contains('*'));
        let Some(key) = plain.clone().find(|key| schema::variable(key.name) == variable) else {
            let near = plain.map(|key| schema::variable(key.name));
            let near = near.min_by_key(|known| strsim::damerau_levenshtein(known, variable)).unwrap_or_default();
            bail!(
                Refusal::new("unknown-key", format!("{origin}: unknown variable '{}'", variable.escape_debug()))
                    .hint(format!("the nearest known one is '{near}'"))
            );
        };
        let value = parse(&text.to_string_lossy(), key.kind).map_err(|wanted| wrong(variable, &origin, &wanted))?;
        entries.push(Entry { key: key.name.to_owned(), value, origin: origin.clone() });
    }
    Ok(entries)
}

/// Reads a value from plain text, as git's configuration and the environment hold it.
///
/// # Errors
/// What would have been right.
pub fn parse(text: &str, kind: Kind) -> Result<Value, String> {
    let value = match kind {
        Kind::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Value::Boolean(true),
            "false" | "no" | "off" | "0" | "" => Value::Boolean(false),
            _ => return Err("true or false".into()),
        },
        Kind::Integer => Value::Integer(text.trim().parse().map_err(|_| "a whole number".to_owned())?),
        Kind::List => match text.parse::<Value>() {
            Ok(list @ Value::Array(_)) => list,
            Ok(_) | Err(_) => Value::Array(vec![Value::String(text.to_owned())]),
        },
        Kind::Text | Kind::Duration | Kind::Size | Kind::Choice(_) => Value::String(text.to_owned()),
    };
    of_kind(value, kind)
}

fn of_kind(value: Value, kind: Kind) -> Result<Value, String> {
    let good = match (&value, kind) {
        (Value::String(_), Kind::Text) | (Value::Boolean(_), Kind::Boolean) => true,
        (Value::Integer(n), Kind::Integer | Kind::Duration | Kind::Size) => *n >= 0,
        (Value::String(text), Kind::Duration) => parse_duration(text).is_some(),
        (Value::String(text), Kind::Size) => parse_size(text).is_some(),
        (Value::Array(list), Kind::List) => list.iter().all(Value::is_str),
        (Value::String(word), Kind::Choice(words)) => words.contains(&word.as_str()),
        _ => false,
    };
    if good {
        return Ok(value);
    }
    Err(match kind {
        Kind::Text => "a text in quotes".into(),
        Kind::Boolean => "true or false".into(),
        Kind::Integer => "a whole number, not negative".into(),
        Kind::Duration => "a time span such as \"90s\", \"10m\" or \"2h\"".into(),
        Kind::Size => "a size such as \"64MiB\" or \"500kB\"".into(),
        Kind::List => "a list of texts, such as [\"cargo\", \"test\"]".into(),
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
    })
}

/// Reads a time span in seconds: `90`, `90s`, `10m`, `2h`, `1d`, or `500ms`.
pub fn parse_duration(text: &str) -> Option<std::time::Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(std::time::Duration::from_millis)
}

/// Reads a size in bytes: `64MiB`, `500kB`, `10M` (as MiB), or a number of bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn known(key: &str, origin: &Origin) -> Result<&'static schema::Key> {
    schema::find(key).ok_or_else(|| {
        let refusal = Refusal::new("unknown-key", format!("{origin}: unknown key '{}'", key.escape_debug()));
        match schema::nearest(key) {
            Some(near) => refusal.hint(format!("the nearest known key is '{near}'")),
            None => refusal.hint("'git task config list' shows every key"),
        }
        .into()
    })
}

fn wrong(key: &str, origin: &Origin, wanted: &str) -> anyhow::Error {
    Refusal::new("wrong-value", format!("{origin}: '{key}' must be {wanted}")).into()
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Entry>> {
        from_toml(text.as_bytes(), Layer::Repository, Path::new("config.toml"))
    }

    #[test]
    fn a_value_knows_its_line() {
        let entries =
            read("# first\n[task]\n\nmerge = \"squash\"\n[[checks]]\nname = \"unit\"\ncommand = [\"true\"]\n").unwrap();
        assert_eq!(entries[0].origin.to_string(), "config.toml:4");
        assert_eq!(entries[1].key, "checks.unit.command");
        assert_eq!(entries[1].origin.line, Some(7));
    }

    #[test]
    fn bad_files_are_named_with_their_line() {
        let words = |text| read(text).unwrap_err().to_string();
        assert_eq!(words("[task]\nmege = 1"), "config.toml:2: unknown key 'task.mege'");
        assert!(words("[task]\nmerge = \"fast\"").starts_with("config.toml:2: 'task.merge' must be one of merge"));
        assert!(words("a = [\n").starts_with("config.toml:"));
        assert!(words("[[checks]]\ncommand = [\"x\"]").contains("no 'name'"));
    }

    #[test]
    fn a_span_of_time_is_read_in_its_unit() {
        let ms = |text| parse_duration(text).map(|d| d.as_millis());
        assert_eq!((ms("90"), ms("2m"), ms("5ms"), ms("1h")), (Some(90_000), Some(120_000), Some(5), Some(3_600_000)));
        assert_eq!((ms("-1"), ms("1w"), ms(""), ms("99999999999999999999")), (None, None, None, None));
    }
}
