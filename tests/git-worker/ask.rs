//! `git worker ask`: a question, and an answer that fits.

use std::process::Stdio;

use serde_json::Value;
use suite_tests::Ran;

use crate::room::{Room, count, text, unique, until};

const SCHEMA: &str = r#"{ "type": "object", "required": ["verdict"], "additionalProperties": false,
    "properties": { "verdict": { "enum": ["pass", "fail"] } } }"#;

/// Settings of an agent that says, at first `answer-1` of the home, and in its session `answer-2`.
fn bot(room: &Room, more: &str) {
    let script = room.script(
        "bot",
        r#"n=$1; cat > "$HOME/asked-$n"; echo '{"event":"started","session":"s1"}'
echo '{"event":"usage","scope":"run","input":10,"output":5}'
[ -x "$HOME/does" ] && "$HOME/does"
cat "$HOME/answer-$n" 2>/dev/null
echo '{"event":"ended","good":true}'"#,
    );
    let bot = script.display();
    room.user_config(&format!(
        "[agents.bot]\ncommand = [\"{bot}\", \"1\"]\nprompt = \"stdin\"\nformat = \"events\"\n{more}"
    ));
    room.write_in(&room.home(), "schema.json", SCHEMA);
}

fn with_session(room: &Room) {
    let bot_script = room.path().join("bot");
    bot(room, &format!("resume = [\"{}\", \"2\", \"{{session}}\"]\n", bot_script.display()));
}

fn says(room: &Room, n: u32, words: &str) {
    let event = serde_json::json!({ "event": "message", "text": words });
    room.write_in(&room.home(), &format!("answer-{n}"), &format!("{event}\n"));
}

fn ask(room: &Room, more: &[&str]) -> Ran {
    let schema = room.home().join("schema.json");
    let schema = schema.to_str().unwrap();
    let words = ["ask", "--agent", "bot", "--prompt", "Is it good?", "--schema", schema];
    room.worker(&[&words, more].concat())
}

#[test]
fn the_answer_is_printed_and_the_job_is_recorded() {
    let room = Room::new();
    bot(&room, "");
    says(&room, 1, "It is good.\nVery good.\n");
    let question = ["ask", "--agent", "bot", "--prompt", "Is it good?"];
    room.worker(&question).succeeds().prints("It is good.\nVery good.\n");
    assert_eq!(text(&room.home().join("asked-1")), "Is it good?");
    let job = room.job("main-ask");
    let recorded = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
    assert_eq!((recorded("state"), recorded("policy")), ("completed".to_owned(), "read-only".to_owned()));
    let answer = room.worker(&[&question[..], &["--json"]].concat()).succeeds().json();
    assert_eq!(
        (answer["id"].as_str(), answer["answer"].as_str()),
        (Some("main-ask#2"), Some("It is good.\nVery good.\n"))
    );
    assert_eq!((&answer["valid"], &answer["repaired"]), (&Value::Bool(true), &Value::Bool(false)));
    assert_eq!(answer["usage"]["input"], 10);
}

#[test]
fn an_answer_that_fits_is_one_json_value() {
    let room = Room::new();
    with_session(&room);
    for words in [
        "{\"verdict\": \"pass\"}",
        "Here it is:\n```json\n{\"verdict\":\"pass\"}\n```\nAsk if something is unclear.",
        "I think [1] that {\"verdict\":\"pass\"} is right.",
    ] {
        says(&room, 1, words);
        ask(&room, &[]).succeeds().prints("{\"verdict\":\"pass\"}\n");
    }
    let asked = text(&room.home().join("asked-1"));
    assert!(asked.starts_with("Is it good?\n") && asked.contains("one JSON value") && asked.contains("\"verdict\""));
    assert!(text(&room.folder("main-ask").join("schema.json")).contains("verdict"));
}

#[test]
fn an_answer_that_does_not_fit_is_asked_for_once_more_in_the_same_session() {
    let room = Room::new();
    with_session(&room);
    says(&room, 1, "{\"verdict\": \"perhaps\"}");
    says(&room, 2, "{\"verdict\": \"fail\"}");
    let answer = ask(&room, &["--json"]).succeeds().json();
    assert_eq!((&answer["answer"]["verdict"], &answer["repaired"]), (&Value::from("fail"), &Value::Bool(true)));
    assert_eq!(answer["ids"], serde_json::json!(["main-ask#1", "main-ask#2"]));
    assert_eq!(answer["usage"]["input"], 20);
    let asked = text(&room.home().join("asked-2"));
    assert!(asked.contains("/verdict") && !asked.contains("Is it good?"), "{asked}");
    assert_eq!(room.job("main-ask#2")["resumes"], "main-ask#1");
}

#[test]
fn an_agent_without_sessions_is_told_all_once_more() {
    let room = Room::new();
    bot(&room, "");
    says(&room, 1, "I would rather not say.");
    let ran = ask(&room, &["--json"]).exits(1);
    let error = ran.stderr.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok()).unwrap_or_default();
    let answer = ran.json();
    assert_eq!((&answer["valid"], answer["ids"].as_array().map(Vec::len)), (&Value::Bool(false), Some(2)));
    assert_eq!(
        (&answer["error"]["kind"], answer["answer"].as_str()),
        (&"no-answer".into(), Some("I would rather not say."))
    );
    assert_eq!(error["error"]["kind"], "no-answer", "{}", ran.stderr);
    let asked = text(&room.home().join("asked-1"));
    assert!(asked.contains("Is it good?") && asked.contains("I would rather not say."), "{asked}");
}

