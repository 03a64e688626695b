//! The policies that look at each line, in one pass.

use memchr::memchr_iter;

use super::super::settings::{Ask, Style};
use super::{Demand, Found, in_force};

/// What is asked of each line.
#[derive(Default)]
struct Wanted {
    length: Option<(u64, Found)>,
    whitespace: Option<Found>,
    newline: Option<Found>,
    markers: Option<Found>,
    endings: Option<(Style, Found)>,
}

/// Judges the lines of a text.
pub(super) fn judge(data: &[u8], demand: Demand<'_>, found: &mut Vec<Found>) {
    let mut wanted = Wanted::default();
    for (slot, ask) in in_force(demand) {
        let own = Found::at(slot);
        match ask {
            Ask::LineLength => wanted.length = Some((demand.values[slot].unwrap_or(u64::MAX), own)),
            Ask::Whitespace => wanted.whitespace = Some(own),
            Ask::FinalNewline => wanted.newline = Some(own),
            Ask::ConflictMarkers => wanted.markers = Some(own),
            Ask::LineEndings(style) => wanted.endings = Some((*style, own)),
            _ => {}
        }
    }
    if let Some(own) = &mut wanted.newline
        && data.last().is_some_and(|last| *last != b'\n')
    {
        let line = memchr_iter(b'\n', data).count() + 1;
        own.add(line.try_into().unwrap_or(u32::MAX), String::new);
    }
    if wanted.length.is_some() || wanted.whitespace.is_some() || wanted.markers.is_some() || wanted.endings.is_some() {
        wanted.pass(data);
    }
    found.extend(wanted.length.map(|(_, own)| own));
    found.extend(wanted.endings.map(|(_, own)| own));
    found.extend([wanted.whitespace, wanted.newline, wanted.markers].into_iter().flatten());
}

impl Wanted {
    fn pass(&mut self, data: &[u8]) {
        let mut ends = Ends::default();
        let mut is_open = false;
        let (mut start, mut number) = (0, 0_u32);
        let rest = (data.last() != Some(&b'\n') && !data.is_empty()).then_some(data.len());
        for at in memchr_iter(b'\n', data).chain(rest) {
            number = number.saturating_add(1);
            let mut line = &data[start..at];
            start = at + 1;
            if at < data.len() {
                let is_crlf = line.last() == Some(&b'\r');
                if is_crlf {
                    line = &line[..line.len() - 1];
                }
                ends.count(number, is_crlf);
            }
            let Some(last) = line.last() else { continue };
            if let Some((max, own)) = &mut self.length
                && line.len() as u64 > *max
            {
                let length = characters(line);
                if length > *max {
                    own.add(number, || length.to_string());
                }
            }
            if let Some(own) = &mut self.whitespace
                && matches!(last, b' ' | b'\t' | b'\r')
            {
                own.add(number, String::new);
            }
            if let Some(own) = &mut self.markers
                && let Some(marker) = marker(line, is_open)
            {
                is_open = !marker.starts_with('>');
                own.add(number, || marker.to_owned());
            }
        }
        if let Some((style, own)) = &mut self.endings {
            ends.judge(*style, own);
        }
    }
}

/// How the lines end, and where each way is first seen.
#[derive(Default)]
struct Ends {
    crlf: u32,
    lf: u32,
    first_crlf: u32,
    first_lf: u32,
}

impl Ends {
    fn count(&mut self, line: u32, is_crlf: bool) {
        let (count, first) = match is_crlf {
            true => (&mut self.crlf, &mut self.first_crlf),
            false => (&mut self.lf, &mut self.first_lf),
        };
        if *count == 0 {
            *first = line;
        }
        *count = count.saturating_add(1);
    }

    fn judge(&self, style: Style, own: &mut Found) {
        let is_lf_wrong = match style {
            Style::Either if self.crlf == 0 || self.lf == 0 => return,
            // The fewer are the wrong ones.
            Style::Either => self.lf < self.crlf,
            Style::Lf => false,
            Style::Crlf => true,
        };
        let (wrong, first, name) =
            if is_lf_wrong { (self.lf, self.first_lf, "LF") } else { (self.crlf, self.first_crlf, "CRLF") };
        if wrong > 0 {
            own.add(first, || format!("{wrong} of {} lines end in {name}", u64::from(self.crlf) + u64::from(self.lf)));
        }
    }
}

