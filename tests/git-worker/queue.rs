//! Jobs that wait for a place.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::room::{Room, count, kill, kill_with_heir, text, unique, until};

/// A room in which so many jobs may live.
fn with_limit(limit: u32) -> Room {
    let room = Room::new();
    room.user_config(&format!("[worker]\nmax-concurrency = {limit}\n"));
    room
}

/// A job that writes its start and end to a file, a line each, and sleeps between.
fn noting(room: &Room, sleep: &str) -> String {
    format!("echo \"+$0\" >> '{0}'; sleep {sleep}; echo \"-$0\" >> '{0}'", room.path().join("notes").display())
}

fn launch(room: &Room, name: &str, priority: &str, script: &str) -> String {
    let words = ["launch", "--share", "--name", name, "--priority", priority, "--", "sh", "-c", script, name];
    room.worker(&words).succeeds().text().to_owned()
}

fn notes(room: &Room) -> Vec<String> {
    text(&room.path().join("notes")).lines().map(str::to_owned).collect()
}

/// Returns the most that lived at once, by their own word.
fn most(notes: &[String]) -> i64 {
    let mut now = 0;
    let each = notes.iter().map(|note| {
        now += if note.starts_with('+') { 1 } else { -1 };
        now
    });
    each.max().unwrap_or(0)
}

