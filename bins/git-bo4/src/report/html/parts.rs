//! The smallest parts of the page.

use std::fmt::Write as _;

/// Text as HTML shows it; what a terminal must not see is shown by its number here too.
pub(super) fn text(words: &str) -> String {
    let mut safe = String::with_capacity(words.len() + 16);
    push(&mut safe, &shared::output::escape(words));
    safe
}

/// Appends text that has nothing hostile left but markup.
pub(super) fn push(page: &mut String, words: &str) {
    for c in words.chars() {
        match c {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            other => page.push(other),
        }
    }
}

pub(super) fn put(page: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = page.write_fmt(words);
}

/// Appends a list with a head, if there is anything in it.
pub(super) fn list(page: &mut String, head: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    put(page, format_args!("<h4>{head}</h4>\n<ul class=\"plain\">\n"));
    lines.iter().for_each(|line| put(page, format_args!("<li>{}</li>\n", text(line))));
    page.push_str("</ul>\n");
}
