use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::room::{Room, is_alive, until};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A check that writes down its process ids, one of a child in a session of its own, and stays.
fn stay(room: &Room) -> String {
    let pids = room.path().join("pids");
    fs::create_dir_all(&pids).unwrap();
    format!(
        "echo evil > README; cd '{}'; trap '' TERM INT; echo $$ > leader; setsid sh -c 'echo $$ > session; exec sleep 61' & sleep 62 & echo $! > child; until [ -s session ]; do :; done; touch up; wait; sleep 63",
        pids.display()
    )
}

fn is_gone(room: &Room) -> bool {
    ["leader", "session", "child"].iter().all(|name| !is_alive(&room.path().join("pids").join(name)))
}

fn wait_until_up(room: &Room) {
    until("the check", || room.path().join("pids/up").exists());
}

#[test]
fn a_signal_ends_all_of_it_and_touches_nothing() {
    for (number, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)] {
        let room = Room::new();
        let quick = format!("until [ -e '{}/pids/up' ]; do sleep 0.01; done", room.path().display());
        let stay = stay(&room);
        room.configure(&[("quick", &quick), ("stay", &stay), ("never", "true")], "[validate]\njobs = 2\n");
        room.commit("settings");
        room.write("README", "dirty\n");
        let before = room.users();
        let child = room.start(&[]);
        wait_until_up(&room);
        until("the third check", || room.runs() >= 3);
        signal(&child, number);
        let begin = Instant::now();
        let ran = room.end(child).exits(code).warns("interrupted");
        assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
        assert_eq!(ran.stdout, "");
        assert!(is_gone(&room), "after {code}");
        room.is_untouched(&before, "the user's");
        let answer = room.validate(&["show", "--json"]).exits(1).json();
        assert!(Room::check(&answer, "stay")["status"].is_null());
        assert_eq!(Room::check(&answer, "quick")["status"], "pass", "what had ended is kept");
    }
}

#[test]
fn a_killed_run_leaves_the_users_alone_and_the_next_one_ends_the_rest() {
    let room = Room::new();
    let stay = stay(&room);
    room.configure(&[("stay", &stay)], "");
    room.commit("settings");
    room.write("README", "dirty\n");
    let before = room.users();
    let mut child = room.start(&["--worktree"]);
    wait_until_up(&room);
    child.kill().unwrap();
    child.wait().unwrap();
    room.is_untouched(&before, "the user's");
    assert!(!is_gone(&room));
    assert_eq!(room.verdict("HEAD"), "none");
    room.configure(&[("fine", "grep -q dirty README")], "");
    room.validate(&["--worktree"]).succeeds();
    assert!(is_gone(&room));
}

#[test]
fn a_run_killed_at_any_time_leaves_a_good_repository() {
    let room = Room::with(&[("a", "sleep 0.01; echo x > new"), ("b", "true")]);
    let before = room.users();
    for step in 0..25 {
        let mut child = room.start(&["--force"]);
        // Not to wait for something, but to kill at another moment each time.
        std::thread::sleep(Duration::from_millis(step * 3));
        let _ = child.kill();
        child.wait().unwrap();
        room.is_untouched(&before, "the user's");
    }
    room.validate(&["--force"]).succeeds();
    room.git(&["fsck", "--strict"]);
    let tree = room.git(&["rev-parse", "HEAD^{tree}"]);
    assert_eq!(room.git(&["notes", "--ref=validate", "show", &tree]).lines().count(), 2);
}

#[test]
fn a_check_that_ignores_term_is_ended_in_time() {
    let room = Room::new();
    let stay = stay(&room);
    room.configure(&[("stay", &stay)], "");
    let config = fs::read_to_string(room.repo().join(".codex-agent/config.toml")).unwrap();
    room.trusted_config(&format!("{config}timeout = \"500ms\"\n"));
    room.commit("settings");
    let begin = Instant::now();
    let answer = room.validate(&["--json"]).exits(1).json();
    assert!(begin.elapsed() < Duration::from_millis(500 + 2500 + 1000), "{:?}", begin.elapsed());
    assert_eq!(answer["verdict"], "timed-out");
    assert!(is_gone(&room));
}

#[test]
fn what_a_check_leaves_behind_is_ended_and_said() {
    let room = Room::new();
    let pid = room.path().join("pid");
    for (name, script, said) in [
        ("holds the output", "sleep 60 & echo $! > PID; echo done", true),
        ("is in the group", "sleep 60 >/dev/null 2>&1 & echo $! > PID; echo done", true),
        (
            "has a session",
            "setsid sh -c 'echo $$ > PID; exec sleep 60' >/dev/null 2>&1 & until [ -s PID ]; do :; done; echo done",
            true,
        ),
        (
            "has wiped the mark",
            "env -i PATH=$PATH setsid sh -c 'echo $$ > PID; exec sleep 60' & until [ -s PID ]; do :; done; echo done",
            false,
        ),
    ] {
        let _ = fs::remove_file(&pid);
        room.configure(&[(name, &script.replace("PID", pid.to_str().unwrap()))], "");
        let begin = Instant::now();
        let answer = room.validate(&["--json"]).succeeds().json();
        assert!(begin.elapsed() < Duration::from_secs(4), "{name}: {:?}", begin.elapsed());
        let check = Room::check(&answer, name);
        assert_eq!(check["tail"], "done\n");
        assert!(!said || check["reason"] == "left processes behind, which were ended", "{check}");
        assert!(!is_alive(&pid), "{name}");
    }
}

#[test]
fn a_child_that_ends_soon_after_is_no_leak() {
    let room = Room::with(&[("tail", "(sleep 0.2; echo later) & echo first")]);
    let answer = room.validate(&["--json"]).succeeds().json();
    let check = Room::check(&answer, "tail");
    assert_eq!((check["tail"].as_str(), check["reason"].as_str()), (Some("first\nlater\n"), None));
}
