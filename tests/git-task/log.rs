use std::fs;
use std::io::Write;

use suite_tests::Sandbox;

#[test]
fn every_change_is_logged_with_what_was_before() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["edit", "one", "--title", "uno"]).succeeds();
    let changes = room.run("git-task", &["log", "--json"]).succeeds().json()["changes"].clone();
    assert_eq!(changes[0]["what"], "edit one");
    assert_eq!(changes[0]["tasks"][0]["before"]["title"], "one");
    assert_eq!(changes[0]["tasks"][0]["after"]["title"], "uno");
    assert_eq!(changes[1]["tasks"][0]["before"], serde_json::Value::Null);
    room.run("git-task", &["log", "-m", "1"]).succeeds().says("edit one");
    room.run("git-task", &["edit", "one", "--title", "uno"]).succeeds();
    assert_eq!(room.run("git-task", &["log", "--json"]).succeeds().json()["changes"].as_array().unwrap().len(), 2);
}

#[test]
fn a_job_is_named_as_who_did_it() {
    let room = Sandbox::new();
    let output = room.command("git-task").env("GIT_WORKER_JOB", "fix#2").args(["add", "one"]).output().unwrap();
    assert!(output.status.success());
    room.run("git-task", &["log"]).succeeds().says("job fix#2");
}

#[test]
fn torn_lines_are_counted_and_passed_over() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    let path = room.data().join("tasks.log.jsonl");
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"generation\":2,\"ti").unwrap();
    room.run("git-task", &["add", "two"]).succeeds();
    let ran = room.run("git-task", &["log"]).succeeds().warns("1 lines of").says("add two");
    assert!(ran.stdout.contains("add one"));
    room.run("git-task", &["undo"]).succeeds();
    room.run("git-task", &["list", "-z"]).succeeds().prints("one\0");
}
