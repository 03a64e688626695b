use suite_tests::Sandbox;

use crate::room::Room;

#[test]
fn it_says_what_is_noted_and_runs_nothing() {
    let room = Room::with(&[("a", "true"), ("b", "exit 1")]);
    room.validate(&["show"]).exits(1).says("none  HEAD").says("not run");
    assert_eq!(room.runs(), 0);
    room.validate(&["--check", "a"]).succeeds();
    assert_eq!(room.verdict("HEAD"), "none");
    room.validate(&[]).exits(1);
    room.validate(&["show"]).exits(1).says("fail  HEAD").says("noted");
    let answer = room.validate(&["show", "--json", "HEAD"]).exits(1).json();
    let a = Room::check(&answer, "a");
    assert_eq!((a["status"].as_str(), a["cached"].as_bool()), (Some("pass"), Some(true)));
    assert!(a["time"].is_string() && a["duration_ms"].is_u64() && a["key"].as_str().unwrap().len() == 32);
    assert_eq!(room.runs(), 2);
}

#[test]
fn a_pass_is_yes_by_commit_and_by_tree() {
    let room = Room::with(&[("a", "true")]);
    room.validate(&[]).succeeds();
    let tree = room.git(&["rev-parse", "HEAD^{tree}"]);
    room.validate(&["show"]).succeeds().says("pass");
    let answer = room.validate(&["show", &tree, "--json"]).succeeds().json();
    assert_eq!(answer["subject"]["kind"], "tree");
    assert_eq!(answer["subject"]["tree"], tree.as_str());
    assert_eq!(room.validate(&["show", "--staged", "--json"]).succeeds().json()["subject"]["kind"], "staged");
    assert_eq!(room.validate(&["show", "--worktree", "--json"]).succeeds().json()["verdict"], "pass");
    room.write("new", "new\n");
    assert_eq!(room.validate(&["show", "--worktree", "--json"]).exits(1).json()["verdict"], "none");
    room.validate(&["show", "--staged"]).succeeds();
}

#[test]
fn without_checks_the_answer_is_no() {
    let room = Sandbox::new();
    let ran = room.run("git-validate", &["show", "--json"]).exits(1);
    assert_eq!(ran.json()["verdict"], "no-checks");
    let ran = room.run("git-validate", &["show"]).exits(1).says("no-checks");
    assert!(!ran.stdout.contains("note"), "{}", ran.stdout);
}

#[test]
fn outside_a_repository_it_cannot() {
    let room = Sandbox::empty();
    room.run("git-validate", &["show"]).exits(128).warns("not a git repository");
}
