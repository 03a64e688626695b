//! All of an answer as one page of HTML, with nothing to load and nothing that runs.

use std::fmt::Write as _;

use crate::answer::{Answer, Verdict};
use crate::conflict::Conflict;
use crate::hunks::Hunk;
use crate::matrix;

const STYLE: &str = "
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1c2024;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}code,pre,td,th{font-family:ui-monospace,monospace;font-size:13px}
.wide{overflow-x:auto}table{border-collapse:collapse}
td,th{border:1px solid #d5dade;padding:.15rem .45rem;text-align:center;font-weight:400}th.name{text-align:left}
.clean{background:#e3f5e6}.conflict{background:#fbd5d5}.could-not-tell{background:#fdecc8}
.skipped{background:#eef0f2;color:#687076}
section{border:1px solid #d5dade;border-radius:6px;padding:.2rem 1rem .8rem;margin:1rem 0}
pre{background:#f6f7f8;padding:.5rem;overflow-x:auto;margin:.3rem 0}
.base{background:#eef0f2}.ours{background:#dcebfb}.theirs{background:#e9e2fa}.note{color:#687076}
@media(prefers-color-scheme:dark){body{color:#e6e8ea;background:#16181a}td,th,section{border-color:#3a3f44}
pre{background:#1f2225}.clean{background:#1d3a24}.conflict{background:#5a2428}.could-not-tell{background:#574215}
.skipped,.base{background:#2a2e32}.ours{background:#1b3350}.theirs{background:#35284f}}
";

/// Renders the page.
pub(crate) fn render(answer: &Answer) -> String {
    let base = text(answer.base.name.strip_prefix("refs/heads/").unwrap_or(&answer.base.name));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>What merges into {base}</title>\
         <style>{STYLE}</style></head>\n<body><h1>What merges into <code>{base}</code></h1>\n\
         <p class=\"note\">{} branches at {}; {} of {} pairs conflict. x conflicts, . merges, ? could not be told, \
         - was not asked.</p>\n",
        answer.branches.len(),
        text(&answer.base.commit),
        answer.pairs.iter().filter(|pair| pair.verdict == Verdict::Conflict).count(),
        answer.pairs.len(),
    );
    table(&mut page, answer);
    for row in &answer.branches {
        let title = format!("<code>{}</code> into <code>{base}</code>", text(&row.name));
        section(&mut page, &anchor(&row.name, None), &title, row.verdict, &row.conflicts, row.reason.as_deref());
    }
    for row in &answer.pairs {
        let title = format!("<code>{}</code> with <code>{}</code>", text(&row.a), text(&row.b));
        section(&mut page, &anchor(&row.a, Some(&row.b)), &title, row.verdict, &row.conflicts, row.reason.as_deref());
    }
    page.push_str("</body></html>\n");
    page
}

fn table(page: &mut String, answer: &Answer) {
    page.push_str("<div class=\"wide\"><table><tr><th></th><th></th><th>base</th>");
    (1..=answer.branches.len()).for_each(|n| put(page, format_args!("<th>{n}</th>")));
    page.push_str("</tr>\n");
    for (at, row) in answer.branches.iter().enumerate() {
        let dirty = if row.dirty { " *" } else { "" };
        put(page, format_args!("<tr><th>{}</th><th class=\"name\">{}{dirty}</th>", at + 1, text(&row.name)));
        cell(page, row.verdict, &anchor(&row.name, None), &row.conflicts);
        for (other, column) in answer.branches.iter().enumerate() {
            let of = |pair: &&crate::answer::PairRow| {
                (pair.a == row.name && pair.b == column.name) || (pair.a == column.name && pair.b == row.name)
            };
            match answer.pairs.iter().find(of) {
                Some(pair) if at != other => {
                    cell(page, pair.verdict, &anchor(&pair.a, Some(&pair.b)), &pair.conflicts);
                }
                Some(_) | None => page.push_str("<td>\\</td>"),
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
}

fn cell(page: &mut String, verdict: Verdict, anchor: &str, conflicts: &[Conflict]) {
    let (class, sign) = (class(verdict), matrix::sign(verdict));
    if !has_section(verdict) {
        return put(page, format_args!("<td class=\"{class}\">{sign}</td>"));
    }
    let paths = text(&matrix::paths(conflicts));
    put(page, format_args!("<td class=\"{class}\" title=\"{paths}\"><a href=\"#{anchor}\">{sign}</a></td>"));
}

fn has_section(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Conflict | Verdict::CouldNotTell)
}

fn section(page: &mut String, id: &str, title: &str, verdict: Verdict, all: &[Conflict], reason: Option<&str>) {
    if !has_section(verdict) {
        return;
    }
    put(page, format_args!("<section id=\"{id}\"><h2>{title}: {verdict}</h2>\n"));
    if let Some(reason) = reason {
        put(page, format_args!("<p>{}</p>\n", text(reason)));
    }
    for conflict in all {
        put(page, format_args!("<h3><code>{}</code> {}</h3>\n", text(&conflict.path), conflict.kind));
        conflict.hunks.iter().for_each(|one| hunk(page, one));
    }
    page.push_str("</section>\n");
}

fn hunk(page: &mut String, hunk: &Hunk) {
    put(page, format_args!("<p class=\"note\">line {}</p>\n", hunk.line));
    for (class, name, lines) in [
        ("around", "before", &hunk.before),
        ("base", "base", &hunk.base),
        ("ours", "ours", &hunk.ours),
        ("theirs", "theirs", &hunk.theirs),
        ("around", "after", &hunk.after),
    ] {
        if class != "around" || !lines.is_empty() {
            // The first line break of a <pre> is not shown.
            put(page, format_args!("<pre class=\"{class}\" title=\"{name}\">\n{}</pre>\n", text(lines)));
        }
    }
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Clean => "clean",
        Verdict::Conflict => "conflict",
        Verdict::CouldNotTell => "could-not-tell",
        Verdict::Skipped => "skipped",
    }
}

/// A name that can stand in a link: the letters that are safe there, the others as numbers.
fn anchor(a: &str, b: Option<&str>) -> String {
    let plain = |name: &str| -> String {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let parts = name.bytes().map(|byte| if safe(byte) { char::from(byte).into() } else { format!("_{byte:02x}") });
        parts.collect()
    };
    b.map_or_else(|| format!("b.{}", plain(a)), |b| format!("p.{}.{}", plain(a), plain(b)))
}

/// Text as HTML shows it; what a terminal must not see is shown by its number here too.
fn text(words: &str) -> String {
    let mut safe = String::with_capacity(words.len());
    for c in shared::output::escape(words).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

fn put(page: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = page.write_fmt(words);
}
