//! `git task config`: the settings in force, where each comes from, and changing them.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;
use shared::app::Context;
use shared::config::layer::{self, Entry, Layer};
use shared::config::schema::{self, Kind};
use shared::config::{REPOSITORY_FILE, user_file};
use shared::durable::{self, Lock, Previous};
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use toml_edit::{DocumentMut, Item, Table, Value};

/// Show or change settings
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the settings in force
    List {
        /// Show the file and line that each value comes from
        #[arg(long)]
        origin: bool,
    },
    /// Print one setting; exit 1 if it is not set
    Get {
        /// Full name of the key, such as task.merge
        #[arg(value_name = "key")]
        key: String,
    },
    /// Change one setting in the user's file
    Set {
        /// Full name of the key, such as task.merge
        #[arg(value_name = "key")]
        key: String,
        /// Its new value; a list as ["a", "b"]
        #[arg(value_name = "value", allow_hyphen_values = true)]
        value: String,
        /// Change the repository's file instead
        #[arg(long)]
        repo: bool,
        /// Say what would change and change nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
}

#[derive(Debug, Serialize)]
struct Row {
    key: String,
    value: toml::Value,
    origin: String,
    withheld: bool,
}

impl Row {
    fn new(entry: &Entry, withheld: bool) -> Row {
        Row { key: entry.key.clone(), value: entry.value.clone(), origin: entry.origin.to_string(), withheld }
    }
}

#[derive(Debug, Serialize)]
struct Listing {
    settings: Vec<Row>,
    #[serde(skip)]
    with_origin: bool,
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.settings {
            if self.with_origin {
                write!(f, "{}\t", Foreign(&row.origin))?;
            }
            let note = if row.withheld { "  (waits for 'git task trust')" } else { "" };
            writeln!(f, "{} = {}{note}", Foreign(&row.key), Foreign(&row.value.to_string()))?;
        }
        Ok(())
    }
}

#[derive(Debug, Serialize)]
struct Single {
    #[serde(flatten)]
    row: Row,
}

impl fmt::Display for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.row.value {
            toml::Value::String(text) => f.write_str(text),
            other => write!(f, "{other}"),
        }
    }
}

#[derive(Debug, Serialize)]
struct Changed {
    key: String,
    value: toml::Value,
    file: PathBuf,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} in {}", Foreign(&self.key), Foreign(&self.value.to_string()), self.file.display())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    match args.verb {
        Verb::List { origin } => list(cx, origin),
        Verb::Get { key } => get(cx, &key),
        Verb::Set { key, value, repo, dry_run } => set(cx, &key, &value, repo, dry_run),
    }
}

fn list(cx: &Context, with_origin: bool) -> Result<Status, Failure> {
    let config = cx.config()?;
    let values = config.values().into_iter().map(|entry| Row::new(entry, false));
    let withheld = config.withheld().iter().map(|entry| Row::new(entry, true));
    cx.output.answer(&Listing { settings: values.chain(withheld).collect(), with_origin })?;
    Ok(Status::Done)
}

fn get(cx: &Context, key: &str) -> Result<Status, Failure> {
    known(key)?;
    let config = cx.config()?;
    // A withheld value is refused here, as every program would.
    config.text(key)?;
    match config.values().into_iter().find(|entry| entry.key == key) {
        Some(entry) => {
            cx.output.answer(&Single { row: Row::new(entry, false) })?;
            Ok(Status::Done)
        }
        None => Ok(Status::No),
    }
}

fn set(cx: &Context, key: &str, text: &str, repo: bool, dry_run: bool) -> Result<Status, Failure> {
    let kind = known(key)?.kind;
    let value = layer::parse(text, kind)
        .and_then(|value| {
            if matches!(kind, Kind::Duration) && layer::parse_duration(text).is_none() {
                Err("a time span such as 90s, 10m or 2h".into())
            } else {
                Ok(value)
            }
        })
        .map_err(|wanted| Failure::usage(format!("'{key}' must be {wanted}")))?;
    let (path, layer) = if repo {
        let main = cx.repository_unchecked()?.main_worktree();
        let main =
            main.ok_or_else(|| Failure::could_not("bare", "a bare repository has no file of settings to change"))?;
        (main.join(REPOSITORY_FILE), Layer::Repository)
    } else {
        (user_file()?, Layer::User)
    };
    if !dry_run {
        write(&path, layer, key, &value)?;
    }
    cx.output.answer(&Changed { key: key.to_owned(), value, file: path })?;
    Ok(Status::Done)
}

/// Changes one value and leaves comments and order as they are.
fn write(path: &std::path::Path, layer: Layer, key: &str, value: &toml::Value) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    if layer == Layer::User {
        durable::private_folder(folder)?;
    } else {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create '{}'", folder.display()))?;
    }
    let lock_folder = shared::folders::state()?;
    durable::private_folder(&lock_folder)?;
    let _lock = Lock::acquire(&lock_folder.join("config.lock"), durable::PATIENCE)?;
    let bytes = durable::read(path)?.unwrap_or_default();
    // What is broken or unknown is named before anything is written.
    layer::from_toml(&bytes, layer, path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut document: DocumentMut =
        text.parse().map_err(|e| Failure::could_not("broken-config", format!("{}: {e}", path.display())))?;
    put(&mut document, key, value).with_context(|| format!("cannot set '{key}' in '{}'", path.display()))?;
    let text = document.to_string();
    layer::from_toml(text.as_bytes(), layer, path)?;
    match layer {
        Layer::User => durable::replace_behind_link(path, text.as_bytes(), Previous::Drop)?,
        _ => durable::replace_public(path, text.as_bytes(), 0o644)?,
    }
    Ok(())
}

fn put(document: &mut DocumentMut, key: &str, value: &toml::Value) -> anyhow::Result<()> {
    let value: Value = value.to_string().parse().context("the value is no TOML")?;
    let (head, field) = key.rsplit_once('.').context("a key has a dot")?;
    let (family, name) = head.split_once('.').map_or((head, None), |(family, name)| (family, Some(name)));
    let table = match (document.get_mut(family).is_some_and(|item| item.is_array_of_tables()), name) {
        (true, Some(name)) => {
            let tables = document[family].as_array_of_tables_mut().context("it is a list of tables")?;
            let at = tables.iter().position(|table| table.get("name").and_then(Item::as_str) == Some(name));
            if at.is_none() {
                let mut table = Table::new();
                table.insert("name", Item::from(name));
                tables.push(table);
            }
            let at = at.unwrap_or(tables.len() - 1);
            tables.get_mut(at).context("the entry was just found")?
        }
        (_, name) => {
            let top = document.entry(family).or_insert_with(implicit).as_table_mut().context("it is no table")?;
            match name {
                Some(name) => top.entry(name).or_insert_with(|| Item::Table(Table::new())).as_table_mut(),
                None => {
                    top.set_implicit(false);
                    Some(top)
                }
            }
            .context("it is no table")?
        }
    };
    match table.get_mut(field) {
        Some(Item::Value(old)) => {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        _ => {
            table.insert(field, Item::Value(value));
        }
    }
    Ok(())
}

fn implicit() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

fn known(key: &str) -> Result<&'static schema::Key, Failure> {
    schema::find(key).ok_or_else(|| {
        let failure = Failure::could_not("unknown-key", format!("unknown key '{}'", key.escape_debug()));
        match schema::nearest(key) {
            Some(near) => failure.hint(format!("the nearest known key is '{near}'")),
            None => failure.hint("'git task config list' shows the keys that are set"),
        }
    })
}
