//! The JSON of a task and its variants, as the headless dialect and a command print it.

use jiff::Timestamp;
use serde_json::Value;
use shared::clock;

use super::{LONGEST_LINE, LONGEST_MESSAGE, Look, MOST_VARIANTS, Memory, Seen, Task, cut, is_task_id};
use crate::record::{Phase, State};

/// A task as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) title: Option<String>,
    /// In progress is not told apart from pending.
    pub(crate) state: Phase,
    pub(crate) updated: Option<Timestamp>,
    pub(crate) attempts: Option<usize>,
}

impl Row {
    fn parse(row: &Value) -> Option<Row> {
        Some(Row {
            id: row["id"].as_str().filter(|id| is_task_id(id))?.to_owned(),
            title: text(&row["title"], LONGEST_LINE),
            state: task_state(row["status"].as_str()?)?,
            updated: row["updated_at"].as_str().and_then(|time| time.parse().ok()),
            attempts: count(&row["attempt_total"]).ok()?,
        })
    }
}

/// Reads the rows of a list; a task of somebody else that is of another shape hides no other.
///
/// # Errors
/// When there is no list.
pub(crate) fn parse_rows(list: &Value) -> Result<Vec<Row>, String> {
    let tasks = list["tasks"].as_array().ok_or("its list has no tasks")?;
    Ok(tasks.iter().filter_map(Row::parse).collect())
}

/// A task with its variants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    title: Option<String>,
    /// What is said of the task as a whole.
    state: Option<Phase>,
    attempts: Option<usize>,
    variants: Vec<Seen>,
}

impl Shown {
    /// Reads a task of this name.
    ///
    /// # Errors
    /// When it is no JSON, or of another shape, or another task.
    pub(crate) fn parse(id: &str, json: &[u8]) -> Result<Shown, String> {
        let shown: Value = serde_json::from_slice(json).map_err(|e| format!("its answer is no JSON: {e}"))?;
        if !shown.is_object() {
            return Err("its answer is no task".to_owned());
        }
        if shown["task_id"].as_str().is_some_and(|other| other != id) {
            return Err("its answer is of another task".to_owned());
        }
        let of_task = |key: &str| shown[key].as_str().or_else(|| shown["summary"][key].as_str());
        let state = of_task("status");
        let listed = match &shown["variants"] {
            Value::Array(listed) if listed.len() <= MOST_VARIANTS => listed.as_slice(),
            Value::Null if state.and_then(task_state) == Some(Phase::Pending) => &[],
            Value::Array(listed) => return Err(format!("its answer has {} variants", listed.len())),
            _ => return Err("its answer has no variants".to_owned()),
        };
        let mut variants = Vec::new();
        for (place, variant) in listed.iter().enumerate() {
            let seen = parse_variant(place, variant)?;
            if variants.iter().any(|other: &Seen| other.number == seen.number) {
                return Err(format!("its answer has variant {} twice", seen.number));
            }
            variants.push(seen);
        }
        variants.sort_by_key(|variant| variant.number);
        let attempts = match count(&shown["attempt_total"])? {
            Some(attempts) => Some(attempts),
            None => count(&shown["summary"]["attempt_total"])?,
        };
        let title = of_task("title").map(|title| cut(title, LONGEST_LINE));
        Ok(Shown { title, state: state.and_then(task_state), attempts, variants })
    }

    /// Says what it means.
    pub(crate) fn judge(mut self, task: &Task, memory: &mut Memory) -> Look {
        let highest = self.variants.last().map_or(0, |variant| variant.number);
        let total = self.attempts.unwrap_or(1).max(task.best_of).max(highest);
        let is_over = self.variants.iter().all(|variant| variant.state.is_over());
        let is_whole = if is_over && self.variants.len() >= total {
            true
        } else if is_over && self.state.is_some_and(Phase::is_over) {
            let seen = |variant: &Seen| format!("{} {}", variant.number, variant.state);
            let seen: Vec<String> = self.variants.iter().map(seen).collect();
            memory.settles(&seen, total, clock::now(), task.settle)
        } else {
            memory.goes_on();
            false
        };
        for number in 1..=total {
            if self.variants.iter().all(|variant| variant.number != number) {
                let (state, reason) = if is_whole {
                    (State::Failed, Some("the backend does not show it".to_owned()))
                } else {
                    (State::Pending, None)
                };
                self.variants.push(Seen { number, label: None, state, diff: None, message: None, reason });
            }
        }
        self.variants.sort_by_key(|variant| variant.number);
        let phase = phase(&self.variants, is_whole);
        Look { phase, title: self.title, attempts: self.attempts, variants: self.variants, is_whole }
    }
}

