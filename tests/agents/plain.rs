//! A task that goes well, and what is known of it afterwards.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::{Agent, each_agent};
use crate::room::{Room, events, message, text};

/// Ours, while the machine may be busy with other agents.
const LAUNCH: Duration = Duration::from_secs(1);

each_agent!(a_plain_task_is_completed_and_told_truly, a_resumed_session_goes_on_and_counts_only_its_own_tokens,);

/// The tokens of so many turns of the script; gemini asks its router's model as well.
fn tokens(agent: Agent, turns: u64, routed: u64) -> Value {
    let more = if agent == Agent::Gemini { routed } else { 0 };
    json!([1000 * turns + 20 * more, 200 * turns, 50 * turns + 5 * more])
}

fn used(job: &Value, key: &str) -> Value {
    let usage = &job[key];
    json!([usage["input"], usage["cached"], usage["output"]])
}

fn a_plain_task_is_completed_and_told_truly(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    let began = Instant::now();
    let id = room.launch("sample", &[]);
    let took = began.elapsed();
    let job = room.ends(&id, "completed");
    assert!(took < LAUNCH, "{} was launched in {took:?}", agent.name());
    assert_eq!(message(&job), "All done: hello.txt and second.txt.", "{}", room.tale(&id));
    assert_eq!(used(&job, "usage"), tokens(agent, 5, 1), "{job:#}");
    assert_eq!(room.changed(), ["hello.txt", "second.txt"]);
    assert_eq!(std::fs::read_to_string(room.repo().join("second.txt")).unwrap(), "line one\nline 2\n");
    assert_eq!((&job["exit"], &job["left_over"], &job["unparsed"]), (&json!({ "code": 0 }), &json!(0), &json!(0)));
    assert_eq!(job["agent_version"], agent.version());
    let events = events(&job);
    let started = events.iter().find(|event| event["event"] == "started" && event["source"] == "agent").unwrap();
    assert!(!text(&job, "session").is_empty() && started["session"] == job["session"], "{started}");
    assert!(room.worker(&["logs", "--raw", &id]).stdout.contains(text(&job, "session")));
    let shown = room.worker(&["show", "--json", &id]).succeeds().json();
    let changes = shown["changes"].as_array().unwrap().iter().map(|change| change["path"].as_str().unwrap());
    assert_eq!(changes.collect::<Vec<_>>(), ["hello.txt", "second.txt"], "{shown:#}");
}

fn a_resumed_session_goes_on_and_counts_only_its_own_tokens(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    let first = room.ends(&room.launch("commit", &[]), "completed");
    let prompt = "[scenario:json] Go on.";
    let id = room.worker(&["resume", "--share", "--prompt", prompt, text(&first, "id")]).succeeds().text().to_owned();
    let second = room.ends(&id, "completed");
    assert_eq!(second["session"], first["session"], "{second:#}");
    assert_eq!((&second["session_asked"], &second["resumes"]), (&first["session"], &first["id"]));
    assert_eq!(used(&first, "usage"), tokens(agent, 2, 1), "{first:#}");
    assert_eq!(used(&second, "usage"), tokens(agent, 1, 1), "{second:#}");
    if agent == Agent::Codex {
        assert_eq!(used(&second, "session_usage"), tokens(agent, 3, 0), "{second:#}");
    }
    assert_eq!(message(&second), "{\"verdict\": \"pass\", \"score\": 7}");
}
