//! A job that shows no sign of life is interrupted and ended, and no other.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::room::{Room, text, until};

const QUICK: &str = "[worker]\nstall-interrupt = \"100ms\"\nstall-stop = \"300ms\"\ngrace = \"200ms\"\n";

/// Launches a script with a limit of silence.
#[track_caller]
fn launch(room: &Room, name: &str, limits: &[&str], script: &str) -> String {
    let words = [&["launch", "--share", "--name", name][..], limits, &["--", "sh", "-c", script]].concat();
    room.worker(&words).succeeds().text().to_owned()
}

/// Lists the steps that were taken against silence.
fn steps(room: &Room, id: &str) -> Vec<String> {
    let events = text(&room.folder(id).join("events.jsonl"));
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let stalls = events.filter(|event| event["event"] == "stall");
    stalls.map(|event| event["step"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_silent_sleeper_is_interrupted_in_time_and_has_stalled() {
    let room = Room::new();
    room.user_config(QUICK);
    let begin = Instant::now();
    let id = launch(&room, "sleeper", &["--stall", "1s"], "exec sleep 60");
    let job = room.ended(&id);
    assert!(begin.elapsed() < Duration::from_millis(2100), "{:?}", begin.elapsed());
    let words = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
    assert_eq!((words("state"), words("by")), ("stalled".into(), "stall".into()));
    assert_eq!((words("reason"), &job["stalls"]), ("no sign of life for 1s".into(), &Value::from(1)));
    assert_eq!((job["exit"]["signal"].as_i64(), job["terminal"].as_bool()), (Some(2), Some(true)));
    assert_eq!(steps(&room, &id), ["warning", "interrupt"]);
    room.worker(&["status"]).succeeds().says("stalled");
}

#[test]
fn who_ignores_the_interrupt_is_stopped_and_the_record_says_so_before() {
    let room = Room::new();
    room.user_config(&QUICK.replace("300ms", "2s"));
    let id = launch(&room, "deaf", &["--stall", "400ms"], "trap '' INT; exec sleep 60");
    until("it is said", || room.job(&id)["reason"] == "no sign of life for 400ms");
    assert_eq!(room.job(&id)["state"], "running");
    let job = room.ended(&id);
    assert_eq!((job["state"].as_str(), job["exit"]["signal"].as_i64()), (Some("stalled"), Some(15)), "{job}");
    assert_eq!(steps(&room, &id), ["warning", "interrupt", "stop"]);
}

#[test]
fn a_busy_one_lives_through_three_times_the_limit() {
    let room = Room::new();
    room.user_config(QUICK);
    let busy = "end=$(($(date +%s%3N) + 3000)); while [ $(date +%s%3N) -lt $end ]; do :; done";
    let id = launch(&room, "busy", &["--stall", "1s"], busy);
    // A grandchild that appends a few bytes now and then, and a shell that waits for it.
    let writer = "(i=0; while [ $i -lt 12 ]; do echo $i >> grown; sleep 0.25; i=$((i + 1)); done) & wait";
    let other = launch(&room, "writer", &["--stall", "1s"], writer);
    for id in [id, other] {
        let job = room.ended(&id);
        assert_eq!((job["state"].as_str(), job["stalls"].as_u64()), (Some("completed"), Some(0)), "{job}");
        assert_eq!(steps(&room, &id), [""; 0]);
    }
    let settings = ["--stall", "0"];
    assert_eq!(room.ended(&launch(&room, "off", &settings, "sleep 0.5"))["rules"]["stall_ms"], 0);
}

#[test]
fn a_sign_of_life_ends_the_episode() {
    let room = Room::new();
    room.user_config(&QUICK.replace("\"100ms\"", "0"));
    let gate = room.path().join("gate");
    let wait = format!("while ! [ -e '{}' ]; do sleep 0.5; done", gate.display());
    let id = launch(&room, "wakes", &["--stall", "300ms"], &format!("{wait}; echo alive"));
    until("it is said", || room.job(&id)["reason"] == "no sign of life for 300ms");
    room.write_in(room.path(), "gate", "");
    let job = room.ended(&id);
    assert_eq!((job["state"].as_str(), job["reason"].is_null()), (Some("completed"), true), "{job}");
    let steps = steps(&room, &id);
    assert!(steps.first().is_some_and(|step| step == "warning"), "{steps:?}");
    assert!(steps.last().is_some_and(|step| step == "over"), "{steps:?}");
    assert!(!steps.iter().any(|step| step == "interrupt"), "{steps:?}");
}

#[test]
fn a_step_that_takes_too_long_is_named() {
    let room = Room::new();
    let script = "for n in 1 2 3 4; do echo \"::milestone:: part $n\"; sleep 0.3; done; exec sleep 60";
    let id = launch(&room, "steps", &["--step-timeout", "900ms"], script);
    let job = room.ended(&id);
    let words = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
    assert_eq!((words("state"), words("by")), ("timed-out".into(), "timeout".into()));
    assert_eq!(words("reason"), "no milestone for 900ms after 'part 4'");
    let id = launch(&room, "none", &["--step-timeout", "200ms"], "echo a; exec sleep 60");
    assert_eq!(room.ended(&id)["reason"], "no milestone for 200ms after the start");
    room.worker(&["launch", "--stall", "soon", "--", "true"]).exits(129);
}
