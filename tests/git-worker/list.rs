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
