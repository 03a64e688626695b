//! An agent that is out of quota or logged out is not started for a while.

use serde_json::json;

use crate::room::{Room, text};

fn room() -> Room {
    let room = Room::new();
    let poor = room.script("poor", "cat \"$1\"; [ -e works ] || exit 7");
    let poor = poor.to_str().unwrap();
    room.user_config(&format!(
        "[agents.poor]\ncommand = [\"{poor}\", \"{{prompt-file}}\"]\nprompt = \"file\"\n\
         [agents.odd]\ncommand = [\"{poor}\", \"{{prompt-file}}\"]\nprompt = \"file\"\nquota-pattern = \"^no .ead\"\n"
    ));
    room
}

#[test]
fn an_error_of_quota_pauses_the_agent_until_one_succeeds() {
    let room = room();
    let launch = |more: &[&str]| room.worker(&[&["launch", "--share", "--agent", "poor"], more].concat());
    launch(&["--prompt", "it broke"]).succeeds();
    assert_eq!(room.ended("main")["error_kind"], json!(null));
    launch(&["--prompt", "You have hit your usage limit."]).succeeds();
    assert_eq!(room.ended("main")["error_kind"], "quota");
    let refused = room.worker(&["--json", "launch", "--share", "--agent", "poor", "--prompt", "x"]).exits(128);
    let error: serde_json::Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "agent-paused");
    assert!(error["error"]["message"].as_str().unwrap().contains("main#2"), "{error}");
    let status = room.worker(&["status", "--json"]).succeeds().json();
    assert_eq!(
        (status["paused"][0]["agent"].as_str(), status["paused"][0]["kind"].as_str()),
        (Some("poor"), Some("quota"))
    );
    room.worker(&["status"]).succeeds().warns("'poor' is paused until");
    room.worker(&["launch", "--share", "--agent", "odd", "--prompt", "x"]).succeeds();
    room.worker(&["launch", "--share", "--", "true"]).succeeds();
    room.write("works", "");
    let id = launch(&["--force", "--prompt", "usage limit"]).succeeds().text().to_owned();
    assert_eq!(room.ended(&id)["error_kind"], json!(null), "one that completed has no error");
    launch(&["--prompt", "x"]).succeeds();
}

#[test]
fn a_pattern_of_the_settings_counts_and_a_wrong_one_is_refused() {
    let room = room();
    room.worker(&["launch", "--agent", "odd", "--prompt", "no bead"]).succeeds();
    assert_eq!(room.ended("main")["error_kind"], "quota");
    let config = text(&room.home().join(".config/codex-agents/config.toml"));
    room.user_config(&format!("{config}[agents.wrong]\ncommand = [\"true\"]\nauth-pattern = \"(\"\n"));
    room.worker(&["launch", "--agent", "wrong", "--prompt", "x"]).exits(128).warns("agents.wrong.auth-pattern");
}

#[test]
fn a_pause_has_an_end_and_may_be_none() {
    let room = room();
    let config = text(&room.home().join(".config/codex-agents/config.toml"));
    room.user_config(&format!("[worker]\npause = \"0\"\n{config}"));
    for _ in 0..2 {
        room.worker(&["launch", "--agent", "poor", "--prompt", "Not logged in."]).succeeds();
        assert_eq!(room.ended("main")["error_kind"], "auth");
    }
    room.user_config(&format!("[worker]\npause = \"50ms\"\n{config}"));
    room.worker(&["launch", "--agent", "poor", "--prompt", "Not logged in."]).succeeds();
    room.ended("main");
    crate::room::until("the pause is over", || room.worker(&["launch", "--agent", "poor", "--prompt", "x"]).code == 0);
}

#[test]
fn a_queued_job_of_a_paused_agent_waits_on() {
    let room = room();
    let config = text(&room.home().join(".config/codex-agents/config.toml"));
    room.user_config(&format!("[worker]\nmax-concurrency = 1\n{config}"));
    room.sh("first", "while ! [ -e gate ]; do sleep 0.01; done");
    for (name, prompt) in [("a", "usage limit"), ("b", "x")] {
        room.worker(&["launch", "--share", "--name", name, "--agent", "poor", "--prompt", prompt]).succeeds();
    }
    room.worker(&["launch", "--share", "--name", "c", "--", "true"]).succeeds();
    room.write("gate", "");
    assert_eq!(room.ended("a")["error_kind"], "quota");
    assert_eq!(room.ended("c")["state"], "completed");
    assert_eq!(room.job("b")["state"], "queued");
}
