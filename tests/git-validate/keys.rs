//! What asks for a new run, what does not, and whose word counts.

use std::fs;
use std::path::Path;

use crate::room::Room;

fn config(room: &Room, more: &str) {
    let ran = room.path().join("ran");
    room.trusted_config(&format!(
        "[[checks]]\nname = \"unit\"\ncommand = [\"sh\", \"-c\", \"echo x >> '{}'; test -f README\"]\n{more}\n",
        ran.display()
    ));
}

#[test]
fn another_value_of_a_named_variable_asks_again_and_of_another_does_not() {
    let room = Room::new();
    config(&room, "env-keys = [\"FLAVOUR\"]");
    room.commit("settings");
    let with = |name: &str, value: &str| {
        let program = suite_tests::program_folder().join("git-validate");
        let mut command = room.command(program);
        assert!(command.env(name, value).status().unwrap().success());
        room.runs()
    };
    assert_eq!(with("FLAVOUR", "sweet"), 1);
    assert_eq!(with("OTHER", "x"), 2, "not set is a value too");
    assert_eq!(with("FLAVOUR", "sweet"), 2);
    assert_eq!(with("FLAVOUR", "sour"), 3);
}

#[test]
fn another_program_of_the_name_asks_again() {
    let room = Room::new();
    let tool = room.path().join("tool");
    let write = |text: &str| {
        room.write_in(
            room.path(),
            "tool",
            &format!("#!/bin/sh\necho x >> '{}'\n{text}", room.path().join("ran").display()),
        );
        room.run("chmod", &["755", tool.to_str().unwrap()]).succeeds();
    };
    write("true\n");
    room.trusted_config(&format!("[[checks]]\nname = \"t\"\ncommand = [\"{}\"]\n", tool.display()));
    room.commit("settings");
    room.validate(&[]).succeeds();
    room.validate(&[]).succeeds();
    assert_eq!(room.runs(), 1);
    write("false\n");
    room.validate(&[]).exits(1);
    assert_eq!(room.runs(), 2);
}

#[test]
fn another_version_asks_again() {
    let room = Room::new();
    let version = room.path().join("version");
    fs::write(&version, "1\n").unwrap();
    config(&room, &format!("version = [\"cat\", \"{}\"]", version.display()));
    room.commit("settings");
    room.validate(&[]).succeeds();
    room.validate(&[]).succeeds();
    fs::write(&version, "2\n").unwrap();
    room.validate(&[]).succeeds();
    assert_eq!(room.runs(), 2);
}

#[test]
fn a_version_command_that_does_not_end_keeps_nobody() {
    let room = Room::new();
    let pid = room.path().join("pid");
    config(&room, &format!("version = [\"sh\", \"-c\", \"sleep 600 & echo $! > '{}'; wait\"]", pid.display()));
    room.commit("settings");
    let begin = std::time::Instant::now();
    room.validate(&[]).succeeds();
    assert!(begin.elapsed().as_secs() < 20);
    assert!(!crate::room::is_alive(&pid), "what it has started is ended too");
}

#[test]
fn only_the_inputs_of_a_check_ask_again() {
    let room = Room::new();
    config(&room, "inputs = [\"*.rs\", \"README\"]");
    room.write("a.rs", "fn a() {}\n");
    room.write("notes", "n\n");
    room.commit("settings");
    room.validate(&[]).succeeds();
    room.write("notes", "other\n");
    room.commit("outside");
    room.validate(&[]).succeeds();
    room.validate(&["show"]).succeeds();
    assert_eq!(room.runs(), 1, "what is outside the inputs does not count");
    room.write("a.rs", "fn b() {}\n");
    room.commit("byte");
    room.validate(&[]).succeeds();
    assert_eq!(room.runs(), 2);
    room.run("chmod", &["755", room.repo().join("a.rs").to_str().unwrap()]).succeeds();
    room.commit("mode");
    room.validate(&[]).succeeds();
    assert_eq!(room.runs(), 3);
    room.git(&["revert", "--no-edit", "HEAD"]);
    room.validate(&[]).succeeds();
    assert_eq!(room.runs(), 3, "it was so before");
}

#[test]
fn a_check_told_of_the_changes_asks_again_for_another_base() {
    let room = Room::new();
    config(&room, "pass-files = \"changed\"");
    room.write("a", "1\n");
    room.commit("settings");
    room.write("a", "2\n");
    room.commit("second");
    room.validate(&[]).succeeds();
    room.validate(&[]).succeeds();
    assert_eq!(room.runs(), 1);
    room.validate(&["--base", "HEAD~2", "HEAD"]).succeeds();
    assert_eq!(room.runs(), 2);
}