fn parse_variant(place: usize, variant: &Value) -> Result<Seen, String> {
    let number = ["variant_index", "number"].iter().map(|key| &variant[*key]).find(|value| !value.is_null());
    let number = match number {
        Some(number) => count(number)?.ok_or("its answer has a variant without a number")?,
        None => place + 1,
    };
    let diff = match &variant["diff"] {
        Value::Null => None,
        Value::String(diff) => Some(diff.as_bytes().to_vec()).filter(|diff| !diff.is_empty()),
        _ => return Err(format!("the diff of variant {number} is no text")),
    };
    let (state, reason) = match variant["status"].as_str() {
        Some(status) => match variant_state(status) {
            Some(state) => (state, None),
            None => (State::InProgress, Some(format!("it is '{}'", cut(status, 40)))),
        },
        None if diff.is_some() => (State::Completed, None),
        None => return Err(format!("variant {number} has no state")),
    };
    let error = error(&variant["error"]).or_else(|| text(&variant["reason"], LONGEST_LINE));
    let message = match &variant["messages"] {
        Value::Array(all) => all.iter().rev().find_map(message),
        other => message(other),
    };
    let message = message.or_else(|| message_of(&variant["message"]));
    // What did not end well may have left something half done.
    let diff = diff.filter(|_| state == State::Completed);
    Ok(Seen { number, label: None, state, diff, message, reason: error.or(reason) })
}

fn message(value: &Value) -> Option<String> {
    message_of(value).or_else(|| message_of(&value["text"])).or_else(|| message_of(&value["content"]))
}

fn message_of(value: &Value) -> Option<String> {
    text(value, LONGEST_MESSAGE)
}

/// Reads `{"code": …, "message": …}`, or a text.
fn error(value: &Value) -> Option<String> {
    let parts = [&value["code"], &value["message"]];
    let parts: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { text(value, LONGEST_LINE) } else { Some(cut(&parts.join(": "), LONGEST_LINE)) }
}

fn text(value: &Value, most: usize) -> Option<String> {
    value.as_str().filter(|text| !text.trim().is_empty()).map(|text| cut(text, most))
}

/// Reads how many there are, or which one it is.
fn count(value: &Value) -> Result<Option<usize>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    let good = count.filter(|count| (1..=MOST_VARIANTS).contains(count));
    good.map(Some).ok_or_else(|| format!("'{}' is no number of variants", cut(&value.to_string(), 40)))
}

/// Reads the state of a task.
pub(crate) fn task_state(word: &str) -> Option<Phase> {
    match word {
        "pending" | "queued" | "in_progress" | "running" => Some(Phase::Pending),
        "ready" | "applied" | "completed" => Some(Phase::Ready),
        "error" | "failed" | "cancelled" => Some(Phase::Error),
        _ => None,
    }
}

fn variant_state(word: &str) -> Option<State> {
    match word.to_ascii_lowercase().as_str() {
        "pending" | "queued" => Some(State::Pending),
        "in_progress" | "in-progress" | "running" => Some(State::InProgress),
        "completed" | "ready" | "applied" | "succeeded" => Some(State::Completed),
        "failed" | "error" => Some(State::Failed),
        "cancelled" | "canceled" => Some(State::Cancelled),
        _ => None,
    }
}

/// How far a run is whose variants are so far.
pub(crate) fn phase(variants: &[Seen], is_whole: bool) -> Phase {
    let has_something = variants.iter().any(|variant| variant.state == State::Completed && variant.diff.is_some());
    match is_whole {
        true if has_something => Phase::Ready,
        true => Phase::Error,
        false if variants.iter().all(|variant| variant.state == State::Pending) => Phase::Pending,
        false => Phase::InProgress,
    }
}

#[cfg(test)]
mod tests;
