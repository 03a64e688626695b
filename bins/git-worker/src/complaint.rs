//! What an agent complained of on its standard error: the reason of an end of which it said nothing.

use crate::output::first_line;

/// No more lines of a piece are looked at.
const LINES: usize = 64;

/// By one of these a line is known for the one that matters.
const SIGNS: [&str; 7] = ["error", "cannot", "could not", "fail", "invalid", "not found", "must "];

/// The last line that names an error, or else the last one at all.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    line: Option<String>,
    is_error: bool,
}

impl Complaint {
    /// Takes whole lines.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        let lines = bytes.rsplit(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let lines: Vec<String> = lines.take(LINES).map(plain).filter(|line| !line.is_empty()).collect();
        let error = lines.iter().find(|line| {
            let line = line.to_ascii_lowercase();
            SIGNS.iter().any(|sign| line.contains(sign))
        });
        if let Some(line) = error.or(lines.first()).filter(|_| error.is_some() || !self.is_error) {
            self.line = Some(line.clone());
            self.is_error = error.is_some();
        }
    }

    /// Returns it; none if nothing was said.
    pub(crate) fn line(&self) -> Option<&str> {
        self.line.as_deref()
    }
}

/// Returns the beginning of a line without its colours.
fn plain(line: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = &*String::from_utf8_lossy(&line[..line.len().min(1024)]);
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        text.push_str(before);
        rest = after.strip_prefix('[').map_or(after, |after| {
            let end = after.find(|c: char| c.is_ascii_alphabetic()).map_or(after.len(), |at| at + 1);
            &after[end..]
        });
    }
    text.push_str(rest);
    first_line(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_counts_and_else_the_last_line() {
        let mut complaint = Complaint::default();
        assert_eq!(complaint.line(), None);
        complaint.hear(b"Reading input\nmore\n\n");
        assert_eq!(complaint.line(), Some("more"));
        complaint.hear(b"\x1b[91m\x1b[1mError: \x1b[0mSession not found\nUse another\n");
        assert_eq!(complaint.line(), Some("Error: Session not found"));
        complaint.hear(b"at line 7\n");
        assert_eq!(complaint.line(), Some("Error: Session not found"));
    }
}
