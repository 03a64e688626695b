//! `git worker audit`, and the telemetry that it is made of.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::room::{Room, kill, text, until};

fn file(room: &Room) -> PathBuf {
    let told = room.worker(&["audit", "--json"]).succeeds().json();
    PathBuf::from(told["unread"]["path"].as_str().unwrap())
}

/// Reads the lines; the last one of a job comes after its end is recorded.
fn lines(room: &Room, wanted: usize) -> Vec<Value> {
    let path = file(room);
    until("all is noted", || fs::read_to_string(&path).is_ok_and(|text| text.lines().count() >= wanted));
    text(&path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns what is said of an agent.
#[track_caller]
fn agent(room: &Room, arguments: &[&str], name: Value) -> Value {
    let told = room.worker(&[&["audit", "--json"], arguments].concat()).succeeds().json();
    let agents = told["agents"].as_array().unwrap();
    agents.iter().find(|agent| agent["agent"] == name).cloned().unwrap_or_else(|| panic!("no {name} in {told}"))
}

#[test]
fn a_job_leaves_a_line_at_its_start_and_one_at_its_end() {
    let room = Room::new();
    room.ended(&room.sh("good", "echo hello"));
    room.ended(&room.sh("bad", "exit 3"));
    let live = room.sh("live", "exec sleep 60");
    let all = lines(&room, 5);
    let words = |line: &Value| format!("{} {}", line["id"].as_str().unwrap(), line["event"].as_str().unwrap());
    let order: Vec<String> = all.iter().map(words).collect();
    assert_eq!(order, ["good#1 start", "good#1 end", "bad#1 start", "bad#1 end", "live#1 start"]);
    let (start, good, bad) = (&all[0], &all[1], &all[3]);
    assert_eq!((&start["state"], &start["duration_ms"]), (&json!("running"), &Value::Null));
    assert_eq!(
        (&good["state"], &good["reason"], &good["exit"]),
        (&json!("completed"), &Value::Null, &json!({"code": 0}))
    );
    assert_eq!((&good["bytes_logged"], &good["tokens"]), (&json!(6), &Value::Null));
    assert_eq!((&bad["state"], &bad["reason"], &bad["exit"]), (&json!("failed"), &json!("exit"), &json!({"code": 3})));
    assert!(good["duration_ms"].is_u64() && good["waited_ms"].is_u64(), "{good}");
    let summed = agent(&room, &[], Value::Null);
    assert_eq!((&summed["jobs"], &summed["unended"], &summed["success_rate"]), (&json!(2), &json!(1), &json!(0.5)));
    assert_eq!(summed["states"], json!({"completed": 1, "failed": 1}));
    assert!(summed["tokens"].is_null(), "{summed}");
    room.worker(&["audit"]).succeeds().says("(command)").says("50%").says("unknown");
    room.worker(&["stop", "--grace", "0", &live]).succeeds();
    assert_eq!((&lines(&room, 6)[5]["reason"], lines(&room, 6).len()), (&json!("asked"), 6));
    // They outlive the job.
    room.worker(&["gc", "--keep", "0"]).succeeds();
    assert_eq!(agent(&room, &[], Value::Null)["jobs"], 3);
}

#[test]
fn the_median_is_in_the_middle_and_a_time_and_a_repository_count() {
    let room = Room::new();
    room.ended(&room.sh("like", "true"));
    let like = lines(&room, 2)[1].clone();
    let line = |agent: &str, n: u64, repo: &Value| {
        let mut line = like.clone();
        line["id"] = json!(format!("{agent}#{n}"));
        (line["agent"], line["repo"], line["duration_ms"]) = (json!(agent), repo.clone(), json!(n * 1000));
        line["time"] = json!(format!("2020-01-{n:02}T00:00:00Z"));
        (line["stalls"], line["redactions"]) = (json!(1), json!(2));
        format!("{line}\n")
    };
    // In no order.
    let mut all: String = [7, 1, 10, 3, 2, 9, 4, 8, 5, 6].iter().map(|n| line("codex", *n, &like["repo"])).collect();
    all.push_str(&line("codex", 20, &json!("another")));
    fs::write(file(&room), all).unwrap();
    let summed = agent(&room, &[], json!("codex"));
    assert_eq!((&summed["jobs"], &summed["median_ms"], &summed["p90_ms"]), (&json!(10), &json!(5000), &json!(9000)));
    assert_eq!((&summed["stalls"], &summed["redactions"]), (&json!(10), &json!(20)));
    assert_eq!(agent(&room, &["--since", "2020-01-08T00:00:00Z"], json!("codex"))["jobs"], 3);
    assert_eq!(agent(&room, &["--all"], json!("codex"))["jobs"], 11);
    room.worker(&["audit", "--since", "1h"]).succeeds().prints("");
    room.worker(&["audit", "--since", "yesterday"]).exits(129);
}

#[test]
fn what_is_no_line_is_counted_and_named_and_the_next_one_is_whole() {
    let room = Room::new();
    room.ended(&room.sh("a", "true"));
    lines(&room, 2);
    let path = file(&room);
    let long = "x".repeat(200_000);
    let newer = "{\"schema\":2}";
    fs::write(&path, format!("{}\n{long}\n{newer}\n\n{{\"schema\":1,\"ti", text(&path).trim_end())).unwrap();
    room.ended(&room.sh("b", "true"));
    until("it is noted", || text(&path).contains("b#1\",\"repo") && text(&path).ends_with("}\n"));
    until("both have ended", || agent(&room, &[], Value::Null)["jobs"] == 2);
    let told = room.worker(&["audit", "--json"]).succeeds().warns("3 lines of").json();
    assert_eq!((&told["unread"]["count"], &told["unread"]["lines"]), (&json!(3), &json!([3, 4, 6])));
}

#[test]
fn nothing_is_noted_where_it_is_not_wanted_and_what_cannot_be_written_disturbs_no_job() {
    let room = Room::new();
    room.user_config("[telemetry]\nstore = \"none\"\n");
    room.ended(&room.sh("off", "true"));
    room.worker(&["audit"]).succeeds().prints("").warns("telemetry.store is 'none'");
    room.user_config("");
    let path = file(&room);
    assert!(!path.exists());
    // A repository has no say.
    room.write(".codex-agent/config.toml", "[telemetry]\nstore = \"none\"\n");
    let id = room.worker(&["launch", "--", "true"]).succeeds().warns("ignored").text().to_owned();
    room.ended(&id);
    assert_eq!(lines(&room, 2)[1]["id"], *id);
    fs::remove_dir_all(room.repo().join(".codex-agent")).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(room.ended(&room.sh("folder", "true"))["state"], "completed");
    room.worker(&["audit"]).exits(128).warns("it is no file");
    fs::remove_dir(&path).unwrap();
    room.run("mkfifo", &[path.to_str().unwrap()]).succeeds();
    assert_eq!(room.ended(&room.sh("pipe", "true"))["state"], "completed");
    room.worker(&["audit"]).exits(128).warns("it is no file");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    assert_eq!(room.ended(&room.sh("full", "true"))["state"], "completed");
}

#[test]
fn ends_of_all_kinds_are_noted_without_a_word_of_the_job() {
    let room = Room::new();
    room.user_config(
        "[worker]\nmax-concurrency = 2\n[agents.mine]\ncommand = [\"sh\", \"-c\", \"echo s3cr3t-prompt; exit 1\"]\n",
    );
    let words = ["launch", "--share", "--name", "mine", "--agent", "mine", "--prompt", "s3cr3t-prompt"];
    room.ended(room.worker(&words).succeeds().text());
    let late = ["launch", "--share", "--name", "late", "--step-timeout", "50ms", "--", "sh", "-c"];
    room.ended(
        room.worker(&[&late[..], &["echo ::milestone:: s3cr3t-step; exec sleep 60"]].concat()).succeeds().text(),
    );
    let lost = room.sh("lost", "exec sleep 60");
    room.sh("second", "exec sleep 60");
    let queued = room.sh("queued", "true");
    room.worker(&["stop", &queued]).succeeds();
    kill(&room, "-9", &room.job(&lost)["supervisor"]["pid"]);
    room.worker(&["stop", "--grace", "0", &lost, "second"]).succeeds();
    let all = lines(&room, 9);
    let end = |id: &str| all.iter().find(|line| line["id"] == id && line["event"] == "end").unwrap().clone();
    assert_eq!((&end("mine#1")["agent"], &end("mine#1")["reason"]), (&json!("mine"), &json!("exit")));
    assert_eq!((&end("late#1")["state"], &end("late#1")["reason"]), (&json!("timed-out"), &json!("step")));
    assert_eq!((&end("lost#1")["reason"], &end("lost#1")["duration_ms"]), (&json!("supervisor"), &Value::Null));
    assert_eq!((&end("queued#1")["state"], &end("queued#1")["waited_ms"]), (&json!("stopped"), &Value::Null));
    assert!(!text(&file(&room)).contains("s3cr3t"));
    assert_eq!(agent(&room, &[], json!("mine"))["success_rate"], json!(0.0));
}