#[test]
fn what_is_no_answer_is_never_one() {
    let room = Room::new();
    with_session(&room);
    for (words, why) in [
        ("It is good.", "no JSON value"),
        ("null", "the whole"),
        ("{\"verdict\": \"pass\", \"more\": {\"verdict\": \"pass\"}", "cut off"),
        ("{\"verdict\":\"pass\"} or rather {\"verdict\":\"fail\"}", "2 different values"),
        ("", "no answer"),
    ] {
        says(&room, 1, words);
        says(&room, 2, words);
        ask(&room, &[]).exits(1).prints("").warns(why);
    }
}

#[test]
fn a_job_that_fails_gives_no_answer() {
    let room = Room::new();
    with_session(&room);
    says(&room, 1, "{\"verdict\": \"pass\"}");
    room.script("home/does", "echo '{\"event\":\"error\",\"text\":\"status 500\",\"status\":500}'; echo '{\"event\":\"ended\",\"good\":false}'");
    let ran = ask(&room, &["--json"]).exits(1);
    assert_eq!((ran.json()["ids"].as_array().map(Vec::len), ran.json()["valid"].as_bool()), (Some(1), Some(false)));
    room.script("home/does", "sleep 60");
    ask(&room, &["--timeout", "300ms"]).exits(1).prints("").warns("timed-out");
    assert_eq!(room.job("main-ask")["state"], "timed-out");
}

#[test]
fn who_is_asked_changes_nothing() {
    let room = Room::new();
    with_session(&room);
    says(&room, 1, "{\"verdict\": \"pass\"}");
    room.write("mine", "uncommitted\n");
    ask(&room, &[]).succeeds();
    for change in [
        "echo x >> README",
        "echo more >> mine",
        "rm README",
        "mkdir -p d && echo x > d/new",
        "git commit -q --allow-empty -m x",
    ] {
        room.script("home/does", change);
        let ran = ask(&room, &[]).exits(1).prints("").warns("may change nothing");
        assert_eq!(ran.stderr.matches("job '").count(), 1, "it is not asked once more: {}", ran.stderr);
        room.git(&["checkout", "-q", "README"]);
    }
}

#[test]
fn a_question_disturbs_no_work_in_the_same_worktree() {
    let room = Room::new();
    with_session(&room);
    says(&room, 1, "{\"verdict\": \"pass\"}");
    let worktree = room.task("gate");
    let mark = unique();
    let job = room.worker(&["launch", "gate", "--", "sh", "-c", &format!("echo half > half; sleep {mark}")]).succeeds();
    until("it works", || worktree.join("half").exists());
    ask(&room, &["gate"]).succeeds().prints("{\"verdict\":\"pass\"}\n");
    let asked = room.job("gate-ask");
    assert_eq!((&asked["task"], &asked["commit"]), (&Value::from("idgate"), &Value::Null));
    assert_eq!(room.git(&["for-each-ref", "refs/worker/gate-ask"]), "");
    assert_eq!(room.git_in(&worktree, &["status", "--porcelain"]), "?? half");
    room.worker(&["stop", "--grace", "0", job.text()]).succeeds();
}

#[test]
fn a_question_is_checked_before_anything_starts() {
    let room = Room::new();
    with_session(&room);
    room.worker(&["ask", "--agent", "bot"]).exits(129);
    for schema in ["{", "{\"type\": 7}", "{\"$ref\": \"file:///etc/hostname\"}"] {
        room.write_in(&room.home(), "schema.json", schema);
        ask(&room, &[]).exits(128).warns("schema.json");
    }
    assert_eq!(room.worker(&["list"]).succeeds().stdout, "");
}

#[test]
fn an_interrupt_ends_the_question_and_its_job() {
    let room = Room::new();
    with_session(&room);
    let mark = unique();
    room.script("home/does", &format!("sleep {mark}"));
    let mut command = room.command("git-worker");
    command.args(["ask", "--agent", "bot", "--prompt", "x"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    until("it works", || count(&format!("sleep\0{mark}")) == 1);
    room.run("kill", &["-INT", &child.id().to_string()]).succeeds();
    let ran = Ran::new("ask".into(), child.wait_with_output().unwrap()).exits(130);
    assert_eq!((ran.stdout.as_str(), count(&mark)), ("", 0));
    assert_eq!(room.job("main-ask")["state"], "stopped");
}

#[test]
fn a_job_may_ask_though_no_place_is_free() {
    let room = Room::new();
    bot(&room, "[worker]\nmax-concurrency = 1\n");
    says(&room, 1, "Yes.");
    let ran = room.worker(&["run", "--", "git", "worker", "ask", "--agent", "bot", "--prompt", "May I?"]).succeeds();
    assert!(ran.stdout.contains("Yes."), "{} {}", ran.stdout, ran.stderr);
}
