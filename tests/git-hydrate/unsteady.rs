//! Whatever state the donor is in, filling gives what `git worktree add` gives.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use suite_tests::Sandbox;

use crate::equal::equals_worktree_add;
use crate::room::{age, bare_worktree, commit_aged, contents, hydrate, is_complete, varied};

#[test]
fn with_a_donor_whose_monitor_overlooked_a_change() {
    let room = varied();
    let monitor = room.script("monitor", "printf 'token\\0'");
    room.git(&["config", "--global", "core.fsmonitor", monitor.to_str().unwrap()]);
    room.git(&["update-index", "--fsmonitor"]);
    room.git(&["status"]);
    fs::write(room.repo().join("tool"), "#!/bin/sh\nexit 1\n").unwrap();
    assert_eq!(room.git(&["status", "--porcelain"]), "", "git trusts the monitor");
    room.git(&["config", "--global", "--unset", "core.fsmonitor"]);
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn with_a_donor_whose_entries_hide_or_announce_files() {
    let room = varied();
    room.write("announced", "not added yet\n");
    room.write("src/d1/announced.c", "");
    room.git(&["add", "-N", "announced", "src/d1/announced.c"]);
    room.git(&["update-index", "--assume-unchanged", "big", "src/d2/f2.c"]);
    room.git(&["update-index", "--skip-worktree", "tool", "src/d3/f3.c"]);
    fs::remove_file(room.repo().join("src/d3/f3.c")).unwrap();
    fs::write(room.repo().join("big"), "hidden\n").unwrap();
    age(&room, &room.repo());
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn with_a_donor_whose_index_is_sparse() {
    let room = varied();
    room.git(&["sparse-checkout", "set", "--cone", "--sparse-index", "src/d1"]);
    assert!(room.git(&["ls-files", "--sparse"]).contains("src/d2/\n"), "the index holds folders");
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn with_a_donor_in_the_middle_of_work() {
    let room = varied();
    room.git(&["checkout", "-q", "-b", "theirs"]);
    room.write("README", "theirs\n");
    commit_aged(&room, &room.repo());
    room.git(&["checkout", "-q", "main"]);
    room.write("README", "ours\n");
    commit_aged(&room, &room.repo());
    assert_eq!(room.run("git", &["merge", "-q", "theirs"]).code, 1);
    room.write("src/d0/f0.c", "staged\n");
    room.git(&["add", "src/d0/f0.c"]);
    room.write("src/d0/f4.c", "modified\n");
    fs::remove_file(room.repo().join("src/d0/f8.c")).unwrap();
    fs::remove_dir_all(room.repo().join("src/d1")).unwrap();
    fs::write(room.repo().join("src/d1"), "a file now\n").unwrap();
    fs::remove_file(room.repo().join("tool")).unwrap();
    fs::create_dir(room.repo().join("tool")).unwrap();
    room.write("tool/untracked", "x\n");
    room.run("chmod", &["755", "src/d2/f2.c"]).succeeds();
    room.git(&["mv", "big", "renamed"]);
    room.git(&["rm", "-q", "--cached", "empty"]);
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn with_a_donor_at_another_commit() {
    let room = varied();
    let old = room.git(&["rev-parse", "HEAD"]);
    for n in 0..40 {
        if n % 3 == 0 {
            room.write(&format!("src/d{}/f{n}.c", n % 4), "another\n");
        }
    }
    fs::remove_file(room.repo().join("big")).unwrap();
    room.write("big/is/a/folder", "now\n");
    fs::remove_file(room.repo().join("link")).unwrap();
    room.write("link", "a file now\n");
    room.run("chmod", &["644", "tool"]).succeeds();
    commit_aged(&room, &room.repo());
    equals_worktree_add(&room, &old);
}

/// Writes to tracked files in every way that an editor or a build has, until it is told to stop.
fn disturb(repo: &Path, stop: &AtomicBool) {
    use std::os::unix::fs::PermissionsExt;
    let mut round = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        for n in (0..600).step_by(3) {
            let path = repo.join(format!("src/{}/{n}", n % 7));
            let size = fs::metadata(&path).map_or(100, |f| f.len() as usize);
            match (n + round) % 5 {
                // The same size, in place; replaced; cut off; another mode; gone and back.
                0 => drop(
                    fs::OpenOptions::new()
                        .write(true)
                        .open(&path)
                        .map(|mut file| std::io::Write::write_all(&mut file, &vec![b'#'; size / 2])),
                ),
                1 => {
                    let beside = repo.join(format!("src/{}/{n}.new", n % 7));
                    drop(fs::write(&beside, vec![b'!'; size]).and_then(|()| fs::rename(&beside, &path)));
                }
                2 => drop(fs::OpenOptions::new().write(true).open(&path).map(|file| file.set_len(size as u64 / 2))),
                3 => drop(fs::set_permissions(&path, fs::Permissions::from_mode(0o755))),
                _ => drop(fs::remove_file(&path).and_then(|()| fs::write(&path, vec![b'?'; size]))),
            }
        }
        round += 1;
    }
}

#[test]
fn with_a_donor_that_is_written_while_it_is_copied() {
    let room = Sandbox::new();
    for n in 0..600 {
        let lines = if n % 20 == 0 { 20_000 } else { 20 + n };
        room.write(&format!("src/{}/{n}", n % 7), &format!("line of {n}\n").repeat(lines));
    }
    commit_aged(&room, &room.repo());
    let wanted = contents(&room.repo());
    let repo = room.repo();
    let mut taken = 0;
    for round in 0..6 {
        let worktree = bare_worktree(&room, &format!("w{round}"), "HEAD");
        let stop = AtomicBool::new(false);
        let answer = thread::scope(|scope| {
            let (repo, stop) = (&repo, &stop);
            scope.spawn(move || disturb(repo, stop));
            let from = repo.to_str().unwrap();
            let ran = hydrate(&room, &worktree, &["--json", "--from", from]);
            stop.store(true, Ordering::Relaxed);
            ran
        });
        let answer = answer.succeeds().json();
        taken += answer["tracked"]["copied"].as_u64().unwrap();
        assert_eq!(contents(&worktree), wanted);
        is_complete(&room, &worktree);
        room.git(&["checkout", "-q", "-f", "HEAD", "--", "."]);
        age(&room, &room.repo());
        room.git(&["update-index", "-q", "--refresh"]);
    }
    assert!(taken > 0, "nothing was taken from the donor: the test shows nothing");
}
