//! A report for a pull request or a chat.

use shared::output::Foreign;

use super::{Report, words};

/// So much of an agent's last words is shown.
const WORDS: usize = 4000;

/// Renders the report; whatever agents wrote stays text.
pub(crate) fn render(report: &Report) -> String {
    let mut page = format!("# Run {}: {}\n\n", text(&report.run), text(&report.title));
    for (name, value) in words::facts(report) {
        page.push_str(&format!("- {name}: {}\n", text(&value)));
    }
    page.push_str(&format!("\n## Variants\n\n|{}|\n|{}\n", words::HEADS.join("|"), "---|".repeat(words::HEADS.len())));
    for line in report.in_order() {
        page.push_str(&format!("|{}|\n", words::cells(line).map(|cell| text(&cell)).join("|")));
    }
    if !report.ranking.is_empty() {
        page.push_str("\n## Ranking\n\n");
    }
    for place in &report.ranking {
        let at = place.place.map_or_else(|| "-".to_owned(), |place| format!("{place}."));
        page.push_str(&format!("{at} variant {}: {}\n", place.variant, text(&place.reason)));
        if place.place.is_some_and(|at| report.ranking.get(at).is_some_and(|next| next.place.is_none())) {
            // A list without numbers begins behind an empty line.
            page.push('\n');
        }
    }
    let risks = report.in_order().into_iter().flat_map(|line| {
        let one = |risk: &crate::review::findings::Risk| {
            format!("variant {} ({}): {}", line.variant, words::weight(risk.weight), risk.text)
        };
        line.risks.iter().map(one)
    });
    list(&mut page, "Risks", risks.collect());
    list(&mut page, "Alike", words::alike(report));
    list(&mut page, "Judge", words::judged(report));
    list(&mut page, "What remains", report.residual.clone());
    if !report.next.is_empty() {
        page.push_str("\n## Next\n\n```\n");
        let lines = report.next.iter().map(|step| format!("{}  # {}\n", Foreign(&step.command), step.why));
        lines.for_each(|line| page.push_str(&line));
        page.push_str("```\n");
    }
    said(&mut page, report);
    page
}

fn list(page: &mut String, head: &str, lines: Vec<String>) {
    if !lines.is_empty() {
        page.push_str(&format!("\n## {head}\n\n"));
        lines.iter().for_each(|line| page.push_str(&format!("- {}\n", text(line))));
    }
}

/// The last words of the agents, as quotes.
fn said(page: &mut String, report: &Report) {
    for line in report.in_order() {
        let Some(message) = line.message.as_ref().filter(|message| !message.trim().is_empty()) else { continue };
        page.push_str(&format!("\n## What the agent of variant {} said\n\n", line.variant));
        let short: String = message.chars().take(WORDS).collect();
        short.lines().for_each(|line| page.push_str(&format!("> {}\n", text(line))));
    }
}

/// Text as Markdown shows it, on one line.
fn text(words: &str) -> String {
    let mut safe = String::with_capacity(words.len());
    for c in Foreign(words).to_string().chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            // A mention would call somebody.
            '@' => safe.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' => safe.extend(['\\', c]),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn what_agents_wrote_stays_text() {
        let page = render(&report());
        assert!(page.contains("> &lt;script>alert(1)&lt;/script> \\\\u{202e}\\| done\n"), "{page}");
        assert!(page.contains("|1|1|completed|pass 1/1|-|12 (+12 -0)|1|1.2k|1m02s|-|codex|\n"), "{page}");
        assert!(page.contains("1. variant 1: passes all checks; smallest change of 2 (12 lines, next 87)\n"), "{page}");
        assert_eq!(text("a_b@c\n[x](y)"), "a\\_b&#64;c \\[x\\](y)");
    }
}
