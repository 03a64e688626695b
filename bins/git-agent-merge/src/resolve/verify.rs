//! Whether a resolution may be offered: no markers, nothing dropped or taken whole in silence, nothing else changed.

use std::collections::HashMap;

use anyhow::Result;
use gix::ObjectId;
use shared::process::Git;

use super::account::{How, Lost, Side, is_telling};
use super::conflicted::Conflicted;
use super::place::{self, Capture};
use super::report::Report;
use super::row::{By, FileRow, Takes};
use super::text;
use crate::conflict::Kind;

/// Of the lines that are gone no more are named in a problem.
const SHOWN: usize = 12;

/// Who has resolved what the rules left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Nobody had to.
    Rules,
    Agent,
    Person,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) files: Vec<FileRow>,
    /// Why it may not be offered.
    pub(crate) problems: Vec<String>,
    /// Changed paths that did not conflict.
    pub(crate) outside: Vec<String>,
}

/// Looks at the result of a resolution; an agent has to name what it drops, a person's is only listed.
pub(crate) fn check(
    git: &Git,
    files: &[Conflicted],
    capture: &Capture,
    who: Who,
    report: &Report,
    labels: &[String],
) -> Result<Checked> {
    let mut problems = Vec::new();
    let outside = outside(files, capture, labels);
    if who == Who::Agent && !outside.is_empty() {
        problems.push(format!("changed paths that do not conflict: {}", outside.join(", ")));
    }
    for path in left_aside(git, capture.tree, labels)? {
        problems.push(format!("'{path}' is still there: git moved a file aside under that name"));
    }
    let mut results: HashMap<&[u8], Found> = HashMap::new();
    for file in files {
        results.insert(file.path(), Found::at(git, capture.tree, file.path())?);
    }
    let look = Look { git, who, report, results: &results };
    let mut rows = Vec::new();
    for file in files {
        rows.push(look.at(file, &mut problems)?);
    }
    Ok(Checked { files: rows, problems, outside })
}

/// What the result has at a path.
struct Found {
    entry: Option<(u32, ObjectId)>,
    /// Of a submodule there is none.
    content: Option<Vec<u8>>,
}

impl Found {
    fn at(git: &Git, tree: ObjectId, path: &[u8]) -> Result<Found> {
        let entry = place::entry(git, tree, path)?;
        let blob = entry.filter(|(mode, _)| mode & 0o170_000 != 0o160_000).map(|(_, id)| text::blob(git, id));
        Ok(Found { entry, content: blob.transpose()? })
    }
}

/// What the look at one file needs.
struct Look<'a> {
    git: &'a Git,
    who: Who,
    report: &'a Report,
    results: &'a HashMap<&'a [u8], Found>,
}

impl Look<'_> {
    fn at(&self, file: &Conflicted, problems: &mut Vec<String>) -> Result<FileRow> {
        let Found { entry, content } = &self.results[file.path()];
        let mut row = row(file);
        let said = self.report.about(&row.path);
        row.summary = said.and_then(|said| said.summary.clone());
        let by_others = file.open_hunks();
        let by_agent = self.who == Who::Agent && by_others > 0;
        if by_others > 0 {
            let who = if self.who == Who::Agent { "agent" } else { "person" };
            row.by.push(By { who: who.to_owned(), hunks: by_others });
        }
        row.takes = takes(file, *entry);
        if let Some(takes) = row.takes.filter(|_| by_agent)
            && said.and_then(|said| said.takes) != Some(takes)
        {
            problems.push(format!("'{}' {takes}, and the report does not say so", row.path));
        }
        row.resolved = true;
        let Some(content) = content else { return Ok(row) };
        let markers = text::markers(content).saturating_sub(self.own_markers(file)?);
        if markers > 0 {
            row.resolved = false;
            problems.push(format!("'{}' still has {markers} lines of conflict markers", row.path));
        }
        // A file that a command makes anew is nobody's text.
        if file.generated_by.is_none() {
            let others = self.results.iter().filter(|(path, _)| **path != file.path());
            let elsewhere: Vec<&[u8]> = others.filter_map(|(_, found)| found.content.as_deref()).collect();
            row.dropped = file.lost(self.git, content, &elsewhere)?;
        }
        for lost in row.dropped.iter_mut().filter(|lost| lost.how == How::Unnamed) {
            if let Some(why) = said.and_then(|said| said.names(lost)) {
                lost.how = How::Named;
                lost.why = Some(why);
            }
        }
        if by_agent {
            problems.extend(silence(&row));
        }
        Ok(row)
    }

    /// Lines that look like markers and belong to the text of a side.
    fn own_markers(&self, file: &Conflicted) -> Result<usize> {
        (0..3).map(|side| Ok(file.side(self.git, side)?.map_or(0, |side| text::markers(&side)))).sum()
    }
}

