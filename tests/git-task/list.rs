use suite_tests::Sandbox;

#[test]
fn open_tasks_are_listed_by_priority_with_what_they_wait_for() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "low"]).succeeds();
    room.run("git-task", &["add", "high", "--priority", "5", "--depends-on", "low", "--label", "x"]).succeeds();
    room.run("git-task", &["list"]).succeeds().prints("high  planned  high  (after low)\nlow   ready    low\n");
    room.run("git-task", &["list", "--label", "x", "-z"]).succeeds().prints("high\0");
    room.run("git-task", &["list", "--status", "planned", "-z"]).succeeds().prints("high\0");
    room.run("git-task", &["list", "--owner", "nobody"]).succeeds().prints("");
    room.run("git-task", &["drop", "high"]).succeeds();
    room.run("git-task", &["list", "-z"]).succeeds().prints("low\0");
    room.run("git-task", &["list", "-z", "--closed"]).succeeds().prints("high\0low\0");
}

#[test]
fn tasks_of_other_repositories_are_shown_only_when_asked_for() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "here"]).succeeds();
    let other = room.path().join("other");
    room.git(&["init", "-q", other.to_str().unwrap()]);
    room.git_in(&other, &["commit", "-q", "--allow-empty", "-m", "x"]);
    room.run_in(&other, "git-task", &["list"]).succeeds().prints("");
    room.run_in(&other, "git-task", &["list", "--all"]).succeeds().says("here");
    room.run_in(room.path(), "git-task", &["list", "--all", "-z"]).succeeds().prints("here\0");
}

#[test]
fn linked_worktrees_and_subfolders_and_a_given_git_dir_see_the_same_tasks() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    let linked = room.path().join("linked");
    room.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    let below = linked.join("a/b");
    std::fs::create_dir_all(&below).unwrap();
    room.run_in(&below, "git-task", &["list", "-z"]).succeeds().prints("one\0");
    room.run_in(room.path(), "git-task", &["-C", "repo", "list", "-z"]).succeeds().prints("one\0");
    let output = room
        .command("git-task")
        .current_dir("/")
        .env("GIT_DIR", room.repo().join(".git"))
        .args(["list", "-z"])
        .output();
    assert_eq!(output.unwrap().stdout, b"one\0");
}

#[test]
fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is_one() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    let ran = room.run("sh", &["-c", "git-task list >/dev/full"]).exits(128);
    assert!(ran.stderr.contains("cannot write to standard output"), "{}", ran.stderr);
    let ran = room.run("bash", &["-c", "set -o pipefail; git-task list --closed | true"]).succeeds();
    assert_eq!(ran.stderr, "");
}
