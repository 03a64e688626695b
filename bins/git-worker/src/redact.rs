//! Takes secrets out of a stream, also when one is split over any two writes.
//!
//! Three bytes lead to a place where something may begin, and there is a closer look. What could
//! still become a secret is held back: the beginning of a known value until more comes, anything
//! else only for a moment. The search is made when something is first printed: an idle job pays
//! nothing for it.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};

use crate::secrets::{SHORTEST, Secrets};
use crate::tokens::{Found, Rest, SHAPES};

/// What stands instead of a secret.
const MARK: &[u8] = b"[redacted]";
/// A private key is not longer than this.
const LONGEST_KEY: usize = 32 * 1024;
/// What is too short to be found by its three bytes.
const UNFOUND: usize = 6;

/// Where harmless bytes go.
pub(crate) type Out<'a> = &'a mut dyn FnMut(&[u8]);

/// The stream and what is held back of it.
#[derive(Debug)]
pub(crate) struct Redactor {
    secrets: Secrets,
    held: Held,
    /// What is left out now.
    rest: Rest,
    /// What was left out of a private key.
    key: Vec<u8>,
    /// The last byte that was looked at.
    before: u8,
    count: u64,
}

#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    /// How many of them came out because nothing followed.
    out: usize,
    /// Whether they are the beginning of a known value.
    known: bool,
}

/// The bytes at hand.
#[derive(Clone, Copy)]
struct Data<'a> {
    bytes: &'a [u8],
    /// How many of them came out before.
    out: usize,
    /// Whether nothing will follow.
    last: bool,
}

/// Finds the places at which a closer look is worth it.
#[derive(Debug)]
pub(crate) struct Finder {
    keys: AhoCorasick,
    candidates: Vec<Vec<Candidate>>,
}

#[derive(Debug, Clone, Copy)]
enum Candidate {
    Value(usize),
    Shape(usize),
}

impl Redactor {
    /// Begins a stream.
    pub(crate) fn new(secrets: Secrets) -> Redactor {
        let (held, rest) = (Held::default(), Rest::Nothing);
        Redactor { secrets, held, rest, key: Vec::new(), before: b'\n', count: 0 }
    }

