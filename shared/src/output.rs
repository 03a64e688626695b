//! The one door to stdout and stderr.
//!
//! The answer goes to stdout, the narration to stderr. Whatever passes here has its control
//! characters escaped, but for the colours that the programs set themselves.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::failure::Failure;

/// The version of every JSON document that the programs print.
pub const SCHEMA: u32 = 1;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where answers and narration go.
#[derive(Debug, Clone)]
pub struct Output {
    json: bool,
    quiet: bool,
    color: bool,
}

impl Output {
    /// Makes the door: JSON or text, with or without narration and colour.
    pub fn new(json: bool, quiet: bool, color: ColorChoice) -> Self {
        let color = match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => color_by_environment(),
        };
        Output { json, quiet, color: color && !json }
    }

    /// Says whether the answer is asked for as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Says whether progress may be drawn: stderr is a terminal and nobody asked for silence.
    pub fn draws_progress(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// Prints the answer: one JSON document with `schema` first, or the text of its `Display`.
    pub fn answer<T: Serialize + fmt::Display>(&self, answer: &T) -> Result<(), Failure> {
        if self.json {
            return self.document(answer);
        }
        let mut text = answer.to_string();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        self.text(&text)
    }

    /// Prints one line of JSON with `schema` first, for answers that are a stream too.
    pub fn document<T: Serialize>(&self, answer: &T) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Document<'a, T> {
            schema: u32,
            #[serde(flatten)]
            body: &'a T,
        }
        let mut line = serde_json::to_string(&Document { schema: SCHEMA, body: answer })
            .map_err(|e| Failure::could_not("failed", format!("cannot write the answer as JSON: {e}")))?;
        line.push('\n');
        write_stdout(line.as_bytes())
    }

    /// Prints text to stdout, escaped.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        write_stdout(escape_but_colors(text).as_bytes())
    }

    /// Prints bytes to stdout as they are: paths with `-z`, a patch, a script.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        write_stdout(bytes)
    }

    /// Narrates on stderr, unless silence was asked for.
    pub fn note(&self, text: impl fmt::Display) {
        if !self.quiet {
            say(&text.to_string());
        }
    }

    /// Warns on stderr, also when silence was asked for.
    pub fn warn(&self, text: impl fmt::Display) {
        say(&format!("{} {text}", self.paint(AnsiColor::Yellow.on_default(), "warning:")));
    }

    /// Gives a hint on stderr, unless silence was asked for.
    pub fn hint(&self, text: impl fmt::Display) {
        self.note(format!("{} {text}", self.paint(AnsiColor::Yellow.on_default(), "hint:")));
    }

    /// Reports a failure on stderr, as text or as JSON.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            say_raw(&format!("{}\n", failure.to_json()));
            return;
        }
        say(&format!("{} {}", self.paint(AnsiColor::Red.on_default().bold(), "error:"), failure.message()));
        if let Some(hint) = failure.way_on() {
            say(&format!("{} {hint}", self.paint(AnsiColor::Yellow.on_default(), "hint:")));
        }
    }

    /// Returns the text in a style if colours are on, escaped either way.
    pub fn paint(&self, style: Style, text: &str) -> String {
        let text = escape(text);
        if self.color { format!("{style}{text}{style:#}") } else { text.into_owned() }
    }
}

/// Foreign text (a title, a path, an agent's words) that is escaped when it is displayed.
#[derive(Debug, Clone, Copy)]
pub struct Foreign<'a>(pub &'a str);

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(self.0).replace(['\n', '\t'], " "))
    }
}

/// Replaces control, direction and zero-width characters by `\u{…}`; newline and tab stay.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hostile(c) {
            // Writing to a String cannot fail.
            let _ = write!(clean, "\\u{{{:x}}}", c as u32);
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

fn is_hostile(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // zero width, direction marks and overrides, line separators, byte order mark, tags
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Writes a path of a tree as text, so that no two paths read the same.
pub fn path_text(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) => text.to_owned(),
        Err(_) => path.utf8_chunks().fold(String::new(), |mut text, chunk| {
            text.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
            text
        }),
    }
}

/// Escapes like [`escape`], but lets the colour sequences `ESC [ digits ; m` pass.
fn escape_but_colors(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        clean.push_str(&escape(&rest[..at]));
        let sequence = rest[at..].strip_prefix("\u{1b}[").and_then(|tail| {
            let end = tail.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            tail[end..].starts_with('m').then_some(2 + end + 1)
        });
        let length = sequence.unwrap_or(1);
        let piece = &rest[at..at + length];
        clean.push_str(&if sequence.is_some() { Cow::Borrowed(piece) } else { escape(piece) });
        rest = &rest[at + length..];
    }
    clean.push_str(&escape(rest));
    clean
}

/// Only the narration has colours, so its stream decides.
fn color_by_environment() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if set("NO_COLOR") {
        return false;
    }
    set("CLICOLOR_FORCE") || (io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb"))
}

/// A reader that went away is no failure; a full disk is.
fn write_stdout(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::could_not("stdout", format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn say(text: &str) {
    let mut text = escape_but_colors(text);
    text.push('\n');
    say_raw(&text);
}

/// Narration that cannot be written is dropped: there is nowhere left to say so.
fn say_raw(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(escape("plain\ttext\n"), "plain\ttext\n");
        assert_eq!(escape("\u{1b}]0;x\u{7}"), "\\u{1b}]0;x\\u{7}");
        assert_eq!(escape("a\u{202e}b\u{200b}c\u{9b}d\re"), "a\\u{202e}b\\u{200b}c\\u{9b}d\\u{d}e");
    }

    #[test]
    fn only_colours_pass_the_door() {
        assert_eq!(escape_but_colors("\u{1b}[1;31mred\u{1b}[0m"), "\u{1b}[1;31mred\u{1b}[0m");
        assert_eq!(escape_but_colors("\u{1b}[2J\u{1b}[31"), "\\u{1b}[2J\\u{1b}[31");
        assert_eq!(escape_but_colors("\u{1b}"), "\\u{1b}");
    }

    #[test]
    fn a_path_that_is_no_text_is_written_out() {
        assert_eq!(path_text("ä b".as_bytes()), "ä b");
        assert_eq!(path_text(b"a\xff\xfeb"), "a\\xff\\xfeb");
    }
}
