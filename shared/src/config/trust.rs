//! Which commands of which repository the user has seen and agreed to.
//!
//! Kept outside every repository, keyed by the canonical common folder, so that linked worktrees
//! share it and a moved or copied repository does not inherit it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::durable::{self, Lock, Previous};
use crate::refusal::Refusal;
use crate::{clock, folders};

/// One command that a repository wants to set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Request {
    /// The full name of the key.
    pub key: String,
    /// Its value, as it is written.
    pub value: String,
    /// The file and line, or file, that it stands in.
    pub origin: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Store {
    schema: u32,
    #[serde(default)]
    repositories: BTreeMap<String, Grant>,
    #[serde(flatten)]
    unknown: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Grant {
    hash: String,
    granted: String,
}

/// Says whether the user agreed to exactly these requests of the repository at `common_dir`.
///
/// # Errors
/// When the store of trust cannot be read.
pub fn is_granted(common_dir: &Path, requests: &[Request]) -> Result<bool> {
    if requests.is_empty() {
        return Ok(true);
    }
    let store = load()?;
    Ok(store.repositories.get(&key(common_dir)).is_some_and(|grant| grant.hash == hash(requests)))
}

/// Records that the user agreed to these requests.
///
/// # Errors
/// When the store of trust cannot be read or written.
pub fn grant(common_dir: &Path, requests: &[Request]) -> Result<()> {
    change(|store| {
        let grant = Grant { hash: hash(requests), granted: clock::now().to_string() };
        store.repositories.insert(key(common_dir), grant);
    })
}

/// Takes the agreement back; false if there was none.
///
/// # Errors
/// When the store of trust cannot be read or written.
pub fn revoke(common_dir: &Path) -> Result<bool> {
    let mut found = false;
    change(|store| found = store.repositories.remove(&key(common_dir)).is_some())?;
    Ok(found)
}

fn change(edit: impl FnOnce(&mut Store)) -> Result<()> {
    let path = path()?;
    let folder = path.parent().context("the file of trust has a folder")?;
    durable::private_folder(folder)?;
    let _lock = Lock::acquire(&path.with_extension("json.lock"), durable::PATIENCE)?;
    durable::sweep(folder);
    let mut store = load()?;
    edit(&mut store);
    durable::replace_behind_link(&path, &serde_json::to_vec_pretty(&store)?, Previous::Drop)
}

fn load() -> Result<Store> {
    let path = path()?;
    let Some(bytes) = durable::read(&path)? else {
        return Ok(Store { schema: 1, repositories: BTreeMap::new(), unknown: serde_json::Map::new() });
    };
    let broken = |why: String| {
        let hint = "move the file aside, then 'git task trust' again in each repository";
        Refusal::new("broken-file", format!("'{}' is broken: {why}", path.display())).hint(hint)
    };
    let store: Store = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
    if store.schema > 1 {
        let message = format!("'{}' has schema {}, this program knows 1", path.display(), store.schema);
        return Err(Refusal::new("newer-file", message).hint("install the newer version of the programs").into());
    }
    Ok(store)
}

fn path() -> Result<PathBuf> {
    Ok(folders::state()?.join("trust.json"))
}

fn key(common_dir: &Path) -> String {
    // A name that is not UTF-8 is written out byte by byte, so that no two paths share a key.
    match common_dir.to_str() {
        Some(text) => text.to_owned(),
        None => common_dir.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
    }
}

/// The hash covers keys and values; where they stand may change.
fn hash(requests: &[Request]) -> String {
    let mut sorted: Vec<(&str, &str)> = requests.iter().map(|r| (r.key.as_str(), r.value.as_str())).collect();
    sorted.sort_unstable();
    let mut hasher = Sha256::new();
    for (key, value) in sorted {
        for part in [key, value] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
