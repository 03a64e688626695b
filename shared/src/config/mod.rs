//! Settings in layers, each value with its origin.
//!
//! Built-in, then user, repository, environment, command line; a flag beats them all. Every key is
//! readable as `git config codex-agents.<key>` as well. What a repository sets and only a trusted
//! one may set is withheld: asking for it is refused until `git task trust`.

pub mod layer;
pub mod schema;
pub mod trust;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use toml::Value;

use crate::durable;
use crate::folders;
use crate::refusal::Refusal;
use crate::repository::{self, Repository, Scope, in_words};
use layer::{Entry, Layer};
use schema::{Class, Kind};
use trust::Request;

/// The section of git's configuration that holds our keys.
pub const GIT_SECTION: &str = "codex-agents";

/// The settings in force.
#[derive(Debug)]
pub struct Config {
    values: Vec<Entry>,
    withheld: Vec<Entry>,
    dropped: Vec<Entry>,
    requests: Vec<Request>,
    trusted: bool,
}

impl Config {
    /// Reads all layers.
    ///
    /// # Errors
    /// When a layer cannot be read; each message names the file and line.
    pub fn load(repository: Option<&Repository>) -> Result<Config> {
        let git = match repository {
            Some(repository) => repository.settings(GIT_SECTION),
            None => repository::user_settings(GIT_SECTION),
        };
        let mut layers = vec![layer::built_in()];
        let user = user_file()?;
        if let Some(bytes) = durable::read(&user)? {
            layers.push(layer::from_toml(&bytes, Layer::User, &user)?);
        }
        layers.push(layer::from_git(&git, Scope::User)?);
        if let Some((place, bytes)) = repository.map(repository_file).transpose()?.flatten() {
            layers.push(layer::from_toml(&bytes, Layer::Repository, &place)?);
        }
        layers.push(layer::from_git(&git, Scope::Repository)?);
        layers.push(layer::from_environment()?);
        layers.push(layer::from_git(&git, Scope::Command)?);

        let requests = requests(&layers, repository);
        let trusted = match repository {
            Some(repository) => trust::is_granted(repository.common_dir(), &requests)?,
            None => true,
        };
        let mut config = Config { values: Vec::new(), withheld: Vec::new(), dropped: Vec::new(), requests, trusted };
        for entry in layers.into_iter().flatten() {
            config.add(entry);
        }
        Ok(config)
    }

    fn add(&mut self, entry: Entry) {
        let class = schema::find(&entry.key).map_or(Class::User, |key| key.class);
        if entry.origin.layer.is_foreign() {
            if class == Class::User || (class == Class::Stricter && !self.is_tightened_by(&entry)) {
                self.dropped.push(entry);
                return;
            }
            if class == Class::Command && !self.trusted {
                self.withheld.retain(|old| old.key != entry.key);
                self.withheld.push(entry);
                return;
            }
        }
        // A stronger layer makes a withheld value irrelevant.
        self.withheld.retain(|old| old.key != entry.key);
        match self.values.iter_mut().find(|old| old.key == entry.key) {
            Some(old) => *old = entry,
            None => self.values.push(entry),
        }
    }

    /// Says whether a value is at least as strict as the one in force, or the first of the user's.
    fn is_tightened_by(&self, entry: &Entry) -> bool {
        if self.is_of_users_policy(&entry.key) && !entry.key.ends_with(".severity") {
            return false;
        }
        let old = self.values.iter().find(|old| old.key == entry.key);
        let Some(known) = schema::find(&entry.key) else { return false };
        let Kind::Choice(words) = known.kind else {
            return old.is_none_or(|old| old.origin.layer.is_foreign());
        };
        let place = |value: Option<&Value>| words.iter().position(|word| value.and_then(Value::as_str) == Some(*word));
        let default = known.default.trim_matches('"');
        let old = old.map_or_else(|| words.iter().position(|word| *word == default), |old| place(Some(&old.value)));
        place(Some(&entry.value)) >= old
    }