#[test]
fn what_is_written_into_a_note_by_somebody_else_opens_no_gate() {
    let room = Room::with(&[("unit", "false")]);
    room.validate(&[]).exits(1);
    let note = room.git(&["notes", "--ref=validate", "show", "HEAD^{tree}"]);
    let forged = note.replace("\"fail\"", "\"pass\"");
    assert_ne!(note, forged);
    room.git(&["notes", "--ref=validate", "add", "-f", "-m", &forged, "HEAD^{tree}"]);
    let answer = room.validate(&["show", "--json"]).exits(1).json();
    assert_eq!(answer["verdict"], "none");
    let unit = Room::check(&answer, "unit");
    assert_eq!((unit["status"].is_null(), unit["source"].as_str()), (true, Some("foreign")));
    assert!(unit["reason"].as_str().unwrap().contains("noted as pass"), "{unit}");
    room.validate(&[]).exits(1);
    assert_eq!(room.runs(), 2, "it is run again");
    assert_eq!(room.verdict("HEAD"), "fail");
    // A good line of another tree is none of this one.
    room.configure(&[("unit", "true")], "");
    room.commit("good");
    room.validate(&[]).succeeds();
    let good = room.git(&["notes", "--ref=validate", "show", "HEAD^{tree}"]);
    room.write("README", "other\n");
    room.commit("other");
    room.git(&["notes", "--ref=validate", "add", "-f", "-m", &good, "HEAD^{tree}"]);
    assert_eq!(room.verdict("HEAD"), "none");
}

#[test]
fn a_forged_note_does_not_complete_a_task() {
    let room = Room::with(&[("unit", "test ! -e bad")]);
    room.validate(&[]).succeeds();
    let line = room.git(&["notes", "--ref=validate", "show", "HEAD^{tree}"]);
    room.run("git-task", &["add", "bad work", "--slug", "bad"]).succeeds();
    room.run("git-task", &["worktree", "add", "bad"]).succeeds();
    let worktree = room.path().join("repo.worktrees/bad");
    room.write_in(&worktree, "bad", "b\n");
    room.git_in(&worktree, &["add", "bad"]);
    room.git_in(&worktree, &["commit", "-qm", "bad"]);
    room.git_in(&worktree, &["notes", "--ref=validate", "add", "-m", &line, "HEAD^{tree}"]);
    room.run("git-task", &["complete", "bad"]).exits(1).warns("has no verdict");
    room.run("git-task", &["complete", "--validate", "bad"]).exits(1).warns("'fail'");
}

#[test]
fn what_somebody_allowed_has_signed_counts() {
    let room = Room::with(&[("unit", "true")]);
    if room.run("ssh-keygen", &["-?"]).code == 127 {
        return suite_tests::skip("signed results", "there is no ssh-keygen");
    }
    let key = room.path().join("key");
    room.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "other", "-f", key.to_str().unwrap()]).succeeds();
    room.user_config(&format!("[validate]\nsign-key = \"{}\"\n", key.display()));
    room.validate(&[]).succeeds();
    // Another host: it has the note and no journal.
    forget(&room.home());
    room.user_config("");
    assert_eq!(room.verdict("HEAD"), "none");
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let allowed = room.path().join("allowed");
    fs::write(&allowed, format!("other@host namespaces=\"git-validate\" {public}")).unwrap();
    room.user_config(&format!("[validate]\nallowed-signers = \"{}\"\n", allowed.display()));
    let answer = room.validate(&["show", "--json"]).succeeds().json();
    assert_eq!(Room::check(&answer, "unit")["source"], "signed");
    room.validate(&[]).succeeds();
    assert_eq!(room.runs(), 1);
    // One byte less and nobody has signed it.
    let note = room.git(&["notes", "--ref=validate", "show", "HEAD^{tree}"]);
    let forged = note.replace("\"duration_ms\":", "\"duration_ms\":1");
    room.git(&["notes", "--ref=validate", "add", "-f", "-m", &forged, "HEAD^{tree}"]);
    assert_eq!(room.verdict("HEAD"), "none");
}

fn forget(home: &Path) {
    fs::remove_dir_all(home.join(".local/state/codex-agents/validate")).unwrap();
}
