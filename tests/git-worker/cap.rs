//! The log keeps within its cap, and a full disk stops nobody.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use crate::room::{Room, text, until};

const MIB: u64 = 1024 * 1024;

/// Returns the bytes of all files of the log.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let logs = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("output."));
    logs.filter_map(|entry| entry.metadata().ok()).map(|facts| facts.len()).sum()
}

#[test]
fn head_and_tail_of_a_long_log_are_kept() {
    let room = Room::new();
    room.user_config("[worker]\nlog-cap = \"1MiB\"\n");
    let gate = room.path().join("gate");
    let wait = format!("while ! [ -e '{}' ]; do sleep 0.01; done", gate.display());
    let id = room.sh("long", &format!("seq 1 700000; {wait}; echo after; seq 700001 900000; echo end"));
    let folder = room.folder(&id);
    until("all is written", || room.worker(&["logs", &id, "-n", "1"]).stdout == "700000\n");
    assert!(size(&folder) <= MIB && folder.join("output.log").metadata().unwrap().len() == MIB / 4);
    let now = room.worker(&["logs", &id]).succeeds().stdout;
    assert!(now.starts_with("1\n2\n") && now.contains("bytes left out]\n") && now.ends_with("\n700000\n"));
    assert_eq!(room.worker(&["logs", &id, "-n", "60000"]).succeeds().stdout.lines().count(), 60000);

    let mut follow =
        room.command("git-worker").args(["logs", "-f", "-n", "2", &id]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 14];
    let mut pipe = follow.stdout.take().unwrap();
    pipe.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"699999\n700000\n");
    room.write_in(room.path(), "gate", "");
    let mut rest = String::new();
    pipe.read_to_string(&mut rest).unwrap();
    assert!(follow.wait().unwrap().success());
    assert!(rest.ends_with("\n900000\nend\n"), "{:?}", rest.lines().last());

    let job = room.ended(&id);
    let log = text(&folder.join("output.log"));
    let whole: u64 = (1..=900_000_u64).map(|n| n.to_string().len() as u64 + 1).sum::<u64>() + 6 + 4;
    let (logged, dropped) = (job["bytes_logged"].as_u64().unwrap(), job["bytes_dropped"].as_u64().unwrap());
    assert_eq!(logged + dropped, whole);
    assert!(log.starts_with("1\n2\n") && log.contains(&format!("\n[git-worker: {dropped} bytes left out]\n")));
    assert!(log.ends_with("\n900000\nend\n") && log.len() as u64 <= MIB * 11 / 10 && logged > MIB * 8 / 10);
    assert_eq!(size(&folder), log.len() as u64, "the pieces are gone");
    assert_eq!(room.worker(&["logs", &id]).succeeds().stdout, log);
}

#[test]
fn a_log_of_a_killed_supervisor_is_shown_from_head_to_tail() {
    let room = Room::new();
    room.user_config("[worker]\nlog-cap = \"1MiB\"\n");
    let id = room.sh("lost", "seq 1 700000; sleep 60");
    until("all is written", || room.worker(&["logs", &id, "-n", "1"]).stdout == "700000\n");
    crate::room::kill(&room, "-9", &room.job(&id)["supervisor"]["pid"]);
    until("it is lost", || room.job(&id)["state"] == "lost");
    room.worker(&["stop", "--grace", "0", &id]).succeeds();
    let log = room.worker(&["logs", &id]).succeeds().stdout;
    assert!(log.starts_with("1\n2\n") && log.contains("bytes left out]\n") && log.ends_with("\n700000\n"));
}

#[test]
fn a_log_within_its_cap_is_whole_though_it_was_in_pieces() {
    let room = Room::new();
    room.user_config("[worker]\nlog-cap = \"8MiB\"\n");
    let id = room.sh("whole", "seq 1 700000");
    assert_eq!(room.ended(&id)["bytes_dropped"], 0);
    let expected: String = (1..=700_000).map(|n| format!("{n}\n")).collect();
    assert!(text(&room.folder(&id).join("output.log")) == expected);
    room.user_config("[worker]\nlog-cap = \"8 apples\"\n");
    room.worker(&["launch", "--", "true"]).exits(128).warns("worker.log-cap");
}

