//! `git worker run`: a job in the foreground.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use suite_tests::Ran;

use crate::room::{Room, count, text, unique, until};

#[test]
fn what_it_prints_is_passed_on_and_its_end_is_the_exit_code() {
    let room = Room::new();
    let ran = room.worker(&["run", "--", "sh", "-c", "printf 'a\\033[31m\\377'; echo b >&2; printf c"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("a\u{1b}[31m") && ran.stdout.ends_with("b\nc"), "{:?}", ran.stdout);
    room.worker(&["run", "--", "sh", "-c", "echo x; exit 3"]).exits(1).prints("x\n").warns("exit 3");
    room.worker(&["run", "--", "no-such-program"]).exits(128).warns("no-such-program");
    let job = room.job("main#2");
    assert_eq!((job["state"].as_str(), job["exit"]["code"].as_u64()), (Some("failed"), Some(3)));
    room.worker(&["logs", "main#2"]).succeeds().prints("x\n");
    let ran = room.worker(&["launch", "--foreground", "--json", "--", "echo", "hidden"]).succeeds().json();
    assert_eq!((ran["jobs"][0]["id"].as_str(), ran["jobs"][0]["state"].as_str()), (Some("main#3"), Some("completed")));
}

#[test]
fn an_interrupt_stops_the_job_in_an_orderly_way() {
    let room = Room::new();
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let (mark, name) = (unique(), signal[1..].to_lowercase());
        let script = format!("trap 'echo tidied; exit 0' TERM; echo ready; sleep {mark} & wait");
        let mut command = room.command("git-worker");
        command.args(["run", "--share", "--name", &name, "--", "sh", "-c", &script]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("it is ready", || count(&format!("sleep\0{mark}")) == 1);
        room.run("kill", &[signal, &child.id().to_string()]).succeeds();
        let ran = Ran::new("run".into(), child.wait_with_output().unwrap()).exits(code);
        assert_eq!(ran.stdout, "ready\ntidied\n");
        assert_eq!(room.job(&name)["state"], "stopped");
        assert_eq!(count(&mark), 0);
    }
}

#[test]
fn a_second_interrupt_leaves_no_grace() {
    let room = Room::new();
    let mark = unique();
    let script = format!("trap '' TERM INT; echo ready; while :; do sleep 0.01; : {mark}; done");
    room.user_config("[worker]\ngrace = \"60s\"\n");
    let mut command = room.command("git-worker");
    command.args(["run", "--name", "stubborn", "--", "sh", "-c", &script]).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    until("it is ready", || text(&room.repo().join(".codex-worker/log.txt")).contains("ready"));
    let begin = Instant::now();
    room.run("kill", &["-INT", &child.id().to_string()]).succeeds();
    until("it is being stopped", || room.job("stubborn")["state"] == "stopping");
    room.run("kill", &["-INT", &child.id().to_string()]).succeeds();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_prompt_may_come_from_standard_input() {
    let room = Room::new();
    room.user_config("[agents.bot]\ncommand = [\"cat\"]\nprompt = \"stdin\"\n");
    for way in ["--prompt", "--prompt-file"] {
        let mut command = room.command("git-worker");
        command.args(["run", "--agent", "bot", way, "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"the question\n").unwrap();
        Ran::new(way.into(), child.wait_with_output().unwrap()).succeeds().prints("the question\n");
    }
}

#[test]
fn a_run_waits_for_its_place() {
    let room = Room::new();
    room.user_config("[worker]\nmax-concurrency = 1\n");
    let first = room.sh("first", "while ! [ -e gate ]; do sleep 0.01; done");
    let mut command = room.command("git-worker");
    command.args(["run", "--share", "--name", "second", "--", "echo", "hello"]).stdout(Stdio::piped());
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    until("it waits", || room.worker(&["status", "second"]).stdout.contains("queued"));
    room.write("gate", "");
    Ran::new("run".into(), child.wait_with_output().unwrap()).succeeds().prints("hello\n").warns("waits for a place");
    assert_eq!(room.ended(&first)["state"], "completed");
}
