use suite_tests::Sandbox;

#[test]
fn the_last_change_is_taken_back_and_can_be_brought_back() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["edit", "one", "--title", "uno"]).succeeds();
    room.run("git-task", &["undo"]).succeeds().says("undone 2");
    assert_eq!(room.run("git-task", &["show", "one", "--json"]).succeeds().json()["title"], "one");
    room.run("git-task", &["undo"]).succeeds();
    assert_eq!(room.run("git-task", &["show", "one", "--json"]).succeeds().json()["title"], "uno");
}

#[test]
fn an_added_task_goes_again_unless_others_wait_for_it() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["add", "two", "--depends-on", "one"]).succeeds();
    room.run("git-task", &["undo", "1"]).exits(128).warns("others wait for it");
    room.run("git-task", &["undo", "2", "-n"]).succeeds();
    room.run("git-task", &["undo", "2"]).succeeds();
    room.run("git-task", &["undo", "1"]).succeeds();
    room.run("git-task", &["list"]).succeeds().prints("");
}

#[test]
fn a_task_that_changed_since_is_left_alone() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["edit", "one", "--title", "uno"]).succeeds();
    room.run("git-task", &["undo", "1"]).exits(128).warns("has changed since");
    room.run("git-task", &["undo", "77"]).exits(128).warns("no such change");
}
