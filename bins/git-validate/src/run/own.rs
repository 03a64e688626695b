//! The repository that a check sees: made anew for each run, and nobody else's.
//!
//! It borrows the user's objects and has refs, index and configuration of its own, so that nothing
//! that a check does with git can reach the user's: HEAD is the subject, the user's branches and
//! tags are there, nothing is configured but how files are written.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use shared::app::Context;
use shared::repository::{Repository, Scope, in_words};

use crate::subject::Subject;

/// Settings of the user's repository without which its files would look changed.
pub(super) const SHARED: &[&str] = &["autocrlf", "eol", "ignorecase", "precomposeunicode", "symlinks"];
/// Files of the user's repository that say what its history and its files are.
const FILES: &[&str] = &["shallow", "info/attributes", "info/exclude"];
/// What a check may know of the user's refs.
const REFS: &[&str] = &["refs/heads/", "refs/remotes/", "refs/tags/"];

/// Makes the repository in a folder that is not there yet.
pub(super) fn make(cx: &Context, subject: &Subject, own: &Path) -> Result<()> {
    let repository = cx.repository().map_err(anyhow::Error::new)?;
    for folder in ["objects/info", "refs", "info"] {
        fs::create_dir_all(own.join(folder)).context("cannot make the repository of the checks")?;
    }
    // It is made again from nothing, so it need not survive a crash.
    let put = |name: &str, bytes: &[u8]| {
        let made = File::create_new(own.join(name)).and_then(|mut file| file.write_all(bytes));
        made.with_context(|| format!("cannot write '{name}' of the repository of the checks"))
    };
    let head = subject.commit.map_or_else(|| "ref: refs/heads/main\n".to_owned(), |commit| format!("{commit}\n"));
    put("HEAD", head.as_bytes())?;
    put("config", configuration(repository).as_bytes())?;
    put("objects/info/alternates", &alternates(&repository.common_dir().join("objects")))?;
    put("packed-refs", &refs(repository)?)?;
    for name in FILES {
        if let Ok(bytes) = fs::read(repository.common_dir().join(name)) {
            put(name, &bytes)?;
        }
    }
    Ok(())
}

fn configuration(repository: &Repository) -> String {
    let (version, extension) = match repository.gix.object_hash() {
        gix::hash::Kind::Sha1 => (0, String::new()),
        other => (1, format!("[extensions]\n\tobjectformat = {other}\n")),
    };
    let mut text = format!("[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = false\n");
    for setting in repository.settings("core").into_iter().filter(|setting| setting.scope == Scope::Repository) {
        let plain = setting.value.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if plain && SHARED.contains(&setting.key.as_str()) {
            text.push_str(&format!("\t{} = {}\n", setting.key, setting.value));
        }
    }
    text + &extension
}

/// A path with a newline is quoted as in C; any other stands as it is.
fn alternates(objects: &Path) -> Vec<u8> {
    let path = objects.as_os_str().as_bytes();
    if !path.contains(&b'\n') {
        return [path, b"\n"].concat();
    }
    let mut quoted = vec![b'"'];
    for byte in path {
        match byte {
            b'\n' => quoted.extend(b"\\n"),
            b'"' | b'\\' => quoted.extend([b'\\', *byte]),
            other => quoted.push(*other),
        }
    }
    quoted.extend(b"\"\n");
    quoted
}

fn refs(repository: &Repository) -> Result<Vec<u8>> {
    let mut refs: Vec<(Vec<u8>, String)> = Vec::new();
    let all = repository.gix.references().map_err(|e| anyhow!("cannot read the refs: {}", in_words(&e)))?;
    for reference in all.all().map_err(|e| anyhow!("cannot read the refs: {}", in_words(&e)))?.flatten() {
        let name = reference.name().as_bstr();
        if let (true, Some(id)) = (REFS.iter().any(|part| name.starts_with(part.as_bytes())), reference.try_id()) {
            refs.push((name.to_vec(), id.to_string()));
        }
    }
    refs.sort();
    let mut text = b"# pack-refs with: sorted \n".to_vec();
    for (name, id) in refs {
        text.extend([id.as_bytes(), b" ", &name, b"\n"].concat());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_newline_is_quoted() {
        assert_eq!(alternates(Path::new("/a b:\"c/objects")), b"/a b:\"c/objects\n");
        assert_eq!(alternates(Path::new("/a\nb\"c\\/o")), b"\"/a\\nb\\\"c\\\\/o\"\n");
    }
}