    /// Returns how often something was taken out.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Says whether something is held back that comes out when nothing follows.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.held.known && self.held.out < self.held.bytes.len()
    }

    /// Takes the next bytes and gives what is sure to be harmless.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: Out<'_>) {
        if self.held.bytes.is_empty() {
            return self.scan(Data { bytes, out: 0, last: false }, out);
        }
        let mut held = std::mem::take(&mut self.held);
        held.bytes.extend_from_slice(bytes);
        self.scan(Data { bytes: &held.bytes, out: held.out, last: false }, out);
    }

    /// Gives what is held back, because nothing followed; the beginning of a known value stays.
    pub(crate) fn idle(&mut self, out: Out<'_>) {
        if self.is_waiting() {
            // It is remembered: if it becomes a secret after all, at least the rest is taken out.
            out(&self.held.bytes[self.held.out..]);
            self.held.out = self.held.bytes.len();
        }
    }

    /// Gives the rest.
    pub(crate) fn end(&mut self, out: Out<'_>) {
        let held = std::mem::take(&mut self.held);
        self.scan(Data { bytes: &held.bytes, out: held.out, last: true }, out);
    }

    fn scan(&mut self, data: Data<'_>, out: Out<'_>) {
        let secrets = self.secrets.clone();
        let Some(finder) = secrets.finder() else { return };
        let mut at = self.leave_out(data.bytes);
        let mut search = at;
        loop {
            let Some(key) = finder.keys.find(Input::new(data.bytes).span(search..data.bytes.len())) else {
                self.hold_beginning(data, at, out);
                break;
            };
            let candidates = &finder.candidates[key.pattern().as_usize()];
            match self.look(candidates, data, key.start(), at) {
                (_, Found::No) => search = key.start() + 1,
                (start, Found::More { known }) => {
                    self.hold(data, at, start, known, out);
                    break;
                }
                (start, Found::Token { keep, length, more }) => {
                    data.give(at, start + keep, out);
                    out(MARK);
                    self.count += 1;
                    self.rest = more;
                    at = start + length;
                    at += self.leave_out(&data.bytes[at..]);
                    search = at;
                }
            }
        }
    }

    /// Takes the closer look: the longest secret that begins here, unless a longer one may still come.
    fn look(&self, candidates: &[Candidate], data: Data<'_>, key: usize, floor: usize) -> (usize, Found) {
        let mut best = (key, Found::No);
        for candidate in candidates {
            let (start, found) = match *candidate {
                Candidate::Value(at) => (key, look_value(&self.secrets.spellings()[at], &data.bytes[key..], data.last)),
                Candidate::Shape(at) => {
                    let shape = &SHAPES[at];
                    let Some(start) = key.checked_sub(shape.lead).filter(|start| *start >= floor) else { continue };
                    let before = start.checked_sub(1).map_or(self.before, |at| data.bytes[at]);
                    (start, shape.look(before, &data.bytes[start..]))
                }
            };
            match (found, best.1) {
                (Found::More { .. }, _) if data.last => {}
                (Found::More { known: true }, _) => return (start, found),
                (Found::More { .. }, Found::No) => best = (start, found),
                (Found::Token { .. }, Found::No | Found::More { .. }) => best = (start, found),
                (Found::Token { length: new, .. }, Found::Token { length: old, .. }) if new > old => {
                    best = (start, found);
                }
                (Found::Token { .. } | Found::More { .. } | Found::No, _) => {}
            }
        }
        best
    }

    /// Gives all but the last few bytes, if those may be the beginning of something.
    fn hold_beginning(&mut self, data: Data<'_>, at: usize, out: Out<'_>) {
        let end = data.bytes.len();
        let first = if data.last { end } else { at.max(end.saturating_sub(UNFOUND)) };
        let begins = |start: &usize| {
            let tail = &data.bytes[*start..];
            let value = tail.len() < 3 && self.secrets.spellings().iter().any(|value| value.starts_with(tail));
            value || SHAPES.iter().any(|shape| shape.may_begin(tail))
        };
        let start = (first..end).find(begins).unwrap_or(end);
        self.hold(data, at, start, false, out);
    }

    fn hold(&mut self, data: Data<'_>, at: usize, start: usize, known: bool, out: Out<'_>) {
        data.give(at, start, out);
        if let Some(last) = start.checked_sub(1).and_then(|last| data.bytes.get(last)) {
            self.before = *last;
        }
        self.held = Held { bytes: data.bytes[start..].to_vec(), out: data.out.saturating_sub(start), known };
    }

    /// Leaves out what belongs to a token that has begun; returns how much that is.
    fn leave_out(&mut self, bytes: &[u8]) -> usize {
        let length = match self.rest {
            Rest::Nothing => return 0,
            Rest::Run(of) => bytes.iter().take_while(|b| of(**b)).count(),
            Rest::Key => self.leave_out_key(bytes),
        };
        if length < bytes.len() {
            self.rest = Rest::Nothing;
        }
        length
    }

    fn leave_out_key(&mut self, bytes: &[u8]) -> usize {
        const DASHES: &[u8] = b"-----";
        let old = self.key.len();
        let key = |b: &u8| b.is_ascii_alphanumeric() || b"+/=\r\n \t:,-\\\"'".contains(b);
        self.key.extend(bytes.iter().take_while(|b| key(b)));
        let find = |what: &[u8], from: usize| {
            self.key[from..].windows(what.len()).position(|window| window == what).map(|at| from + at + what.len())
        };
        let end = find(b"-----END ", 0).and_then(|from| find(DASHES, from)).filter(|end| *end > old);
        let length = end.unwrap_or(self.key.len()) - old;
        if end.is_some() || length < bytes.len() || self.key.len() > LONGEST_KEY {
            self.key = Vec::new();
            self.rest = Rest::Nothing;
        }
        length
    }
}

impl Data<'_> {
    /// Gives these bytes, without what came out before.
    fn give(&self, from: usize, to: usize, out: Out<'_>) {
        let from = from.max(self.out);
        if from < to {
            out(&self.bytes[from..to]);
        }
    }
}