#[test]
fn a_full_disk_neither_blocks_nor_kills() {
    let room = Room::new();
    let disk = room.state();
    std::fs::create_dir_all(&disk).unwrap();
    let disk = disk.to_str().unwrap();
    let options = format!("size=600k,mode=700,uid={}", room.run("id", &["-u"]).text());
    if room.run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", disk]).code != 0 {
        return suite_tests::skip("a full disk", "no tmpfs can be mounted here");
    }
    let id = room.sh("full", "seq 1 700000; exit 7");
    let job = room.ended(&id);
    let listed = room.worker(&["status", "--json"]).succeeds();
    drop(room.run("umount", &["-l", disk]).succeeds());
    assert_eq!((job["state"].as_str(), job["exit"]["code"].as_u64()), (Some("failed"), Some(7)), "{job}");
    assert!(job["bytes_dropped"].as_u64().unwrap() > 3_000_000 && listed.stdout.contains("full#1"));
}

#[test]
fn milestones_are_shown_by_themselves() {
    let room = Room::new();
    let id = room.sh("miles", "echo x; echo '::milestone:: half'; echo y; echo '::milestone:: whole'");
    room.ended(&id);
    let shown = room.worker(&["logs", "--milestones", "-n", "1"]).succeeds();
    assert!(shown.stdout.ends_with("Z  whole\n") && shown.stdout.lines().count() == 1, "{}", shown.stdout);
    let json = room.worker(&["logs", "--milestones", "--json"]).succeeds().stdout;
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((first["line"].as_str(), first["time"].is_string()), (Some("half"), true));
    room.worker(&["logs", "--milestones", "--raw"]).exits(129);
}

#[test]
fn what_was_printed_since_a_time_is_shown() {
    let room = Room::new();
    room.user_config("[worker]\nlog-cap = \"1MiB\"\n");
    let gate = room.path().join("gate");
    let wait = |n: u32| format!("while ! [ -e '{}{n}' ]; do sleep 0.01; done; sleep 0.1", gate.display());
    let early = "seq 1 100; echo '::milestone:: first'";
    let late = "seq 101 200000; echo '::milestone:: second'";
    let id = room.sh("time", &format!("{early}; {}; {late}; {}; echo last", wait(1), wait(2)));
    let now = || room.run("date", &["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"]).succeeds().text().to_owned();
    let since = |time: &str| room.worker(&["logs", &id, "--since", time]).succeeds().stdout;
    let ends = |end: &str| room.worker(&["logs", &id]).stdout.ends_with(end);
    until("the first part is there", || ends("first\n"));
    let first = now();
    room.write_in(room.path(), "gate1", "");
    until("the second part is there", || ends("second\n"));
    let second = now();
    let both = since(&first);
    assert!(both.starts_with("101\n102\n") && both.ends_with("second\n"), "{:?}", both.lines().next());
    assert_eq!((since("1h").lines().next(), since(&second).as_str()), (Some("1"), ""));
    room.write_in(room.path(), "gate2", "");
    room.ended(&id);
    assert_eq!((since(&second).as_str(), since("1h").lines().next()), ("last\n", Some("1")));
    assert_eq!(since(&now()), "");
    assert!(since(&first).starts_with("101\n102\n") && since(&first).ends_with("second\nlast\n"));
    let milestones = room.worker(&["logs", "--milestones", "--since", &first]).succeeds();
    assert!(milestones.stdout.ends_with("Z  second\n") && milestones.stdout.lines().count() == 1);
    room.worker(&["logs", "--since", "yesterday"]).exits(129).warns("2026-03-01");
}

#[test]
fn the_place_of_a_time_is_found_in_a_log_that_was_cut() {
    let room = Room::new();
    room.user_config("[worker]\nlog-cap = \"1MiB\"\n");
    let gate = room.path().join("gate");
    let wait = format!("while ! [ -e '{}' ]; do sleep 0.01; done; sleep 0.1", gate.display());
    let id = room.sh("cut", &format!("seq 1 700000; {wait}; seq 700001 720000"));
    until("the first part is there", || room.worker(&["logs", &id, "-n", "1"]).stdout == "700000\n");
    let time = room.run("date", &["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"]).succeeds().text().to_owned();
    room.write_in(room.path(), "gate", "");
    room.ended(&id);
    let shown = room.worker(&["logs", "--since", &time]).succeeds().stdout;
    assert!(shown.starts_with("700001\n") && shown.ends_with("\n720000\n"), "{:?}", shown.lines().next());
}