/// How many characters a line has; what is no UTF-8 counts byte by byte.
fn characters(line: &[u8]) -> u64 {
    let count = match std::str::from_utf8(line) {
        Ok(text) => text.chars().count(),
        Err(_) => line.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum(),
    };
    count as u64
}

/// The mark of a conflict that a line is; the one between both sides only behind an opening one, for it may be an underline.
fn marker(line: &[u8], is_open: bool) -> Option<&'static str> {
    let is = |mark: &[u8; 7]| line.starts_with(mark) && matches!(line.get(7), None | Some(b' '));
    match line[0] {
        b'<' if is(b"<<<<<<<") => Some("<<<<<<<"),
        b'>' if is(b">>>>>>>") => Some(">>>>>>>"),
        b'|' if is_open && is(b"|||||||") => Some("|||||||"),
        b'=' if is_open && is(b"=======") => Some("======="),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spots(ask: Ask, value: u64, data: &[u8]) -> Vec<(u32, String)> {
        let mut found = Vec::new();
        judge(data, Demand { asks: &[&ask], values: &[Some(value)] }, &mut found);
        found.into_iter().flat_map(|own| own.spots).map(|spot| (spot.line, spot.detail)).collect()
    }

    #[test]
    fn characters_count_and_not_bytes() {
        let line = |text: &[u8]| spots(Ask::LineLength, 4, text);
        assert!(line("äöüß\n\tabc\r\nabcd".as_bytes()).is_empty());
        assert_eq!(line("x\näöüßx\n".as_bytes()), [(2, "5".into())]);
        assert_eq!(line(b"a\xe4\xf6\xfcb"), [(1, "5".into())]);
        assert_eq!(line(b"\n\nabcde").len(), 1);
    }

    #[test]
    fn blanks_at_the_end_are_found_before_either_end() {
        let lines = |text: &[u8]| spots(Ask::Whitespace, 0, text).into_iter().map(|s| s.0).collect::<Vec<_>>();
        assert_eq!(lines(b"a \nb\t\r\nc\r\nd\r\r\n \ne\n f"), [1, 2, 4, 5]);
        assert_eq!(lines(b"a\r"), [1]);
    }

    #[test]
    fn the_last_line_wants_an_end() {
        let lines = |text: &[u8]| spots(Ask::FinalNewline, 0, text);
        assert!(lines(b"").is_empty() && lines(b"a\n").is_empty());
        assert_eq!(lines(b"a\nb"), [(2, String::new())]);
    }

    #[test]
    fn an_underline_is_no_marker() {
        let lines = |text: &[u8]| spots(Ask::ConflictMarkers, 0, text).into_iter().map(|s| s.0).collect::<Vec<_>>();
        assert!(lines(b"Title\n=======\n\n>>>>>>>>> x\n|||||||\n<<<<<<<<\n").is_empty());
        assert_eq!(lines(b"<<<<<<< HEAD\na\n||||||| base\n=======\r\nb\n>>>>>>> x\n=======\n"), [1, 3, 4, 6]);
    }

    #[test]
    fn ends_are_alike_and_of_the_style() {
        let ends = |style, text: &[u8]| spots(Ask::LineEndings(style), 0, text);
        assert_eq!(ends(Style::Either, b"a\nb\r\nc\n"), [(2, "1 of 3 lines end in CRLF".into())]);
        assert!(ends(Style::Either, b"a\r\nb\r\nc").is_empty());
        assert_eq!(ends(Style::Lf, b"a\r\nb\r\n"), [(1, "2 of 2 lines end in CRLF".into())]);
        assert_eq!(ends(Style::Crlf, b"a\r\nb\n"), [(2, "1 of 2 lines end in LF".into())]);
    }
}
