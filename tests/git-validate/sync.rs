//! Notes of several clones, and what is forgotten.

use std::fs;
use std::path::{Path, PathBuf};

use crate::room::Room;

/// A bare repository that the room's repository and a second clone share.
fn shared(room: &Room) -> PathBuf {
    let bare = room.path().join("bare.git");
    let other = room.path().join("other");
    room.git(&["init", "-q", "--bare", bare.to_str().unwrap()]);
    room.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
    room.git(&["push", "-q", "origin", "main"]);
    room.git(&["clone", "-q", bare.to_str().unwrap(), other.to_str().unwrap()]);
    for (key, value) in [("user.name", "o"), ("user.email", "o@example.com")] {
        room.git_in(&other, &["config", key, value]);
    }
    other
}

fn validate(room: &Room, folder: &Path, arguments: &[&str]) -> suite_tests::Ran {
    room.run_in(folder, "git-validate", arguments)
}

fn lines(room: &Room, folder: &Path, revision: &str) -> usize {
    room.git_in(folder, &["notes", "--ref=validate", "show", revision]).lines().count()
}

#[test]
fn two_clones_that_went_apart_become_the_union() {
    let room = Room::new();
    room.user_config(
        "[[checks]]\nname = \"a\"\ncommand = [\"true\"]\n[[checks]]\nname = \"b\"\ncommand = [\"true\"]\n",
    );
    let other = shared(&room);
    let here = room.repo();
    room.validate(&["--check", "a"]).succeeds();
    validate(&room, &other, &["--check", "b"]).succeeds();
    room.write_in(&other, "only-there", "x\n");
    room.git_in(&other, &["add", "-A"]);
    room.git_in(&other, &["commit", "-qm", "there"]);
    validate(&room, &other, &["--check", "a"]).succeeds();
    room.validate(&["sync"]).succeeds().says("pushed");
    let answer = validate(&room, &other, &["sync", "--json"]).succeeds().json();
    assert_eq!((answer["fetched"].as_u64(), answer["pushed"].as_bool()), (Some(1), Some(true)));
    room.validate(&["sync", "origin"]).succeeds();
    assert_eq!((lines(&room, &here, "HEAD^{tree}"), lines(&room, &other, "HEAD~1^{tree}")), (2, 2));
    room.git(&["fetch", "-q", other.to_str().unwrap(), "main"]);
    assert_eq!(lines(&room, &here, "FETCH_HEAD^{tree}"), 1);
    let tip = |folder: &Path| room.git_in(folder, &["rev-parse", "refs/notes/validate"]);
    validate(&room, &other, &["sync"]).succeeds();
    assert_eq!(tip(&here), tip(&other));
    room.git(&["fsck", "--strict"]);
    assert_eq!(room.git(&["for-each-ref", "--format=%(refname)", "refs/notes"]), "refs/notes/validate");
}

#[test]
fn an_older_result_that_comes_back_is_not_the_last_word() {
    let room = Room::with(&[("a", "! test -e \"$HOME/bad\"")]);
    shared(&room);
    room.validate(&[]).succeeds();
    room.validate(&["sync"]).succeeds();
    room.write_in(&room.home(), "bad", "");
    room.validate(&["--force"]).exits(1);
    room.validate(&["sync"]).succeeds();
    assert_eq!(lines(&room, &room.repo(), "HEAD^{tree}"), 2, "the remote still had the older one");
    assert_eq!(room.verdict("HEAD"), "fail");
    room.validate(&[]).exits(1);
    room.validate(&["log", "-m", "1"]).succeeds().says("1 fail");
    assert_eq!(room.runs(), 2);
}

#[test]
fn the_address_of_a_remote_may_be_a_relative_path() {
    let room = Room::with(&[("a", "true")]);
    shared(&room);
    room.git(&["remote", "set-url", "origin", "../bare.git"]);
    room.validate(&[]).succeeds();
    room.write("folder/a", "");
    validate(&room, &room.repo().join("folder"), &["sync"]).succeeds().says("pushed");
}