impl Finder {
    pub(crate) fn new(spellings: &[Vec<u8>]) -> Option<Finder> {
        let mut places: HashMap<[u8; 3], usize> = HashMap::new();
        let (mut keys, mut candidates): (Vec<[u8; 3]>, Vec<Vec<Candidate>>) = Default::default();
        let mut add = |key: [u8; 3], candidate| {
            let place = *places.entry(key).or_insert(keys.len());
            if place == keys.len() {
                keys.push(key);
                candidates.push(Vec::new());
            }
            candidates[place].push(candidate);
        };
        for (at, value) in spellings.iter().enumerate() {
            if let Some(key) = value.first_chunk() {
                add(*key, Candidate::Value(at));
            }
        }
        for (at, shape) in SHAPES.iter().enumerate() {
            add(*shape.key, Candidate::Shape(at));
        }
        let builder = &mut AhoCorasick::builder();
        let keys = builder.match_kind(MatchKind::LeftmostFirst).kind(Some(AhoCorasickKind::DFA)).build(&keys);
        Some(Finder { keys: keys.ok()?, candidates })
    }
}

/// Looks for a known value; at the end of all a good part of one is one.
fn look_value(value: &[u8], text: &[u8], last: bool) -> Found {
    let token = |length| Found::Token { keep: 0, length, more: Rest::Nothing };
    if text.starts_with(value) {
        return token(value.len());
    }
    match value.starts_with(text) {
        true if last && text.len() >= SHORTEST => token(text.len()),
        true => Found::More { known: true },
        false => Found::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr3t/valu3+x";
    const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc+/=\nabcdef\n-----END RSA PRIVATE KEY-----";
    const SHAPED: &[&str] = &[
        "sk-proj-abcDEF0123456789abcdef",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "github_pat_0123456789abcdefghij_ABC",
        "xoxb-1234567890-abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA0123456789abcdefghijklmnopqrstuv",
        "glpat-0123456789abcdefghij",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        KEY,
    ];

    fn parts(parts: &[&[u8]]) -> (String, u64) {
        let mut redactor = Redactor::new(Secrets::new([SECRET.into()]));
        let mut said = Vec::new();
        for part in parts {
            redactor.feed(part, &mut |bytes| said.extend_from_slice(bytes));
        }
        redactor.end(&mut |bytes| said.extend_from_slice(bytes));
        (String::from_utf8(said).unwrap(), redactor.count())
    }

    #[test]
    fn a_secret_split_anywhere_is_taken_out() {
        for secret in [SECRET].iter().chain(SHAPED) {
            let text = format!("before {secret} after\n");
            for at in 0..=text.len() {
                let (head, tail) = text.as_bytes().split_at(at);
                assert_eq!(parts(&[head, tail]), ("before [redacted] after\n".to_owned(), 1), "{secret} at {at}");
            }
            let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(parts(&single).0, "before [redacted] after\n", "{secret}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "task-0123456789012345678901234567890 sk-learn-toggleable-control-of-something eyJ eyJabc.eyJ",
            "s3cr3t/valu3-x --- -----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE----- Bearer of good news",
            "s3cr3t",
            "-----BEGIN ",
            "AKIA",
        ] {
            for at in 0..=text.len() {
                assert_eq!(parts(&[&text.as_bytes()[..at], &text.as_bytes()[at..]]), (text.to_owned(), 0));
            }
        }
    }

    #[test]
    fn the_word_before_a_bearer_token_stays() {
        let text = "Authorization: Bearer abc.DEF0123456789-xyz\n";
        assert_eq!(parts(&[text.as_bytes()]).0, "Authorization: Bearer [redacted]\n");
    }

    #[test]
    fn silence_lets_a_prompt_out_but_not_the_beginning_of_a_value() {
        let mut redactor = Redactor::new(Secrets::new([SECRET.into()]));
        let mut said = Vec::new();
        redactor.feed(b"name: ghp_01", &mut |bytes| said.extend_from_slice(bytes));
        assert!(redactor.is_waiting() && said == b"name: ");
        redactor.idle(&mut |bytes| said.extend_from_slice(bytes));
        assert!(!redactor.is_waiting() && said == b"name: ghp_01");
        redactor.feed(b"23456789abcdefghijABCDEF s3cr3t/va", &mut |bytes| said.extend_from_slice(bytes));
        assert!(!redactor.is_waiting());
        redactor.idle(&mut |bytes| said.extend_from_slice(bytes));
        assert_eq!(String::from_utf8(said).unwrap(), "name: ghp_01[redacted] ");
    }
}
