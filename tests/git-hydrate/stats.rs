use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use suite_tests::Sandbox;

use crate::room::{Mount, bare_worktree, commit_aged, hydrate, snapshot, varied, vary};

fn stats(room: &Sandbox, folder: &Path, arguments: &[&str]) -> Value {
    hydrate(room, folder, &[&["--stats", "--json"], arguments].concat()).succeeds().json()
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} in {value}"))
}

/// A repository and a filled worktree on a file system of their own; one file in it is large enough to be cloned.
fn two_worktrees_on(system: &str, what: &str) -> Option<(Sandbox, Mount, PathBuf, PathBuf)> {
    let room = Sandbox::new();
    let mount = Mount::new(&room, what, system, 400)?;
    let (repo, new) = (mount.path().join("repo"), mount.path().join("new"));
    room.git(&["init", "-q", repo.to_str().unwrap()]);
    vary(&room, &repo);
    commit_aged(&room, &repo);
    room.git_in(&repo, &["worktree", "add", "-q", "--detach", "--no-checkout", new.to_str().unwrap()]);
    hydrate(&room, &new, &[]).succeeds();
    Some((room, mount, repo, new))
}

fn sharing_counts_once_on(system: &str) {
    let Some((room, _mount, repo, new)) = two_worktrees_on(system, &format!("measuring on {system}")) else { return };
    let answer = stats(&room, &repo, &[]);
    let (one, two) = (&answer["worktrees"][0], &answer["worktrees"][1]);
    assert_eq!((one["worktree"].as_str(), two["worktree"].as_str()), (repo.to_str(), new.to_str()));
    // 'big' has 320,000 bytes, and is the only one of the size that is cloned.
    let big = 320_000_u64.div_ceil(4096) * 4096;
    for one in [one, two] {
        assert_eq!(one["sharing"], "extents");
        assert_eq!(number(one, "shared"), big, "{answer}");
        assert_eq!(number(one, "on_disk"), number(one, "shared") + number(one, "own"));
        assert_eq!(number(one, "files"), snapshot(&repo).len() as u64);
    }
    let total = &answer["total"];
    assert_eq!(number(total, "saved"), big);
    assert_eq!(number(total, "on_disk"), number(one, "on_disk") + number(two, "on_disk") - big);
    // What is written anew is shared no more, though nothing has flushed it yet.
    fs::write(new.join("big"), vec![1; 320_000]).unwrap();
    let answer = stats(&room, &repo, &[]);
    assert_eq!((number(&answer["total"], "saved"), number(&answer["worktrees"][1], "shared")), (0, 0), "{answer}");
    assert_eq!(number(&answer["worktrees"][1], "on_disk"), number(two, "on_disk"));
}

#[test]
fn what_two_worktrees_share_on_xfs_counts_once() {
    sharing_counts_once_on("xfs");
}

#[test]
fn what_two_worktrees_share_on_btrfs_counts_once() {
    sharing_counts_once_on("btrfs");
}

#[test]
fn subvolumes_of_one_disk_are_one_disk() {
    let what = "measuring subvolumes of btrfs";
    let Some((room, mount, repo, _)) = two_worktrees_on("btrfs", what) else { return };
    let other = mount.path().join("sub");
    room.run_in(mount.path(), "btrfs", &["subvolume", "create", "sub"]).succeeds();
    let inside = other.join("tree");
    room.git_in(&repo, &["worktree", "add", "-q", "--detach", "--no-checkout", inside.to_str().unwrap()]);
    hydrate(&room, &inside, &[]).succeeds();
    let answer = stats(&room, &repo, &[repo.to_str().unwrap(), inside.to_str().unwrap()]);
    let big = 320_000_u64.div_ceil(4096) * 4096;
    assert_eq!(number(&answer["total"], "saved"), big, "{answer}");
}

#[test]
fn where_sharing_is_unknown_blocks_are_counted_and_it_says_so() {
    let Some((room, mount, repo, new)) = two_worktrees_on("ext4", "measuring on ext4") else { return };
    // A hard link within, and one to the outside.
    fs::hard_link(new.join("big"), new.join("big-too")).unwrap();
    fs::hard_link(new.join("tool"), mount.path().join("tool-outside")).unwrap();
    let answer = stats(&room, &repo, &[new.to_str().unwrap()]);
    let one = &answer["worktrees"][0];
    assert_eq!((one["sharing"].as_str(), answer["total"]["sharing"].as_str()), (Some("unknown"), Some("unknown")));
    let du = room.run_in(&new, "du", &["-s", "--block-size=1", "--exclude=./.git", "."]).succeeds();
    let du: u64 = du.stdout.split_whitespace().next().unwrap().parse().unwrap();
    assert_eq!(number(one, "on_disk"), du, "{answer}");
    assert_eq!(number(one, "files"), snapshot(&repo).len() as u64, "two names of a file are one file");
    let tool = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(new.join("tool")).unwrap()) * 512;
    assert_eq!(number(one, "shared"), tool, "'tool' stays when the worktree goes");
    hydrate(&room, &repo, &["--stats"]).succeeds().says("does not say what is shared").says("together");
}

