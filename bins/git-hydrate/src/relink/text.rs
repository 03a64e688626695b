//! Replacing a path in a text, and nothing that only begins like it.

/// The longest first line that every system starts a script by, in bytes.
const LONGEST_SHEBANG: usize = 127;

/// Replaces the path `from` by `to` wherever it stands as a whole or as the beginning of a longer path.
///
/// What leads below `to` already stays, also where `to` itself lies below `from`.
pub(super) fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut at = 0;
    while at < text.len() {
        let here = &text[at..];
        let is_path = begins_with(here, from) && starts_a_path(&text[..at]);
        if is_path && begins_with(here, to) {
            out.extend_from_slice(to);
            at += to.len();
        } else if is_path {
            out.extend_from_slice(to);
            at += from.len();
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    out
}

/// Says whether a text begins with a path that ends there or goes on with a slash.
fn begins_with(text: &[u8], path: &[u8]) -> bool {
    text.strip_prefix(path).is_some_and(|rest| rest.first().is_none_or(|next| !is_of_a_name(*next)))
}

/// Says whether a path can begin behind this text: not in the middle of another one.
fn starts_a_path(before: &[u8]) -> bool {
    match before.last() {
        Some(b'/') => before.ends_with(b"file://"),
        Some(last) => !is_of_a_name(*last) || *last == b'=',
        None => true,
    }
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"._-+@~%=".contains(&byte)
}

/// Gives a script of Python whose first line no longer works the one that installers write then: by way of a shell.
pub(super) fn mend_shebang(text: Vec<u8>, to: &[u8]) -> Vec<u8> {
    let end = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
    let Some(line) = text[..end].strip_prefix(b"#!").filter(|line| begins_with(line, to)) else { return text };
    let is_python = line.rsplit(|b| *b == b'/').next().is_some_and(|name| name.starts_with(b"py"));
    // Behind the interpreter there may be one option; the new path itself may hold spaces.
    let (program, option) = match line[to.len()..].iter().position(|b| *b == b' ') {
        Some(space) => line.split_at(to.len() + space),
        None => (line, &b""[..]),
    };
    if !is_python || (end <= LONGEST_SHEBANG && !program.contains(&b' ')) {
        return text;
    }
    let head = [b"#!/bin/sh\n'''exec' \"", program, b"\"", option, b" \"$0\" \"$@\"\n' '''"].concat();
    [head.as_slice(), &text[end..]].concat()
}

/// Says whether a path can stand in scripts and settings, quoted or not as the old one was.
pub(super) fn is_plain(path: &[u8]) -> bool {
    path.iter().all(|b| b.is_ascii_alphanumeric() || *b >= 0x80 || b" ._~+@%=:,/-".contains(b))
}

/// Encodes a path as it stands in a URL.
pub(super) fn url_encoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_itself_is_replaced() {
        let replaced = |text: &str| String::from_utf8(replace(text.as_bytes(), b"/a/repo", b"/new")).unwrap();
        for (text, wanted) in [
            ("/a/repo", "/new"),
            ("#!/a/repo/.venv/bin/python\n", "#!/new/.venv/bin/python\n"),
            ("PATH=\"/a/repo/bin:/a/repo:$PATH\"", "PATH=\"/new/bin:/new:$PATH\""),
            ("home=/a/repo x", "home=/new x"),
            ("file:///a/repo/x", "file:///new/x"),
            ("/a/repo2 /a/repo-x /a/repo.git /a/repo_", "/a/repo2 /a/repo-x /a/repo.git /a/repo_"),
            ("/x/a/repo ./a/repo x/a/repo http://h/a/repo", "/x/a/repo ./a/repo x/a/repo http://h/a/repo"),
            ("/a/rep", "/a/rep"),
        ] {
            assert_eq!(replaced(text), wanted);
        }
    }

    #[test]
    fn what_leads_to_the_new_place_already_stays() {
        let twice = |text: &[u8]| replace(&replace(text, b"/a", b"/a/new"), b"/a", b"/a/new");
        assert_eq!(twice(b"/a/x /a/new/y /a/newer"), b"/a/new/x /a/new/y /a/new/newer");
    }

    #[test]
    fn a_first_line_that_is_too_long_goes_by_way_of_a_shell() {
        let to = format!("/{}", "x".repeat(130));
        let text = format!("#!{to}/bin/python3 -E\nprint(1)\n").into_bytes();
        let mended = String::from_utf8(mend_shebang(text.clone(), to.as_bytes())).unwrap();
        assert_eq!(mended, format!("#!/bin/sh\n'''exec' \"{to}/bin/python3\" -E \"$0\" \"$@\"\n' '''\nprint(1)\n"));
        let spaced = mend_shebang(b"#!/a b/bin/python\n".to_vec(), b"/a b");
        assert_eq!(spaced, b"#!/bin/sh\n'''exec' \"/a b/bin/python\" \"$0\" \"$@\"\n' '''\n");
        assert_eq!(mend_shebang(b"#!/a/bin/python\n".to_vec(), b"/a"), b"#!/a/bin/python\n");
        assert_eq!(mend_shebang(b"#!/a b/bin/ruby\n".to_vec(), b"/a b"), b"#!/a b/bin/ruby\n");
    }
}
