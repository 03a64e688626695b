//! What was found out about one file, as bytes.

use super::code::Counts;
use super::content::{Facts, Found, Spot};

/// Writes what the content of a file says.
pub(super) fn render_facts(facts: &Facts) -> Vec<u8> {
    let mut bytes = Vec::new();
    if facts.found.is_empty() && !facts.is_unread {
        return bytes;
    }
    bytes.push(u8::from(facts.is_unread));
    for found in &facts.found {
        put(&mut bytes, found.slot as u64);
        put(&mut bytes, u64::from(found.total));
        let mut spots = Vec::new();
        for spot in &found.spots {
            put(&mut spots, u64::from(spot.line));
            put(&mut spots, spot.detail.len() as u64);
            spots.extend_from_slice(spot.detail.as_bytes());
        }
        put(&mut bytes, spots.len() as u64);
        bytes.append(&mut spots);
    }
    bytes
}

/// Reads it again, the spots only of the policies that are `wanted`; nothing if it makes no sense.
pub(super) fn parse_facts(bytes: &[u8], wanted: impl Fn(usize) -> bool) -> Option<Facts> {
    let Some((first, mut rest)) = bytes.split_first() else { return Some(Facts::default()) };
    let mut facts = Facts { is_unread: *first == 1, found: Vec::new() };
    while !rest.is_empty() {
        let slot = take(&mut rest)?.try_into().ok()?;
        let total = take(&mut rest)?.try_into().ok()?;
        let length = take(&mut rest)?.try_into().ok()?;
        let spots;
        (spots, rest) = rest.split_at_checked(length)?;
        let spots = if wanted(slot) { parse_spots(spots)? } else { Vec::new() };
        facts.found.push(Found { slot, total, spots });
    }
    Some(facts)
}

fn parse_spots(mut rest: &[u8]) -> Option<Vec<Spot>> {
    let mut spots = Vec::new();
    while !rest.is_empty() {
        let line = take(&mut rest)?.try_into().ok()?;
        let length = take(&mut rest)?.try_into().ok()?;
        let detail;
        (detail, rest) = rest.split_at_checked(length)?;
        spots.push(Spot { line, detail: String::from_utf8(detail.to_vec()).ok()? });
    }
    Some(spots)
}

/// Writes what is counted in a file of code.
pub(super) fn render_counts(counts: &Counts) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (state, items, documented) = match counts {
        Counts::Counted { items, documented } => (0, *items, *documented),
        Counts::Unparsable => (1, 0, 0),
        Counts::TooLarge => (2, 0, 0),
        Counts::TooSlow => (3, 0, 0),
    };
    [state, items, documented].into_iter().for_each(|number| put(&mut bytes, number));
    bytes
}

/// Reads it again; nothing if it makes no sense.
pub(super) fn parse_counts(mut bytes: &[u8]) -> Option<Counts> {
    let state = take(&mut bytes)?;
    let (items, documented) = (take(&mut bytes)?, take(&mut bytes)?);
    Some(match state {
        0 if documented <= items => Counts::Counted { items, documented },
        1 => Counts::Unparsable,
        2 => Counts::TooLarge,
        3 => Counts::TooSlow,
        _ => return None,
    })
}

/// Seven bits a byte, the last without the eighth.
pub(super) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number off the front.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let spot = |line, detail: &str| Spot { line, detail: detail.into() };
        let found = vec![
            Found { slot: 0, total: 70_000, spots: vec![spot(0, ""), spot(u32::MAX, "ä")] },
            Found { slot: 300, total: 1, spots: Vec::new() },
        ];
        for facts in [Facts::default(), Facts { is_unread: true, found: Vec::new() }, Facts { is_unread: false, found }]
        {
            assert_eq!(parse_facts(&render_facts(&facts), |_| true), Some(facts));
        }
        for counts in
            [Counts::Counted { items: 300, documented: 129 }, Counts::Unparsable, Counts::TooLarge, Counts::TooSlow]
        {
            assert_eq!(parse_counts(&render_counts(&counts)), Some(counts));
        }
    }

    #[test]
    fn nonsense_is_nothing_and_no_panic() {
        for bytes in
            [&[0_u8, 1][..], &[0, 1, 1, 2, 0, 99], &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(parse_facts(bytes, |_| true), None);
        }
        assert!(
            parse_counts(b"").is_none() && parse_counts(&[9, 0, 0]).is_none() && parse_counts(&[0, 1, 2]).is_none()
        );
    }
}
