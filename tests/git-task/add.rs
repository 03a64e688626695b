use std::io::Write;
use std::process::Stdio;

use suite_tests::{Ran, Sandbox};

fn batch(room: &Sandbox, json: &str) -> Ran {
    let mut command = room.command("git-task");
    command.args(["add", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(json.as_bytes()).unwrap();
    Ran::new("git-task add --batch".into(), child.wait_with_output().unwrap())
}

#[test]
fn prints_the_slug_made_from_the_title() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "Fix the Login!"]).succeeds().prints("fix-the-login\n");
    room.run("git-task", &["add", "fix the login"]).succeeds().prints("fix-the-login-2\n");
    room.run("git-task", &["add", "x", "--slug", "fix-the-login"]).exits(128).warns("'--slug fix-the-login-3' is free");
}

#[test]
fn a_title_of_no_letters_still_gets_a_slug() {
    let room = Sandbox::new();
    let slug = room.run("git-task", &["add", "🎉"]).succeeds().text().to_owned();
    assert!(slug.starts_with("task-"), "{slug}");
}

#[test]
fn every_flag_reaches_the_registry_and_the_brief() {
    let room = Sandbox::new();
    room.git(&["branch", "next"]);
    room.run("git-task", &["add", "first"]).succeeds();
    let ran = room.run(
        "git-task",
        &[
            "add",
            "second",
            "--slug",
            "two",
            "--goal",
            "reach it",
            "--depends-on",
            "first",
            "--priority",
            "-3",
            "--label",
            "a",
            "--label",
            "b",
            "--owner",
            "me",
            "--base",
            "next",
            "--agent",
            "codex",
            "--touches",
            "src/x",
            "--json",
        ],
    );
    let task = &ran.succeeds().json()["tasks"][0];
    assert_eq!(task["slug"], "two");
    assert_eq!(task["goal"], "reach it");
    assert_eq!(task["priority"], -3);
    assert_eq!(task["labels"], serde_json::json!(["a", "b"]));
    assert_eq!(task["owner"], "me");
    assert_eq!(task["base"]["ref"], "refs/heads/next");
    assert_eq!(task["agent"], "codex");
    assert_eq!(task["status"], "planned");
    assert_eq!(task["touches"][0], "src/x");
    let brief = std::fs::read_to_string(room.repo().join(".git/codex-agents/briefs/two.md")).unwrap();
    assert!(brief.contains("# second") && brief.contains("reach it") && brief.contains("src/x"), "{brief}");
}

#[test]
fn a_dry_run_adds_nothing() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "-n", "one"]).succeeds().prints("one\n");
    room.run("git-task", &["list"]).succeeds().prints("");
    assert!(!room.data().exists());
}

#[test]
fn a_batch_may_name_its_own_tasks_in_any_order() {
    let room = Sandbox::new();
    let json = r#"[{"title":"b","depends_on":["a"]},{"title":"a","goal":"g","priority":2}]"#;
    batch(&room, json).succeeds().prints("b\na\n");
    room.run("git-task", &["list", "--ready", "-z"]).succeeds().prints("a\0");
}

#[test]
fn a_batch_is_added_whole_or_not_at_all() {
    let room = Sandbox::new();
    batch(&room, r#"[{"title":"a"},{"title":"b","depends_on":["c"]}]"#).exits(128).warns("no task 'c'");
    batch(&room, r#"[{"title":"a","slug":"../x"}]"#).exits(128).warns("is no slug");
    batch(&room, r#"[{"title":"a","depends_on":["b"]},{"title":"b","depends_on":["a"]}]"#)
        .exits(128)
        .warns("a -> b -> a");
    batch(&room, r#"[{"title":"a","unknown":1}]"#).exits(128).warns("unknown");
    batch(&room, "[{").exits(128).warns("no list of tasks");
    room.run("git-task", &["list"]).succeeds().prints("");
}

#[test]
fn hostile_names_are_refused_or_made_harmless() {
    let room = Sandbox::new();
    for slug in ["-rf", "../x", "a b", "a\nb", "A", "", "x".repeat(300).as_str()] {
        let argument = format!("--slug={slug}");
        room.run("git-task", &["add", "t", &argument]).exits(129);
    }
    room.run("git-task", &["add", "two\nlines"]).exits(128).warns("a title is one line");
    room.run("git-task", &["add", "esc\u{1b}[2J"]).exits(128);
    room.run("git-task", &["add", "  "]).exits(128);
    room.run("git-task", &["add", "t", "--base", "--help"]).exits(129);
    room.run("git-task", &["add", "t", "--base=--help"]).exits(128).warns("there is no branch '--help'");
    let ran = room.run("git-task", &["add", "over\u{202e}ride", "--goal", "g\u{1b}]0;x\u{7}"]).succeeds();
    let shown = room.run("git-task", &["show", ran.text()]).succeeds().stdout;
    assert!(!shown.contains('\u{202e}') && !shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn a_wrong_request_exits_129_and_shows_no_raw_control_character() {
    let room = Sandbox::new();
    let ran = room.run("git-task", &["\u{1b}]0;x\u{7}"]).exits(129);
    assert!(!ran.stderr.contains('\u{7}'), "{:?}", ran.stderr);
    room.run("git-task", &["add"]).exits(129);
    room.run("git-task", &["--json", "nonsense"]).exits(129).warns("\"kind\":\"usage\"");
}
