use suite_tests::Sandbox;

#[test]
fn a_dropped_task_is_closed_and_its_branch_stays() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["drop", "-n", "one"]).succeeds();
    room.run("git-task", &["list", "-z"]).succeeds().prints("one\0");
    room.run("git-task", &["drop", "one"]).succeeds().prints("dropped one\n");
    room.run("git-task", &["list"]).succeeds().prints("");
    room.run("git-task", &["drop", "one"]).exits(128).warns("is dropped already");
}

#[test]
fn a_task_that_others_wait_for_or_that_has_a_worktree_is_not_dropped() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["add", "two", "--depends-on", "one"]).succeeds();
    room.run("git-task", &["drop", "one"]).exits(128).warns("other tasks wait for 'one': two");
    room.run("git-task", &["edit", "two", "--depends-on", ""]).succeeds();
    room.run("git-task", &["worktree", "add", "one"]).succeeds();
    room.run("git-task", &["drop", "one"]).exits(128).warns("has a worktree");
}
