//! What ended while nobody looked: `status --unseen`, `--watch`, `wait --any` and notices.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::room::{Room, kill, text, until};

fn unseen(room: &Room) -> Vec<String> {
    let shown = room.worker(&["status", "--unseen", "--json"]).succeeds().json();
    shown["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

fn done(room: &Room, name: &str) -> String {
    let id = room.sh(name, "true");
    room.ended(&id);
    id
}

#[test]
fn what_ended_is_shown_once() {
    let room = Room::new();
    done(&room, "a");
    done(&room, "b");
    room.sh("live", "sleep 60");
    assert_eq!(unseen(&room), ["b#1", "a#1"]);
    assert!(unseen(&room).is_empty());
    done(&room, "a");
    room.worker(&["status", "--unseen"]).succeeds().says("a#2  completed");
    room.worker(&["status", "--unseen"]).succeeds().prints("");
    room.worker(&["stop", "--grace", "0", "live"]).succeeds();
    assert_eq!(unseen(&room), ["live#1"]);
}

#[test]
fn an_end_that_is_noted_late_and_a_lost_job_are_shown_too() {
    let room = Room::new();
    done(&room, "a");
    let id = room.sh("victim", "exec sleep 60");
    assert_eq!(unseen(&room), ["a#1"]);
    let early = done(&room, "early");
    let path = room.folder(&early).join("job.json");
    let mut record: Value = serde_json::from_str(&text(&path)).unwrap();
    let ended = record["ended"].as_str().unwrap().to_owned();
    record["ended"] = record["created"].clone();
    fs::write(&path, record.to_string().replace(&ended, record["created"].as_str().unwrap())).unwrap();
    assert_eq!(unseen(&room), ["early#1"]);
    kill(&room, "-9", &room.job(&id)["supervisor"]["pid"]);
    until("it is lost", || room.job(&id)["state"] == "lost");
    assert_eq!(unseen(&room), ["victim#1"]);
    done(&room, "next");
    assert_eq!(unseen(&room), ["next#1"]);
    assert!(unseen(&room).is_empty());
}

#[test]
fn two_who_look_at_once_lose_none_and_see_none_twice() {
    let room = Room::new();
    for _ in 0..3 {
        let ids: Vec<String> = (0..12).map(|_| room.sh("job", "true")).collect();
        let words: Vec<&str> = ["wait"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        let mut seen: Vec<String> = std::thread::scope(|scope| {
            let looks: Vec<_> = (0..3).map(|_| scope.spawn(|| [unseen(&room), unseen(&room)].concat())).collect();
            room.worker(&words).succeeds();
            looks.into_iter().flat_map(|look| look.join().unwrap()).collect()
        });
        seen.extend(unseen(&room));
        seen.sort();
        let mut all = ids.clone();
        all.sort();
        assert_eq!(seen, all);
    }
}

#[test]
fn a_broken_note_of_what_was_seen_shows_again_rather_than_never() {
    let room = Room::new();
    let id = done(&room, "a");
    let folder = room.folder(&id).ancestors().nth(2).unwrap().to_owned();
    unseen(&room);
    fs::write(folder.join(".seen.json"), "{\"schema\":1,").unwrap();
    assert_eq!(unseen(&room), ["a#1"]);
}

#[test]
fn waiting_for_any_ends_with_the_first() {
    let room = Room::new();
    let slow = room.sh("slow", "sleep 60");
    let fast = room.sh("fast", "while ! [ -e gate ]; do sleep 0.01; done");
    room.worker(&["wait", "--any", "--timeout", "50ms", &slow, &fast]).exits(128).warns("slow#1").warns("fast#1");
    room.write("gate", "");
    let ran = room.worker(&["wait", "--any", "--json", &slow, &fast]).succeeds().json();
    assert_eq!(ran["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(ran["jobs"][0]["id"], "fast#1");
    room.worker(&["wait", "--all", "--timeout", "50ms"]).exits(128).warns("'slow#1' still lives");
    room.worker(&["stop", "--grace", "0", &slow]).succeeds();
    room.worker(&["wait", "--all"]).succeeds().prints("");
    room.worker(&["wait", "--any", &slow, &fast]).exits(1);
    room.worker(&["wait"]).exits(129);
}

#[test]
fn watching_prints_a_line_for_each_change() {
    let room = Room::new();
    room.sh("a", "while ! [ -e gate ]; do sleep 0.01; done");
    let out = room.path().join("out");
    let file = fs::File::create(&out).unwrap();
    let mut child = room.command("git-worker").args(["status", "--watch", "a"]).stdout(file).spawn().unwrap();
    until("the first line is there", || text(&out).contains("a#1  running"));
    room.write("gate", "");
    assert!(child.wait().unwrap().success());
    let lines: Vec<String> = text(&out).lines().map(str::to_owned).collect();
    assert!(lines.len() == 2 && lines[1].starts_with("a#1  completed"), "{lines:?}");
    room.worker(&["status", "--watch"]).succeeds().says("a#1  completed");
}

#[test]
fn a_command_of_the_user_is_told_of_the_end() {
    let room = Room::new();
    let told = room.path().join("told");
    let teller = room.script("teller", "cat > \"$1.new\"; mv \"$1.new\" \"$1\"");
    let config = format!("[notify]\ncommand = [\"{}\", \"{}\"]\n", teller.display(), told.display());
    room.user_config(&config);
    let id = room.sh("a", "exit 3");
    until("the command was told", || told.exists());
    let job: Value = serde_json::from_str(&text(&told)).unwrap();
    assert_eq!((job["job"]["id"].as_str(), job["job"]["state"].as_str()), (Some(id.as_str()), Some("failed")));
    fs::remove_file(&told).unwrap();
    room.user_config("");
    room.write(".codex-agent/config.toml", &config);
    let id = room.worker(&["launch", "--", "true"]).succeeds().warns("may be set by the user only").text().to_owned();
    room.ended(&id);
    assert_eq!(room.job(&id)["notify"], Value::Null);
    assert!(!told.exists());
}

#[test]
fn the_terminal_of_the_launch_is_told_of_the_end() {
    let room = Room::new();
    if room.run("sh", &["-c", "command -v script"]).code != 0 {
        return suite_tests::skip("a notice on the terminal", "there is no script(1)");
    }
    room.user_config("[notify]\nterminal = true\n");
    let out = room.path().join("typescript");
    let words = ["-qefc", "git-worker launch -- true; exec sleep 60", out.to_str().unwrap()];
    let mut child = room.command("script").args(words).stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
    until("it was told", || text(&out).contains("\u{1b}]777;notify;git worker;main#1 completed\u{7}"));
    assert!(text(&out).contains("\u{1b}]9;main#1 completed\u{7}"));
    child.kill().unwrap();
    child.wait().unwrap();
    let folder = room.folder("main");
    let record: Value = serde_json::from_str(&text(&folder.join("job.json"))).unwrap();
    assert!(record["notify"]["terminal"]["device"].as_u64().is_some_and(|device| device > 0), "{record}");
}
