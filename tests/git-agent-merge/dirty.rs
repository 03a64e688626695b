use std::path::Path;

use suite_tests::Sandbox;

#[test]
fn work_in_no_commit_counts_only_when_asked_for() {
    let room = Sandbox::new();
    for task in ["one", "two"] {
        room.run("git-task", &["add", task]).succeeds();
        room.run("git-task", &["worktree", "add", task]).succeeds();
    }
    let at = |task: &str| room.path().join("repo.worktrees").join(task);
    room.write_in(&at("one"), "README", "one\nONE\nthree\n");
    room.write_in(&at("two"), "README", "one\nTWO\nthree\n");
    room.git_in(&at("two"), &["add", "README"]);
    room.write_in(&at("one"), "new", "1\n");
    room.write_in(&at("two"), "new", "2\n");
    room.run("git-agent-merge", &["check", "--all"]).succeeds();
    let json = room.run("git-agent-merge", &["check", "--all", "--dirty", "--json"]).exits(1).json();
    assert_eq!((&json["branches"][0]["dirty"], &json["branches"][1]["dirty"]), (&true.into(), &true.into()));
    let conflicts = json["pairs"][0]["conflicts"].as_array().unwrap();
    let kinds: Vec<&str> = conflicts.iter().map(|conflict| conflict["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["content", "add/add"]);
    assert_eq!(room.git_in(&at("two"), &["status", "--porcelain"]), "M  README\n?? new");
}

#[test]
fn ignored_files_do_not_count() {
    let room = Sandbox::new();
    room.write(".gitignore", "*.o\n");
    room.commit("ignore");
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["worktree", "add", "one"]).succeeds();
    room.write_in(Path::new(&room.path().join("repo.worktrees/one")), "x.o", "o");
    let json = room.run("git-agent-merge", &["check", "one", "--dirty", "--json"]).succeeds().json();
    assert_eq!(json["branches"][0]["dirty"], false);
}
