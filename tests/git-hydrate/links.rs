use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use suite_tests::{CHANGING_CALLS, Reach, Sandbox, can_kill, run_killed};

use crate::room::{Mount, age, bare_worktree, hydrate, is_complete, snapshot};

/// A repository with a folder of artefacts, `cache`.
pub(crate) fn cached() -> Sandbox {
    let room = Sandbox::new();
    room.write(".gitignore", "cache/\n");
    room.write(".worktreeinclude", "cache/\n");
    age(&room, &room.repo());
    room.commit("rules");
    fs::create_dir(room.repo().join("cache")).unwrap();
    room
}

/// Adds files of two and three names, in several folders, as a target folder of cargo has them.
fn link(room: &Sandbox) {
    let cache = room.repo().join("cache");
    for n in 0..20 {
        room.write(&format!("cache/deps/lib{n}"), &format!("object {n}\n").repeat(n * 200 + 1));
        fs::create_dir_all(cache.join(format!("d{}", n % 3))).unwrap();
        fs::hard_link(cache.join(format!("deps/lib{n}")), cache.join(format!("d{}/lib{n}", n % 3))).unwrap();
    }
    fs::hard_link(cache.join("deps/lib7"), cache.join("third")).unwrap();
    age(room, &room.repo());
}

/// The names in a folder by the file that they belong to.
fn groups(folder: &Path) -> Vec<Vec<String>> {
    let mut by_file = std::collections::BTreeMap::<u64, Vec<String>>::new();
    for path in snapshot(folder).into_keys() {
        let inode = fs::symlink_metadata(folder.join(&path)).unwrap().ino();
        by_file.entry(inode).or_default().push(path.to_str().unwrap().to_owned());
    }
    let mut groups: Vec<Vec<String>> = by_file.into_values().collect();
    groups.sort();
    groups
}

#[test]
fn hard_links_inside_stay_hard_links() {
    let room = cached();
    link(&room);
    let worktree = bare_worktree(&room, "new", "HEAD");
    let dry = hydrate(&room, &worktree, &["--json", "-n"]).succeeds().json();
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    let cache = |root: &Path| root.join("cache");
    assert_eq!(groups(&cache(&worktree)), groups(&cache(&room.repo())));
    assert_eq!(snapshot(&worktree), snapshot(&room.repo()));
    let bytes: u64 = (0..20).map(|n| fs::metadata(room.repo().join(format!("cache/deps/lib{n}"))).unwrap().len()).sum();
    for answer in [dry, answer] {
        let ignored = &answer["ignored"];
        assert_eq!((ignored["files"].as_u64(), ignored["linked"].as_u64()), (Some(41), Some(21)), "{ignored}");
        assert_eq!(ignored["bytes"].as_u64(), Some(bytes));
    }
    // Nothing is shared with the donor's files.
    fs::write(worktree.join("cache/third"), "mine").unwrap();
    assert!(fs::read_to_string(room.repo().join("cache/deps/lib7")).unwrap().starts_with("object 7"));
    is_complete(&room, &worktree);
}

#[test]
fn a_file_whose_other_name_lies_elsewhere_is_copied() {
    let room = cached();
    room.write("../store/a", "from a store\n");
    for name in ["a", "b"] {
        fs::hard_link(room.path().join("store/a"), room.repo().join("cache").join(name)).unwrap();
    }
    room.write("../store/b", "alone\n");
    fs::hard_link(room.path().join("store/b"), room.repo().join("cache/alone")).unwrap();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["ignored"]["linked"], 1);
    let links = |name: &str| fs::metadata(worktree.join("cache").join(name)).unwrap().nlink();
    assert_eq!((links("a"), links("b"), links("alone")), (2, 2, 1));
}

#[test]
fn a_second_run_completes_the_links_of_a_killed_one() {
    let room = cached();
    link(&room);
    if !can_kill(&room, "killing a run at its links") {
        return;
    }
    let wanted = groups(&room.repo().join("cache"));
    let program = suite_tests::program_folder().join("git-hydrate");
    for call in CHANGING_CALLS.iter().filter(|call| call.contains("link") || call.contains("utimensat")) {
        for n in [1, 2, 5, 9, 14, 20, 21] {
            let worktree = bare_worktree(&room, &format!("{}-{n}", call.split(',').next().unwrap()), "HEAD");
            let ran = run_killed(&room, &worktree, Reach::Alone, call, n, &["-f", program.to_str().unwrap()]);
            if ran.code != 0 {
                hydrate(&room, &worktree, &["--json"]).succeeds();
            }
            assert_eq!(groups(&worktree.join("cache")), wanted, "{call} {n}");
            assert_eq!(snapshot(&worktree), snapshot(&room.repo()), "{call} {n}");
            is_complete(&room, &worktree);
        }
    }
}

/// Where files of this size are copied: on a file system that cannot clone.
fn hole(room: &Sandbox, root: &Path) {
    let file = fs::File::create(room.repo().join("cache/sparse")).unwrap();
    file.write_all_at(b"begin", 0).unwrap();
    file.write_all_at(&[7; 5000], 3 << 20).unwrap();
    file.set_len(8 << 20).unwrap();
    let only_hole = fs::File::create(room.repo().join("cache/hole")).unwrap();
    only_hole.set_len(1 << 20).unwrap();
    // Small enough to be read at once.
    let small = fs::File::create(room.repo().join("cache/small")).unwrap();
    small.write_all_at(b"end", 100_000).unwrap();
    let worktree = root.join("new");
    room.git(&["worktree", "add", "-q", "--detach", "--no-checkout", worktree.to_str().unwrap()]);
    let answer = hydrate(room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["ignored"]["copied"], 3, "{answer}");
    for (name, blocks) in [("sparse", 64), ("hole", 8), ("small", 16)] {
        let (from, to) = (room.repo().join("cache").join(name), worktree.join("cache").join(name));
        assert_eq!(fs::read(&from).unwrap(), fs::read(&to).unwrap());
        let found = fs::metadata(&to).unwrap().blocks();
        assert!(found <= blocks, "{name} takes {found} blocks of 512 bytes");
    }
}

#[test]
fn a_file_that_is_copied_keeps_its_holes() {
    let room = cached();
    // To another file system nothing is cloned.
    let Some(mount) = Mount::new(&room, "copying files with holes", "tmpfs", 32) else { return };
    hole(&room, mount.path());
}
