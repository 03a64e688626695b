//! The message of a commit.

use super::outcome::Gather;
use super::settings::CommitMessage;
use super::{Outcome, Policy};

/// What the subject of unfinished work begins with.
const UNFINISHED: &[&str] = &["wip", "fixup!", "squash!", "amend!"];

/// Judges a message.
pub(super) fn judge(message: &[u8], policy: &Policy, asked: &CommitMessage) -> Outcome {
    let mut gather = Gather::of(policy);
    for fault in faults(&String::from_utf8_lossy(message), asked) {
        gather.add_whole(policy.severity, || fault);
    }
    gather.end()
}

fn faults(message: &str, asked: &CommitMessage) -> Vec<String> {
    let mut faults = Vec::new();
    let message = message.trim_start_matches(['\n', '\r']);
    let mut lines = message.lines();
    let subject = lines.next().unwrap_or_default().trim_end();
    if subject.is_empty() {
        faults.push("the message is empty".to_owned());
        return faults;
    }
    judge_subject(subject, asked, &mut faults);
    if lines.clone().next().is_some_and(|second| !second.trim().is_empty()) {
        faults.push("line 2: a blank line must stand behind the subject".to_owned());
    }
    for (at, line) in lines.enumerate().filter(|(_, line)| asked.body_max > 0 && is_prose(line)) {
        let length = line.chars().count() as u64;
        if length > asked.body_max {
            faults.push(format!("line {}: {length} characters, at most {} are allowed", at + 2, asked.body_max));
        }
    }
    for wanted in &asked.trailers {
        if !trailers(message).any(|token| token.eq_ignore_ascii_case(wanted)) {
            faults.push(format!("the trailer '{wanted}:' is missing"));
        }
    }
    faults
}

fn judge_subject(subject: &str, asked: &CommitMessage, faults: &mut Vec<String>) {
    let lower = subject.to_lowercase();
    let goes_on = |rest: &str| !rest.starts_with(char::is_alphanumeric);
    let is_unfinished = UNFINISHED.iter().any(|word| {
        lower.trim_start_matches(['[', '(']).strip_prefix(word).is_some_and(|rest| word.ends_with('!') || goes_on(rest))
    });
    if is_unfinished && !asked.allow_wip {
        faults.push("the subject says that the work is not finished".to_owned());
    }
    // Git writes these, with the names of branches and other subjects in them.
    let is_made =
        subject.starts_with("Merge ") || subject.starts_with("Revert \"") || subject.starts_with("Reapply \"");
    let length = subject.chars().count() as u64;
    if asked.subject_max > 0 && length > asked.subject_max && !is_made {
        faults.push(format!("the subject has {length} characters, at most {} are allowed", asked.subject_max));
    }
    if let Some(pattern) = asked.pattern.as_ref().filter(|pattern| !is_made && !pattern.is_match(subject)) {
        faults.push(format!("the subject does not match '{pattern}'"));
    }
}

/// A quotation, a listing and a long address cannot be broken.
fn is_prose(line: &str) -> bool {
    !(line.starts_with('>') || line.starts_with('\t') || line.starts_with("    "))
        && line.trim().contains(' ')
        && !line.contains("://")
}

/// The names of the trailers: lines `Name: text` of the last paragraph.
fn trailers(message: &str) -> impl Iterator<Item = &str> {
    let last = message.trim_end().rsplit("\n\n").next().filter(|last| last.len() < message.trim_end().len());
    last.unwrap_or_default().lines().filter_map(|line| {
        let (token, rest) = line.split_once(':')?;
        let is_token = !token.is_empty() && token.chars().all(|c| c == '-' || c.is_ascii_alphanumeric());
        (is_token && !rest.trim().is_empty()).then_some(token)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> CommitMessage {
        CommitMessage { subject_max: 20, body_max: 10, pattern: None, trailers: Vec::new(), allow_wip: false }
    }

    #[test]
    fn a_subject_is_short_and_finished() {
        let count = |message: &str| faults(message, &asked()).len();
        assert_eq!(count("Fix it\n\nshort\n"), 0);
        assert_eq!(count("Fix ä that is far too long\n"), 1);
        assert_eq!(count("Merge branch 'with-a-very-long-name'\n"), 0);
        for wip in ["WIP", "wip: x", "[WIP] x", "fixup! x", "squash! x"] {
            assert_eq!(count(wip), 1, "{wip}");
        }
        assert_eq!(count("Wipe it"), 0);
        assert_eq!(count("\n\n"), 1);
        assert_eq!(count("Fix\nat once"), 1);
    }

    #[test]
    fn a_body_keeps_within_its_width_where_it_can() {
        let body =
            "Fix\n\nmore than ten\nhttps://example.org/a b c\n    more than ten\n> more than ten\nunbreakable-word\n";
        assert_eq!(faults(body, &asked()), ["line 3: 13 characters, at most 10 are allowed"]);
    }

    #[test]
    fn trailers_and_pattern_are_wanted() {
        let pattern = regex::Regex::new("^(feat|fix): ").ok();
        let asked = CommitMessage { pattern, trailers: vec!["Signed-off-by".into()], body_max: 0, ..asked() };
        assert!(faults("fix: x\n\nbody\n\nsigned-off-by: A <a@b>\n", &asked).is_empty());
        assert_eq!(faults("Fix\n\nSigned-off-by: A\n\nlater\n", &asked).len(), 2);
        assert_eq!(faults("fix: x\n\nSigned-off-by:\n", &asked), ["the trailer 'Signed-off-by:' is missing"]);
    }
}
