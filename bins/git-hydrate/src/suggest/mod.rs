//! Proposing what `.worktreeinclude` could name: artefacts that are there and that git ignores.
//!
//! Nothing is ever copied because of it; a person puts the lines where they count.

mod known;
mod size;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::Result;
use gix::bstr::ByteSlice;
use gix::index::State as Index;
use serde::Serialize;
use shared::app::Context;
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;
use shared::process::Git;
use shared::repository::Worktree;

use crate::beneath;
use crate::donor::Donor;
use crate::patterns::{Choice, FILE, MAX_SIZE, Patterns};
use crate::target::{Force, State, Target};
use known::{KNOWN, VENV, VENV_WHY, anchored};

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    /// The worktree that was looked at.
    worktree: String,
    /// What is worth bringing along.
    suggestions: Vec<Suggestion>,
}

/// One path and the pattern that names it.
#[derive(Debug, Serialize)]
struct Suggestion {
    pattern: String,
    path: String,
    why: &'static str,
    files: u64,
    bytes: u64,
    /// Whether it comes along already.
    included: bool,
}

/// Answers what could be included.
pub(crate) fn run(cx: &Context, from: Option<&Path>) -> Result<Status, Failure> {
    let target = Target::find(cx)?;
    let worktree = choose(cx, &target, from)?;
    let git = cx.git_in(&worktree)?;
    let patterns = patterns(cx, &target, &git)?;
    let mut suggestions = Vec::new();
    for (path, pattern, why) in found(&git, &worktree.path)? {
        let size = size::of(&worktree.path.join(path.trim_end_matches('/')));
        let included = patterns.as_ref().is_some_and(|patterns| is_included(patterns, &path));
        suggestions.push(Suggestion { pattern, path, why, files: size.files, bytes: size.bytes, included });
    }
    let answer = Answer { worktree: worktree.path.display().to_string(), suggestions };
    if !cx.output.is_json() && answer.suggestions.iter().all(|suggestion| suggestion.included) {
        let words = if answer.suggestions.is_empty() { "nothing" } else { "nothing more" };
        cx.output.note(format!("git ignores {words} in '{}' that is known to be worth it", worktree.path.display()));
    }
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

/// Chooses where to look: as told, in the main worktree where this one waits to be filled, else here.
fn choose(cx: &Context, target: &Target, from: Option<&Path>) -> Result<Worktree, Failure> {
    let mut all = cx.repository()?.worktrees()?.into_iter();
    if let Some(from) = from {
        let path = from
            .canonicalize()
            .map_err(|e| Failure::could_not("no-donor", format!("cannot look at '{}': {e}", from.display())))?;
        return all.find(|worktree| worktree.path == path).ok_or_else(|| {
            let message = format!("'{}' is not a worktree of this repository", from.display());
            Failure::could_not("no-donor", message).hint("'git worktree list' shows them")
        });
    }
    let waits = target.tree.is_some() && !matches!(target.state(Force::No), Ok(State::Filled) | Err(_));
    let other = all.find(|worktree| worktree.git_dir != target.worktree.git_dir && worktree.path.is_dir());
    Ok(other.filter(|_| waits).unwrap_or_else(|| target.worktree.clone()))
}

/// Reads what is included already: the list as it lies here, else as HEAD has it.
fn patterns(cx: &Context, target: &Target, git: &Git) -> Result<Option<Patterns>, Failure> {
    let path = target.worktree.path.join(FILE);
    let bytes = match durable::read_foreign(&path, MAX_SIZE as usize)? {
        Some(bytes) => bytes,
        None => git.clone().reading().ask(["cat-file", "blob", &format!("HEAD:{FILE}")])?.stdout,
    };
    Patterns::of_lines(cx, bytes.lines().map(|line| line.to_str_lossy().into_owned()).collect())
}

fn is_included(patterns: &Patterns, path: &str) -> bool {
    let mut above = String::new();
    let mut choice = None;
    // Folder by folder, as the copy goes.
    for part in path.split_inclusive('/') {
        above.push_str(part);
        let (name, is_folder) = (above.trim_end_matches('/'), part.ends_with('/'));
        let here = match choice {
            None => patterns.choose(Path::new(name), is_folder),
            Some(choice) => patterns.choose_below(Path::new(name), is_folder, choice),
        };
        choice = (here != Choice::Leave).then_some(here);
    }
    choice == Some(Choice::Take)
        || patterns.choose(Path::new(path.trim_end_matches('/')), path.ends_with('/')) == Choice::Take
}

/// Finds what git ignores in a worktree and is known: its path, the pattern, the reason.
fn found(git: &Git, worktree: &Path) -> Result<Vec<(String, String, &'static str)>> {
    let list = ["ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"];
    let listed = git.clone().reading().run(list)?.stdout;
    let mut all = Vec::new();
    for path in listed.split(|b| *b == 0) {
        // What cannot stand in a line of a list is not proposed.
        let Ok(path) = str::from_utf8(path) else { continue };
        if path.contains(['\n', '\r']) || beneath::refused(path.trim_end_matches('/').as_bytes()).is_some() {
            continue;
        }
        all.extend(KNOWN.iter().find_map(|known| {
            // A folder is ignored as a whole; what is known of it may lie one step deeper.
            let deeper = known.name.trim_end_matches('/').split_once('/');
            let inner = deeper.and_then(|(head, tail)| {
                let whole = format!("{path}{tail}/");
                (path.ends_with(&format!("{head}/")) && worktree.join(&whole).is_dir()).then_some(whole)
            });
            let path = inner.unwrap_or_else(|| path.to_owned());
            let fits = known.is_named(&path) && known.is_signed(&worktree.join(path.trim_end_matches('/')));
            fits.then(|| (path.clone(), known.pattern(&path), known.why))
        }));
        let is_other_venv = path.ends_with('/')
            && all.last().is_none_or(|(last, ..)| last != path)
            && worktree.join(path).join(VENV).is_file();
        if is_other_venv {
            all.push((path.to_owned(), anchored(path), VENV_WHY));
        }
    }
    Ok(all)
}

/// Hints at it when a worktree was filled without artefacts and the donor has some at its top.
pub(crate) fn hint(cx: &Context, donor: &Donor) -> Result<()> {
    let folder = &donor.worktree.path;
    let there = |name: &&str| {
        let is_there = if name.ends_with('/') { folder.join(name).is_dir() } else { folder.join(name).is_file() };
        is_there && !is_tracked(&donor.index, name)
    };
    let known =
        KNOWN.iter().filter(|known| !known.name.contains('*') && !known.name.trim_end_matches('/').contains('/'));
    let signed = known.filter(|known| known.is_signed(&folder.join(known.name.trim_end_matches('/'))));
    let mut names: Vec<&str> = signed.map(|known| known.name).filter(there).collect();
    names.dedup();
    let mut input = names.join("\0").into_bytes();
    if input.is_empty() {
        return Ok(());
    }
    input.push(0);
    let done = donor.git()?.ask_with(["check-ignore", "-z", "--stdin"], &input)?;
    let ignored = done.stdout.split(|b| *b == 0).find(|name| !name.is_empty());
    if let Some(name) = ignored.map(String::from_utf8_lossy) {
        cx.output
            .hint(format!("'{name}' of the donor does not come along; 'git hydrate --suggest' proposes what could"));
    }
    Ok(())
}

fn is_tracked(index: &Index, name: &str) -> bool {
    match name.ends_with('/') {
        true => index.prefixed_entries(name.into()).is_some(),
        false => index.entry_by_path(name.into()).is_some(),
    }
}

impl fmt::Display for Answer {
    /// Lines for the list: each pattern once, below what it stands for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut patterns: BTreeMap<&str, Vec<&Suggestion>> = BTreeMap::new();
        for suggestion in self.suggestions.iter().filter(|suggestion| !suggestion.included) {
            patterns.entry(&suggestion.pattern).or_default().push(suggestion);
        }
        for (pattern, suggestions) in patterns {
            for one in suggestions {
                let size = indicatif::HumanBytes(one.bytes);
                let s = if one.files == 1 { "" } else { "s" };
                writeln!(f, "# {}: {} ({} file{s}, {size})", one.path.escape_debug(), one.why, one.files)?;
            }
            writeln!(f, "{pattern}")?;
        }
        Ok(())
    }
}
