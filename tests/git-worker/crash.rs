//! A launch and a stop are killed at each of their system calls that change something.

use std::time::{Duration, Instant};

use serde_json::Value;
use suite_tests::{CHANGING_CALLS, Reach, can_kill, program_folder, run_killed};

use crate::room::{Room, count, unique, until};

fn program() -> String {
    program_folder().join("git-worker").to_str().unwrap().to_owned()
}

/// Returns the jobs as `list` shows them; all records must be readable.
#[track_caller]
fn jobs(room: &Room, what: &str) -> Vec<Value> {
    let listed = room.worker(&["list", "--json"]).succeeds().json();
    assert_eq!(listed["broken"].as_array().unwrap().len(), 0, "{what}: {listed}");
    listed["jobs"].as_array().unwrap().clone()
}

fn is_live(job: &Value) -> bool {
    job["terminal"] == false
}

#[test]
fn a_launch_that_is_killed_leaves_a_job_that_is_listed_or_none() {
    let room = Room::new();
    if !can_kill(&room, "killing a launch at its calls") {
        return;
    }
    let program = program();
    let mut killed = 0;
    for call in CHANGING_CALLS {
        for n in 1.. {
            let mark = unique();
            let name = format!("{}-{n}", call.split(',').next().unwrap());
            let words = [&program, "launch", "--name", &name, "--", "sleep", &mark];
            let ran = run_killed(&room, &room.repo(), Reach::Alone, call, n, &words);
            // The supervisor outlives the launcher for as long as it takes it to see that it is alone.
            let known = || {
                let live: Vec<Value> = jobs(&room, &name).into_iter().filter(is_live).collect();
                let runs = count(&format!("sleep\0{mark}"));
                live.iter().filter(|job| job["state"] == "running").count() == live.len() && live.len() == runs
            };
            until(&format!("what runs after '{name}' is known"), known);
            let live = jobs(&room, &name).iter().filter(|job| is_live(job)).count();
            assert!(live == 1 || (live == 0 && ran.code != 0), "{name}: {live} jobs live; {}", ran.stderr);
            let again = room.worker(&["launch", "--share", "--name", &name, "--", "true"]).succeeds();
            room.ended(again.text());
            if live == 1 {
                let job = jobs(&room, &name).into_iter().find(is_live).unwrap()["id"].as_str().unwrap().to_owned();
                room.worker(&["stop", "--grace", "0", &job]).succeeds().says("stopped");
            }
            assert_eq!(count(&format!("sleep\0{mark}")), 0, "{name}");
            if ran.code == 0 {
                break;
            }
            assert_eq!(ran.code, 137, "{name}: {}", ran.stderr);
            killed += 1;
        }
    }
    assert!(killed > 30, "only {killed} launches were killed");
}

#[test]
fn a_supervisor_that_is_killed_leaves_a_record_that_reads() {
    let room = Room::new();
    if !can_kill(&room, "killing a supervisor at its calls") {
        return;
    }
    let program = program();
    let mut killed = 0;
    for call in CHANGING_CALLS {
        for n in (1..).step_by(if *call == "openat" { 2 } else { 1 }) {
            let name = format!("{}-{n}", call.split(',').next().unwrap());
            // Ended by itself when the tracer ends, whoever of the three was killed.
            let words = [&program, "launch", "--name", &name, "--", "sh", "-c", "echo hello"];
            let ran = run_killed(&room, &room.repo(), Reach::All, call, n, &words);
            let mine: Vec<Value> = jobs(&room, &name).into_iter().filter(|job| job["slug"] == name.as_str()).collect();
            assert!(mine.iter().all(|job| !is_live(job)), "{name}: {mine:?}");
            if ran.code == 0 {
                assert_eq!(mine.len(), 1, "an acknowledged job is there: {name}");
            }
            let again = room.worker(&["launch", "--name", &name, "--", "true"]).succeeds();
            assert_eq!(room.ended(again.text())["state"], "completed", "{name}");
            let whole = mine.len() == 1 && mine[0]["state"] == "completed";
            if ran.code == 0 && whole {
                break;
            }
            killed += 1;
        }
    }
    assert!(killed > 40, "only {killed} were killed");
}

#[test]
fn a_stop_that_is_killed_is_done_by_the_next_one() {
    let room = Room::new();
    if !can_kill(&room, "killing a stop at its calls") {
        return;
    }
    let program = program();
    for call in CHANGING_CALLS {
        for n in 1.. {
            let mark = unique();
            let name = format!("{}-{n}", call.split(',').next().unwrap());
            let id = room.sh(&name, &format!("trap '' TERM; setsid sleep {mark} & sleep {mark}"));
            until("the tree has grown", || count(&format!("sleep\0{mark}")) == 2);
            let words = [&program, "stop", "--grace", "10ms", &id];
            let ran = run_killed(&room, &room.repo(), Reach::Alone, call, n, &words);
            let state = jobs(&room, &name)[0]["state"].clone();
            assert!(
                state == "stopped" || (ran.code != 0 && (state == "running" || state == "stopping")),
                "{name}: {state}"
            );
            let begin = Instant::now();
            room.worker(&["stop", "--grace", "10ms", &id]).succeeds().says("stopped");
            assert!(begin.elapsed() < Duration::from_secs(5), "{name}");
            assert_eq!(count(&format!("sleep\0{mark}")), 0, "{name}");
            if ran.code == 0 {
                break;
            }
        }
    }
}
