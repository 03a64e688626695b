//! What can be said of a file by its content alone: lines, marks, secrets, size.
//!
//! A file is read once for all policies. What is found depends on nothing but the content and the
//! demands, so that it can be kept.

mod lines;
pub(super) mod secrets;
pub(super) mod todo;

use memchr::memchr;

use super::settings::{Ask, Licence};

/// Of one file no policy keeps more.
pub(super) const MOST: usize = 1000;

/// How far git looks for a NUL before it takes a file for text.
const BINARY: usize = 8000;

/// What is asked of a file: each policy about content, with its value if it applies there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand<'a> {
    pub(super) asks: &'a [&'a Ask],
    pub(super) values: &'a [Option<u64>],
}

/// What was found in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Facts {
    /// Whether it was too large to be read.
    pub(super) is_unread: bool,
    /// For each policy that found something, in their order.
    pub(super) found: Vec<Found>,
}

/// What one policy found in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The place of the policy among those about content.
    pub(super) slot: usize,
    /// How much it found; not all of it may be kept.
    pub(super) total: u32,
    pub(super) spots: Vec<Spot>,
}

/// One place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    /// From 1; 0 for the whole file.
    pub(super) line: u32,
    pub(super) detail: String,
}

impl Found {
    fn at(slot: usize) -> Found {
        Found { slot, total: 0, spots: Vec::new() }
    }

    fn add(&mut self, line: u32, detail: impl FnOnce() -> String) {
        self.total = self.total.saturating_add(1);
        if self.spots.len() < MOST {
            self.spots.push(Spot { line, detail: detail() });
        }
    }
}

/// Looks at a file that is too large to be read.
pub(super) fn look_at_size(size: u64, demand: Demand<'_>) -> Facts {
    let mut found = Vec::new();
    judge_size(size, demand, &mut found);
    Facts { is_unread: true, found }
}

/// Looks at the content of a file.
pub(super) fn look(data: &[u8], demand: Demand<'_>) -> Facts {
    let mut found = Vec::new();
    judge_size(data.len() as u64, demand, &mut found);
    if memchr(0, &data[..data.len().min(BINARY)]).is_none() {
        lines::judge(data, demand, &mut found);
        for (slot, ask) in in_force(demand) {
            let mut own = Found::at(slot);
            match ask {
                Ask::Secrets(secrets) => secrets.judge(data, &mut own),
                Ask::Todo(todo) => todo.judge(data, &mut own),
                Ask::Licence(licence) => licence.judge(data, &mut own),
                _ => {}
            }
            found.push(own);
        }
    }
    found.retain(|own| own.total > 0);
    found.sort_by_key(|own| own.slot);
    Facts { is_unread: false, found }
}

fn judge_size(size: u64, demand: Demand<'_>, found: &mut Vec<Found>) {
    for (slot, (ask, value)) in demand.asks.iter().zip(demand.values).enumerate() {
        if let (Ask::FileSize, Some(max)) = (ask, value)
            && size > *max
        {
            let mut own = Found::at(slot);
            own.add(0, || size.to_string());
            found.push(own);
        }
    }
}

fn in_force<'a>(demand: Demand<'a>) -> impl Iterator<Item = (usize, &'a Ask)> {
    let all = demand.asks.iter().zip(demand.values).enumerate();
    all.filter(|(_, (_, value))| value.is_some()).map(|(slot, (ask, _))| (slot, *ask))
}

impl Licence {
    /// An empty file needs no licence.
    fn judge(&self, data: &[u8], own: &mut Found) {
        let ends = memchr::memchr_iter(b'\n', data);
        let end = ends.take(self.lines.try_into().unwrap_or(usize::MAX)).last();
        // A last line without an end is one of them as well.
        let has_more = memchr::memchr_iter(b'\n', data).nth(self.lines.saturating_sub(1) as usize).is_some();
        let head = &data[..end.filter(|_| has_more).unwrap_or(data.len())];
        let text = self.text.as_ref().is_none_or(|text| memchr::memmem::find(head, text.as_bytes()).is_some());
        let pattern = match (&self.pattern, &self.text) {
            (Some(pattern), _) => pattern.is_match(head),
            (None, Some(_)) => true,
            (None, None) => memchr::memmem::find(head, b"SPDX-License-Identifier: ").is_some(),
        };
        let is_said = text && pattern;
        if !is_said && !data.is_empty() {
            own.add(1, String::new);
        }
    }
}

/// The line that each offset is in, for offsets that only grow.
struct LineCounter<'a> {
    data: &'a [u8],
    at: usize,
    line: u32,
}

impl<'a> LineCounter<'a> {
    fn new(data: &'a [u8]) -> LineCounter<'a> {
        LineCounter { data, at: 0, line: 1 }
    }

    fn line_of(&mut self, offset: usize) -> u32 {
        if offset > self.at {
            let passed = memchr::memchr_iter(b'\n', &self.data[self.at..offset]).count();
            self.line = self.line.saturating_add(passed.try_into().unwrap_or(u32::MAX));
            self.at = offset;
        }
        self.line
    }
}

/// The line around an offset, at most `most` bytes to either side of it.
fn line_around(data: &[u8], offset: usize, most: usize) -> &[u8] {
    let from = offset.saturating_sub(most);
    let from = memchr::memrchr(b'\n', &data[from..offset]).map_or(from, |at| from + at + 1);
    let to = data.len().min(offset + most);
    let to = memchr(b'\n', &data[offset..to]).map_or(to, |at| offset + at);
    &data[from..to]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(ask: Ask, value: u64, data: &[u8]) -> Vec<(u32, String)> {
        let found = look(data, Demand { asks: &[&ask], values: &[Some(value)] }).found;
        found.into_iter().flat_map(|own| own.spots).map(|spot| (spot.line, spot.detail)).collect()
    }

    #[test]
    fn a_licence_stands_in_the_first_lines() {
        let ask = |lines| Ask::Licence(Licence { text: None, pattern: None, lines });
        let late = b"a\nb\n// SPDX-License-Identifier: MIT";
        assert!(facts(ask(3), 0, late).is_empty() && facts(ask(9), 0, late).is_empty());
        assert_eq!(facts(ask(2), 0, late).len(), 1);
        assert!(facts(ask(2), 0, b"").is_empty());
        let text = Ask::Licence(Licence { text: Some("Mozilla".into()), pattern: None, lines: 1 });
        assert_eq!(facts(text, 0, late).len(), 1);
    }

    #[test]
    fn a_binary_file_has_a_size_and_nothing_else() {
        let asks = [&Ask::FileSize, &Ask::Whitespace];
        let demand = Demand { asks: &asks, values: &[Some(3), Some(0)] };
        let found = look(b"\0\0 \n", demand).found;
        assert_eq!(found.iter().map(|own| own.slot).collect::<Vec<_>>(), [0]);
        assert!(look_at_size(9, demand).is_unread);
    }
}
