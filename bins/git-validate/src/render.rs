//! How answers are told: to people, as JSON, and in the forms that other programs read.

use std::fmt;

use serde::Serialize;
use shared::app::Context;
use shared::failure::Failure;
use shared::output::Foreign;

use crate::report;
use crate::subject::Subject;
use crate::verdict::{Answer, CheckStatus, Row, Source, Verdict, short};

/// As much of one check's output is shown to people, in bytes; the log has the rest.
const SHOWN: usize = 2 << 10;
/// As many findings of one check are shown to people.
const FINDINGS: usize = 10;
/// As much is shown of all failures together, in bytes.
const WHOLE: usize = 7 << 10;

/// In which form the answer is told.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Form {
    /// Answer as SARIF 2.1.0
    #[arg(long)]
    sarif: bool,
    /// Answer as JUnit XML
    #[arg(long)]
    junit: bool,
    /// Answer as Markdown
    #[arg(long)]
    markdown: bool,
    /// Answer as annotations for GitHub Actions
    #[arg(long)]
    github: bool,
}

/// The answer for a range of commits.
#[derive(Debug, Serialize)]
struct Range<'a> {
    /// The worst of them.
    verdict: Verdict,
    commits: &'a [Answer],
}

impl Form {
    /// Says whether a form was asked for.
    pub(crate) fn is_given(&self) -> bool {
        self.sarif || self.junit || self.markdown || self.github
    }

    /// Prints the answers.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(crate) fn print(&self, cx: &Context, answers: &[Answer], is_range: bool) -> Result<(), Failure> {
        if self.sarif {
            return cx.output.raw(report::sarif::render(answers).as_bytes());
        }
        if self.junit {
            return cx.output.raw(report::junit::render(answers).as_bytes());
        }
        if self.markdown {
            return cx.output.text(&report::markdown::render(answers));
        }
        if self.github {
            return cx.output.text(&report::github::render(answers));
        }
        match answers {
            [answer] if !is_range => cx.output.answer(answer),
            commits => cx.output.answer(&Range { verdict: worst(commits), commits }),
        }
    }
}

/// The worst verdict of several.
pub(crate) fn worst(answers: &[Answer]) -> Verdict {
    let order = [Verdict::Fail, Verdict::TimedOut, Verdict::Broken, Verdict::None, Verdict::NoChecks];
    order.into_iter().find(|verdict| answers.iter().any(|answer| answer.verdict == *verdict)).unwrap_or(Verdict::Pass)
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noted = self.cached && !matches!(self.verdict, Verdict::None | Verdict::NoChecks);
        let from = if noted { "  (from its note)" } else { "" };
        writeln!(f, "{}  {}{from}", self.verdict.word(), self.subject)?;
        if let Some(fixed) = &self.fixed {
            for path in &fixed.applied {
                writeln!(f, "  fixed  {}", Foreign(path))?;
            }
            for left in &fixed.left {
                writeln!(f, "  not fixed  {}: {}", Foreign(&left.path), Foreign(&left.reason))?;
            }
        }
        let warned = self.checks.iter().any(|row| !row.findings.is_empty());
        if self.verdict == Verdict::Pass && !warned {
            return Ok(());
        }
        let width = self.checks.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let mut room = WHOLE;
        for row in self.checks.iter().filter(|row| self.verdict != Verdict::Pass || !row.findings.is_empty()) {
            let text = row_text(row, width, room);
            room = room.saturating_sub(text.len());
            f.write_str(&text)?;
        }
        Ok(())
    }
}

impl fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.commits.iter().try_for_each(|answer| answer.fmt(f))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::subject::Kind;
        let tree = short(&self.tree);
        match (self.kind, &self.commit) {
            (Kind::Commit, Some(commit)) => write!(f, "{} (commit {}, tree {tree})", Foreign(&self.rev), short(commit)),
            (Kind::Commit | Kind::Tree, _) => write!(f, "tree {tree}"),
            (Kind::Staged, _) => write!(f, "the index (tree {tree})"),
            (Kind::Worktree, _) => write!(f, "the worktree (tree {tree})"),
        }
    }
}

