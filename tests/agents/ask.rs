//! A question with a schema: what a real agent answers is believed only if it fits.

use serde_json::json;

use crate::agent::{Agent, each_agent};
use crate::room::Room;

each_agent!(an_answer_fits_or_there_is_none, a_question_that_fails_has_no_answer);

const SCHEMA: &str = r#"{ "type": "object", "required": ["verdict", "score"], "additionalProperties": false,
    "properties": { "verdict": { "type": "string", "enum": ["pass", "fail"] }, "score": { "type": "integer" } } }"#;

/// Asks in a scenario; what is asked for once more is answered as the script's `repaired`.
fn ask(room: &Room, scenario: &str, schema: &str) -> suite_tests::Ran {
    room.write_in(&room.home(), "schema.json", schema);
    let file = room.home().join("schema.json");
    let prompt = format!("[scenario:{scenario}] Is it good?");
    let words = ["ask", "--force", "--agent", room.agent.name(), "--prompt", &prompt, "--timeout", "120s", "--json"];
    room.worker(&[&words[..], &["--schema", file.to_str().unwrap()]].concat())
}

fn an_answer_fits_or_there_is_none(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    let answer = ask(&room, "json", SCHEMA).succeeds().json();
    assert_eq!((&answer["answer"], &answer["repaired"]), (&json!({ "verdict": "pass", "score": 7 }), &json!(false)));
    for scenario in ["asks", "asknull", "askcut"] {
        let answer = ask(&room, scenario, SCHEMA).succeeds().json();
        assert_eq!(answer["answer"], json!({ "verdict": "pass", "score": 1 }), "{} {scenario}: {answer}", agent.name());
        assert_eq!((&answer["repaired"], answer["ids"].as_array().map(Vec::len)), (&json!(true), Some(2)));
        let ids: Vec<&str> = answer["ids"].as_array().unwrap().iter().filter_map(|id| id.as_str()).collect();
        assert_eq!(room.job(ids[0])["session"], room.job(ids[1])["session"], "{} {scenario}", agent.name());
    }
    // What never fits is no answer, whatever the agent's exit code says.
    let never = ask(&room, "asks", r#"{ "type": "object", "required": ["never"] }"#).exits(1).json();
    assert_eq!((&never["valid"], &never["error"]["kind"]), (&json!(false), &json!("no-answer")), "{never}");
    assert_eq!(room.changed(), Vec::<String>::new());
}

fn a_question_that_fails_has_no_answer(agent: Agent) {
    if agent == Agent::Opencode {
        // It asks again for a minute and more; the matrix of faults tries that.
        return;
    }
    let Some(room) = Room::new(agent) else { return };
    let answer = ask(&room, "e401", SCHEMA).exits(1).json();
    assert_eq!((&answer["answer"], answer["ids"].as_array().map(Vec::len)), (&json!(null), Some(1)), "{answer}");
}
