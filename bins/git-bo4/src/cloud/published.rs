//! The published dialect: `codex cloud exec`, `list --json`, `status` and `diff --attempt`.
//!
//! It tells nothing of a single attempt but the diffs of those that have one, in an order that
//! shifts as others end. So a variant is a diff, and its number is ours; the task's own state is
//! that of the first attempt alone.

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use shared::clock;

use super::ask::{Program, Said};
use super::complaint::Complaint;
use super::shown::{self, Row};
use super::{
    Asked, Begun, Blind, CREATE, Candidate, LONGEST_LINE, LOOK, Look, Memory, SKEW, Seen, Task, cut, is_task_id,
};
use crate::record::{Phase, State};

/// The most attempts that it can be asked for.
const MOST_ATTEMPTS: usize = 4;

/// How many pages of its list are read, of 20 tasks each.
const MOST_PAGES: usize = 5;

/// How often the diffs are read when they shift meanwhile.
const MOST_READINGS: usize = 3;

/// What is said of an attempt of which nothing came.
const NO_DIFF: &str = "no diff (failed, cancelled or empty)";

/// The Codex CLI in its published dialect.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) program: Program,
}

impl Published {
    pub(crate) fn create(&self, asked: &Asked) -> Begun {
        let Some(env) = asked.env else { return Begun::No { why: "the cloud needs an environment".to_owned() } };
        let attempts = asked.best_of.to_string();
        let (env, branch) = (format!("--env={env}"), format!("--branch={}", asked.branch));
        // On its standard input a prompt may be longer than an argument, and nobody reads it in the list of processes.
        let words = ["exec", &env, "--attempts", &attempts, &branch, "--", "-"];
        match self.program.ask(&words, Some(asked.prompt.as_bytes()), CREATE) {
            Ok(said) => parse_begun(&said),
            Err(silent) => silent.begun(),
        }
    }

    pub(crate) fn look(&self, task: &Task, memory: &mut Memory) -> Result<Look, Blind> {
        let found = self.row(task).and_then(|row| {
            // Of a single attempt that goes on there is no diff to ask for.
            let is_vain = row.state == Phase::Pending && total(&row, task) == 1;
            Ok((if is_vain { Vec::new() } else { self.diffs(task.id, total(&row, task))? }, row))
        });
        match found {
            Ok((diffs, row)) => {
                memory.found();
                Ok(judge(&row, diffs, task, memory, clock::now()))
            }
            Err(complaint) if complaint.is_no_task() && memory.misses() => {
                Err(Blind::ForGood(format!("the task has vanished: {}", complaint.why)))
            }
            Err(complaint) => Err(complaint.blind()),
        }
    }

    pub(crate) fn candidates(&self, env: Option<&str>, since: Timestamp) -> Result<Vec<Candidate>, Blind> {
        let since = since.checked_sub(SKEW).unwrap_or(since);
        let mut rows = Vec::new();
        self.each_page(env, |page| {
            let is_older = page.iter().any(|row| row.updated.is_some_and(|updated| updated < since));
            rows.extend(page.into_iter().filter(|row| row.updated.is_none_or(|updated| updated >= since)));
            is_older
        })
        .map_err(Complaint::blind)?;
        Ok(rows.into_iter().map(|row| Candidate { id: row.id, title: row.title.unwrap_or_default() }).collect())
    }

    /// Finds the task in the list, or asks for it alone where the list does not have it any more.
    fn row(&self, task: &Task) -> Result<Row, Complaint> {
        let mut found = None;
        let listed = self.each_page(task.env, |page| {
            found = page.into_iter().find(|row| row.id == task.id);
            found.is_some()
        });
        match (listed, found) {
            (Ok(()), Some(row)) => Ok(row),
            (Err(complaint), _) if !complaint.is_no_list() => Err(complaint),
            (Ok(()) | Err(_), _) => self.status(task.id),
        }
    }

