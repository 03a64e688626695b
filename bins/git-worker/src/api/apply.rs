//! A reply that changes files: beneath the worktree, through no link, and all of it or nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use shared::process::Git;

use super::envelope::Block;

/// Folders at the top that are ours or the user's, whatever a reply says.
const PROTECTED: &[&str] = &[".codex-agent", ".codex-worker"];
/// A larger file is not kept to be put back, and so not changed.
const MOST: u64 = 64 * 1024 * 1024;

/// A file as it was.
type Before = Option<(Vec<u8>, Mode)>;

/// Applies blocks to a worktree; returns each path and `add`, `update` or `delete`.
///
/// # Errors
/// When anything of it cannot be; then all is as before.
pub(super) fn apply(worktree: &Path, git: &Git, blocks: &[Block]) -> Result<Vec<(String, &'static str)>, String> {
    let root = openat(CWD, worktree, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.map_err(|error| format!("cannot open the worktree: {error}"))?;
    let mut before: BTreeMap<String, Before> = BTreeMap::new();
    for block in blocks {
        let paths = match block {
            Block::File { path, .. } | Block::Delete { path } => vec![path.clone()],
            Block::Patch { text } => paths_of(git, text)?,
        };
        for path in paths {
            check(&path)?;
            let old = read(&root, &path).map_err(|why| format!("'{path}': {why}"))?;
            if before.insert(path.clone(), old).is_some() {
                return Err(format!("'{path}' is changed twice"));
            }
        }
    }
    let done = blocks.iter().try_for_each(|block| one(&root, git, block, &before));
    if let Err(why) = done {
        for (path, old) in &before {
            put_back(&root, path, old).map_err(|worse| format!("{why}; and '{path}' is not as it was: {worse}"))?;
        }
        return Err(why);
    }
    let change = |path: &str, old: &Before| match (old, exists(&root, path)) {
        (None, _) => "add",
        (Some(_), true) => "update",
        (Some(_), false) => "delete",
    };
    Ok(before.iter().map(|(path, old)| (path.clone(), change(path, old))).collect())
}

fn one(root: &OwnedFd, git: &Git, block: &Block, before: &BTreeMap<String, Before>) -> Result<(), String> {
    match block {
        Block::File { path, content } => {
            let mode = before.get(path).and_then(Option::as_ref).map(|(_, mode)| *mode);
            write(root, path, content.as_bytes(), mode).map_err(|why| format!("'{path}': {why}"))
        }
        Block::Delete { path } => match before.get(path) {
            Some(Some(_)) => remove(root, path).map_err(|why| format!("'{path}': {why}")),
            Some(None) | None => Err(format!("'{path}' is to be deleted and is not there")),
        },
        Block::Patch { text } => {
            let done = git.ask_with(["apply", "--whitespace=nowarn", "-"], text.as_bytes());
            let done = done.map_err(|error| format!("{error:#}"))?;
            match done.code {
                0 => Ok(()),
                _ => Err(format!("the patch does not apply: {}", done.stderr.lines().next().unwrap_or_default())),
            }
        }
    }
}

/// Lists the paths that a patch changes; none of them may be more than a plain file that stays where it is.
fn paths_of(git: &Git, text: &str) -> Result<Vec<String>, String> {
    let header = |line: &str| {
        let moved = ["rename ", "copy "].iter().any(|word| line.starts_with(word));
        let odd = line.contains("mode 120000")
            || line.contains("mode 160000")
            || line.ends_with(" 120000")
            || line.ends_with(" 160000");
        moved || odd || line == "GIT binary patch"
    };
    // A line of a hunk begins with a mark of its own.
    if let Some(line) = text.lines().find(|line| !line.starts_with([' ', '+', '-', '@', '\\']) && header(line)) {
        return Err(format!("a patch may not do this: '{line}'"));
    }
    let listed =
        git.ask_with(["apply", "--numstat", "-z", "-"], text.as_bytes()).map_err(|error| format!("{error:#}"))?;
    if listed.code != 0 {
        return Err(format!("the patch is none: {}", listed.stderr.lines().next().unwrap_or_default()));
    }
    let entries = listed.stdout.split(|b| *b == 0).filter(|entry| !entry.is_empty());
    let paths = entries.map(|entry| {
        let path = entry.splitn(3, |b| *b == b'\t').nth(2).unwrap_or_default();
        String::from_utf8(path.to_vec()).map_err(|_| "a path of the patch is not UTF-8".to_owned())
    });
    paths.collect()
}

/// Refuses a path that leads out of the worktree, into git's own folder, or to what is protected.
fn check(path: &str) -> Result<(), String> {
    let bad = |why: &str| Err(format!("'{}' {why}", path.escape_debug()));
    if path.is_empty() || path.starts_with('/') || path.chars().any(char::is_control) || path.contains('\\') {
        return bad("is no path in the worktree");
    }
    for (n, name) in path.split('/').enumerate() {
        // As file systems see it that fold case, drop dots and spaces at the end, or have short names.
        let folded = name.trim_end_matches(['.', ' ']).to_lowercase();
        let plain: String = folded.chars().filter(|c| c.is_ascii_graphic()).collect();
        if name.is_empty() || name == "." || name == ".." {
            return bad("is no path in the worktree");
        }
        if [&folded, &plain].iter().any(|name| *name == ".git" || name.starts_with("git~")) {
            return bad("is git's own");
        }
        if n == 0 && PROTECTED.contains(&plain.as_str()) {
            return bad("is protected");
        }
    }
    Ok(())
}

/// Opens the folder of a path through no link, and makes what is missing of it if that is wanted.
fn parent<'a>(root: &OwnedFd, path: &'a str, make: bool) -> Result<Option<(OwnedFd, &'a str)>, String> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = openat(root, ".", flags, Mode::empty()).map_err(|error| error.to_string())?;
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        let mut next = openat(&folder, part, flags, Mode::empty());
        if next.as_ref().is_err_and(|error| *error == Errno::NOENT) {
            if !make {
                return Ok(None);
            }
            mkdirat(&folder, part, Mode::from_raw_mode(0o777))
                .map_err(|error| format!("cannot make '{part}': {error}"))?;
            next = openat(&folder, part, flags, Mode::empty());
        }
        folder = next.map_err(|error| format!("'{part}' on the way is no plain folder: {error}"))?;
    }
    Ok(Some((folder, name)))
}

