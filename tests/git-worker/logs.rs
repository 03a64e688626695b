//! `git worker logs`.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::room::{Room, text};

#[test]
fn all_that_is_printed_is_logged() {
    let room = Room::new();
    let id = room.sh("big", "seq 1 700000; echo to stderr >&2");
    let job = room.ended(&id);
    let log = text(&room.folder(&id).join("output.log"));
    assert!(log.len() > 4_500_000 && log.ends_with("700000\nto stderr\n"));
    assert_eq!(job["bytes_logged"].as_u64(), Some(log.len() as u64));
    assert_eq!(job["bytes_dropped"], 0);
    room.worker(&["logs", &id, "-n", "2"]).succeeds().prints("700000\nto stderr\n");
}

#[test]
fn a_line_without_end_is_shown() {
    let room = Room::new();
    let id = room.sh("open", "printf 'no newline'");
    room.ended(&id);
    room.worker(&["logs"]).succeeds().prints("no newline");
    room.worker(&["logs", "-n", "1"]).succeeds().prints("no newline");
}

#[test]
fn control_characters_are_shown_and_not_obeyed() {
    let room = Room::new();
    let id = room.sh("ansi", r"printf '\033]0;owned\007 \033[31mred\377\n'");
    room.ended(&id);
    let shown = room.worker(&["logs"]).succeeds();
    shown.prints("\\u{1b}]0;owned\\u{7} \\u{1b}[31mred\u{fffd}\n");
    let output = room.command("git-worker").args(["logs", "--raw"]).output().unwrap();
    assert_eq!(output.stdout, b"\x1b]0;owned\x07 \x1b[31mred\xff\n");
    let json = room.worker(&["logs", "--json"]).succeeds().json();
    assert_eq!((json["job"].as_str(), json["schema"].as_u64()), (Some("ansi#1"), Some(1)));
}

#[test]
fn raw_is_refused_on_a_terminal() {
    let room = Room::new();
    if room.run("sh", &["-c", "command -v script"]).code != 0 {
        return suite_tests::skip("raw logs on a terminal", "there is no script(1)");
    }
    let id = room.sh("a", "true");
    room.ended(&id);
    room.run("script", &["-qec", "git-worker logs --raw", "/dev/null"]).exits(129);
}

#[test]
fn following_ends_with_the_job() {
    let room = Room::new();
    let gate = room.path().join("gate");
    let id = room.sh("slow", &format!("echo one; while ! [ -e '{}' ]; do sleep 0.01; done; echo two", gate.display()));
    let mut follow = room.command("git-worker").args(["logs", "-f", &id]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    room.write_in(room.path(), "gate", "");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "two\n");
    assert!(follow.wait().unwrap().success());
}

#[test]
fn following_ends_when_nobody_reads() {
    let room = Room::new();
    room.sh("quiet", "echo one; sleep 60");
    let begin = Instant::now();
    room.run("sh", &["-c", "git-worker logs -f quiet | head -n 1"]).succeeds().prints("one\n");
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn milestones_become_events() {
    let room = Room::new();
    let id =
        room.sh("miles", "echo '::milestone:: half way'; printf '::milestone:: there'; echo x::milestone:: no >&2");
    room.ended(&id);
    let events = text(&room.folder(&id).join("events.jsonl"));
    let events: Vec<serde_json::Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"started"), Some(&"ended")));
    assert_eq!(events[1]["text"], "half way");
}

#[test]
fn the_log_is_shown_even_if_the_record_is_broken() {
    let room = Room::new();
    let id = room.sh("a", "echo kept");
    room.ended(&id);
    room.write_in(&room.folder(&id), "job.json", "x");
    room.worker(&["logs", &id]).succeeds().prints("kept\n");
}
