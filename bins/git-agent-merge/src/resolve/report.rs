//! What an agent says of its own resolution: a JSON file that it leaves in the worktree.

use std::path::Path;

use serde::Deserialize;
use shared::durable;
use shared::own_folder;

use super::account::{Lost, Side};
use super::row::Takes;

/// Its name in the folder of the programs.
pub(crate) const FILE: &str = "resolution.json";
/// A longer one is not read, in bytes.
const MOST: usize = 1 << 20;

/// The report; an empty one if there is none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    pub(crate) confidence: Option<Confidence>,
    pub(crate) summary: Option<String>,
    files: Vec<Said>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Confidence {
    High,
    Low,
}

/// What it says of one file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    path: String,
    pub(crate) summary: Option<String>,
    pub(crate) takes: Option<Takes>,
    dropped: Vec<Dropped>,
}

#[derive(Debug, Deserialize)]
struct Dropped {
    side: Side,
    line: String,
    #[serde(default)]
    why: String,
}

impl Report {
    /// Reads it; what cannot be read says nothing, in these words.
    pub(crate) fn read(worktree: &Path) -> (Report, Option<String>) {
        let path = worktree.join(own_folder::FOLDER).join(FILE);
        match durable::read_foreign(&path, MOST) {
            Ok(None) => (Report::default(), None),
            Ok(Some(bytes)) => match serde_json::from_slice(&bytes) {
                Ok(report) => (report, None),
                Err(error) => (Report::default(), Some(format!("the report cannot be read: {error}"))),
            },
            Err(error) => (Report::default(), Some(format!("the report cannot be read: {error:#}"))),
        }
    }

    pub(crate) fn about(&self, path: &str) -> Option<&Said> {
        self.files.iter().find(|said| said.path == path)
    }
}

impl Said {
    /// Why a line is gone, if that is said.
    pub(crate) fn names(&self, lost: &Lost) -> Option<String> {
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = plain(&lost.text);
        let named = self.dropped.iter().find(|dropped| dropped.side == lost.side && plain(&dropped.line) == wanted);
        named.map(|dropped| dropped.why.clone())
    }
}