/// One check in lines; of its output no more than there is room for.
fn row_text(row: &Row, width: usize, room: usize) -> String {
    let status = row.status.map_or("not run", CheckStatus::word);
    let mut text = format!("  {:width$}  {status:9}", Foreign(&row.name));
    if let Some(duration) = row.duration_ms {
        text.push_str(&format!("  {}.{:03} s", duration / 1000, duration % 1000));
    }
    if row.cached {
        text.push_str(if row.source == Some(Source::Signed) { "  signed" } else { "  noted" });
    }
    if let Some(reason) = &row.reason {
        text.push_str(&format!("  {}", Foreign(reason)));
    }
    text.push('\n');
    let mut shown = 0;
    for finding in row.findings.iter().take(FINDINGS) {
        let line = format!("      {finding}\n");
        if text.len() + line.len() > room {
            break;
        }
        text.push_str(&line);
        shown += 1;
    }
    let all = row.counts.get("findings").copied().unwrap_or(0).max(row.findings.len() as u64);
    if all > shown {
        text.push_str(&format!("      and {} more\n", all - shown));
    }
    if matches!(row.status, Some(CheckStatus::Fail | CheckStatus::TimedOut | CheckStatus::Broken)) {
        let most = SHOWN.min(room.saturating_sub(text.len()));
        let lines = end_of(&row.tail, most).trim_end().lines();
        let lines: Vec<String> = lines.map(|line| format!("      {}\n", Foreign(line))).collect();
        // What is written out is longer than what was printed.
        let fits = |from: &usize| lines[*from..].iter().map(String::len).sum::<usize>() <= most;
        let from = (0..lines.len()).find(fits).unwrap_or(lines.len());
        match lines.last().filter(|_| from == lines.len() && most > 100) {
            // One line alone that is too long.
            Some(line) => text.push_str(&format!("      {}\n", end_of(line.trim(), most - 7))),
            None => text.push_str(&lines[from..].concat()),
        }
        if let Some(log) = &row.log {
            text.push_str(&format!("      log: {}\n", Foreign(&log.display().to_string())));
        }
    }
    text
}

/// The last lines of a text that fit.
pub(crate) fn end_of(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let mut from = text.len() - most;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    match text[from..].find('\n') {
        Some(newline) => &text[from + newline + 1..],
        None => &text[from..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Finding, Severity};

    #[test]
    fn of_many_failures_as_much_is_shown_as_there_is_room_for() {
        let finding = |n: u32| Finding {
            path: Some("a/path/of/some/length".to_owned()),
            line: Some(n),
            rule: "rule".to_owned(),
            severity: Severity::Error,
            message: "words ".repeat(40),
        };
        let row = |n: u32| Row {
            status: Some(CheckStatus::Fail),
            findings: (0..20).map(finding).collect(),
            tail: "x\n".repeat(2000),
            ..Row::open(&format!("check-{n}"), "key")
        };
        let tree = gix::ObjectId::empty_tree(gix::hash::Kind::Sha1);
        let rev = "HEAD".to_owned();
        let kind = crate::subject::Kind::Tree;
        let subject = Subject { kind, rev, commit: None, tree, base: None, message: None };
        let checks: Vec<Row> = (0..12).map(row).collect();
        let answer = Answer { subject, verdict: Verdict::Fail, cached: false, checks, fixed: None };
        let text = answer.to_string();
        assert!(text.len() <= 8 << 10, "{}", text.len());
        assert!((0..12).all(|n| text.contains(&format!("check-{n} "))) && text.ends_with("and 20 more\n"), "{text}");
        let long = Row { tail: "x".repeat(4000), findings: Vec::new(), ..row(0) };
        assert!(row_text(&long, 9, WHOLE).contains(&"x".repeat(SHOWN - 7)));
    }

    #[test]
    fn of_a_long_text_whole_lines_at_its_end_are_shown() {
        assert_eq!(end_of("one\ntwo\n", 100), "one\ntwo\n");
        assert_eq!(end_of("one\ntwo\nthree\n", 8), "three\n");
        assert_eq!(end_of("ää", 3), "ä");
    }
}
