//! What is said of a place.

use super::super::findings::{Metric, Similar};
use super::{By, Entry};

/// So many reasons are named in a sentence.
const NAMED: usize = 3;

/// Says why a variant is where it is: the first against the next, each other against the one above.
pub(super) fn reason(entries: &[Entry<'_>], at: usize, similar: &[Similar]) -> String {
    let entry = &entries[at];
    let is_same = |other: &Entry<'_>| {
        let pair = [entry.row.number, other.row.number];
        similar.iter().any(|two| two.same && pair.contains(&two.one) && pair.contains(&two.other))
    };
    let same = entries[..at].iter().find(|other| is_same(other));
    let same = same.map(|other| format!("; essentially the same as variant {}", other.row.number)).unwrap_or_default();
    if at > 0 {
        let above = &entries[at - 1];
        return format!("below variant {}: {}{same}", above.row.number, lacks(entry, above));
    }
    let stands = entry.stands();
    match entries.get(1) {
        None => format!("{stands}; no other can win"),
        Some(next) => format!("{stands}; {}", leads(entry, next, entries.len())),
    }
}

/// What the first has over the next.
fn leads(first: &Entry<'_>, next: &Entry<'_>, count: usize) -> String {
    match first.compare(next).1 {
        By::Verdict => format!("variant {} {}", next.row.number, not_passing(next)),
        By::Serious => format!("no serious risk, unlike variant {}", next.row.number),
        By::Metric => format!("best metric of {count} ({}, next {})", first.value(), next.value()),
        By::Judge => format!("preferred by the judge ({}, next {})", signed(first.duels), signed(next.duels)),
        By::Code => format!("smallest change of {count} ({}, next {})", many(first.code, "line"), next.code),
        By::Files => format!("fewest files of those as small ({}, next {})", first.files, next.files),
        By::Lines => format!("fewest lines with tests and generated files ({}, next {})", first.lines, next.lines),
        By::Nothing => format!("nothing tells it from variant {}", next.row.number),
    }
}

/// What one lacks to be above the other.
fn lacks(entry: &Entry<'_>, above: &Entry<'_>) -> String {
    match above.compare(entry).1 {
        By::Verdict => not_passing(entry),
        By::Serious => format!("serious risk: {}", some(&entry.serious)),
        By::Metric if entry.score.is_none() => "has no score".to_owned(),
        By::Metric => format!("worse metric ({} against {})", entry.value(), above.value()),
        By::Judge => format!("the judge prefers others ({} against {})", signed(entry.duels), signed(above.duels)),
        By::Code => format!("larger ({} against {})", many(entry.code, "line"), above.code),
        By::Files => format!("as large, but in more files ({} against {})", entry.files, above.files),
        By::Lines => format!("more lines with tests and generated files ({} against {})", entry.lines, above.lines),
        By::Nothing => "nothing tells them apart".to_owned(),
    }
}

/// The first of some reasons, and how many more there are.
pub(super) fn some<T: AsRef<str>>(reasons: &[T]) -> String {
    let shown: Vec<&str> = reasons.iter().take(NAMED).map(AsRef::as_ref).collect();
    match reasons.len().saturating_sub(NAMED) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

fn not_passing(entry: &Entry<'_>) -> String {
    if entry.row.verdict == "no-checks" { "has no checks to pass".to_owned() } else { entry.stands() }
}

/// Wins minus losses.
fn signed(points: isize) -> String {
    format!("{points:+}")
}

fn many(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

impl Entry<'_> {
    fn value(&self) -> String {
        match self.row.metric {
            Metric::Scored { value } => value.to_string(),
            Metric::Unscored { .. } | Metric::None => "no score".to_owned(),
        }
    }

    fn stands(&self) -> String {
        match self.row.verdict.as_str() {
            "pass" => "passes all checks".to_owned(),
            "no-checks" => "there are no checks to pass".to_owned(),
            _ => match &self.row.problem {
                Some(problem) => format!("could not be validated ({problem})"),
                None => "is not validated".to_owned(),
            },
        }
    }
}