fn states(room: &Room) -> Vec<String> {
    let all = room.worker(&["list", "--json"]).succeeds().json();
    all["jobs"].as_array().unwrap().iter().map(|job| job["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_launch_over_the_limit_waits_and_starts_when_another_ends() {
    let room = with_limit(1);
    let first = room.worker(&["launch", "--json", "--name", "a", "--", "sleep", "60"]).succeeds().json();
    assert_eq!(first["state"], "running");
    let second = room.worker(&["launch", "--share", "--name", "b", "--", "sh", "-c", "echo $0 hello"]).succeeds();
    assert_eq!(second.stdout, "b#1\n");
    second.warns("waits for a place");
    let job = room.job("b");
    assert_eq!((job["state"].as_str(), job["terminal"].as_bool()), (Some("queued"), Some(false)));
    assert!(job["env_names"].as_array().unwrap().iter().any(|name| name == "HOME"), "{job}");
    assert!(!text(&room.folder("b").join("job.json")).contains("tester"), "names, never values");
    room.worker(&["status"]).succeeds().says("b#1  queued").says("a#1  running");
    room.worker(&["list", "--live"]).succeeds().says("b#1  queued");
    room.worker(&["wait", "--timeout", "100ms", "b"]).exits(128).warns("b#1");
    room.worker(&["stop", "--grace", "0", "a"]).succeeds();
    assert_eq!(room.ended("b")["state"], "completed");
    room.worker(&["logs", "b"]).succeeds().prints("sh hello\n");
    assert_eq!(fs::read_dir(room.state().join("jobs/.queue")).unwrap().count(), 0);
}

#[test]
fn fifty_jobs_never_are_more_than_four_and_keep_their_order() {
    let room = with_limit(4);
    let script = noting(&room, "0.03");
    let blockers: Vec<String> = (0..4).map(|n| room.sh(&format!("blocker-{n}"), "sleep 60")).collect();
    for n in 0..50 {
        // The later half first.
        launch(&room, &format!("job-{n:02}"), if n < 25 { "-1" } else { "3" }, &script);
    }
    assert_eq!(states(&room).iter().filter(|state| *state == "queued").count(), 50);
    let words: Vec<&str> = ["stop", "--grace", "0"].into_iter().chain(blockers.iter().map(String::as_str)).collect();
    room.worker(&words).succeeds();
    for n in 0..50 {
        assert_eq!(room.ended(&format!("job-{n:02}"))["state"], "completed");
    }
    let notes = notes(&room);
    assert_eq!(notes.len(), 100);
    assert!(most(&notes) <= 4, "{notes:?}");
    let started: Vec<&str> = notes.iter().filter_map(|note| note.strip_prefix('+')).collect();
    let expected: Vec<String> = (25..50).chain(0..25).map(|n| format!("job-{n:02}")).collect();
    // Four at once may write in any order.
    for (at, name) in started.iter().enumerate() {
        let due = expected.iter().position(|due| due == name).unwrap();
        assert!(due.abs_diff(at) < 4, "{name} came as number {at}: {started:?}");
    }
}

#[test]
fn after_a_crash_of_everything_the_next_command_goes_on() {
    let room = with_limit(4);
    let mark = unique();
    let script = noting(&room, &format!("0.05; case $0 in job-0[4-7]) exec sleep {mark};; esac"));
    for n in 0..50 {
        launch(&room, &format!("job-{n:02}"), "0", &script);
    }
    until("some have ended or hang", || count(&format!("sleep\0{mark}")) == 4);
    let all = room.worker(&["list", "--live", "--json"]).succeeds().json();
    for job in all["jobs"].as_array().unwrap().iter().filter(|job| job["state"] != "queued") {
        // The supervisor first, or it would start the next one.
        kill_with_heir(&room, &job["supervisor"]["pid"]);
        kill(&room, "-9", &job["child"]["pid"]);
    }
    room.worker(&["status"]).succeeds();
    for n in (0..4).chain(8..50) {
        assert_eq!(room.ended(&format!("job-{n:02}"))["state"], "completed");
    }
    let states = states(&room);
    let of = |state: &str| states.iter().filter(|known| *known == state).count();
    assert_eq!((of("lost"), of("completed")), (4, 46), "{states:?}");
    let ran = notes(&room).into_iter().filter(|note| !("job-04".."job-08").contains(&&note[1..]));
    let ran: Vec<String> = ran.collect();
    assert_eq!(ran.len(), 92, "none twice, none forgotten");
    assert!(most(&ran) <= 4);
}

#[test]
fn a_queued_job_is_stopped_at_once() {
    let room = with_limit(1);
    let first = room.sh("a", "sleep 60");
    let second = launch(&room, "b", "0", "echo never");
    let begin = Instant::now();
    room.worker(&["stop", &second]).succeeds().prints("b#1  stopped\n");
    assert!(begin.elapsed() < Duration::from_secs(3));
    let job = room.job(&second);
    assert_eq!((job["state"].as_str(), job["by"].as_str()), (Some("stopped"), Some("user")));
    room.worker(&["wait", &second]).exits(1);
    room.worker(&["stop", "--grace", "0", &first]).succeeds();
    room.worker(&["status"]).succeeds();
    assert_eq!(text(&room.folder(&second).join("output.log")), "");
}

#[test]
fn one_that_cannot_start_any_more_fails_and_the_next_one_starts() {
    let room = with_limit(1);
    let first = room.sh("a", "sleep 60");
    let tree = room.path().join("gone");
    room.git(&["worktree", "add", "-q", "-b", "gone", tree.to_str().unwrap()]);
    let program = room.script("program", "true");
    room.worker(&["launch", "--worktree", tree.to_str().unwrap(), "--", "true"]).succeeds();
    room.worker(&["launch", "--share", "--name", "b", "--", program.to_str().unwrap()]).succeeds();
    let last = launch(&room, "last", "-5", "exit 3");
    fs::remove_dir_all(&tree).unwrap();
    fs::remove_file(&program).unwrap();
    room.worker(&["stop", "--grace", "0", &first]).succeeds();
    assert_eq!(room.ended(&last)["exit"]["code"], 3);
    for (id, reason) in [("gone", "no worktree"), ("b", "no program")] {
        let job = room.job(id);
        assert_eq!(job["state"], "failed");
        assert!(job["reason"].as_str().unwrap().contains(reason), "{job}");
    }
}

#[test]
fn a_worktree_has_one_live_or_queued_job_unless_shared() {
    let room = with_limit(1);
    let other = room.path().join("other");
    room.git(&["worktree", "add", "-q", "-b", "other", other.to_str().unwrap()]);
    room.worker(&["launch", "--", "sleep", "60"]).succeeds();
    let here = ["launch", "--worktree", other.to_str().unwrap(), "--", "true"];
    room.worker(&here).succeeds().prints("other#1\n").warns("waits");
    room.worker(&here).exits(128).warns("other#1").warns("waits to work");
    let shared = ["launch", "--share", "--worktree", other.to_str().unwrap(), "--", "true"];
    room.worker(&shared).succeeds().prints("other#2\n");
}

#[test]
fn a_repository_may_have_a_limit_of_its_own() {
    let room = Room::new();
    room.write(".codex-agent/config.toml", "[worker]\nmax-concurrency-repo = 1\nmax-concurrency = 7\n");
    room.sh("a", "sleep 60");
    let second = room.worker(&["launch", "--share", "--name", "b", "--", "true"]).succeeds();
    second.warns("waits").warns("'worker.max-concurrency' may be set by the user only");
    let elsewhere = room.path().join("elsewhere");
    room.git(&["init", "-q", elsewhere.to_str().unwrap()]);
    let ran = room.run_in(&elsewhere, "git-worker", &["launch", "--name", "c", "--", "sleep", "60"]).succeeds();
    assert!(!ran.stderr.contains("waits"), "{}", ran.stderr);
    assert_eq!(room.job("b")["state"], "queued");
    room.worker(&["stop", "--grace", "0", "a"]).succeeds();
    assert_eq!(room.ended("b")["state"], "completed");
}

#[test]
fn a_queued_job_sees_no_variable_that_its_launch_did_not_see() {
    let room = with_limit(1);
    let mut command = room.command("git-worker");
    command.args(["launch", "--", "sh", "-c", "while ! [ -e gate ]; do sleep 0.01; done"]).env("SECRET", "of another");
    assert!(command.status().unwrap().success());
    let second = launch(&room, "b", "0", "echo \"<$SECRET>$HOME\"");
    room.write("gate", "");
    room.ended(&second);
    room.worker(&["logs", &second]).succeeds().prints(&format!("<>{}\n", room.home().display()));
    assert!(Path::new(&room.folder(&second)).join("prompt.md").symlink_metadata().is_err());
}
