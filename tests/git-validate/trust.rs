use std::fs;

use crate::room::Room;

#[test]
fn an_untrusted_repository_runs_nothing() {
    let room = Room::new();
    let canary = room.path().join("canary");
    let evil = room.script("evil", &format!("touch '{}'", canary.display()));
    room.write(".codex-agent/config.toml", &format!("[[checks]]\nname = \"x\"\ncommand = [\"{}\"]\n", evil.display()));
    room.commit("settings");
    for arguments in [&[][..], &["--force"], &["--worktree"], &["--staged"], &["show"], &["-n"], &["--json"]] {
        room.validate(arguments).exits(128).prints("");
        assert!(!canary.exists(), "{arguments:?}");
    }
    room.validate(&[]).exits(128).warns("counts only in a trusted repository").warns("hint: 'git task trust'");
    assert!(room.validate(&["show", "--json"]).exits(128).stderr.contains("\"kind\":\"untrusted\""));
    room.run("git-task", &["trust", "--yes"]).succeeds();
    room.validate(&[]).succeeds();
    assert!(canary.exists());
}

#[test]
fn another_command_needs_trust_again_and_another_tree_does_not() {
    let room = Room::with(&[("a", "true")]);
    room.validate(&[]).succeeds();
    room.write("README", "other\n");
    room.commit("other");
    room.validate(&[]).succeeds();
    let path = room.repo().join(".codex-agent/config.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{config}timeout = \"5s\"\n")).unwrap();
    room.validate(&[]).exits(128).warns("trusted");
    room.validate(&["show"]).exits(128);
}

#[test]
fn the_settings_of_the_main_checkout_count_and_not_those_of_a_linked_worktree() {
    let room = Room::with(&[("a", "true")]);
    let canary = room.path().join("canary");
    let linked = room.path().join("linked");
    room.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    room.write_in(
        &linked,
        ".codex-agent/config.toml",
        &format!("[[checks]]\nname = \"a\"\ncommand = [\"touch\", \"{}\"]\n", canary.display()),
    );
    room.commit_in(&linked, "an agent's idea");
    room.run_in(&linked, "git-validate", &[]).succeeds();
    assert_eq!(room.runs(), 1);
    assert!(!canary.exists());
}

#[test]
fn a_filter_of_the_repository_waits_for_trust() {
    let room = Room::with(&[("a", "true")]);
    let canary = room.path().join("canary");
    room.write(".gitattributes", "* filter=evil\n");
    room.commit("attributes");
    room.git(&["config", "filter.evil.smudge", &format!("touch '{}'; cat", canary.display())]);
    room.git(&["config", "filter.evil.clean", &format!("touch '{}'; cat", canary.display())]);
    for arguments in [&[][..], &["--worktree"], &["--staged"], &["show", "--worktree"]] {
        room.validate(arguments).exits(128);
        assert!(!canary.exists(), "{arguments:?}");
    }
}

#[test]
fn the_users_own_checks_need_no_trust() {
    let room = Room::new();
    room.user_config("[[checks]]\nname = \"mine\"\ncommand = [\"true\"]\n");
    let answer = room.validate(&["--json"]).succeeds().json();
    assert_eq!(Room::check(&answer, "mine")["status"], "pass");
}
