//! Pointers of Git LFS: what is stored in place of a large file.
//!
//! The format: <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.

/// A pointer is smaller than this, in bytes.
pub(crate) const MAX_POINTER: u64 = 1024;

/// Returns the size of the file that a pointer stands for; `None` if it is no pointer in its one right form.
pub(crate) fn size(blob: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(blob).ok()?;
    let rest = text.strip_prefix("version https://git-lfs.github.com/spec/v1\noid sha256:")?;
    let (hash, rest) = rest.split_once("\nsize ")?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let size = rest.strip_suffix('\n')?;
    let is_number = !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit());
    if is_hash && is_number { size.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

    #[test]
    fn a_pointer_tells_the_size_of_its_file() {
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12345\n");
        assert_eq!(size(pointer.as_bytes()), Some(12345));
    }

    #[test]
    fn what_is_not_quite_a_pointer_is_none() {
        let version = "version https://git-lfs.github.com/spec/v1\n";
        for rest in [
            String::new(),
            format!("oid sha256:{OID}\nsize 1"),
            format!("oid sha256:{OID}\nsize -1\n"),
            format!("oid sha256:{OID}\nsize \n"),
            format!("oid sha256:{}\nsize 1\n", &OID[1..]),
            format!("ext-0-x sha256:{OID}\noid sha256:{OID}\nsize 1\n"),
        ] {
            assert_eq!(size(format!("{version}{rest}").as_bytes()), None, "{rest:?}");
        }
        assert_eq!(size(b"\xff"), None);
    }
}