    /// Reads the list page by page, the newest task first, until `is_enough`.
    fn each_page(&self, env: Option<&str>, mut is_enough: impl FnMut(Vec<Row>) -> bool) -> Result<(), Complaint> {
        let env = env.map(|env| format!("--env={env}"));
        let mut cursors: Vec<String> = Vec::new();
        while cursors.len() < MOST_PAGES {
            let mut words = vec!["list", "--json", "--limit", "20"];
            words.extend(env.as_deref());
            let cursor = cursors.last().map(|cursor| format!("--cursor={cursor}"));
            words.extend(cursor.as_deref());
            let said = self.asked(&words)?;
            if said.code != 0 {
                return Err(Complaint::parse(said.code, &said.stderr));
            }
            let (rows, next) = parse_page(&said).map_err(Complaint::of_us)?;
            let is_enough = is_enough(rows);
            match next.filter(|next| !is_enough && !cursors.contains(next)) {
                Some(next) => cursors.push(next),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn status(&self, id: &str) -> Result<Row, Complaint> {
        let said = self.asked(&["status", id])?;
        let text = String::from_utf8_lossy(&said.stdout);
        // Its exit code is 0 only when the task is ready.
        match parse_status(id, &text) {
            Some(row) => Ok(row),
            None if text.trim().is_empty() => Err(Complaint::parse(said.code, &said.stderr)),
            None => Err(Complaint::of_us(format!("its status says '{}'", cut(text.trim(), 100)))),
        }
    }

    /// Reads all diffs that there are; once more if one came twice, because another may have come before it meanwhile.
    fn diffs(&self, id: &str, total: usize) -> Result<Vec<Diff>, Complaint> {
        let mut before = self.read_diffs(id, total)?;
        for _ in 1..MOST_READINGS {
            let hashes = hashes(&before);
            if (1..hashes.len()).all(|at| !hashes[..at].contains(&hashes[at])) {
                return Ok(before);
            }
            let again = self.read_diffs(id, total)?;
            if self::hashes(&again) == hashes {
                return Ok(again);
            }
            before = again;
        }
        Err(Complaint::of_us("its diffs change while they are read"))
    }

    fn read_diffs(&self, id: &str, total: usize) -> Result<Vec<Diff>, Complaint> {
        let mut diffs = Vec::new();
        for attempt in 1..=total.min(MOST_ATTEMPTS) {
            let said = self.asked(&["diff", id, "--attempt", &attempt.to_string()])?;
            match parse_diff(said)? {
                Some(diff) => diffs.push(diff),
                None => break,
            }
        }
        Ok(diffs)
    }

    fn asked(&self, words: &[&str]) -> Result<Said, Complaint> {
        self.program.ask(words, None, LOOK).map_err(|silent| Complaint::of_us(silent.why()))
    }
}

/// A diff by its content; none if there is more of it than is taken.
struct Diff {
    hash: String,
    text: Option<Vec<u8>>,
}

fn hashes(diffs: &[Diff]) -> Vec<String> {
    diffs.iter().map(|diff| diff.hash.clone()).collect()
}

/// How many variants there are to be; the list may not know yet of all that were asked for.
fn total(row: &Row, task: &Task) -> usize {
    row.attempts.unwrap_or(1).max(task.best_of)
}

/// Says what the state of a task and the diffs of its attempts mean.
fn judge(row: &Row, diffs: Vec<Diff>, task: &Task, memory: &mut Memory, now: Timestamp) -> Look {
    let total = total(row, task).max(diffs.len());
    let hashes = hashes(&diffs);
    let is_over = row.state.is_over();
    let is_whole = if hashes.len() >= total || (is_over && total == 1) {
        true
    } else if is_over {
        let mut seen = hashes.clone();
        seen.sort();
        memory.settles(&seen, total, now, task.settle)
    } else {
        memory.goes_on();
        false
    };
    let numbers = memory.number(&hashes, total);
    let count = diffs.len();
    let name =
        |place: usize| if count < total { format!("diff {place} of {count}") } else { format!("attempt {place}") };
    let mut variants: Vec<Seen> = diffs
        .into_iter()
        .zip(numbers)
        .zip(1..)
        .map(|((diff, number), place)| Seen { label: Some(name(place)), ..seen(number, diff.text) })
        .collect();
    let rest = match (is_whole, row.state == Phase::Pending && count == 0) {
        (true, _) => State::Failed,
        (false, true) => State::Pending,
        (false, false) => State::InProgress,
    };
    for number in 1..=total {
        if variants.iter().all(|variant| variant.number != number) {
            let reason = is_whole.then(|| NO_DIFF.to_owned());
            variants.push(Seen { number, label: None, state: rest, diff: None, message: None, reason });
        }
    }
    variants.sort_by_key(|variant| variant.number);
    let phase = shown::phase(&variants, is_whole);
    Look { phase, title: row.title.clone(), attempts: row.attempts, variants, is_whole }
}

fn seen(number: usize, diff: Option<Vec<u8>>) -> Seen {
    let reason = diff.is_none().then(|| "its diff is too large".to_owned());
    let state = if diff.is_some() { State::Completed } else { State::Failed };
    Seen { number, label: None, state, diff, message: None, reason }
}

/// Reads what `exec` printed: the address of the task, whose last part is its name.
fn parse_begun(said: &Said) -> Begun {
    if said.code != 0 {
        return Complaint::parse(said.code, &said.stderr).begun();
    }
    let text = String::from_utf8_lossy(&said.stdout);
    let url = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    match url.trim_end_matches('/').rsplit_once('/') {
        Some((_, id)) if url.starts_with("http") && is_task_id(id) => {
            Begun::Yes { task_id: id.to_owned(), url: Some(cut(url, LONGEST_LINE)) }
        }
        Some(_) | None => Begun::Unsure { why: format!("codex printed no address of a task: '{}'", cut(url, 100)) },
    }
}

fn parse_page(said: &Said) -> Result<(Vec<Row>, Option<String>), String> {
    let page: Value = serde_json::from_slice(&said.stdout).map_err(|e| format!("its list is no JSON: {e}"))?;
    let rows = shown::parse_rows(&page)?;
    let cursor = page["cursor"].as_str().filter(|cursor| !cursor.is_empty() && cursor.len() < 4096);
    Ok((rows, cursor.map(str::to_owned)))
}

/// Reads `[READY] title`, which is all that counts of a status.
fn parse_status(id: &str, text: &str) -> Option<Row> {
    let (state, rest) = text.strip_prefix('[')?.split_once("] ")?;
    let state = shown::task_state(&state.to_ascii_lowercase())?;
    let title = rest.lines().next().map(|title| cut(title, LONGEST_LINE));
    Some(Row { id: id.to_owned(), title, state, updated: None, attempts: None })
}

/// Reads what `diff --attempt` printed; nothing if there are no more.
fn parse_diff(said: Said) -> Result<Option<Diff>, Complaint> {
    if said.code == 0 {
        let hash = Sha256::digest(&said.stdout).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = (!said.is_cut).then_some(said.stdout);
        return Ok(Some(Diff { hash, text }).filter(|diff| diff.text.as_ref().is_none_or(|text| !text.is_empty())));
    }
    let complaint = Complaint::parse(said.code, &said.stderr);
    let has_no_more = complaint.why.starts_with("No diff available for task ")
        || (complaint.why.starts_with("Attempt ") && complaint.why.contains(" not available; only "));
    if has_no_more { Ok(None) } else { Err(complaint) }
}

#[cfg(test)]
mod tests;
