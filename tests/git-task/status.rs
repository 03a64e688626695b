use suite_tests::Sandbox;

#[test]
fn tasks_are_shown_with_worktree_and_distance() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["add", "two", "--depends-on", "one"]).succeeds();
    let path = room.run("git-task", &["worktree", "add", "one"]).succeeds().text().to_owned();
    let path = std::path::Path::new(&path);
    room.write_in(path, "work", "w");
    room.commit_in(path, "work");
    room.write("base", "b");
    room.commit("base");
    room.write_in(path, "loose", "l");
    let json = room.run("git-task", &["status", "--json"]).succeeds().json();
    let rows = &json["repositories"][0]["tasks"];
    assert_eq!((&rows[0]["ahead"], &rows[0]["behind"], &rows[0]["changes"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(rows[1]["blocked_by"][0], "one");
    room.run("git-task", &["status"]).succeeds().says("+1/-1  1 uncommitted").says("after one");
    room.run_in(room.path(), "git-task", &["status", "--all"]).succeeds().says("2 open");
}

#[test]
fn a_repository_that_went_away_does_not_hide_the_others() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "here"]).succeeds();
    let other = room.path().join("other");
    room.git(&["clone", "-q", ".", "../other"]);
    room.run_in(&other, "git-task", &["add", "there"]).succeeds();
    std::fs::rename(&other, room.path().join("gone")).unwrap();
    room.run("git-task", &["status", "--all"]).succeeds().says("here").says("there").says("cannot be looked at");
}
