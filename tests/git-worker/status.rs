//! `git worker status`: what is said is true, whatever happened.

use std::fs;

use serde_json::json;

use crate::room::{Room, count, kill_with_heir, text, unique, until};

#[test]
fn exit_codes_and_signals_are_recorded() {
    let room = Room::new();
    for (script, state, exit) in [
        ("exit 0", "completed", json!({ "code": 0 })),
        ("exit 3", "failed", json!({ "code": 3 })),
        ("kill -9 $$", "failed", json!({ "signal": 9 })),
    ] {
        let id = room.sh("end", script);
        let job = room.ended(&id);
        assert_eq!((job["state"].as_str(), &job["exit"]), (Some(state), &exit));
        assert!(job["ended"].is_string() && job["terminal"] == true);
    }
}

#[test]
fn a_killed_supervisor_is_lost_or_the_true_end() {
    let room = Room::new();
    for n in 0..10 {
        let mark = unique();
        let id = room.sh("victim", &format!("exec sleep {mark}"));
        let job = room.job(&id);
        // An heir would end what is to be found by its mark.
        kill_with_heir(&room, &job["supervisor"]["pid"]);
        until("the supervisor is gone", || room.job(&id)["state"] != "running");
        let job = room.job(&id);
        assert_eq!((job["state"].as_str(), job["reason"].as_str()), (Some("lost"), Some("supervisor")), "round {n}");
        let stored = text(&room.folder(&id).join("job.json"));
        assert!(!stored.contains("\"lost\""), "a reader writes nothing");
        room.worker(&["stop", "--grace", "0", &id]).succeeds().says("lost");
        until("nothing of it is left", || count(&mark) == 0);
        let job = room.job(&id);
        assert_eq!((job["state"].as_str(), job["left_over"].as_u64()), (Some("lost"), Some(1)));
    }
}

#[test]
fn a_kill_at_any_moment_leaves_a_record_that_reads() {
    let room = Room::new();
    for n in 0..30 {
        let mut command = room.command("git-worker");
        command.args(["launch", "--share", "--name", "moment", "--", "sh", "-c", "exit 0"]);
        let mut launcher = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_micros(500 * n);
        while std::time::Instant::now() < end {
            std::hint::spin_loop();
        }
        // Whoever is there at this moment: the launcher, its supervisor, or neither.
        let key = room.run("pgrep", &["-P", &launcher.id().to_string()]);
        for pid in key.stdout.lines() {
            let _ = room.run("kill", &["-9", pid]);
        }
        let _ = launcher.kill();
        launcher.wait().unwrap();
    }
    let all = room.worker(&["list", "--json"]).succeeds().json();
    assert_eq!(all["broken"], json!([]));
    until("all have an end", || {
        let all = room.worker(&["list", "--json"]).succeeds().json();
        all["jobs"].as_array().unwrap().iter().all(|job| job["terminal"] == true)
    });
    room.worker(&["launch", "--name", "moment", "--", "true"]).succeeds();
}

#[test]
fn a_forged_identity_is_lost_and_never_signalled() {
    let room = Room::new();
    let stranger = room.sh("stranger", "sleep 60");
    let stranger = room.job(&stranger)["child"].clone();
    let id = room.sh("forged", "true");
    room.ended(&id);
    let path = room.folder(&id).join("job.json");
    let ended = text(&path);
    let mut wrong_start = stranger.clone();
    wrong_start["start"] = json!(stranger["start"].as_u64().unwrap() - 1);
    let mut old_boot = stranger.clone();
    old_boot["boot"] = json!("00000000-0000-0000-0000-000000000000");
    for (identity, reason) in [(wrong_start, "supervisor"), (old_boot, "boot")] {
        let mut record: serde_json::Value = serde_json::from_str(&ended).unwrap();
        record["state"] = json!("running");
        record["supervisor"] = identity.clone();
        record["child"] = identity;
        room.write_in(&room.folder(&id), "job.json", &record.to_string());
        let job = room.job(&id);
        assert_eq!((job["state"].as_str(), job["reason"].as_str()), (Some("lost"), Some(reason)));
        room.worker(&["stop", "--grace", "0", &id]).succeeds().says("lost");
        room.run("kill", &["-0", &stranger["pid"].to_string()]).succeeds();
        assert_eq!(room.job("stranger")["state"], "running");
    }
}

