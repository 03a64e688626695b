//! What an attempt leaves behind is not trusted, and never stands in the way of the next one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use suite_tests::Sandbox;

use crate::resolve::{agent, resolve, room, users};

/// The folder of the attempt, with its worktree of this path.
fn open(room: &Sandbox) -> (PathBuf, PathBuf) {
    let answer = resolve(room, &["--agent", "none"]).exits(1).json();
    let place = PathBuf::from(answer["worktree"].as_str().unwrap());
    (place.parent().unwrap().to_owned(), place)
}

fn change(folder: &Path, change: impl Fn(&mut Value)) {
    let path = folder.join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut state);
    fs::write(path, state.to_string()).unwrap();
}

#[test]
fn a_record_never_leads_to_a_worktree_of_the_users() {
    let room = room();
    let users_own = room.path().join("users-own");
    room.git(&["worktree", "add", "-q", "-b", "own", users_own.to_str().unwrap()]);
    room.write_in(&users_own, "precious", "mine\n");
    for more in [["--abort"], ["--continue"]] {
        let (folder, place) = open(&room);
        change(&folder, |state| state["worktree"] = users_own.to_str().unwrap().into());
        resolve(&room, &more);
        assert_eq!(fs::read_to_string(users_own.join("precious")).unwrap(), "mine\n", "{more:?}");
        assert_eq!(place.exists(), more == ["--continue"], "its own worktree is meant");
    }
}

#[test]
fn only_what_was_proposed_is_accepted() {
    let room = room();
    let (_, place) = open(&room);
    room.write_in(&place, "code", "fn one() {\n    work(a, b, c);\n}\n");
    room.write_in(&place, "list", "# Changes\n");
    resolve(&room, &["--continue"]).succeeds();
    let before = users(&room);
    room.git(&["update-ref", "refs/agent-merge/topic", "main"]);
    room.run("git-agent-merge", &["accept", "topic"]).exits(128).warns("is not what was proposed");
    assert_eq!(before, users(&room));
    room.run("git-agent-merge", &["reject", "topic"]).succeeds();
}

#[test]
fn an_attempt_is_found_by_its_own_branch_only_and_when_that_has_gone() {
    let room = room();
    room.git(&["branch", "fix/a", "topic"]);
    room.git(&["branch", "fix-a", "topic"]);
    let merge = |words: &[&str]| room.run("git-agent-merge", words);
    merge(&["resolve", "fix/a", "--agent", "none"]).exits(1).says("resolve --continue fix/a");
    merge(&["resolve", "fix-a"]).exits(128).warns("resolve --status fix/a");
    for verb in ["--abort", "--continue", "--status"] {
        merge(&["resolve", verb, "fix-a"]).exits(128).warns("is of 'fix/a', not of 'fix-a'");
    }
    merge(&["rebase", "fix-a"]).exits(128).warns("resolve --status fix/a");
    merge(&["resolve", "--status", "fix/a"]).exits(1);
    room.git(&["branch", "-D", "fix-a", "fix/a"]);
    merge(&["resolve", "--status", "fix-b"]).exits(128).warns("names no commit");
    merge(&["resolve", "--abort", "fix/a"]).succeeds().says("refs/backup/fix-a/");
}

#[test]
fn a_worktree_that_has_gone_or_is_half_made_is_no_hindrance() {
    let room = room();
    let left = || {
        let listed = room.git(&["worktree", "list", "--porcelain"]);
        listed.matches("worktree ").count()
    };
    // Its folder is gone, but git still knows it.
    let (_, place) = open(&room);
    fs::remove_dir_all(&place).unwrap();
    resolve(&room, &["--continue", "--agent", "none"]).exits(1);
    assert!(place.join("code").exists());
    fs::remove_dir_all(&place).unwrap();
    resolve(&room, &["--abort"]).succeeds();
    assert_eq!(left(), 1);
    // Git was killed while it made it, and left its lock.
    let path = place.to_str().unwrap();
    room.git(&["worktree", "add", "-q", "--detach", "--lock", "--no-checkout", path, "main"]);
    open(&room);
    resolve(&room, &["--abort"]).succeeds();
    room.git(&["worktree", "add", "-q", "--detach", "--lock", path, "main"]);
    fs::remove_dir_all(&place).unwrap();
    open(&room);
    resolve(&room, &["--abort"]).succeeds();
    // What git does not know at all is put aside.
    room.write_in(&place, "stray", "x\n");
    let (folder, _) = open(&room);
    let kept = fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("replaced-"));
    assert_eq!(fs::read_to_string(kept.unwrap().path().join("stray")).unwrap(), "x\n");
    resolve(&room, &["--abort"]).succeeds();
    assert_eq!(left(), 1);
}

#[test]
fn a_broken_record_can_be_given_up_and_a_newer_one_is_left_alone() {
    let room = room();
    for broken in ["{}", "no json", "{\"schema\":1,\"worktree\":\"/\"}"] {
        let (folder, place) = open(&room);
        room.write_in(&place, "code", "half done\n");
        fs::write(folder.join("state.json"), broken).unwrap();
        resolve(&room, &[]).exits(128).warns("resolve --abort topic");
        let answer = resolve(&room, &["--abort"]).succeeds().json();
        assert_eq!(room.git(&["show", &format!("{}:code", answer["backup"].as_str().unwrap())]), "half done");
        assert!(!place.exists());
    }
    let (folder, place) = open(&room);
    change(&folder, |state| state["schema"] = 7.into());
    resolve(&room, &["--abort"]).exits(128).warns("newer version");
    assert!(place.exists());
}

#[test]
fn an_agent_that_takes_the_worktree_away_reaches_nothing_else() {
    for (name, script) in [
        ("removed", "w=$PWD; cd /; rm -rf \"$w\""),
        ("a link in its place", "w=$PWD; cd /; mv \"$w\" \"$w.x\"; ln -s \"$HOME/outside\" \"$w\""),
        ("a folder for a report", "rm -rf .codex-worker; mkdir -p .codex-worker/resolution.json/x"),
    ] {
        let room = room();
        agent(&room, script);
        let outside = room.home().join("outside");
        for file in ["other", "code", "mine"] {
            room.write_in(&outside, file, "outside\n");
        }
        let before = users(&room);
        let answer = resolve(&room, &["--attempts", "2"]).exits(1).json();
        assert_eq!(answer["outcome"], "open", "{name}: {answer}");
        for more in [&["--continue", "--agent", "none"][..], &["--abort"][..]] {
            resolve(&room, more).exits(i32::from(more.len() > 1));
            for file in ["other", "code", "mine"] {
                assert_eq!(fs::read_to_string(outside.join(file)).unwrap(), "outside\n", "{name} {more:?}");
            }
        }
        assert_eq!(before, users(&room), "{name}");
        assert_eq!(room.git(&["worktree", "list"]).lines().count(), 1, "{name}");
    }
}