    /// Says whether the user has set anything of a policy: an exception to it would loosen it, wherever it stands.
    fn is_of_users_policy(&self, key: &str) -> bool {
        let rule = |key: &str| key.strip_prefix("policies.")?.split('.').next().map(str::to_owned);
        let Some(own) = rule(key) else { return false };
        let of_user = |old: &&Entry| !old.origin.layer.is_foreign() && old.origin.layer != Layer::BuiltIn;
        self.values.iter().filter(of_user).any(|old| rule(&old.key).as_ref() == Some(&own))
    }

    /// Lists the values in force, in the order of the schema, then by name.
    pub fn values(&self) -> Vec<&Entry> {
        let place = |entry: &Entry| {
            schema::find(&entry.key).and_then(|key| schema::KEYS.iter().position(|known| known.name == key.name))
        };
        let mut all: Vec<&Entry> = self.values.iter().collect();
        all.sort_by_key(|entry| place(entry));
        all
    }

    /// Lists the values that wait for trust.
    pub fn withheld(&self) -> &[Entry] {
        &self.withheld
    }

    /// Lists the values that a repository set and only the user may set.
    pub fn dropped(&self) -> &[Entry] {
        &self.dropped
    }

    /// Lists what the repository wants to run or set beyond data.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Says whether the user agreed to all that the repository requests.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Refuses to go on while git itself would run a command that this repository's configuration names.
    ///
    /// # Errors
    /// A [`Refusal`] of kind `untrusted` that names the keys.
    pub fn refuse_untrusted_git(&self) -> Result<()> {
        let keys: Vec<&str> = self.requests.iter().map(|r| r.key.as_str()).filter(|k| k.starts_with("git:")).collect();
        if self.trusted || keys.is_empty() {
            return Ok(());
        }
        let keys: Vec<&str> = keys.into_iter().map(|key| key.trim_start_matches("git:")).collect();
        bail!(untrusted(format!("git configuration of this repository names commands ({})", keys.join(", "))))
    }

