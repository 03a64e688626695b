//! A repository with a bug, checks that show it, and programs that play agents.

use std::path::PathBuf;

use serde_json::Value;
use suite_tests::{Ran, Sandbox};

/// A repository whose `add` subtracts, with two tests and a check that runs them.
pub(crate) fn room() -> Sandbox {
    let room = Sandbox::new();
    room.write("src/add.sh", "add() { echo $(($1 - $2)); }\n");
    room.write("tests/run.sh", ". src/add.sh\n[ \"$(add 1 2)\" = 3 ] || exit 1\n[ \"$(add 2 2)\" = 4 ] || exit 1\n");
    room.write("tests/some.sh", ". src/add.sh\n[ -n \"$(add 1 1)\" ] || exit 1\n");
    room.commit("files");
    room.user_config("[[checks]]\nname = \"test\"\ncommand = [\"sh\", \"tests/run.sh\"]\n");
    for (name, script) in [
        ("good", "sed -i 's/ - / + /' src/add.sh"),
        ("large", "sed -i 's/ - / + /' src/add.sh; for n in $(seq 60); do echo \"# $n\" >> src/add.sh; done"),
        ("breaks", "echo 'add() { echo 1; }' > src/add.sh"),
        ("nothing", "cat > /dev/null"),
        ("hangs", "sleep 600"),
        ("deletes", "sed -i 's/ - / + /' src/add.sh; rm tests/some.sh"),
    ] {
        room.script(&format!("agents/{name}"), script);
    }
    room
}

/// Returns the words of lanes of one attempt each.
pub(crate) fn lanes(room: &Sandbox, names: &[&str]) -> Vec<String> {
    let lane = |name: &&str| ["--lane".to_owned(), agent(room, name).display().to_string()];
    names.iter().flat_map(lane).collect()
}

pub(crate) fn agent(room: &Sandbox, name: &str) -> PathBuf {
    room.path().join("agents").join(name)
}

/// Runs git-bo4.
pub(crate) fn bo4(room: &Sandbox, words: &[&str]) -> Ran {
    room.run("git-bo4", words)
}

/// Runs the whole loop over these agents and returns its report.
#[track_caller]
pub(crate) fn whole(room: &Sandbox, names: &[&str], more: &[&str]) -> Value {
    let lanes = lanes(room, names);
    let lanes: Vec<&str> = lanes.iter().map(String::as_str).collect();
    let first = ["run", "--json", "--prompt", "Mend add", "--attempt-timeout", "3s", "--interval", "1s"];
    let ran = bo4(room, &[&first, &lanes[..], more].concat());
    assert!(matches!(ran.code, 0 | 1), "{ran:?}");
    ran.json()
}

/// Returns the agents of the report in the order of its ranking, with their places.
pub(crate) fn ranking(report: &Value) -> Vec<(String, Option<u64>)> {
    let agent = |number: &Value| {
        let all = report["variants"].as_array().unwrap();
        all.iter().find(|row| row["variant"] == *number).unwrap()["agent"].as_str().unwrap().to_owned()
    };
    let places = report["ranking"].as_array().unwrap();
    places.iter().map(|place| (agent(&place["variant"]), place["place"].as_u64())).collect()
}

/// Returns the number of the variant that this agent made.
pub(crate) fn number(report: &Value, agent: &str) -> u64 {
    let all = report["variants"].as_array().unwrap();
    all.iter().find(|row| row["agent"] == agent).unwrap()["variant"].as_u64().unwrap()
}
