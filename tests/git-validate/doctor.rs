use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;
use suite_tests::Sandbox;

use crate::install::put;
use crate::room::Room;

/// A room in which all is well.
fn well() -> Room {
    let room = Room::with(&[("a", "true")]);
    room.validate(&["install"]).succeeds();
    room.validate(&["doctor"]).succeeds().prints("all is as it should be\n");
    room
}

/// Expects exactly these kinds, each with its place and way on.
#[track_caller]
fn finds(room: &Room, kinds: &[&str]) -> Vec<Value> {
    let answer = room.validate(&["doctor", "--json"]).exits(1).json();
    let findings = answer["findings"].as_array().unwrap().clone();
    let found: Vec<&str> = findings.iter().map(|finding| finding["kind"].as_str().unwrap()).collect();
    assert_eq!(found, kinds, "{answer:#}");
    for finding in &findings {
        assert!(
            ["place", "message", "hint"].iter().all(|part| !finding[part].as_str().unwrap().is_empty()),
            "{finding}"
        );
    }
    findings
}

#[test]
fn a_hook_that_is_missing_not_executable_or_altered_is_named() {
    let room = well();
    let path = room.repo().join(".git/hooks/pre-commit");
    let script = fs::read(&path).unwrap();
    put(&path, &script, 0o644);
    let found = finds(&room, &["hook-not-executable"]);
    assert!(found[0]["place"].as_str().unwrap().ends_with(".git/hooks/pre-commit"));
    let altered = String::from_utf8(script).unwrap().replace("|| exit $?", "|| true");
    put(&path, altered.as_bytes(), 0o755);
    finds(&room, &["hook-altered"]);
    fs::rename(&path, path.with_file_name("pre-commit.git-validate-kept")).unwrap();
    finds(&room, &["hook-interrupted"]);
    fs::remove_file(path.with_file_name("pre-commit.git-validate-kept")).unwrap();
    finds(&room, &["hook-missing"]);
    put(&path, b"#!/bin/sh\n# git-validate was here\nexit 0\n", 0o755);
    finds(&room, &["hook-missing"]);
    put(&path, b"#!/bin/sh\ngit validate --staged\n", 0o755);
    room.validate(&["doctor"]).succeeds();
}

#[test]
fn a_path_of_hooks_that_leads_nowhere_or_away_is_named_with_its_origin() {
    let room = well();
    for (path, kinds) in [
        ("/dev/null", ["hooks-path-dead", "hook-redirected"]),
        ("nowhere", ["hooks-path-dead", "hook-redirected"]),
        (room.home().to_str().unwrap(), ["hooks-path-outside", "hook-redirected"]),
    ] {
        room.git(&["config", "core.hooksPath", path]);
        let found = finds(&room, &kinds);
        assert!(found[0]["message"].as_str().unwrap().contains(".git/config, the repository's"), "{found:?}");
    }
    room.git(&["config", "--unset", "core.hooksPath"]);
    room.git(&["config", "--global", "core.hooksPath", "/dev/null"]);
    let found = finds(&room, &["hooks-path-dead", "hook-redirected"]);
    assert!(found[0]["message"].as_str().unwrap().contains(".gitconfig, the user's"), "{found:?}");
    let text = room.validate(&["doctor"]).exits(1).stdout;
    assert!(text.starts_with("found: /dev/null: core.hooksPath (") && text.contains("\n       'git config "), "{text}");
}

#[test]
fn settings_that_are_untrusted_broken_or_empty_are_named() {
    let room = well();
    room.write(".codex-agent/config.toml", "[[checks]]\nname = \"new\"\ncommand = [\"true\"]\n");
    let found = finds(&room, &["untrusted"]);
    assert!(found[0]["hint"].as_str().unwrap().contains("git task trust"));
    room.write(".codex-agent/config.toml", "[[checks\n");
    finds(&room, &["settings"]);
    room.write(".codex-agent/config.toml", "");
    finds(&room, &["no-checks"]);
}

#[test]
fn a_program_that_a_hook_cannot_find_is_named() {
    let room = well();
    let program = suite_tests::program_folder().join("git-validate");
    let mut command = room.command(program);
    let git = room.run("sh", &["-c", "command -v git"]).text().to_owned();
    symlink(git, room.path().join("git")).unwrap();
    let output = command.env("PATH", room.path()).arg("doctor").output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && words.contains("git-validate is not on PATH"), "{words}");
}

#[test]
fn what_cannot_be_written_or_read_is_named() {
    let room = well();
    let state = room.state().join("validate");
    let _ = fs::rename(&state, room.path().join("aside"));
    fs::create_dir_all(state.parent().unwrap()).unwrap();
    fs::write(&state, "in the way").unwrap();
    finds(&room, &["journal"]);
    fs::remove_file(&state).unwrap();
    let cache = room.home().join(".cache/codex-agents");
    fs::create_dir_all(cache.parent().unwrap()).unwrap();
    fs::write(&cache, "in the way").unwrap();
    finds(&room, &["slots"]);
    fs::remove_file(&cache).unwrap();
    room.validate(&["doctor"]).succeeds();
    assert!(!state.exists() && !cache.exists(), "looking makes nothing");
    let blob = room.git(&["hash-object", "-w", "README"]);
    room.git(&["update-ref", "refs/notes/validate", &blob]);
    finds(&room, &["notes"]);
}

#[test]
fn a_clock_that_is_behind_is_named() {
    let room = well();
    let mut command = room.command(suite_tests::program_folder().join("git-validate"));
    let output = command.env("CODEX_AGENTS_CLOCK", "2001-01-01T00:00:00Z").arg("doctor").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("HEAD was committed "));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn outside_a_repository_it_cannot() {
    Sandbox::empty().run("git-validate", &["doctor"]).exits(128).warns("not a git repository");
}