#[test]
fn what_is_not_the_worktrees_own_is_left_out() {
    let room = varied();
    let before = stats(&room, &room.repo(), &[]);
    let plain = &before["worktrees"][0];
    room.git(&["init", "-q", "nested"]);
    room.write("nested/large", &"x".repeat(1_000_000));
    let inner = room.repo().join("deep/inner");
    room.git(&["worktree", "add", "-q", "--detach", inner.to_str().unwrap()]);
    fs::create_dir_all(room.path().join("outside")).unwrap();
    fs::write(room.path().join("outside/large"), vec![0; 1_000_000]).unwrap();
    std::os::unix::fs::symlink("../outside", room.repo().join("way-out")).unwrap();
    room.run("mkfifo", &["pipe"]).succeeds();
    let answer = stats(&room, &room.repo(), &[]);
    let one = &answer["worktrees"][0];
    // The link and the pipe.
    assert_eq!(number(one, "files"), number(plain, "files") + 2);
    assert_eq!(number(one, "bytes"), number(plain, "bytes") + "../outside".len() as u64);
    assert_eq!(number(one, "nested"), 2);
    assert_eq!(answer["worktrees"][1]["worktree"], inner.to_str().unwrap());
    assert_eq!(number(&answer["worktrees"][1], "files"), number(plain, "files"));
}

#[test]
fn it_changes_nothing_and_needs_no_trust() {
    let room = varied();
    let canary = room.path().join("canary");
    let evil = format!("touch '{}'", canary.display());
    for key in ["filter.evil.clean", "filter.evil.process", "core.fsmonitor"] {
        room.git(&["config", key, &evil]);
    }
    let worktree = bare_worktree(&room, "new", "HEAD");
    let _ = fs::remove_file(&canary);
    hydrate(&room, &worktree, &[]).exits(128);
    let all = |root: &Path| {
        let list = "find . -printf '%p %m %T@ %C@ %s %n\\n' | sort";
        room.run_in(root, "sh", &["-c", list]).succeeds().stdout
    };
    let before = all(&room.repo());
    stats(&room, &worktree, &[]);
    assert_eq!(all(&room.repo()), before);
    assert_eq!(fs::read_dir(&worktree).unwrap().count(), 1);
    assert!(!canary.exists());
}

#[test]
fn worktrees_are_named_from_anywhere_and_each_counts_once() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    let names = |answer: &Value| -> Vec<String> {
        let all = answer["worktrees"].as_array().unwrap();
        all.iter().map(|one| one["worktree"].as_str().unwrap().to_owned()).collect()
    };
    let own = [worktree.to_str().unwrap().to_owned()];
    fs::create_dir(room.path().join("plain")).unwrap();
    assert_eq!(names(&stats(&room, &room.path().join("plain"), &["../new"])), own);
    assert_eq!(names(&stats(&room, &room.repo(), &["../new/src", "../new", "../new/src/d1"])), own);
    assert_eq!(names(&stats(&room, &worktree, &[])).len(), 2);
    // One that is gone is not there any more.
    fs::remove_dir_all(&worktree).unwrap();
    assert_eq!(names(&stats(&room, &room.repo(), &[])), [room.repo().to_str().unwrap()]);
    hydrate(&room, &room.repo(), &["--stats", "../new"]).exits(128).warns("cannot look at");
    hydrate(&room, &room.repo(), &["--stats", ".."]).exits(128).warns("is in no worktree").warns("hint: ");
    hydrate(&room, room.path(), &["--stats"]).exits(128).warns("not a git repository");
}

#[test]
fn a_wrong_request_is_refused() {
    let room = varied();
    let others: [&[&str]; 9] = [
        &["--from", "."],
        &["--mode", "copy"],
        &["--force"],
        &["--no-ignored"],
        &["--no-recurse-submodules"],
        &["--relink"],
        &["--no-after"],
        &["--suggest"],
        &["-n"],
    ];
    for other in others {
        hydrate(&room, &room.repo(), &[&["--stats"], other].concat()).exits(129);
    }
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &room.repo(), &[worktree.to_str().unwrap(), "."]).exits(129).warns("one worktree");
    assert_eq!(fs::read_dir(&worktree).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_read_is_named_and_counted() {
    let room = varied();
    let plain = stats(&room, &room.repo(), &[]);
    room.run("chmod", &["000", "src/d1"]).succeeds();
    // Without its capabilities, even root is kept out.
    let weak = ["--bounding-set=-all", "--inh-caps=-all", "--"];
    if room.run("setpriv", &[&weak[..], &["ls", "src/d1"]].concat()).stderr.contains("Permission denied") {
        let program = suite_tests::program_folder().join("git-hydrate");
        let words = [&weak[..], &[program.to_str().unwrap(), "--stats", "--json"]].concat();
        let ran = room.run("setpriv", &words).succeeds().warns("src/d1' cannot be read: Permission denied");
        let one = ran.json()["worktrees"][0].clone();
        assert_eq!(number(&one, "unreadable"), 1);
        assert_eq!(number(&one, "files") + 10, number(&plain["worktrees"][0], "files"));
    } else {
        suite_tests::skip("measuring what cannot be read", "no capabilities can be dropped");
    }
    room.run("chmod", &["755", "src/d1"]).succeeds();
}
