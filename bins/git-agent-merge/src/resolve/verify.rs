//! Whether a resolution may be offered: no markers, nothing dropped or taken whole in silence, nothing else changed.

use std::collections::HashMap;

use anyhow::Result;
use gix::ObjectId;
use shared::process::Git;

use super::account::{How, is_telling};
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
    let mut results: HashMap<&[u8], Option<(u32, ObjectId)>> = HashMap::new();
    for file in files {
        results.insert(file.path(), place::entry(git, capture.tree, file.path())?);
    }
    let outside = outside(files, capture, labels);
    if who == Who::Agent && !outside.is_empty() {
        problems.push(format!("changed paths that do not conflict: {}", outside.join(", ")));
    }
    for path in left_aside(git, capture.tree, labels)? {
        problems.push(format!("'{path}' is still there: git moved a file aside under that name"));
    }
    let mut contents: HashMap<&[u8], Vec<u8>> = HashMap::new();
    for (path, entry) in &results {
        if let Some((mode, id)) = entry.filter(|(mode, _)| mode & 0o170_000 != 0o160_000) {
            let _ = mode;
            contents.insert(path, text::blob(git, id)?);
        }
    }
    let mut rows = Vec::new();
    for file in files {
        let elsewhere: Vec<&[u8]> =
            contents.iter().filter(|(path, _)| **path != file.path()).map(|(_, content)| content.as_slice()).collect();
        let row =
            one(git, file, results[file.path()], contents.get(file.path()), &elsewhere, who, report, &mut problems)?;
        rows.push(row);
    }
    Ok(Checked { files: rows, problems, outside })
}

#[expect(clippy::too_many_arguments, reason = "one file of the check above")]
fn one(
    git: &Git,
    file: &Conflicted,
    result: Option<(u32, ObjectId)>,
    content: Option<&Vec<u8>>,
    elsewhere: &[&[u8]],
    who: Who,
    report: &Report,
    problems: &mut Vec<String>,
) -> Result<FileRow> {
    let mut row = row(file);
    let path = row.path.clone();
    let said = report.about(&path);
    row.summary = said.and_then(|said| said.summary.clone());
    let by_others = file.open_hunks();
    if by_others > 0 {
        let who = if who == Who::Agent { "agent" } else { "person" };
        row.by.push(By { who: who.to_owned(), hunks: by_others });
    }
    row.takes = takes(file, result);
    if let Some(takes) = row.takes.filter(|_| who == Who::Agent && by_others > 0)
        && said.and_then(|said| said.takes) != Some(takes)
    {
        problems.push(format!("'{path}' {takes}, and the report does not say so"));
    }
    let Some(content) = content else {
        row.resolved = true;
        return Ok(row);
    };
    let own: usize =
        (0..3).map(|side| Ok(file.side(git, side)?.map_or(0, |side| text::markers(&side)))).sum::<Result<usize>>()?;
    let markers = text::markers(content);
    if markers > own {
        problems.push(format!("'{path}' still has {} lines of conflict markers", markers - own));
    }
    row.resolved = markers <= own;
    // A file that a command makes anew is nobody's text.
    if file.generated_by.is_none() {
        row.dropped = file.lost(git, content, elsewhere)?;
    }
    for lost in row.dropped.iter_mut().filter(|lost| lost.how == How::Unnamed) {
        if let Some(why) = said.and_then(|said| said.names(lost)) {
            lost.how = How::Named;
            lost.why = Some(why);
        }
    }
    let silent: Vec<_> = row.dropped.iter().filter(|lost| lost.how == How::Unnamed && is_telling(&lost.text)).collect();
    if who == Who::Agent && by_others > 0 && !silent.is_empty() {
        let shown: Vec<String> = silent
            .iter()
            .take(SHOWN)
            .map(|lost| format!("\n  {}: {}", side_name(lost.side), lost.text.trim()))
            .collect();
        let more = silent.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        problems.push(format!(
            "'{path}' lacks {} lines that one side added or both keep, and the report does not name them:{}{more}",
            silent.len(),
            shown.concat()
        ));
    }
    Ok(row)
}

fn side_name(side: super::account::Side) -> &'static str {
    match side {
        super::account::Side::Ours => "ours",
        super::account::Side::Theirs => "theirs",
        super::account::Side::Base => "both",
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
