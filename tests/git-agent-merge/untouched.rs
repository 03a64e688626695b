//! Nothing of the repository changes, whatever happens to the check.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use suite_tests::{Sandbox, skip};

use crate::check::room;

/// Every file of the room by its content: worktrees, index, refs, reflogs, stash, config, objects; all but the cache.
pub(crate) fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut stack = vec![folder.to_owned()];
    while let Some(path) = stack.pop() {
        let facts = fs::symlink_metadata(&path).unwrap();
        if path.ends_with("home/.cache/codex-agents") {
            continue;
        }
        if facts.is_dir() {
            stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

fn prepared() -> Sandbox {
    let room = room();
    room.write("README", "stashed\n");
    room.git(&["stash"]);
    room.write("README", "edited\n");
    room.write("staged", "s\n");
    room.git(&["add", "staged"]);
    room.write("loose", "l\n");
    let linked = room.path().join("repo/../linked");
    room.git(&["worktree", "add", "-q", linked.to_str().unwrap(), "one"]);
    room.write_in(&linked, "README", "dirty\n");
    room.write_in(&linked, "more", "m\n");
    room
}

#[test]
fn a_check_changes_nothing() {
    let room = prepared();
    let before = content(room.path());
    room.run("git-agent-merge", &["check", "one", "two", "three"]).exits(1);
    room.run("git-agent-merge", &["check", "one", "two", "three", "--dirty", "--json"]).exits(1);
    room.run("git-agent-merge", &["check", "nonsense"]).exits(128);
    let after = content(room.path());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert!(before == after);
}

#[test]
fn a_killed_check_leaves_nothing_in_the_repository_and_its_folder_to_the_next() {
    let room = prepared();
    if room.run("strace", &["-o", "/dev/null", "true"]).code != 0 {
        return skip("killing a check", "strace cannot trace here");
    }
    let runtime = room.path().parent().unwrap().join(format!("run-{}", std::process::id()));
    fs::create_dir_all(&runtime).unwrap();
    let left = || fs::read_dir(&runtime).unwrap().flatten().filter(|entry| entry.path().join("lock").exists()).count();
    let mut killed_in_the_middle = 0;
    let before = content(room.path());
    for call in ["mkdir", "openat", "write", "clone,clone3,vfork", "wait4,waitid", "unlink,unlinkat", "rmdir"] {
        for at in [1, 2, 3, 5, 8, 13, 21, 34] {
            let words = format!(
                "XDG_RUNTIME_DIR={} exec strace -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={at} \
                 git-agent-merge check one two --dirty",
                runtime.display()
            );
            room.run("sh", &["-c", &words]);
            assert!(content(room.path()) == before, "{words}");
            killed_in_the_middle += left();
        }
    }
    assert!(killed_in_the_middle > 5, "only {killed_in_the_middle} runs left a folder");
    let words = format!("XDG_RUNTIME_DIR={} git-agent-merge check three", runtime.display());
    // A git that outlived its killed parent may still be writing; it ends within moments.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while left() > 0 && std::time::Instant::now() < end {
        room.run("sh", &["-c", &words]).succeeds();
    }
    assert_eq!(left(), 0);
    room.run("rm", &["-r", runtime.to_str().unwrap()]).succeeds();
}

#[test]
fn nothing_that_only_asks_changes_anything() {
    let room = prepared();
    room.git(&["config", "rerere.enabled", "true"]);
    let before = content(room.path());
    let runtime = room.path().parent().unwrap().join(format!("run-of-{}", std::process::id()));
    fs::create_dir_all(&runtime).unwrap();
    for words in [
        &["check", "*", "--dirty", "--html"][..],
        &["check", "*", "--matrix", "--no-cache"],
        &["check", "--stdin"],
        &["order", "*", "--dirty"],
        &["order", "one", "two", "--no-cache", "--json"],
        &["check", "one", "--onto", "nonsense"],
    ] {
        let program = suite_tests::program_folder().join("git-agent-merge");
        let done = room.command(program).env("XDG_RUNTIME_DIR", &runtime).args(words).output().unwrap();
        assert!(done.status.code() != Some(129), "{words:?}");
        assert!(content(room.path()) == before, "{words:?}");
        assert_eq!(fs::read_dir(&runtime).unwrap().count(), 0, "{words:?}");
    }
    fs::remove_dir(&runtime).unwrap();
}

#[test]
fn a_driver_that_is_killed_leaves_its_files_to_be_removed() {
    let room = room();
    room.write(".git/info/attributes", "README merge=slow\n");
    let driver = room.script("driver", "kill -9 $PPID; exit 1");
    room.git(&["config", "--global", "merge.slow.driver", &format!("{} %O %A %B", driver.display())]);
    let runtime = room.path().join("run");
    fs::create_dir(&runtime).unwrap();
    let before = content(&room.repo());
    let words = format!("XDG_RUNTIME_DIR={} git-agent-merge check one two --json", runtime.display());
    let ran = room.run("sh", &["-c", &words]).exits(128);
    assert_eq!(ran.json()["pairs"][0]["verdict"], "could-not-tell");
    assert!(content(&room.repo()) == before);
    assert_eq!(fs::read_dir(&runtime).unwrap().count(), 0);
}
