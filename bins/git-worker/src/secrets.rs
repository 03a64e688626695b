//! What must not be written down: values of the environment, in every spelling in which they turn up.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Arc, OnceLock};

use crate::names;
use crate::redact::{Finder, Redactor};

/// A shorter value is found in too many places that do not mean it.
pub(crate) const SHORTEST: usize = 8;
/// A longer value is known by its beginning.
const LONGEST: usize = 8 * 1024;
/// Columns at which tools break base64.
const COLUMNS: [usize; 2] = [64, 76];

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Spellings of the values that are secret.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    spellings: Arc<Vec<Vec<u8>>>,
    /// Made when something is looked at, once for all who look.
    finder: Arc<OnceLock<Option<Finder>>>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.spellings.len())
    }
}

impl Secrets {
    /// Takes the values of this process's environment whose names fit the list.
    pub(crate) fn of_environment(list: &[String]) -> Secrets {
        let fitting = std::env::vars_os().filter(|(name, _)| names::fits(list, &name.to_string_lossy()));
        Secrets::new(fitting.map(|(_, value)| value.into_vec()))
    }

    /// Takes values; those that are too short are left out.
    pub(crate) fn new(values: impl IntoIterator<Item = Vec<u8>>) -> Secrets {
        let mut spellings = BTreeSet::new();
        for mut value in values {
            value.truncate(LONGEST);
            spell(&value, &mut spellings);
            // The lines of a key are printed one by one as well; short ones are no secret by themselves.
            for line in value.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| line.len() >= 2 * SHORTEST) {
                spell(line, &mut spellings);
            }
        }
        Secrets { spellings: Arc::new(spellings.into_iter().collect()), finder: Arc::default() }
    }

    /// Returns the spellings, each at least [`SHORTEST`] long.
    pub(crate) fn spellings(&self) -> &[Vec<u8>] {
        &self.spellings
    }

    /// Returns what finds them; none if it cannot be made.
    pub(crate) fn finder(&self) -> Option<&Finder> {
        self.finder.get_or_init(|| Finder::new(&self.spellings)).as_ref()
    }

    /// Returns the bytes without what is secret, and how often something was.
    pub(crate) fn clean(&self, bytes: &[u8]) -> (Vec<u8>, u64) {
        let mut clean = Vec::with_capacity(bytes.len());
        let mut redactor = Redactor::new(self.clone());
        redactor.feed(bytes, &mut |part| clean.extend_from_slice(part));
        redactor.end(&mut |part| clean.extend_from_slice(part));
        (clean, redactor.count())
    }

    /// Returns a text without what is secret.
    pub(crate) fn clean_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.clean(text.as_bytes()).0).into_owned()
    }

    /// Returns a word without what is secret.
    pub(crate) fn clean_word(&self, word: &OsStr) -> OsString {
        OsString::from_vec(self.clean(word.as_bytes()).0)
    }
}

/// Adds a value as it is, in base64 wherever it may lie in it, percent-encoded, and as JSON and shells escape it.
fn spell(value: &[u8], into: &mut BTreeSet<Vec<u8>>) {
    if value.trim_ascii().len() < SHORTEST {
        return;
    }
    let mut add = |spelling: Vec<u8>| {
        if spelling.len() >= SHORTEST {
            into.insert(spelling);
        }
    };
    add(value.to_vec());
    for alphabet in [STANDARD, URL] {
        for before in 0..3 {
            add(base64_core(value, before, alphabet));
        }
        // Broken into lines it can only have begun one.
        let whole = base64_core(value, 0, alphabet);
        for columns in COLUMNS {
            whole.chunks(columns).filter(|_| whole.len() > columns).for_each(|line| add(line.to_vec()));
        }
    }
    for kept in ["-_.~", "-_.!~*'()", "-_.*", "-_.~/:", ""] {
        add(percent(value, kept, b"0123456789ABCDEF", false));
        add(percent(value, kept, b"0123456789abcdef", false));
    }
    add(percent(value, "-_.*", b"0123456789ABCDEF", true));
    // Not one kept: everything as a number.
    add(value.iter().flat_map(|b| format!("%{b:02X}").into_bytes()).collect());
    add(value.iter().flat_map(|b| format!("%{b:02x}").into_bytes()).collect());
    if let Ok(text) = std::str::from_utf8(value) {
        let json = serde_json::to_string(text).unwrap_or_default();
        add(json.trim_matches('"').as_bytes().to_vec());
        add(text.replace('\'', r"'\''").into_bytes());
        add(text.escape_debug().to_string().into_bytes());
    }
}

/// Returns those characters of a base64 text that depend on nothing but the value, which begins at `before` modulo 3.
fn base64_core(value: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bits = |at: usize| {
        // The byte at this place of the text's source, none of the value's neighbours.
        at.checked_sub(before).and_then(|at| value.get(at)).map(|b| u32::from(*b))
    };
    let mut core = Vec::with_capacity(value.len() * 4 / 3);
    for group in 0..(before + value.len()).div_ceil(3) {
        let [a, b, c] = [0, 1, 2].map(|at| bits(group * 3 + at));
        let sextets = [
            a.map(|a| a >> 2),
            a.zip(b).map(|(a, b)| (a << 4 | b >> 4) & 63),
            b.zip(c).map(|(b, c)| (b << 2 | c >> 6) & 63),
            c.map(|c| c & 63),
        ];
        core.extend(sextets.into_iter().flatten().map(|sextet| alphabet[sextet as usize]));
    }
    core
}

fn percent(value: &[u8], kept: &str, digits: &[u8; 16], plus: bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len() * 3);
    for byte in value {
        match byte {
            b' ' if plus => text.push(b'+'),
            b if b.is_ascii_alphanumeric() || kept.as_bytes().contains(b) => text.push(*b),
            b => text.extend([b'%', digits[usize::from(b >> 4)], digits[usize::from(b & 15)]]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_known_wherever_the_value_lies_in_it() {
        assert_eq!(base64_core(b"abcdefgh", 0, STANDARD), b"YWJjZGVmZ2");
        // Of "xabcdefghy" and "xyabcdefgh" what the neighbours do not touch.
        assert_eq!(base64_core(b"abcdefgh", 1, STANDARD), b"FiY2RlZmdo"[0..].to_vec());
        assert_eq!(base64_core(b"abcdefgh", 2, STANDARD), b"hYmNkZWZna"[..].to_vec());
    }

    #[test]
    fn every_spelling_is_taken_out() {
        let secrets = Secrets::new([b"p@ss w0rd/\"x\"\\n".to_vec()]);
        for text in
            ["p@ss w0rd/\"x\"\\n", "p%40ss%20w0rd%2F%22x%22%5Cn", "p%40ss+w0rd%2f%22x%22%5cn", r#"p@ss w0rd/\"x\"\\n"#]
        {
            let said = secrets.clean_text(&format!("a {text} b"));
            assert!(!said.contains("w0rd") || text.contains('+'), "{text}: {said}");
        }
        assert_eq!(secrets.clean_text("p@ss w0rd/"), "[redacted]", "cut off at the end");
        assert_eq!(Secrets::new([b"short".to_vec()]).clean_text("short"), "short");
    }
}