#[test]
fn a_broken_record_is_named_and_the_others_are_right() {
    let room = Room::new();
    let ids: Vec<String> = (0..4).map(|_| room.sh("job", "true")).collect();
    ids.iter().for_each(|id| drop(room.ended(id)));
    for (id, content) in ids.iter().zip(["", "garbage", "{\"schema\": 1, \"id\": \"jo"]) {
        room.write_in(&room.folder(id), "job.json", content);
    }
    let ran = room.worker(&["list", "--json"]).succeeds();
    let all = ran.json();
    assert_eq!(all["jobs"].as_array().unwrap().len(), 1);
    let broken = all["broken"].as_array().unwrap();
    assert_eq!(broken.len(), 3);
    assert!(broken[0]["path"].as_str().unwrap().ends_with("job/1/job.json"));
    ran.warns("job#1").warns("job#2").warns("job#3");
    room.worker(&["status", "job#2"]).exits(128).warns("job/2/job.json");
    room.worker(&["status", "job#4"]).succeeds().says("completed");
    room.worker(&["launch", "--", "true"]).succeeds();
}

#[test]
fn a_record_of_a_newer_version_is_refused_and_kept() {
    let room = Room::new();
    let id = room.sh("job", "true");
    room.ended(&id);
    let path = room.folder(&id).join("job.json");
    room.write_in(&room.folder(&id), "job.json", "{\"schema\": 9, \"state\": {}}");
    room.worker(&["status", &id]).exits(128).warns("schema 9");
    room.worker(&["stop", &id]).exits(128);
    assert_eq!(text(&path), "{\"schema\": 9, \"state\": {}}");
}

#[test]
fn an_unknown_job_is_no_job() {
    let room = Room::new();
    room.worker(&["status", "nobody"]).exits(128).warns("no job 'nobody'");
    room.worker(&["status", "a#0"]).exits(129);
    room.worker(&["status", "../a"]).exits(129);
    room.worker(&["status", "--latest"]).exits(128);
    room.worker(&["status"]).succeeds().prints("");
}

#[test]
fn what_ended_lately_is_shown_the_latest_first() {
    let room = Room::new();
    for name in ["a", "a", "b"] {
        let id = room.sh(name, "true");
        room.ended(&id);
    }
    let ran = room.worker(&["status", "--json"]).succeeds().json();
    let ids: Vec<&str> = ran["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["b#1", "a#2", "a#1"]);
    room.worker(&["status", "--latest"]).succeeds().says("b#1  completed");
    let elsewhere = room.run_in(room.path(), "git-worker", &["status", "--all"]).succeeds();
    elsewhere.says("a#2").says("b#1");
}

#[test]
fn a_full_disk_does_not_cost_the_true_end() {
    let room = Room::new();
    let state = room.home().join(".local/state");
    fs::create_dir_all(&state).unwrap();
    let options = ["-t", "tmpfs", "-o", "size=600k,mode=0700", "none", state.to_str().unwrap()];
    if room.run("mount", &options).code != 0 {
        return suite_tests::skip("a full disk", "a file system cannot be mounted here");
    }
    let id = room.sh("full", "head -c 5000000 /dev/zero; head -c 100 /dev/zero >&2; exit 7");
    let job = room.ended(&id);
    assert_eq!((job["state"].as_str(), &job["exit"]), (Some("failed"), &json!({ "code": 7 })));
    let (logged, dropped) = (job["bytes_logged"].as_u64().unwrap(), job["bytes_dropped"].as_u64().unwrap());
    assert!(dropped > 4_000_000 && logged + dropped == 5_000_100, "{logged} {dropped}");
    room.worker(&["status"]).succeeds().says("exit 7");
    drop(room.run("umount", &["-l", state.to_str().unwrap()]));
}
