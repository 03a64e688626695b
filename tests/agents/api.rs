//! Models without a program, against the scripted server: each dialect, each fault, as judge and as worker.

use serde_json::json;

use crate::agent::Agent;
use crate::room::{Room, text};

/// A scenario, and the kind of the error; none if it is completed.
const CASES: [(&str, Option<&str>); 14] = [
    ("asks", None),
    ("e500once", None),
    ("e429once", None),
    ("cutonce", None),
    ("e400", Some("model")),
    ("e401", Some("auth")),
    ("e429", Some("quota")),
    ("e500", Some("model")),
    ("cut", Some("network")),
    ("cutclean", Some("network")),
    ("garbage", Some("model")),
    ("badjson", Some("model")),
    ("errevent", Some("model")),
    ("reset", Some("network")),
];

const SCHEMA: &str = r#"{ "type": "object", "required": ["verdict", "score"], "additionalProperties": false,
    "properties": { "verdict": { "type": "string" }, "score": { "type": "integer" } } }"#;

#[test]
fn openai_chat() {
    a_model_judges_and_works_and_no_fault_is_a_success("openai-chat");
}

#[test]
fn openai_responses() {
    a_model_judges_and_works_and_no_fault_is_a_success("openai-responses");
}

#[test]
fn anthropic() {
    a_model_judges_and_works_and_no_fault_is_a_success("anthropic");
}

fn a_model_judges_and_works_and_no_fault_is_a_success(kind: &str) {
    // Any room does: the server is what is needed of it.
    let Some(room) = Room::new(Agent::Codex) else { return };
    let url = room.url();
    room.user_config(&format!(
        "[api]\nurl = \"{url}/v1\"\nkind = \"{kind}\"\nkey-env = \"OPENAI_API_KEY\"\nretries = 1\n"
    ));
    room.write_in(&room.home(), "schema.json", SCHEMA);
    let schema = room.home().join("schema.json").display().to_string();
    let ask = |scenario: &str, more: &[&str]| {
        let prompt = format!("[scenario:{scenario}] Is it good?");
        let words = ["ask", "--force", "--json", "--agent", "api:gpt-5.1", "--role", "judge", "--prompt", &prompt];
        room.worker(&[&words[..], more].concat())
    };
    let answer = ask("json", &["--schema", &schema]).succeeds().json();
    assert_eq!(answer["answer"], json!({ "verdict": "pass", "score": 7 }), "{kind}: {answer}");
    // Without a session it is told all once more, the name of the scenario too.
    let answer = ask("asks", &["--schema", &schema]).exits(1).json();
    assert_eq!(
        (&answer["valid"], answer["ids"].as_array().map(Vec::len)),
        (&json!(false), Some(2)),
        "{kind}: {answer}"
    );
    for (scenario, error) in CASES {
        let ran = ask(scenario, &[]);
        let job = room.job("main-ask");
        let told = (text(&job, "state"), job["error_kind"].as_str(), ran.code);
        let expected = if error.is_some() { ("failed", error, 1) } else { ("completed", None, 0) };
        assert_eq!(told, expected, "{kind} {scenario}: {job:#}");
    }
    let prompt = "[scenario:askfiles] Mend the README.";
    room.worker(&["run", "--force", "--agent", "api:gpt-5.1", "--name", "work", "--prompt", prompt]).succeeds();
    assert_eq!(room.changed(), ["README", "src/new.txt"], "{kind}");
}
