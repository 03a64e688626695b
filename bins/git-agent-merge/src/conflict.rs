//! What conflicts in a pair: the files, of what kind, and their hunks.

use std::collections::BTreeMap;
use std::fmt;

use gix::ObjectId;
use serde::{Deserialize, Serialize};

use crate::batch::{File, Message};
use crate::hunks::Hunk;

/// One conflicted path.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Conflict {
    pub(crate) path: String,
    /// The bytes of the path in hexadecimal, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path_bytes: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) hunks: Vec<Hunk>,
    #[serde(skip)]
    pub(crate) raw_path: Vec<u8>,
    #[serde(skip)]
    pub(crate) stages: [Option<(u32, ObjectId)>; 3],
}

/// How a path conflicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    #[serde(rename = "content")]
    Content,
    #[serde(rename = "add/add")]
    AddAdd,
    #[serde(rename = "modify/delete")]
    ModifyDelete,
    #[serde(rename = "rename/delete")]
    RenameDelete,
    #[serde(rename = "rename/rename")]
    RenameRename,
    #[serde(rename = "rename/add")]
    RenameAdd,
    #[serde(rename = "directory/file")]
    DirectoryFile,
    #[serde(rename = "directory-rename")]
    DirectoryRename,
    #[serde(rename = "mode")]
    Mode,
    #[serde(rename = "binary")]
    Binary,
    #[serde(rename = "submodule")]
    Submodule,
    #[serde(rename = "other")]
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Content => "content",
            Kind::AddAdd => "add/add",
            Kind::ModifyDelete => "modify/delete",
            Kind::RenameDelete => "rename/delete",
            Kind::RenameRename => "rename/rename",
            Kind::RenameAdd => "rename/add",
            Kind::DirectoryFile => "directory/file",
            Kind::DirectoryRename => "directory-rename",
            Kind::Mode => "mode",
            Kind::Binary => "binary",
            Kind::Submodule => "submodule",
            Kind::Other => "other",
        })
    }
}

/// Sorts git's stages and messages by path; `labels` are the names that the two sides were given.
pub(crate) fn conflicts(files: &[File], messages: &[Message], labels: &[String]) -> Vec<Conflict> {
    let mut by_path: BTreeMap<Vec<u8>, [Option<(u32, ObjectId)>; 3]> = BTreeMap::new();
    for file in files {
        let stages = by_path.entry(plain(&file.path, labels).to_vec()).or_default();
        if let Some(slot) = stages.get_mut(usize::from(file.stage).wrapping_sub(1)) {
            *slot = Some((file.mode, file.id));
        }
    }
    let found = by_path.into_iter().map(|(path, stages)| {
        let kind = kind(&path, &stages, messages, labels);
        Conflict { stages, ..Conflict::new(path, kind, Vec::new()) }
    });
    found.collect()
}

/// The kinds of conflict that git names, where no path has one.
pub(crate) fn words(messages: &[Message]) -> String {
    let mut kinds: Vec<&str> =
        messages.iter().map(|message| message.kind.as_str()).filter(|kind| kind.starts_with("CONFLICT")).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.join(", ")
}

impl Conflict {
    /// Makes one of which no stages are known.
    pub(crate) fn new(raw_path: Vec<u8>, kind: Kind, hunks: Vec<Hunk>) -> Conflict {
        let is_text = std::str::from_utf8(&raw_path).is_ok();
        Conflict {
            path: String::from_utf8_lossy(&raw_path).into_owned(),
            path_bytes: (!is_text).then(|| raw_path.iter().map(|byte| format!("{byte:02x}")).collect()),
            kind,
            hunks,
            raw_path,
            stages: [None; 3],
        }
    }
}

/// Git moves a path aside as `<path>~<label>`; the answer must not depend on how a side was named.
fn plain<'a>(path: &'a [u8], labels: &[String]) -> &'a [u8] {
    for label in labels {
        let tail = format!("~{label}");
        if let Some(at) = path.windows(tail.len()).rposition(|part| part == tail.as_bytes()) {
            let rest = &path[at + tail.len()..];
            // A number may follow where the name was taken.
            if at > 0 && (rest.is_empty() || (rest[0] == b'_' && rest[1..].iter().all(u8::is_ascii_digit))) {
                return &path[..at];
            }
        }
    }
    path
}

fn kind(path: &[u8], stages: &[Option<(u32, ObjectId)>; 3], messages: &[Message], labels: &[String]) -> Kind {
    let about = |message: &&Message| {
        message.kind.starts_with("CONFLICT") && message.paths.iter().any(|other| plain(other, labels) == path)
    };
    // The first word about a path is the one that made it conflict; content is said of nearly all.
    let all: Vec<Kind> = messages.iter().filter(about).map(|message| of_words(&message.kind)).collect();
    let told = all.iter().find(|kind| **kind != Kind::Content).or(all.first()).copied();
    let both_added = stages[0].is_none() && stages[1].is_some() && stages[2].is_some();
    match told {
        Some(Kind::Content) | None if both_added => Kind::AddAdd,
        Some(kind) => kind,
        None => Kind::Other,
    }
}

/// The fixed words of git's merge-ort.c (`type_short_descriptions`).
fn of_words(words: &str) -> Kind {
    let inside = words.trim_start_matches("CONFLICT").trim_start().trim_start_matches('(').trim_end_matches(')');
    match inside {
        "contents" => Kind::Content,
        "binary" => Kind::Binary,
        "file/directory" => Kind::DirectoryFile,
        "distinct modes" | "distinct types" => Kind::Mode,
        "modify/delete" => Kind::ModifyDelete,
        "rename/rename" => Kind::RenameRename,
        "rename involved in collision" => Kind::RenameAdd,
        "rename/delete" => Kind::RenameDelete,
        other if other.contains("directory rename") => Kind::DirectoryRename,
        other if other.contains("submodule") => Kind::Submodule,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_git_moved_aside_is_called_by_its_own_name() {
        let labels = ["abc".to_owned()];
        assert_eq!(plain(b"n~abc", &labels), b"n");
        assert_eq!(plain(b"n~abc_0", &labels), b"n");
        assert_eq!(plain(b"n~abcd", &labels), b"n~abcd");
        assert_eq!(plain(b"n", &labels), b"n");
    }
}
