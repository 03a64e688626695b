use std::fs;
use std::path::Path;

use suite_tests::Sandbox;

#[test]
fn a_healthy_state_is_said_to_be_so() {
    let room = Sandbox::new();
    room.run("git-task", &["doctor"]).succeeds().prints("all is as it should be\n");
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["worktree", "add", "one"]).succeeds();
    room.run("git-task", &["doctor"]).succeeds().prints("all is as it should be\n");
}

#[test]
fn a_broken_registry_is_kept_aside_and_the_previous_generation_restored() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["add", "two"]).succeeds();
    let path = room.data().join("tasks.json");
    fs::write(&path, "{\"schema\": 1, \"tas").unwrap();
    room.run("git-task", &["doctor"]).exits(1).says("is broken");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"schema\": 1, \"tas");
    room.run("git-task", &["doctor", "--fix"]).succeeds().says("the previous generation is back");
    room.run("git-task", &["list", "-z"]).succeeds().prints("one\0");
    let kept =
        fs::read_dir(room.data()).unwrap().flatten().find(|e| e.file_name().to_string_lossy().contains("broken-"));
    assert_eq!(fs::read_to_string(kept.unwrap().path()).unwrap(), "{\"schema\": 1, \"tas");
}

#[test]
fn a_worktree_or_branch_that_went_away_is_found_and_no_work_removed() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    let path = room.run("git-task", &["worktree", "add", "one"]).succeeds().text().to_owned();
    fs::rename(&path, room.path().join("moved")).unwrap();
    room.run("git-task", &["doctor"]).exits(1).says("is gone");
    room.run("git-task", &["doctor", "--fix"]).succeeds().says("fixed: ");
    assert!(room.path().join("moved/README").exists());
    room.git(&["worktree", "prune"]);
    room.git(&["branch", "-D", "task/one"]);
    room.run("git-task", &["doctor", "--fix"]).exits(1).says("the branch 'task/one' of 'one' is gone");
}

#[test]
fn a_worktree_that_an_interrupted_add_left_is_taken_over() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    let path = room.run("git-task", &["worktree", "add", "one"]).succeeds().text().to_owned();
    room.run("git-task", &["undo"]).succeeds();
    // As if the command had died before it recorded the worktree.
    let registry = room.data().join("tasks.json");
    let text =
        fs::read_to_string(&registry).unwrap().replace(&format!("\"worktree\": \"{path}\""), "\"worktree\": null");
    fs::write(&registry, text).unwrap();
    room.run("git-task", &["doctor"]).exits(1).says("is not recorded");
    room.run("git-task", &["worktree", "add", "one"]).succeeds().prints(&format!("{path}\n"));
    room.run("git-task", &["doctor"]).succeeds();
}

#[test]
fn old_temporary_files_and_locks_are_named_and_only_ours_are_removed() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    let ours = room.data().join(".tmp-codex-agents-tasks.json-x1");
    let theirs = room.repo().join(".git/refs/heads/main.lock");
    for path in [&ours, &theirs] {
        fs::write(path, "").unwrap();
        room.run("touch", &["-d", "2 hours ago", path.to_str().unwrap()]).succeeds();
    }
    room.run("git-task", &["doctor", "--fix"]).exits(1).says("main.lock").says("fixed: ");
    assert!(!ours.exists() && Path::new(&theirs).exists());
    fs::remove_file(&theirs).unwrap();
    room.run("git-task", &["doctor"]).succeeds();
}
