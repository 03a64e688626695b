//! What it says about cloning is true: asked of the file system, file by file, and of the disk.

use std::fs;
use std::path::{Path, PathBuf};

use suite_tests::{Sandbox, skip};

use crate::room::{Mount, age, commit_aged, hydrate, is_complete, snapshot};

/// How much more the disk holds for each byte of the large files, at most.
const SMALL: u64 = 10;

/// Bytes in use on a mounted file system, all written.
fn used(room: &Sandbox, mount: &Path) -> u64 {
    room.run_in(mount, "sync", &["-f", "."]).succeeds();
    let told = room.run_in(mount, "df", &["--output=used", "-B1", "."]).succeeds().stdout;
    told.lines().last().unwrap().trim().parse().unwrap()
}

/// Lists the files below a folder that share extents with others, with their sizes.
fn sharing(room: &Sandbox, folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for (path, (mode, _, content)) in snapshot(folder) {
        if mode & 0o170_000 != 0o100_000 {
            continue;
        }
        let told = room.run_in(folder, "filefrag", &["-v", "-s", path.to_str().unwrap()]).succeeds().stdout;
        if told.lines().any(|line| line.contains("shared")) {
            found.push((path, content.0.len() as u64));
        }
    }
    found
}

fn says_what_is_so_on(system: &str, shares: bool) {
    let room = Sandbox::new();
    if room.run("sh", &["-c", "command -v filefrag"]).code != 0 {
        return skip(&format!("shared extents on {system}"), "there is no filefrag");
    }
    let Some(mount) = Mount::new(&room, &format!("shared extents on {system}"), system, 600) else { return };
    let repo = mount.path().join("repo");
    room.git(&["init", "-q", repo.to_str().unwrap()]);
    room.write_in(&repo, ".gitignore", "cache/\n");
    room.write_in(&repo, ".worktreeinclude", "cache/\n");
    // Each of another size, from a few bytes to megabytes, so that a sum of sizes tells which they were.
    for n in 0..14_u32 {
        room.write_in(&repo, &format!("src/{n}"), &"0123456\n".repeat((1 << n) * 25 + n as usize));
    }
    for n in 0..4 {
        room.write_in(&repo, &format!("src/large{n}"), &format!("line {n}\n").repeat(600_000 + n));
    }
    commit_aged(&room, &repo);
    for n in 0..14_u32 {
        room.write_in(&repo, &format!("cache/{n}"), &"artefact\n".repeat((1 << n) * 20 + n as usize));
    }
    for n in 0..4 {
        room.write_in(&repo, &format!("cache/large{n}"), &format!("artefact {n}\n").repeat(600_000 + n));
    }
    age(&room, &repo);
    let new = mount.path().join("new");
    room.git_in(&repo, &["worktree", "add", "-q", "--detach", "--no-checkout", new.to_str().unwrap()]);
    let before = used(&room, mount.path());
    let answer = hydrate(&room, &new, &["--json"]).succeeds().json();
    let grown = used(&room, mount.path()).saturating_sub(before);
    let tree: u64 = snapshot(&new).values().map(|(_, _, content)| content.0.len() as u64).sum();

    let (in_cache, in_tree): (Vec<_>, Vec<_>) =
        sharing(&room, &new).into_iter().partition(|(path, _)| path.starts_with("cache"));
    let sum = |files: &[(PathBuf, u64)]| files.iter().map(|(_, size)| size).sum::<u64>();
    let told = |part: &str, field: &str| answer[part][field].as_u64().unwrap();
    assert_eq!(told("tracked", "cloned"), in_tree.len() as u64, "{in_tree:?} {answer}");
    assert_eq!(told("tracked", "bytes_cloned"), sum(&in_tree), "{in_tree:?} {answer}");
    assert_eq!(told("ignored", "cloned"), in_cache.len() as u64, "{in_cache:?} {answer}");
    let copied = told("tracked", "copied") + told("ignored", "copied");
    assert_eq!(copied + told("tracked", "cloned") + told("ignored", "cloned"), 2 + 2 * 18, "{answer}");
    if shares {
        assert!(in_tree.len() >= 5 && in_cache.len() >= 5, "the large ones are shared: {in_tree:?} {in_cache:?}");
        assert!(grown * SMALL < tree, "the disk holds {grown} bytes more for a tree of {tree}");
    } else {
        assert_eq!((in_tree.len(), in_cache.len()), (0, 0));
        assert!(grown > tree, "the disk holds {grown} bytes more for a tree of {tree}");
    }
    // The same from the other side.
    let stats = hydrate(&room, &new, &["--stats", "--json", "."]).succeeds().json();
    let one = &stats["worktrees"][0];
    let rounded: u64 = in_tree.iter().chain(&in_cache).map(|(_, size)| size.div_ceil(4096) * 4096).sum();
    assert_eq!(one["sharing"], if shares { "extents" } else { "unknown" });
    assert_eq!(one["shared"], rounded, "{stats}");
    // What is shared is not tied: writing to one leaves the other as it was.
    fs::write(new.join("src/large0"), "changed").unwrap();
    fs::write(new.join("cache/large0"), "changed").unwrap();
    is_complete(&room, &repo);
    assert_eq!(fs::metadata(repo.join("cache/large0")).unwrap().len(), 600_000 * "artefact 0\n".len() as u64);
}

#[test]
fn extents_are_shared_on_xfs_where_it_says_so() {
    says_what_is_so_on("xfs", true);
}

#[test]
fn extents_are_shared_on_btrfs_where_it_says_so() {
    says_what_is_so_on("btrfs", true);
}

#[test]
fn on_ext4_it_says_that_it_copied() {
    says_what_is_so_on("ext4", false);
}
