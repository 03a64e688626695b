//! `git worker stop`, and other ends that are not the job's own.

use std::time::{Duration, Instant};

use crate::room::{Room, count, kill, text, unique, until};

/// A tree that wants to stay: TERM ignored, sessions of its own, double forks, an emptied environment.
pub(crate) fn stubborn(mark: &str) -> String {
    format!(
        "trap '' TERM; setsid sh -c \"trap '' TERM; sleep {mark}\" & \
         (setsid sleep {mark} &) ; (env -i setsid /bin/sh -c \"trap '' TERM; (/bin/sleep {mark} &) ; /bin/sleep {mark}\" &) ; \
         sleep {mark}"
    )
}

#[test]
fn nothing_of_a_stubborn_tree_is_left() {
    let room = Room::new();
    let mark = unique();
    let id = room.sh("tree", &stubborn(&mark));
    until("the tree has grown", || count(&format!("sleep\0{mark}")) == 5);
    let begin = Instant::now();
    room.worker(&["stop", "--grace", "300ms", &id]).succeeds().prints("tree#1  stopped\n");
    assert_eq!(count(&mark), 0);
    assert!(begin.elapsed() < Duration::from_secs(10));
    let job = room.job(&id);
    assert_eq!((job["state"].as_str(), job["by"].as_str()), (Some("stopped"), Some("user")));
    room.worker(&["stop", &id]).succeeds().says("had ended before");
    let events = text(&room.folder(&id).join("events.jsonl"));
    assert!(events.contains("\"stopping\"") && events.contains("\"ended\""), "{events}");
}

#[test]
fn the_time_limit_ends_the_tree_as_well() {
    let room = Room::new();
    let mark = unique();
    room.user_config("[worker]\ngrace = \"200ms\"\n");
    let script = stubborn(&mark);
    room.worker(&["launch", "--timeout", "300ms", "--", "sh", "-c", &script]).succeeds();
    let job = room.ended("main");
    assert_eq!((job["state"].as_str(), job["by"].as_str()), (Some("timed-out"), Some("timeout")));
    assert_eq!(count(&mark), 0);
}

#[test]
fn what_outlives_the_child_is_ended_and_counted() {
    let room = Room::new();
    let mark = unique();
    // It holds the pipe, and would hold a reader that waits for its end.
    let id = room.sh("left", &format!("setsid sleep {mark} & exit 5"));
    let job = room.ended(&id);
    assert_eq!((job["exit"]["code"].as_u64(), job["left_over"].as_u64()), (Some(5), Some(1)));
    assert_eq!(count(&mark), 0);
}

#[test]
fn a_job_that_ends_well_on_request_is_stopped_and_not_completed() {
    let room = Room::new();
    let ready = room.path().join("ready");
    let id = room.sh("good", &format!("trap 'exit 0' TERM; touch '{}'; while :; do sleep 0.01; done", ready.display()));
    until("the trap is set", || ready.exists());
    room.worker(&["stop", &id]).succeeds();
    let job = room.job(&id);
    assert_eq!((job["state"].as_str(), job["exit"]["code"].as_u64()), (Some("stopped"), Some(0)));
}

#[test]
fn a_supervisor_that_hangs_is_ended_with_its_tree() {
    let room = Room::new();
    let mark = unique();
    let id = room.sh("hung", &format!("(env -i setsid sleep {mark} &) ; sleep {mark}"));
    until("the tree has grown", || count(&format!("sleep\0{mark}")) == 2);
    kill(&room, "-STOP", &room.job(&id)["supervisor"]["pid"]);
    room.worker(&["stop", "--grace", "0", &id]).succeeds().says("lost");
    assert_eq!(count(&mark), 0);
    // The shell and two sleeps, one of them with an empty environment.
    assert_eq!(room.job(&id)["left_over"].as_u64(), Some(3));
}

#[test]
fn a_bare_signal_to_the_supervisor_stops_the_job() {
    let room = Room::new();
    let mark = unique();
    let id = room.sh("bare", &format!("sleep {mark}"));
    kill(&room, "-TERM", &room.job(&id)["supervisor"]["pid"]);
    let job = room.ended(&id);
    assert_eq!((job["state"].as_str(), job["by"].as_str()), (Some("stopped"), Some("signal")));
    assert_eq!(count(&mark), 0);
}

#[test]
fn a_job_that_was_launched_a_moment_ago_can_be_stopped() {
    let room = Room::new();
    for _ in 0..10 {
        let id = room.sh("quick", "sleep 60");
        room.worker(&["stop", "--grace", "0", &id]).succeeds().says("stopped");
    }
}
