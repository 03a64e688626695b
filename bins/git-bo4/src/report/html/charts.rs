//! The numbers of the variants as bars, with the same in words.

use super::super::{Line, Report};
use super::parts::{put, text};

/// How wide a chart is in its own units, and where its bars begin and end.
const WIDTH: usize = 390;
const LEFT: usize = 68;
const RIGHT: usize = 160;
const ROW: usize = 26;

/// A part of a bar: its class, its length and what it is in words.
type Part = (&'static str, usize, &'static str);

/// Appends a chart of the checks and one of the sizes.
pub(super) fn render(page: &mut String, report: &Report) {
    let lines = report.in_order();
    let checks = |line: &Line| {
        let [passed, failed, other] = line.counts();
        [("good", passed, "passed"), ("bad", failed, "failed"), ("odd", other, "did not run")]
    };
    let sizes = |line: &Line| {
        let size = line.size.unwrap_or_default();
        let all = size.added + size.removed;
        [("code", size.code, "code"), ("rest", all.saturating_sub(size.code), "tests and generated"), ("odd", 0, "")]
    };
    let has_checks = lines.iter().any(|line| !line.checks.is_empty());
    let has_sizes = lines.iter().any(|line| line.size.is_some());
    if !has_checks && !has_sizes {
        return;
    }
    page.push_str("<h2 id=\"charts\">Checks and sizes</h2>\n<div class=\"charts\">\n");
    if has_checks {
        chart(page, "checks", "Checks by variant", &lines, checks);
    }
    if has_sizes {
        chart(page, "sizes", "Changed lines by variant", &lines, sizes);
    }
    page.push_str("</div>\n");
}

fn chart(page: &mut String, id: &str, name: &str, lines: &[&Line], parts: impl Fn(&Line) -> [Part; 3]) {
    let most = lines.iter().map(|line| parts(line).iter().map(|part| part.1).sum::<usize>()).max().unwrap_or(0).max(1);
    let height = lines.len() * ROW + 4;
    let words = |line: &Line| {
        let some = parts(line).into_iter().filter(|part| part.1 > 0);
        let said: Vec<String> = some.map(|(_, count, word)| format!("{count} {word}")).collect();
        if said.is_empty() { "none".to_owned() } else { said.join(", ") }
    };
    let all: Vec<String> = lines.iter().map(|line| format!("variant {}: {}", line.variant, words(line))).collect();
    put(
        page,
        format_args!(
            "<figure><figcaption>{name}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-labelledby=\"{id}-name {id}-all\"><title id=\"{id}-name\">{name}</title><desc id=\"{id}-all\">{}</desc>\n",
            text(&all.join("; "))
        ),
    );
    for (row, line) in lines.iter().enumerate() {
        let top = row * ROW + 4;
        put(page, format_args!("<text x=\"0\" y=\"{}\">variant {}</text>", top + 14, line.variant));
        let mut left = LEFT;
        for (class, count, word) in parts(line).into_iter().filter(|part| part.1 > 0) {
            let width = (count * (WIDTH - LEFT - RIGHT) / most).max(2);
            put(
                page,
                format_args!(
                    "<rect class=\"fill-{class}\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"18\">\
                     <title>{count} {word}</title></rect>"
                ),
            );
            left += width + 1;
        }
        let counts: Vec<String> = parts(line).iter().filter(|part| part.1 > 0).map(short).collect();
        let counts = if counts.is_empty() { "-".to_owned() } else { counts.join(", ") };
        put(page, format_args!("<text x=\"{}\" y=\"{}\">{counts}</text>\n", left + 5, top + 14));
    }
    page.push_str("</svg></figure>\n");
}

fn short((_, count, word): &Part) -> String {
    let word = match *word {
        "tests and generated" => "rest",
        "did not run" => "other",
        other => other,
    };
    format!("{count} {word}")
}
