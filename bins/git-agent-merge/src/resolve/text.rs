//! A conflicted text: what both sides agree on, and the hunks where they do not.

use anyhow::Result;
use gix::ObjectId;
use shared::process::Git;

/// Longer than any line of markers that a file may hold itself.
const MARKER: usize = 61;
/// The length that git and people know.
const SHOWN_MARKER: usize = 7;
/// A larger merged file is not looked at hunk by hunk, in bytes.
const MAX_SIZE: usize = 4 << 20;

/// The three sides of lines that both sides changed, and what they became.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hunk {
    pub(crate) base: Vec<u8>,
    pub(crate) ours: Vec<u8>,
    pub(crate) theirs: Vec<u8>,
    pub(crate) solution: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Common(Vec<u8>),
    Hunk(Hunk),
}

/// A file in parts, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) parts: Vec<Part>,
    /// Whether the file ends without a newline on both sides.
    is_open_ended: bool,
}

/// How the sides are called in the markers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labels<'a> {
    pub(crate) ours: &'a str,
    pub(crate) theirs: &'a str,
}

impl Text {
    /// Merges three blobs; nothing if they are no text or too large for it.
    pub(crate) fn merge(git: &Git, base: ObjectId, ours: ObjectId, theirs: ObjectId) -> Result<Option<Text>> {
        let size = format!("--marker-size={MARKER}");
        let ids = [ours.to_string(), base.to_string(), theirs.to_string()];
        let fixed = ["merge-file", "-p", "--object-id", "--diff3", "--diff-algorithm=histogram", &size];
        let done = git.ask(fixed.into_iter().chain(ids.iter().map(String::as_str)))?;
        // 255 says that it is binary or could not be read.
        if done.code >= 255 || done.stdout.len() > MAX_SIZE {
            return Ok(None);
        }
        let mut text = Text { parts: parse(&done.stdout), is_open_ended: false };
        if matches!(text.parts.last(), Some(Part::Hunk(_))) {
            let is_open = |id: ObjectId| -> Result<bool> { Ok(!blob(git, id)?.ends_with(b"\n")) };
            text.is_open_ended = is_open(ours)? && is_open(theirs)?;
        }
        Ok(Some(text))
    }

    /// Returns the hunks that nothing has solved yet.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Hunk> {
        self.hunks().filter(|hunk| hunk.solution.is_none())
    }

    pub(crate) fn hunks(&self) -> impl Iterator<Item = &Hunk> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hunk(hunk) => Some(hunk),
            Part::Common(_) => None,
        })
    }

    pub(crate) fn hunks_mut(&mut self) -> impl Iterator<Item = &mut Hunk> {
        self.parts.iter_mut().filter_map(|part| match part {
            Part::Hunk(hunk) => Some(hunk),
            Part::Common(_) => None,
        })
    }

    /// Writes the file out, with markers around what is open.
    pub(crate) fn render(&self, labels: Labels<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            match part {
                Part::Common(bytes) => out.extend_from_slice(bytes),
                Part::Hunk(Hunk { solution: Some(bytes), .. }) => out.extend_from_slice(bytes),
                Part::Hunk(hunk) => {
                    let marker = |sign: &str, label: &str| {
                        let space = if label.is_empty() { "" } else { " " };
                        format!("{}{space}{label}\n", sign.repeat(SHOWN_MARKER)).into_bytes()
                    };
                    let lines = [
                        marker("<", labels.ours),
                        hunk.ours.clone(),
                        marker("|", "base"),
                        hunk.base.clone(),
                        marker("=", ""),
                        hunk.theirs.clone(),
                        marker(">", labels.theirs),
                    ];
                    out.extend(lines.concat());
                }
            }
        }
        let ends_solved = matches!(self.parts.last(), Some(Part::Hunk(Hunk { solution: Some(_), .. })));
        if self.is_open_ended && ends_solved && out.ends_with(b"\n") {
            out.pop();
        }
        out
    }
}

/// Reads a blob as it is stored.
pub(crate) fn blob(git: &Git, id: ObjectId) -> Result<Vec<u8>> {
    Ok(git.run(["cat-file", "blob", &id.to_string()])?.stdout)
}

/// Counts the lines that are markers of a conflict.
pub(crate) fn markers(content: &[u8]) -> usize {
    let is_marker = |line: &[u8]| {
        let Some(sign) = line.first().filter(|sign| matches!(**sign, b'<' | b'|' | b'>' | b'=')) else { return false };
        let count = line.iter().take_while(|byte| *byte == sign).count();
        let rest = &line[count..];
        match sign {
            // Under a heading there are often more or fewer of them.
            b'=' => count == SHOWN_MARKER && rest.is_empty(),
            _ => count >= SHOWN_MARKER && matches!(rest.first(), Some(b' ') | None),
        }
    };
    content
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|l| is_marker(l))
        .count()
}

fn parse(merged: &[u8]) -> Vec<Part> {
    #[derive(Clone, Copy)]
    enum Side {
        Common,
        Ours,
        Base,
        Theirs,
    }
    let is_marker = |line: &[u8], sign: u8| {
        let count = line.iter().take_while(|byte| **byte == sign).count();
        count == MARKER && matches!(line.get(MARKER), Some(b' ' | b'\n' | b'\r') | None)
    };
    let mut parts: Vec<Part> = Vec::new();
    let mut hunk = Hunk::default();
    let mut side = Side::Common;
    for line in merged.split_inclusive(|byte| *byte == b'\n') {
        match side {
            Side::Common if is_marker(line, b'<') => side = Side::Ours,
            Side::Ours if is_marker(line, b'|') => side = Side::Base,
            Side::Base if is_marker(line, b'=') => side = Side::Theirs,
            Side::Theirs if is_marker(line, b'>') => {
                parts.push(Part::Hunk(std::mem::take(&mut hunk)));
                side = Side::Common;
            }
            Side::Common => match parts.last_mut() {
                Some(Part::Common(bytes)) => bytes.extend_from_slice(line),
                Some(Part::Hunk(_)) | None => parts.push(Part::Common(line.to_vec())),
            },
            Side::Ours => hunk.ours.extend_from_slice(line),
            Side::Base => hunk.base.extend_from_slice(line),
            Side::Theirs => hunk.theirs.extend_from_slice(line),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_hunks_come_back_as_they_were() {
        let m = |sign: &str| sign.repeat(MARKER);
        let merged =
            format!("1\n{} a\nours\n{} b\n<<<<<<< no marker\n{}\ntheirs\n{} c\n2\n", m("<"), m("|"), m("="), m(">"));
        let mut text = Text { parts: parse(merged.as_bytes()), is_open_ended: false };
        assert_eq!((text.parts.len(), text.open().count()), (3, 1));
        let labels = Labels { ours: "o", theirs: "t" };
        let shown = "1\n<<<<<<< o\nours\n||||||| base\n<<<<<<< no marker\n=======\ntheirs\n>>>>>>> t\n2\n";
        assert_eq!(String::from_utf8(text.render(labels)).unwrap(), shown);
        text.hunks_mut().next().unwrap().solution = Some(b"both\n".to_vec());
        assert_eq!(text.render(labels), b"1\nboth\n2\n");
    }

    #[test]
    fn markers_are_told_from_headings_and_shifts() {
        assert_eq!(markers(b"<<<<<<< a\nx\n=======\ny\r\n>>>>>>> b\n||||||| c\r\n"), 4);
        assert_eq!(markers(b"Title\n========\n\na <<<<<<< b\n<<<<<<<x\n====== \n"), 0);
    }
}
