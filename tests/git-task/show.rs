use suite_tests::Sandbox;

#[test]
fn a_task_is_shown_with_what_it_blocks() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one", "--goal", "a\nb"]).succeeds();
    room.run("git-task", &["add", "two", "--depends-on", "one"]).succeeds();
    let shown = room.run("git-task", &["show", "one"]).succeeds().says("blocks      two").says("    a\n    b\n");
    assert!(shown.stdout.contains("status      ready"));
    let json = room.run("git-task", &["show", "two", "--json"]).succeeds().json();
    assert_eq!(json["blocked_by"][0], "one");
    let id = json["id"].as_str().unwrap();
    assert_eq!(room.run("git-task", &["show", id, "--json"]).succeeds().json()["slug"], "two");
}

#[test]
fn an_unknown_task_is_named_with_the_nearest() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "fix login"]).succeeds();
    room.run("git-task", &["show", "fix-logn"]).exits(128).warns("no task 'fix-logn'").warns("'fix-login'");
    room.run("git-task", &["show", "zzz"]).exits(128).warns("'git task list' shows the open ones");
}

#[test]
fn colours_are_as_asked_for() {
    let room = Sandbox::new();
    let red = |arguments: &[&str]| {
        room.run("git-task", &[arguments, &["show", "none"]].concat()).exits(128).stderr.contains("\u{1b}[")
    };
    assert!(red(&["--color=always"]) && red(&["--color"]));
    assert!(!red(&["--color=never"]) && !red(&[]) && !red(&["--color=auto"]) && !red(&["--color=always", "--json"]));
}
