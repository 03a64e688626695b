//! The well-known shapes of secrets that nobody told us.

/// What stands at a place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    /// Nothing secret.
    No,
    /// It cannot be said before more is there; `known` if it is the beginning of a known value.
    More { known: bool },
    /// A secret of this length, of which `keep` bytes in front may stay; more of it may follow.
    Token { keep: usize, length: usize, more: Rest },
}

/// What belongs to a token that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rest {
    /// Nothing.
    Nothing,
    /// Whatever follows of these characters.
    Run(fn(u8) -> bool),
    /// All up to the end of a private key.
    Key,
}

/// A shape: three bytes to find it by, how many bytes of it come before them, and the closer look.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) key: &'static [u8; 3],
    pub(crate) lead: usize,
    look: Look,
}

#[derive(Debug)]
enum Look {
    /// A prefix, then at least so many of these; `digit` if one must be among them.
    Run {
        prefix: &'static str,
        least: usize,
        of: fn(u8) -> bool,
        digit: bool,
    },
    Bearer,
    Jwt,
    PrivateKey,
}

const MORE: Found = Found::More { known: false };
/// More than any shape needs to be told from others.
const BOUND: usize = 8 * 1024;

/// All shapes.
pub(crate) const SHAPES: &[Shape] = &[
    run(b"sk-", "sk-", 20, word, true),
    run(b"sk_", "sk_live_", 16, alnum, false),
    run(b"rk_", "rk_live_", 16, alnum, false),
    run(b"ghp", "ghp_", 20, alnum, false),
    run(b"gho", "gho_", 20, alnum, false),
    run(b"ghs", "ghs_", 20, alnum, false),
    run(b"ghu", "ghu_", 20, alnum, false),
    run(b"ghr", "ghr_", 20, alnum, false),
    run(b"git", "github_pat_", 20, word, false),
    run(b"xox", "xoxa-", 10, word, true),
    run(b"xox", "xoxb-", 10, word, true),
    run(b"xox", "xoxp-", 10, word, true),
    run(b"xox", "xoxr-", 10, word, true),
    run(b"xox", "xoxs-", 10, word, true),
    run(b"AKI", "AKIA", 16, upper, false),
    run(b"ASI", "ASIA", 16, upper, false),
    run(b"AIz", "AIza", 30, word, false),
    run(b"glp", "glpat-", 16, word, false),
    run(b"npm", "npm_", 30, alnum, false),
    run(b"hf_", "hf_", 30, alnum, false),
    Shape { key: b"rer", lead: 3, look: Look::Bearer },
    Shape { key: b"eyJ", lead: 0, look: Look::Jwt },
    Shape { key: b"-BE", lead: 4, look: Look::PrivateKey },
];

const fn run(key: &'static [u8; 3], prefix: &'static str, least: usize, of: fn(u8) -> bool, digit: bool) -> Shape {
    Shape { key, lead: 0, look: Look::Run { prefix, least, of, digit } }
}

impl Shape {
    /// Says what stands at the beginning of `text`, which `before` precedes.
    pub(crate) fn look(&self, before: u8, text: &[u8]) -> Found {
        match self.look {
            // In the middle of a word it is another word.
            Look::Run { .. } | Look::Jwt if alnum(before) => Found::No,
            Look::Run { prefix, least, of, digit } => look_run(text, prefix.as_bytes(), least, of, digit),
            Look::Bearer => look_bearer(text),
            Look::Jwt => look_jwt(text),
            Look::PrivateKey => look_private_key(text),
        }
    }

    /// Says whether a text that ends too early to be found may be the beginning of this shape.
    pub(crate) fn may_begin(&self, text: &[u8]) -> bool {
        let literal: &[u8] = match self.look {
            Look::Run { prefix, .. } => prefix.as_bytes(),
            Look::Bearer => b"Bearer",
            Look::Jwt => b"eyJ",
            Look::PrivateKey => b"-----BEGIN ",
        };
        literal.len() >= text.len() && literal[..text.len()].eq_ignore_ascii_case(text)
    }
}

fn look_run(text: &[u8], prefix: &[u8], least: usize, of: fn(u8) -> bool, digit: bool) -> Found {
    if !begins(text, prefix) {
        return Found::No;
    }
    if text.len() < prefix.len() {
        return MORE;
    }
    let run = &text[prefix.len()..];
    let length = run.iter().take_while(|b| of(**b)).count();
    let ends = length < run.len();
    let good = length >= least && (!digit || run[..length].iter().any(u8::is_ascii_digit));
    match (good, ends) {
        (true, _) => Found::Token { keep: 0, length: prefix.len() + length, more: Rest::Run(of) },
        (false, true) => Found::No,
        (false, false) if length > 256 => Found::No,
        (false, false) => MORE,
    }
}

fn look_bearer(text: &[u8]) -> Found {
    const WORD: &[u8] = b"bearer ";
    if !text[..text.len().min(WORD.len())].eq_ignore_ascii_case(&WORD[..text.len().min(WORD.len())]) {
        return Found::No;
    }
    if text.len() < WORD.len() {
        return MORE;
    }
    match look_run(&text[WORD.len()..], b"", 16, bearer, true) {
        Found::Token { length, more, .. } => Found::Token { keep: WORD.len(), length: WORD.len() + length, more },
        other => other,
    }
}

/// Two parts of base64 that begin as JSON does, and a signature.
fn look_jwt(text: &[u8]) -> Found {
    let header = text.iter().take_while(|b| word(**b)).count();
    let rest = &text[header..];
    if header < 10 && !rest.is_empty() || header > BOUND / 2 || rest.first().is_some_and(|b| *b != b'.') {
        return Found::No;
    }
    let rest = rest.get(1..).unwrap_or_default();
    if !begins(rest, b"eyJ") {
        return Found::No;
    }
    if rest.len() < 10 {
        return if rest.iter().all(|b| word(*b)) { MORE } else { Found::No };
    }
    let payload = rest.iter().take_while(|b| word(**b)).count();
    let signature = rest[payload..].iter().take_while(|b| jwt(**b)).count();
    Found::Token { keep: 0, length: header + 1 + payload + signature, more: Rest::Run(jwt) }
}

fn look_private_key(text: &[u8]) -> Found {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const END: &[u8] = b"PRIVATE KEY";
    if !begins(text, BEGIN) {
        return Found::No;
    }
    let label = text.get(BEGIN.len()..).unwrap_or_default();
    let length = label.iter().take(64).take_while(|b| b.is_ascii_uppercase() || **b == b' ').count();
    match label[..length].windows(END.len()).any(|window| window == END) {
        true => Found::Token { keep: 0, length: BEGIN.len() + length, more: Rest::Key },
        false if length == label.len() => MORE,
        false => Found::No,
    }
}

/// Says whether a text begins with a prefix, or with as much of it as is there.
fn begins(text: &[u8], prefix: &[u8]) -> bool {
    let common = text.len().min(prefix.len());
    text[..common] == prefix[..common]
}

fn alnum(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn bearer(byte: u8) -> bool {
    word(byte) || b".~+/=".contains(&byte)
}

fn jwt(byte: u8) -> bool {
    word(byte) || byte == b'.'
}
