//! What these tests share: aged repositories, new worktrees, file systems of their own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use suite_tests::{Ran, Sandbox, skip};

/// Lets every new file of a folder be years old, so that no index takes it for just written.
pub(crate) fn age(room: &Sandbox, folder: &Path) {
    let command =
        "find . -path ./.git -prune -o -newermt 2024-06-01 -exec touch -h -d '2024-01-02 03:04:05.123456789' {} +";
    room.run_in(folder, "sh", &["-c", command]).succeeds();
}

/// Ages and commits all that is in a repository.
pub(crate) fn commit_aged(room: &Sandbox, folder: &Path) {
    age(room, folder);
    room.commit_in(folder, "aged");
}

/// Makes a room whose repository has files of all kinds, aged.
pub(crate) fn varied() -> Sandbox {
    let room = Sandbox::new();
    vary(&room, &room.repo());
    commit_aged(&room, &room.repo());
    room
}

/// Writes files of all kinds.
pub(crate) fn vary(room: &Sandbox, folder: &Path) {
    use std::os::unix::ffi::OsStringExt;
    for n in 0..40 {
        room.write_in(folder, &format!("src/d{}/f{n}.c", n % 4), &format!("int f{n};\n").repeat(n * 20 + 1));
    }
    room.write_in(folder, "big", &"0123456789abcdef".repeat(20_000));
    room.write_in(folder, "empty", "");
    room.write_in(folder, "-dash", "a leading dash\n");
    room.write_in(folder, "two\nlines", "a newline in the name\n");
    room.write_in(folder, "a b/\u{1f600}", "an emoji\n");
    let name = OsString::from_vec(b"not-\xff-utf8".to_vec());
    fs::write(folder.join(name), "bytes\n").unwrap();
    room.write_in(folder, "tool", "#!/bin/sh\nexit 0\n");
    room.run_in(folder, "chmod", &["755", "tool"]).succeeds();
    std::os::unix::fs::symlink("src/d1/f1.c", folder.join("link")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at all", folder.join("dangling")).unwrap();
}

/// Makes a worktree without files beside the repository.
pub(crate) fn bare_worktree(room: &Sandbox, name: &str, revision: &str) -> PathBuf {
    let path = room.path().join(name);
    room.git(&["worktree", "add", "-q", "--detach", "--no-checkout", path.to_str().unwrap(), revision]);
    path
}

/// Runs git-hydrate in a folder.
pub(crate) fn hydrate(room: &Sandbox, folder: &Path, arguments: &[&str]) -> Ran {
    room.run_in(folder, "git-hydrate", arguments)
}

/// The content of a file or link; a long one is shown by its length and a hash.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Content(pub(crate) Vec<u8>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::hash::{Hash, Hasher};
        if self.0.len() <= 64 {
            return write!(f, "{:?}", String::from_utf8_lossy(&self.0));
        }
        let mut hasher = std::hash::DefaultHasher::new();
        self.0.hash(&mut hasher);
        write!(f, "{} bytes, {:x}", self.0.len(), hasher.finish())
    }
}

/// Everything in a folder but `.git`: kind and mode, time of modification in ns, content.
pub(crate) fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (u32, i128, Content)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let facts = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(folder).unwrap().to_owned();
            let time = i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec());
            if name == Path::new(".git") {
                continue;
            }
            if facts.is_dir() {
                folders.push(path);
            } else if facts.is_symlink() {
                let to = fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes();
                all.insert(name, (facts.mode(), time, Content(to)));
            } else if facts.is_file() {
                all.insert(name, (facts.mode(), time, Content(fs::read(&path).unwrap())));
            }
        }
    }
    all
}

/// A snapshot without the times.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, (u32, Content)> {
    snapshot(folder).into_iter().map(|(path, (mode, _, bytes))| (path, (mode, bytes))).collect()
}

/// The worktree is complete, git says it is clean, and nothing of a run is left over.
#[track_caller]
pub(crate) fn is_complete(room: &Sandbox, worktree: &Path) {
    assert_eq!(room.git_in(worktree, &["status", "--porcelain", "--untracked-files=normal"]), "");
    room.git_in(worktree, &["fsck", "--no-dangling"]);
    let git_dir = PathBuf::from(room.git_in(worktree, &["rev-parse", "--absolute-git-dir"]));
    for entry in fs::read_dir(git_dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.starts_with("hydrate-tmp") && name != "hydrate.json" && name != "index.lock", "{name} is left");
    }
}

/// Lists the tracked files that the next `git status` opens; `None` without strace.
pub(crate) fn opened_by_status(room: &Sandbox, worktree: &Path) -> Option<Vec<String>> {
    let log = room.path().join("strace.log");
    let arguments = ["-f", "-e", "trace=open,openat", "-o", log.to_str()?, "git", "status", "--porcelain"];
    let ran = room.command("strace").args(arguments).current_dir(worktree).output().ok()?;
    assert!(ran.status.success() && ran.stdout.is_empty(), "{}", String::from_utf8_lossy(&ran.stdout));
    let tracked = room.git_in(worktree, &["-c", "core.quotePath=false", "ls-files"]);
    let log = fs::read_to_string(log).unwrap();
    let opened: Vec<&str> = log.lines().filter_map(|line| line.split('"').nth(1)).collect();
    // Git reads its rules of what is ignored from the worktree always.
    let is_opened = |path: &&str| opened.iter().any(|o| o == path) && !path.ends_with(".gitignore");
    Some(tracked.lines().filter(is_opened).map(str::to_owned).collect())
}

/// A file system in a file, mounted until it is dropped.
pub(crate) struct Mount {
    path: PathBuf,
}

impl Mount {
    /// Makes and mounts one; says why not and returns `None` where that cannot be had.
    pub(crate) fn new(room: &Sandbox, what: &str, system: &str, megabytes: u32) -> Option<Mount> {
        let image = room.path().join(format!("{system}.img"));
        let path = room.path().join(format!("mount-{system}"));
        fs::create_dir_all(&path).unwrap();
        let make = match system {
            "tmpfs" => format!("mount -t tmpfs -o size={megabytes}m none '{}'", path.display()),
            _ => format!(
                "truncate -s {megabytes}M '{i}' && mkfs.{system} {quiet} '{i}' >/dev/null && mount -o loop '{i}' '{}'",
                path.display(),
                i = image.display(),
                quiet = if system == "ext4" { "-q -F" } else { "-q" },
            ),
        };
        let ran = room.run_in(room.path(), "sh", &["-c", &make]);
        if ran.code != 0 {
            skip(what, &format!("no {system} can be mounted: {}", ran.stderr.lines().next().unwrap_or_default()));
            return None;
        }
        Some(Mount { path })
    }

    /// Returns where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