/// Reads the file that is there; none if there is none.
pub(super) fn read(root: &OwnedFd, path: &str) -> Result<Before, String> {
    let Some((folder, name)) = parent(root, path, false)? else { return Ok(None) };
    let facts = match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        facts => facts.map_err(|error| error.to_string())?,
    };
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile || facts.st_size as u64 > MOST {
        return Err("it is no plain file of a usual size".to_owned());
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(&folder, name, flags, Mode::empty()).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    File::from(file).take(MOST).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(Some((bytes, Mode::from_raw_mode(facts.st_mode & 0o777))))
}

fn exists(root: &OwnedFd, path: &str) -> bool {
    let folder = parent(root, path, false).ok().flatten();
    folder.is_some_and(|(folder, name)| statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
}

/// Writes a file beside and renames it, so that a link that came meanwhile is replaced and not followed.
fn write(root: &OwnedFd, path: &str, bytes: &[u8], mode: Option<Mode>) -> Result<(), String> {
    let Some((folder, name)) = parent(root, path, true)? else { return Err("its folder is gone".to_owned()) };
    let beside = format!(".git-worker-{}", std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&folder, &beside, flags, Mode::from_raw_mode(0o666)).map_err(|error| error.to_string())?;
    let written = mode.map_or(Ok(()), |mode| fchmod(&file, mode)).map_err(std::io::Error::from);
    let written = written.and_then(|()| File::from(file).write_all(bytes));
    let renamed = written.and_then(|()| Ok(renameat(&folder, &beside, &folder, name)?));
    renamed.map_err(|error| {
        let _ = unlinkat(&folder, &beside, AtFlags::empty());
        error.to_string()
    })
}

fn remove(root: &OwnedFd, path: &str) -> Result<(), String> {
    let Some((folder, name)) = parent(root, path, false)? else { return Ok(()) };
    unlinkat(&folder, name, AtFlags::empty()).map_err(|error| error.to_string())
}

fn put_back(root: &OwnedFd, path: &str, before: &Before) -> Result<(), String> {
    match before {
        Some((bytes, mode)) => write(root, path, bytes, Some(*mode)),
        None if exists(root, path) => remove(root, path),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_path_stays_in_the_worktree_and_out_of_git() {
        for path in ["a", "a b/c-d.txt", ".github/x", "ä/ö", ".gitignore"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "./a",
            "a//b",
            "a/",
            ".git/config",
            "sub/.GIT/hooks/x",
            ".git./x",
            ".git /x",
            "git~1/x",
            ".g\u{200c}it/config",
            "a\\..\\b",
            "a\nb",
            ".codex-agent/config.toml",
            ".Codex-Agent/x",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
    }
}
