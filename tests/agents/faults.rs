//! Everything that can go wrong between an agent and its model, once and always, and what the record says of it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::agent::{Agent, each_agent};
use crate::room::{Room, marked, text};

each_agent!(no_failed_run_is_completed_and_no_good_one_failed);

/// What is expected of a job: the kind of its error, or that it completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Good,
    Auth,
    Quota,
    Network,
    Model,
    /// It fails for a reason of the agent's own.
    Bad,
}

use End::{Auth, Bad, Good, Model, Network, Quota};

/// A scenario, and how it ends with codex, claude, gemini and opencode.
struct Case(&'static str, [End; 4]);

const CASES: [Case; 22] = [
    Case("failcmd", [Good; 4]),
    Case("parallel", [Good; 4]),
    Case("json", [Good; 4]),
    Case("asks", [Good; 4]),
    Case("ansi", [Good; 4]),
    Case("secret", [Good; 4]),
    // gemini takes the long answer for a loop, if it does not leave before its words are read.
    Case("huge", [Good, Good, Bad, Good]),
    Case("e500once", [Good; 4]),
    Case("e429once", [Good; 4]),
    Case("cutonce", [Good, Good, Network, Good]),
    Case("e400", [Model; 4]),
    Case("e401", [Auth; 4]),
    Case("e429", [Quota; 4]),
    Case("e500", [Model; 4]),
    Case("cut", [Network; 4]),
    // Whether the line broke or the answer was empty looks different from each of them.
    Case("cutclean", [Network, Network, Model, Model]),
    Case("garbage", [Model; 4]),
    Case("badjson", [Good, Good, Model, Model]),
    Case("errevent", [Model, Good, Model, Model]),
    Case("empty", [Network, Model, Model, Model]),
    Case("reset", [Network; 4]),
    Case("late500", [Model; 4]),
];

/// What is tried every time: each kind of fault that does not keep the agent waiting for a minute. opencode
/// waits so long on most; the two that it is tried with come first.
fn usual(agent: Agent) -> &'static [&'static str] {
    match agent {
        Agent::Codex | Agent::Claude => &[
            "e500once", "cutonce", "e400", "e401", "e429", "e500", "cut", "cutclean", "garbage", "badjson", "errevent",
            "empty", "reset",
        ],
        Agent::Gemini => &["e429", "reset", "cutonce", "e401", "cutclean", "garbage", "badjson", "errevent", "empty"],
        Agent::Opencode => &["e500", "cut", "e401", "e429", "cutclean", "garbage", "empty"],
    }
}

fn no_failed_run_is_completed_and_no_good_one_failed(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    let whole = std::env::var_os("SUITE_WHOLE_MATRIX").is_some();
    // Most of the time they wait, for the server or for their own patience.
    room.user_config("[worker]\nmax-concurrency = 3\n");
    let all: Vec<&str> = CASES.iter().map(|Case(name, _)| *name).collect();
    let names = if whole { &all[..] } else { usual(agent) };
    let ids: BTreeMap<&str, String> =
        names.iter().map(|name| (*name, room.launch(name, &["--timeout", "150s"]))).collect();
    let mut wrong = String::new();
    for Case(name, ends) in &CASES {
        let Some(id) = ids.get(name) else { continue };
        let ran = room.worker(&["wait", "--timeout", "15m", "--json", id]);
        let job = ran.json()["jobs"][0].clone();
        let (expected, found) = (spell(ends[agent as usize]), found(&job));
        if whole {
            println!("{:8} {name:9} {found:16} {}", agent.name(), text(&job, "reason"));
        }
        assert!(marked(&job).is_empty(), "{} {name}: {:?} live", agent.name(), marked(&job));
        let fits = found == expected || (ends[agent as usize] == Bad && found.starts_with("failed"));
        if !fits {
            wrong += &format!("{name} is {found} and not {expected}: {}\n{}\n", job["reason"], room.tale(id));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{wrong}", agent.name());
}

fn spell(end: End) -> String {
    match end {
        Good => "completed".to_owned(),
        Bad => "failed".to_owned(),
        Auth | Quota | Network | Model => format!("failed {}", format!("{end:?}").to_lowercase()),
    }
}

fn found(job: &Value) -> String {
    format!("{} {}", text(job, "state"), text(job, "error_kind")).trim_end().to_owned()
}