/// What is gone without a word.
fn silence(row: &FileRow) -> Option<String> {
    let silent: Vec<_> = row.dropped.iter().filter(|lost| lost.how == How::Unnamed && is_telling(&lost.text)).collect();
    if silent.is_empty() {
        return None;
    }
    let line = |lost: &&Lost| format!("\n  {}: {}", side_name(lost.side), lost.text.trim());
    let shown: Vec<String> = silent.iter().take(SHOWN).map(line).collect();
    let more = silent.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    Some(format!(
        "'{}' lacks {} lines that one side added or both keep, and the report does not name them:{}{more}",
        row.path,
        silent.len(),
        shown.concat()
    ))
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Ours => "ours",
        Side::Theirs => "theirs",
        Side::Base => "both",
    }
}

/// What is known of a file before anybody but the rules has worked on it.
pub(crate) fn row(file: &Conflicted) -> FileRow {
    FileRow {
        path: file.conflict.path.clone(),
        path_bytes: file.conflict.path_bytes.clone(),
        kind: file.conflict.kind.to_string(),
        resolved: file.is_solved(),
        by: file.by.iter().map(|(rule, hunks)| By::rule(*rule, *hunks)).collect(),
        open: file.open_hunks(),
        takes: None,
        summary: None,
        dropped: Vec::new(),
        remarks: file.remarks.clone(),
    }
}

/// Which side the result is equal to; of a deletion against a change one of them always is.
fn takes(file: &Conflicted, result: Option<(u32, ObjectId)>) -> Option<Takes> {
    let [_, ours, theirs] = file.conflict.stages;
    match result {
        None => Some(Takes::Deleted),
        Some(_) if matches!(file.conflict.kind, Kind::Mode) => None,
        Some((_, id)) if ours.is_some_and(|(_, own)| own == id) => Some(Takes::Ours),
        Some((_, id)) if theirs.is_some_and(|(_, own)| own == id) => Some(Takes::Theirs),
        Some(_) => None,
    }
}

/// Changed paths that are no conflicted ones, nor those under which git moved one aside.
fn outside(files: &[Conflicted], capture: &Capture, labels: &[String]) -> Vec<String> {
    let is_meant = |path: &[u8]| {
        files.iter().any(|file| {
            let own = file.path();
            path == own || (path.starts_with(own) && labels.iter().any(|label| is_aside(&path[own.len()..], label)))
        })
    };
    let other = capture.changed.iter().filter(|path| !is_meant(path));
    other.map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

fn is_aside(tail: &[u8], label: &str) -> bool {
    tail.strip_prefix(b"~").is_some_and(|tail| tail.starts_with(label.as_bytes()))
}

fn left_aside(git: &Git, tree: ObjectId, labels: &[String]) -> Result<Vec<String>> {
    let listed = git.run(["ls-tree", "-r", "-z", "--name-only", "--full-tree", &tree.to_string()])?.stdout;
    let names = listed.split(|byte| *byte == 0).map(|path| String::from_utf8_lossy(path).into_owned());
    Ok(names.filter(|path| labels.iter().any(|label| path.contains(&format!("~{label}")))).collect())
}
