//! `git worker list`.

use crate::room::Room;

#[test]
fn jobs_are_listed_newest_first_and_live_ones_alone() {
    let room = Room::new();
    let done = room.sh("done", "true");
    room.ended(&done);
    room.sh("live", "sleep 60");
    let ids = |arguments: &[&str]| -> Vec<String> {
        let listed = room.worker(arguments).succeeds().json();
        listed["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["list", "--json"]), ["live#1", "done#1"]);
    assert_eq!(ids(&["list", "--live", "--json"]), ["live#1"]);
    assert_eq!(ids(&["list", "--all", "--json"]), ["live#1", "done#1"]);
}

#[test]
fn another_repository_has_its_own_jobs() {
    let room = Room::new();
    let other = room.path().join("other");
    room.git(&["init", "-q", other.to_str().unwrap()]);
    let id = room.sh("a", "true");
    room.ended(&id);
    room.run_in(&other, "git-worker", &["list"]).succeeds().prints("");
    room.run_in(&other, "git-worker", &["list", "--all"]).succeeds().says("a#1");
}

/// Expects the fields that a schema requires, and none that it does not know.
#[track_caller]
fn matches(name: &str, part: &str, value: &serde_json::Value) {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../shared/schemas/git-worker-{name}.json"));
    let schema: serde_json::Value = serde_json::from_str(&crate::room::text(&path)).unwrap();
    let schema = schema.pointer(part).unwrap();
    for field in schema["required"].as_array().unwrap() {
        assert!(value.get(field.as_str().unwrap()).is_some(), "{name}: {field} is missing in {value}");
    }
    for field in value.as_object().unwrap().keys() {
        assert!(schema["properties"].get(field).is_some(), "the schema of {name} does not know {field}");
    }
}

#[test]
fn every_answer_has_what_its_schema_promises() {
    let room = Room::new();
    let answer = |arguments: &[&str]| room.worker(arguments).succeeds().json();
    matches("launch", "", &answer(&["launch", "--json", "--name", "a", "--", "sh", "-c", "echo x; sleep 60"]));
    matches("launch", "", &answer(&["launch", "--json", "-n", "--", "true"]));
    for name in ["status", "list"] {
        let jobs = answer(&[name, "--json"]);
        matches(name, "", &jobs);
        matches(name, "/$defs/job", &jobs["jobs"][0]);
    }
    let stopped = answer(&["stop", "--json", "--grace", "0", "a"]);
    matches("stop", "", &stopped);
    matches("stop", "/properties/jobs/items", &stopped["jobs"][0]);
    let waited = room.worker(&["wait", "--json", "a"]).exits(1).json();
    matches("wait", "/$defs/job", &waited["jobs"][0]);
    matches("logs", "", &answer(&["logs", "--json"]));
}