#[test]
fn what_stands_nowhere_or_cannot_be_reached_is_said() {
    let room = Room::with(&[("a", "true")]);
    room.validate(&["sync"]).exits(128).warns("cannot ask the remote 'origin'");
    let other = shared(&room);
    room.validate(&["sync"]).succeeds();
    assert_eq!(room.run("git", &["rev-parse", "-q", "--verify", "refs/notes/validate"]).code, 1, "there was nothing");
    room.validate(&[]).succeeds();
    room.validate(&["sync", "-n"]).succeeds();
    room.validate(&["sync", "--fetch-only"]).succeeds();
    validate(&room, &other, &["sync"]).succeeds();
    assert_eq!(room.run_in(&other, "git", &["rev-parse", "-q", "--verify", "refs/notes/validate"]).code, 1);
    room.validate(&["sync", "--push-only"]).succeeds();
    validate(&room, &other, &["sync"]).succeeds();
    assert_eq!(lines(&room, &other, "HEAD^{tree}"), 1);
}

#[test]
fn a_remote_that_names_a_command_is_not_spoken_to() {
    let room = Room::with(&[("a", "true")]);
    shared(&room);
    let canary = room.path().join("canary");
    let command = format!("touch {}; git-upload-pack", canary.display());
    for key in ["remote.origin.uploadpack", "remote.origin.receivepack", "core.sshCommand"] {
        room.git(&["config", key, &command]);
        room.validate(&["sync"]).exits(128).warns("names a command");
        room.git(&["config", "--unset", key]);
    }
    room.git(&["config", "remote.origin.url", &format!("ext::sh -c '{command}'")]);
    room.validate(&["sync"]).exits(128);
    room.validate(&["sync", "--", "--upload-pack=x"]).exits(129);
    assert!(!canary.exists());
}

#[test]
fn trees_that_nothing_leads_to_are_forgotten_and_the_past_with_them() {
    let room = Room::with(&[("a", "true")]);
    room.validate(&[]).succeeds();
    room.write("README", "dirty\n");
    room.validate(&["--worktree"]).succeeds();
    room.write("README", "dirtier\n");
    room.validate(&["--worktree"]).succeeds();
    room.git(&["checkout", "-q", "README"]);
    let count = || room.git(&["rev-list", "--count", "refs/notes/validate"]);
    assert_eq!(count(), "3");
    let answer = room.validate(&["gc", "-n", "--older-than", "0s", "--json"]).succeeds().json();
    assert_eq!((answer["kept"].as_u64(), answer["dropped"].as_u64()), (Some(1), Some(2)));
    assert_eq!(count(), "3", "a dry run");
    assert_eq!(room.validate(&["gc", "--json"]).succeeds().json()["dropped"], 0, "they are young");
    assert_eq!(count(), "1");
    room.validate(&["gc", "--older-than", "0s"]).succeeds().says("of 2 dropped");
    assert_eq!(room.git(&["notes", "--ref=validate", "list"]).lines().count(), 1);
    assert_eq!(room.verdict("HEAD"), "pass");
    room.validate(&[]).succeeds().says("from its note");
    assert_eq!(room.runs(), 3);
}

#[test]
fn old_logs_go() {
    let room = Room::with(&[("a", "echo words; false")]);
    let answer = room.validate(&["--json"]).exits(1).json();
    let log = PathBuf::from(Room::check(&answer, "a")["log"].as_str().unwrap());
    assert_eq!(fs::read_to_string(&log).unwrap(), "words\n");
    room.validate(&["gc"]).succeeds();
    assert!(log.exists());
    room.validate(&["gc", "--older-than", "0s"]).succeeds().says("logs of 1 runs dropped");
    assert!(!log.exists());
}

#[test]
fn old_results_by_inputs_go_and_of_each_the_newest_stays() {
    let room = Room::new();
    room.user_config("[[checks]]\nname = \"a\"\ncommand = [\"true\"]\ninputs = [\"README\"]\n");
    room.validate(&[]).succeeds();
    room.validate(&["--force"]).succeeds();
    let answer = room.validate(&["gc", "-n", "--json"]).succeeds().json();
    assert_eq!(answer["results"], 1, "the one that was run again");
    room.validate(&["gc"]).succeeds().says("1 results by inputs dropped");
    room.validate(&["gc"]).succeeds().says("0 results by inputs dropped");
    room.write("other", "x\n");
    room.commit("other");
    assert_eq!(room.validate(&["--json"]).succeeds().json()["cached"], true);
    room.validate(&["gc", "--older-than", "0s"]).succeeds().says("1 results by inputs dropped");
    room.write("other", "y\n");
    room.commit("other");
    assert_eq!(room.validate(&["--json"]).succeeds().json()["cached"], false);
}
