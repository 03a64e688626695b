//! `git worker wait`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::room::Room;

#[test]
fn waiting_ends_with_the_last_job() {
    let room = Room::new();
    let gate = room.path().join("gate");
    let slow = room.sh("slow", &format!("while ! [ -e '{}' ]; do sleep 0.01; done", gate.display()));
    let fast = room.sh("fast", "true");
    room.ended(&fast);
    let mut wait = room.command("git-worker").args(["wait", &slow, &fast]).stdout(Stdio::null()).spawn().unwrap();
    assert!(wait.try_wait().unwrap().is_none());
    room.write_in(room.path(), "gate", "");
    assert_eq!(wait.wait().unwrap().code(), Some(0));
}

#[test]
fn the_exit_code_says_whether_all_completed() {
    let room = Room::new();
    let (good, bad) = (room.sh("good", "true"), room.sh("bad", "exit 4"));
    room.worker(&["wait", &good]).exits(0);
    room.worker(&["wait", &good, &bad]).exits(1).says("exit 4");
    room.worker(&["wait", "nobody"]).exits(128);
}

#[test]
fn waiting_has_an_end_of_its_own() {
    let room = Room::new();
    let id = room.sh("long", "sleep 60");
    let begin = Instant::now();
    room.worker(&["wait", "--timeout", "100ms", &id]).exits(128).warns("long#1");
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(room.job(&id)["state"], "running");
}
