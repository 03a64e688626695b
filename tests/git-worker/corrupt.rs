//! Records that are broken, and records that lie about processes.

use std::fs;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use suite_tests::skip;

use crate::index::copies;
use crate::room::{Room, text};

#[test]
fn of_a_hundred_records_three_are_corrupt_and_the_others_are_right() {
    let room = Room::new();
    let id = room.sh("one", "exit 3");
    room.ended(&id);
    let one = room.folder(&id);
    let folder = one.ancestors().nth(2).unwrap().to_owned();
    copies(&folder, &one, "job", 99);
    let record = |n: u32| folder.join(format!("job/{n}/job.json"));
    // Once before there is a line of them in the index, and once after.
    for known in [false, true] {
        if known {
            copies(&folder, &one, "job", 99);
            assert_eq!(room.worker(&["list", "--json"]).succeeds().json()["jobs"].as_array().unwrap().len(), 100);
        }
        let whole = text(&record(7));
        fs::write(record(7), &whole[..whole.len() / 2]).unwrap();
        fs::write(record(42), "\u{0}\u{1}garbage\u{1b}[31m").unwrap();
        fs::write(record(99), "").unwrap();
        for _ in 0..2 {
            let ran = room.worker(&["list", "--json"]).succeeds();
            let all = ran.json();
            let jobs = all["jobs"].as_array().unwrap();
            assert_eq!(jobs.len(), 97);
            assert!(jobs.iter().all(|job| job["state"] == "failed" && job["exit"]["code"] == 3));
            let named: Vec<&str> =
                all["corrupt"].as_array().unwrap().iter().map(|c| c["path"].as_str().unwrap()).collect();
            let paths: Vec<String> = [42, 7, 99].iter().map(|n| record(*n).display().to_string()).collect();
            assert_eq!(named, paths);
            assert_eq!(all["corrupt"], all["broken"]);
            for path in &paths {
                assert!(ran.stderr.contains("corrupt") && ran.stderr.contains(path.as_str()), "{}", ran.stderr);
            }
            assert_eq!(room.worker(&["list"]).succeeds().stdout.lines().count(), 97);
        }
        room.worker(&["status"]).succeeds();
    }
    for n in [7, 42, 99] {
        let (id, before) = (format!("job#{n}"), text(&record(n)));
        for words in [vec!["status"], vec!["wait"], vec!["stop", "--grace", "0"]] {
            let path = record(n).display().to_string();
            room.worker(&[words, vec![&id]].concat()).exits(128).warns(&path);
        }
        assert_eq!(text(&record(n)), before, "it is evidence, and stays");
    }
    assert_eq!(room.sh("job", "true"), "job#100");
    room.worker(&["status", "job#98"]).succeeds().says("exit 3");
}

/// A stranger that must not be signalled.
struct Stranger(Child);

impl Stranger {
    fn start(room: &Room) -> Stranger {
        let mut command = room.command("sleep");
        Stranger(command.arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    fn start_time(pid: u32) -> u64 {
        let stat = text(std::path::Path::new(&format!("/proc/{pid}/stat")));
        stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(19).unwrap().parse().unwrap()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a stranger with the process id of one that has ended; returns it and the start time of that one.
fn recycled(room: &Room) -> Option<(Stranger, u64)> {
    for _ in 0..200 {
        let mut first = Stranger::start(room);
        let (pid, start) = (first.0.id(), Stranger::start_time(first.0.id()));
        first.0.kill().unwrap();
        first.0.wait().unwrap();
        // Ticks are coarse: let one go by.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
        let second = Stranger::start(room);
        if second.0.id() == pid && Stranger::start_time(pid) != start {
            return Some((second, start));
        }
    }
    None
}

#[test]
fn a_hundred_forged_identities_are_lost_and_never_signalled() {
    let room = Room::new();
    let id = room.sh("one", "true");
    room.ended(&id);
    let one = room.folder(&id);
    let folder = one.ancestors().nth(2).unwrap().to_owned();
    copies(&folder, &one, "forged", 100);
    let boot = room.job(&id)["boot"].as_str().unwrap().to_owned();
    let mut strangers = vec![Stranger::start(&room), Stranger::start(&room)];
    let mut identities: Vec<(Value, &str)> = Vec::new();
    let recycled = recycled(&room);
    if recycled.is_none() {
        skip("recycled process ids", "the next process id cannot be chosen here");
    }
    for n in 0..100 {
        let pid = strangers[n % 2].0.id();
        let start = Stranger::start_time(pid);
        identities.push(match (n % 3, &recycled) {
            (0, _) => (json!({ "pid": pid, "start": start - 1 - n as u64, "boot": boot }), "supervisor"),
            (1, _) | (_, None) => {
                (json!({ "pid": pid, "start": start, "boot": "0b5e55ed-0000-0000-0000-000000000000" }), "boot")
            }
            (_, Some((second, start))) => (json!({ "pid": second.0.id(), "start": start, "boot": boot }), "supervisor"),
        });
    }
    strangers.extend(recycled.map(|(stranger, _)| stranger));
    for (n, (identity, _)) in identities.iter().enumerate() {
        let path = folder.join(format!("forged/{}/job.json", n + 1));
        let mut record: Value = serde_json::from_str(&text(&path)).unwrap();
        record["state"] = json!("running");
        record["ended"] = Value::Null;
        record["supervisor"] = identity.clone();
        record["child"] = identity.clone();
        fs::write(&path, record.to_string()).unwrap();
    }
    let all = room.worker(&["list", "--json"]).succeeds().json();
    for (n, (_, reason)) in identities.iter().enumerate() {
        let id = format!("forged#{}", n + 1);
        let job = all["jobs"].as_array().unwrap().iter().find(|job| job["id"] == id.as_str()).unwrap();
        assert_eq!((job["state"].as_str(), job["reason"].as_str()), (Some("lost"), Some(*reason)), "{job}");
    }
    let ids: Vec<String> = (1..=100).map(|n| format!("forged#{n}")).collect();
    let words: Vec<&str> = ["stop", "--grace", "0"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    let stopped = room.worker(&words).succeeds().stdout;
    assert_eq!(stopped.lines().filter(|line| line.ends_with("  lost")).count(), 100, "{stopped}");
    assert!(strangers.iter_mut().all(Stranger::is_alive));
}
