use std::fs;
use std::os::unix::fs::symlink;

use suite_tests::Sandbox;

#[test]
fn makes_a_file_once_and_then_leaves_it_alone() {
    let room = Sandbox::new();
    room.run("git-task", &["init", "-n"]).succeeds().says("would create");
    assert!(!room.repo().join(".codex-agent").exists());
    room.run("git-task", &["init"]).succeeds().says("created");
    let path = room.repo().join(".codex-agent/config.toml");
    fs::write(&path, "[task]\nmerge = \"squash\"\n").unwrap();
    room.run("git-task", &["init"]).succeeds().says("exists");
    assert_eq!(fs::read_to_string(&path).unwrap(), "[task]\nmerge = \"squash\"\n");
}

#[test]
fn the_made_file_sets_nothing() {
    let room = Sandbox::new();
    let before = room.run("git-task", &["config", "list"]).succeeds().stdout;
    room.run("git-task", &["init"]).succeeds();
    room.run("git-task", &["config", "list"]).succeeds().prints(&before);
}

#[test]
fn a_planted_link_is_not_followed() {
    let room = Sandbox::new();
    let outside = room.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, room.repo().join(".codex-agent")).unwrap();
    room.run("git-task", &["init"]).exits(128).warns("is a link");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn outside_a_repository_it_is_refused_in_the_words_of_git() {
    let room = Sandbox::empty();
    let ran = room.run("git-task", &["init"]).exits(128).warns("not a git repository");
    assert_eq!(ran.stdout, "");
    let ran = room.run("git-task", &["--json", "init"]).exits(128);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((&error["schema"], &error["error"]["kind"]), (&1.into(), &"no-repository".into()));
}
