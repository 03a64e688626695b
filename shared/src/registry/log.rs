//! The log of changes beside the registry: one line a change, with what was before and after.
//!
//! A line is written before the registry is. If a crash comes between, its generation never came to
//! be; the next change takes the same number, and the later line counts.

use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::task::Task;
use crate::durable;

/// One change of the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The generation of the registry that it made.
    pub generation: u64,
    /// When.
    pub time: Timestamp,
    /// Who: the user, or the job in which the command ran.
    pub who: String,
    /// What was done, in the words of the command: `add fix-login`.
    pub what: String,
    /// The tasks that changed.
    pub tasks: Vec<TaskChange>,
}

/// One task before and after a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskChange {
    /// The task's id.
    pub id: String,
    /// As it was; nothing if it was new.
    pub before: Option<Task>,
    /// As it became; nothing if an undo took it away.
    pub after: Option<Task>,
}

/// The changes that a log holds.
#[derive(Debug)]
pub struct Log {
    /// The changes, the oldest first.
    pub changes: Vec<Change>,
    /// Lines that cannot be read: torn by a crash, or of a newer version.
    pub unreadable: usize,
}

/// Reads the changes up to a generation.
///
/// # Errors
/// When the file is there and cannot be read.
pub(super) fn read(path: &Path, generation: u64) -> Result<Log> {
    let bytes = durable::read(path)?.unwrap_or_default();
    let mut log = Log { changes: Vec::new(), unreadable: 0 };
    for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice::<Change>(line) {
            Ok(change) if change.generation <= generation => {
                // Of two lines with one number the later one happened.
                log.changes.retain(|known| known.generation < change.generation);
                log.changes.push(change);
            }
            Ok(_) => {}
            Err(_) => log.unreadable += 1,
        }
    }
    Ok(log)
}

/// Returns the highest generation that a log names; 0 if there is none.
///
/// # Errors
/// When the file is there and cannot be read.
pub(super) fn last_generation(path: &Path) -> Result<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        generation: u64,
    }
    let bytes = durable::read(path)?.unwrap_or_default();
    let lines = bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Numbered>(line).ok());
    Ok(lines.map(|line| line.generation).max().unwrap_or(0))
}

/// Lists what differs between two states of the tasks.
pub(super) fn difference(before: &[Task], after: &[Task]) -> Vec<TaskChange> {
    use std::collections::HashMap;
    let old: HashMap<&str, &Task> = before.iter().map(|task| (task.id.as_str(), task)).collect();
    let new: HashMap<&str, &Task> = after.iter().map(|task| (task.id.as_str(), task)).collect();
    let changed = after.iter().filter(|task| old.get(task.id.as_str()) != Some(task)).map(|task| TaskChange {
        id: task.id.clone(),
        before: old.get(task.id.as_str()).map(|task| (*task).clone()),
        after: Some(task.clone()),
    });
    let gone = before.iter().filter(|task| !new.contains_key(task.id.as_str())).map(|task| TaskChange {
        id: task.id.clone(),
        before: Some(task.clone()),
        after: None,
    });
    changed.chain(gone).collect()
}
