//! The paths that reports name, as the tree knows them.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use crate::finding::path_text;

/// Returns a path as it is seen from the top of the tree; one outside of it stays as it is.
pub(super) fn seen_from(top: &Path, path: &[u8]) -> Option<String> {
    if path.is_empty() {
        return None;
    }
    let named = Path::new(std::ffi::OsStr::from_bytes(path));
    let real = top.canonicalize();
    let inside = [Some(top), real.as_deref().ok()].into_iter().flatten().find_map(|top| named.strip_prefix(top).ok());
    let inside = inside.unwrap_or(named);
    let plain = |part: &Component<'_>| !matches!(part, Component::CurDir);
    let path: std::path::PathBuf = inside.components().filter(plain).collect();
    Some(path_text(path.as_os_str().as_bytes())).filter(|path| !path.is_empty())
}

/// Turns `%NN` into bytes; what is no such thing stays.
pub(super) fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_the_top_is_seen_from_there() {
        let seen = |path: &[u8]| seen_from(Path::new("/no/such/top"), path);
        assert_eq!(seen(b"/no/such/top/src/a b.rs").unwrap(), "src/a b.rs");
        assert_eq!(seen(b"./src//a\xff").unwrap(), "src/a\\xff");
        assert_eq!(seen(b"/elsewhere/a").unwrap(), "/elsewhere/a");
        assert_eq!(seen(b"/no/such/topping/a").unwrap(), "/no/such/topping/a");
        assert_eq!(seen(b"../a").unwrap(), "../a");
        assert_eq!((seen(b""), seen(b"/no/such/top")), (None, None));
    }

    #[test]
    fn only_whole_escapes_are_decoded() {
        assert_eq!(percent_decoded("a%20b%FFc%2"), b"a b\xffc%2");
        assert_eq!(percent_decoded("%%41%zz%é"), "%A%zz%é".as_bytes());
    }
}
