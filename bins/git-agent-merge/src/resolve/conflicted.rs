//! The conflicted files of a merge, and how far each is solved.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use gix::ObjectId;
use shared::failure::Failure;
use shared::process::Git;

use super::account::{self, Lost};
use super::rules::Rule;
use super::text::{self, Labels, Text};
use crate::batch::{self, Question, Reply};
use crate::conflict::{self, Conflict, Kind};

/// How git merges two commits.
#[derive(Debug)]
pub(crate) enum Merged {
    Clean(ObjectId),
    Conflicts { tree: ObjectId, files: Vec<Conflicted> },
}

/// A conflicted path.
#[derive(Debug)]
pub(crate) struct Conflicted {
    pub(crate) conflict: Conflict,
    /// Its hunks, where it is a text on both sides.
    pub(crate) text: Option<Text>,
    /// What a rule made of the whole file.
    pub(crate) whole: Option<Vec<u8>>,
    /// The command that makes it anew.
    pub(crate) generated_by: Option<String>,
    /// How many hunks each rule solved; all of them for a rule of files.
    pub(crate) by: BTreeMap<Rule, usize>,
    /// What rules say that did not take it.
    pub(crate) remarks: Vec<String>,
}

/// Merges two commits as git does, by this base or their own.
pub(crate) fn merge(git: &Git, question: Question) -> Result<Merged, Failure> {
    let mut replies = batch::ask(git, &[question])?;
    match replies.pop().context("git gave no answer")? {
        Reply::Clean(tree) => Ok(Merged::Clean(tree)),
        Reply::CouldNotTell(words) => {
            Err(Failure::could_not("merge", format!("git cannot merge these commits: {words}")))
        }
        Reply::Conflict { tree, files, messages } => {
            let labels = [question.ours.to_string(), question.theirs.to_string()];
            let conflicts = conflict::conflicts(&files, &messages, &labels);
            let files = conflicts.into_iter().map(|conflict| Conflicted::of(git, conflict)).collect::<Result<_>>()?;
            Ok(Merged::Conflicts { tree, files })
        }
    }
}

impl Conflicted {
    fn of(git: &Git, conflict: Conflict) -> Result<Conflicted> {
        let text = match (conflict.kind, conflict.stages) {
            (Kind::Content | Kind::AddAdd, [base, Some((ours_mode, ours)), Some((theirs_mode, theirs))])
                if is_file(ours_mode) && ours_mode == theirs_mode && !has_driver(git, &conflict.raw_path)? =>
            {
                let base = match base {
                    Some((mode, id)) if is_file(mode) => Some(id),
                    Some(_) => None,
                    None => Some(empty_blob(git)?),
                };
                base.map(|base| Text::merge(git, base, ours, theirs)).transpose()?.flatten()
            }
            (_, _) => None,
        };
        Ok(Conflicted {
            conflict,
            // Without hunks it is another kind of conflict, whatever its name.
            text: text.filter(|text| text.hunks().next().is_some()),
            whole: None,
            generated_by: None,
            by: BTreeMap::new(),
            remarks: Vec::new(),
        })
    }

    pub(crate) fn path(&self) -> &[u8] {
        &self.conflict.raw_path
    }

    /// Says whether a rule has solved all of it, or a command will.
    pub(crate) fn is_solved(&self) -> bool {
        self.whole.is_some() || self.generated_by.is_some() || self.text.as_ref().is_some_and(|t| t.open().count() == 0)
    }

    /// How many hunks nobody has solved; one for a file that has none.
    pub(crate) fn open_hunks(&self) -> usize {
        if self.is_solved() { 0 } else { self.text.as_ref().map_or(1, |text| text.open().count()) }
    }

    /// What the file is to be before anybody else works on it; nothing if git's own attempt is to stay.
    pub(crate) fn content(&self, git: &Git, labels: Labels<'_>) -> Result<Option<Vec<u8>>> {
        if let Some(whole) = &self.whole {
            return Ok(Some(whole.clone()));
        }
        if self.generated_by.is_some() {
            // The other side's is what the base has, and no text with markers.
            return self.side(git, 2);
        }
        Ok(self.text.as_ref().map(|text| text.render(labels)))
    }

    /// The mode that the file is to have, of our side if it has one.
    pub(crate) fn mode(&self) -> Option<u32> {
        let [_, ours, theirs] = self.conflict.stages;
        ours.or(theirs).map(|(mode, _)| mode)
    }

    /// Reads one of the three sides: 0 is the base, 1 ours, 2 theirs.
    pub(crate) fn side(&self, git: &Git, side: usize) -> Result<Option<Vec<u8>>> {
        match self.conflict.stages[side] {
            Some((mode, id)) if mode & 0o170_000 != 0o160_000 => Ok(Some(text::blob(git, id)?)),
            Some(_) | None => Ok(None),
        }
    }

    /// Finds the lines of both sides that a result lacks.
    pub(crate) fn lost(&self, git: &Git, result: &[u8], elsewhere: &[&[u8]]) -> Result<Vec<Lost>> {
        let [base, ours, theirs] =
            [self.side(git, 0)?, self.side(git, 1)?, self.side(git, 2)?].map(Option::unwrap_or_default);
        // Of bytes that are no text there are no lines.
        if [&base, &ours, &theirs].iter().any(|side| side.contains(&0)) {
            return Ok(Vec::new());
        }
        Ok(account::lost(&base, &ours, &theirs, result, elsewhere))
    }
}

fn is_file(mode: u32) -> bool {
    mode & 0o170_000 == 0o100_000
}

/// Says whether the attributes give the path a merge of its own.
fn has_driver(git: &Git, path: &[u8]) -> Result<bool> {
    let input = [path, b"\0"].concat();
    let answer = git.feed(["check-attr", "-z", "--stdin", "merge"], &input)?.stdout;
    let value = answer.split(|byte| *byte == 0).nth(2).unwrap_or_default();
    Ok(!matches!(value, b"unspecified" | b"set" | b"text" | b""))
}

pub(crate) fn empty_blob(git: &Git) -> Result<ObjectId> {
    hash(git, b"")
}

/// Stores a blob.
pub(crate) fn hash(git: &Git, content: &[u8]) -> Result<ObjectId> {
    let id = git.feed(["hash-object", "-w", "--stdin"], content)?.text();
    ObjectId::from_hex(id.as_bytes()).context("'git hash-object' named no object")
}
