use suite_tests::Sandbox;

#[test]
fn flags_change_only_what_they_name() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one", "--goal", "g", "--label", "a"]).succeeds();
    room.run("git-task", &["edit", "one", "--title", "uno", "--priority", "4"]).succeeds();
    let json = room.run("git-task", &["show", "one", "--json"]).succeeds().json();
    assert_eq!((&json["title"], &json["goal"], &json["priority"]), (&"uno".into(), &"g".into(), &4.into()));
    room.run("git-task", &["edit", "one", "--label", "", "--status", "review"]).succeeds();
    let json = room.run("git-task", &["show", "one", "--json"]).succeeds().json();
    assert_eq!((&json["labels"], &json["status"]), (&serde_json::json!([]), &"review".into()));
    room.run("git-task", &["edit", "-n", "one", "--title", "never"]).succeeds();
    assert_eq!(room.run("git-task", &["show", "one", "--json"]).succeeds().json()["title"], "uno");
}

#[test]
fn a_cycle_is_refused_and_named_by_its_tasks() {
    let room = Sandbox::new();
    for (title, after) in [("a", ""), ("b", "a"), ("c", "b")] {
        room.run("git-task", &["add", title, "--depends-on", after]).succeeds();
    }
    room.run("git-task", &["edit", "a", "--depends-on", "c"]).exits(128).warns("a -> c -> b -> a");
    room.run("git-task", &["edit", "a", "--depends-on", "a"]).exits(128).warns("a -> a");
    room.run("git-task", &["edit", "a", "--status", "done"]).exits(128).warns("'git task complete'");
}

#[test]
fn without_flags_and_terminal_it_does_not_hang() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    let mut command = room.command("git-task");
    let output = command.args(["edit", "one"]).stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(128));
}

#[test]
fn the_editor_of_the_user_is_used_and_that_of_the_repository_is_not() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    let canary = room.path().join("canary");
    room.git(&["config", "core.editor", &format!("touch {};:", canary.display())]);
    let editor = room.script("editor", "sed -i 's/^title = .*/title = \"edited\"/' \"$1\"");
    let command = format!("GIT_EDITOR= EDITOR={} script -qec 'git-task edit one' /dev/null", editor.display());
    room.run("sh", &["-c", &command]).succeeds();
    assert_eq!(room.run("git-task", &["show", "one", "--json"]).succeeds().json()["title"], "edited");
    assert!(!canary.exists());
}