    /// Returns a text; `None` if it is not set.
    ///
    /// # Errors
    /// A [`Refusal`] if the value waits for trust.
    pub fn text(&self, key: &str) -> Result<Option<String>> {
        Ok(self.value(key)?.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned))
    }

    /// Says whether a switch is on; off if it is not set.
    ///
    /// # Errors
    /// A [`Refusal`] if the value waits for trust.
    pub fn boolean(&self, key: &str) -> Result<bool> {
        Ok(self.value(key)?.and_then(Value::as_bool).unwrap_or(false))
    }

    /// Returns a number; 0 if it is not set.
    ///
    /// # Errors
    /// A [`Refusal`] if the value waits for trust.
    pub fn integer(&self, key: &str) -> Result<u64> {
        Ok(self.value(key)?.and_then(Value::as_integer).and_then(|n| n.try_into().ok()).unwrap_or(0))
    }

    /// Returns a time span; `None` if it is not set or 0.
    ///
    /// # Errors
    /// A [`Refusal`] if the value waits for trust.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>> {
        let span = match self.value(key)? {
            Some(Value::String(text)) => layer::parse_duration(text),
            Some(Value::Integer(seconds)) => (*seconds).try_into().ok().map(Duration::from_secs),
            Some(_) | None => None,
        };
        Ok(span.filter(|span| !span.is_zero()))
    }

    /// Returns a size in bytes; 0 if it is not set.
    ///
    /// # Errors
    /// A [`Refusal`] if the value waits for trust.
    pub fn size(&self, key: &str) -> Result<u64> {
        Ok(match self.value(key)? {
            Some(Value::String(text)) => layer::parse_size(text).unwrap_or(0),
            Some(Value::Integer(bytes)) => (*bytes).try_into().unwrap_or(0),
            Some(_) | None => 0,
        })
    }

    /// Returns a list; empty if it is not set.
    ///
    /// # Errors
    /// A [`Refusal`] if the value waits for trust.
    pub fn list(&self, key: &str) -> Result<Vec<String>> {
        let items = self.value(key)?.and_then(Value::as_array).into_iter().flatten();
        Ok(items.filter_map(|item| item.as_str().map(str::to_owned)).collect())
    }

    /// Lists the names under `agents` or `checks`, in the order in which they were first set.
    ///
    /// # Errors
    /// A [`Refusal`] if one of them waits for trust.
    pub fn names(&self, family: &str) -> Result<Vec<String>> {
        let prefix = format!("{family}.");
        self.refuse_withheld(&prefix)?;
        let mut names: Vec<String> = Vec::new();
        for entry in &self.values {
            let name = entry.key.strip_prefix(&prefix).and_then(|rest| rest.rsplit_once('.')).map(|(name, _)| name);
            if let Some(name) = name.filter(|name| !names.iter().any(|known| known == name)) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn value(&self, key: &str) -> Result<Option<&Value>> {
        let known = schema::find(key).ok_or_else(|| anyhow!("there is no key '{key}'"))?;
        self.refuse_withheld(key)?;
        static DEFAULTS: std::sync::OnceLock<Vec<Entry>> = std::sync::OnceLock::new();
        let defaults = DEFAULTS.get_or_init(starred_defaults);
        let set = self.values.iter().find(|entry| entry.key == key);
        Ok(set.or_else(|| defaults.iter().find(|entry| entry.key == known.name)).map(|entry| &entry.value))
    }

    fn refuse_withheld(&self, prefix: &str) -> Result<()> {
        let Some(entry) = self.withheld.iter().find(|entry| entry.key.starts_with(prefix)) else { return Ok(()) };
        bail!(untrusted(format!("{}: '{}' counts only in a trusted repository", entry.origin, entry.key)))
    }
}

/// Returns the path of the user's config file.
///
/// # Errors
/// When the user has no home folder.
pub fn user_file() -> Result<PathBuf> {
    Ok(folders::config()?.join("config.toml"))
}

/// The repository's config file, seen from the top of the main checkout.
pub const REPOSITORY_FILE: &str = ".codex-agent/config.toml";

/// Reads the repository's file from the main checkout, or from HEAD where there is none; never from a linked worktree.
fn repository_file(repository: &Repository) -> Result<Option<(PathBuf, Vec<u8>)>> {
    if let Some(main) = repository.main_worktree() {
        let path = main.join(REPOSITORY_FILE);
        // One byte more than is good, so that a larger one is refused.
        return Ok(durable::read_foreign(&path, layer::MAX_SIZE + 1)?.map(|bytes| (path, bytes)));
    }
    let Ok(id) = repository.gix.rev_parse_single(format!("HEAD:{REPOSITORY_FILE}").as_str()) else { return Ok(None) };
    let blob = id.object().map_err(|e| anyhow!("cannot read 'HEAD:{REPOSITORY_FILE}': {}", in_words(&e)))?;
    Ok(Some((Path::new("HEAD:").join(REPOSITORY_FILE), blob.data.clone())))
}

fn requests(layers: &[Vec<Entry>], repository: Option<&Repository>) -> Vec<Request> {
    let own = layers.iter().flatten().filter(|entry| entry.origin.layer.is_foreign());
    let own = own.filter(|entry| schema::find(&entry.key).is_some_and(|key| key.class == Class::Command));
    let mut all: Vec<Request> = own
        .map(|entry| Request {
            key: entry.key.clone(),
            value: entry.value.to_string(),
            origin: entry.origin.to_string(),
        })
        .collect();
    for setting in repository.map(Repository::commands_in_config).unwrap_or_default() {
        let origin = setting.file.map(|file| file.display().to_string()).unwrap_or_default();
        all.push(Request { key: format!("git:{}", setting.key), value: setting.value, origin });
    }
    all
}

fn starred_defaults() -> Vec<Entry> {
    let origin = layer::Origin { layer: Layer::BuiltIn, file: None, line: None };
    let starred = schema::KEYS.iter().filter(|key| key.name.contains('*') && !key.default.is_empty());
    starred
        .map(|key| Entry {
            key: key.name.to_owned(),
            value: key.default.parse().expect("a test parses every default"),
            origin: origin.clone(),
        })
        .collect()
}

fn untrusted(message: String) -> Refusal {
    Refusal::new("untrusted", message).hint("'git task trust' shows what this repository wants to run, and asks")
}
