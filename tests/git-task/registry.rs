//! The registry under many writers, crashes and bad files.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use suite_tests::Sandbox;

/// 16 processes of 200 mixed writes each, one of them killed every 50 ms.
#[test]
fn what_was_acknowledged_survives_many_writers_and_kills() {
    let room = Arc::new(Sandbox::new());
    let (writers, writes) = (16, 200);
    let running: Arc<Mutex<Vec<(u32, u32)>>> = Arc::default();
    let over = Arc::new(AtomicBool::new(false));
    let killer = {
        let (running, over) = (running.clone(), over.clone());
        std::thread::spawn(move || {
            let mut kills = 0_usize;
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
                let all = running.lock().unwrap();
                // While the lock is held nobody is reaped, so the number still means the same process.
                if let Some((_, pid)) = all.get(kills % all.len().max(1)) {
                    let pid = rustix::process::Pid::from_raw(*pid as i32).unwrap();
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                    kills += 1;
                }
            }
            kills
        })
    };
    let threads: Vec<_> = (0..writers)
        .map(|writer| {
            let (room, running) = (room.clone(), running.clone());
            std::thread::spawn(move || write_many(&room, &running, writer, writes))
        })
        .collect();
    let mut acknowledged: BTreeSet<(String, String)> = BTreeSet::new();
    for thread in threads {
        acknowledged.extend(thread.join().unwrap());
    }
    over.store(true, Ordering::Relaxed);
    let kills = killer.join().unwrap();
    assert!(kills > 10, "only {kills} were killed");
    let json = room.run("git-task", &["list", "--json", "--closed"]).succeeds().json();
    let held: BTreeSet<(String, String)> = json["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| (task["slug"].as_str().unwrap().to_owned(), task["goal"].as_str().unwrap().to_owned()))
        .collect();
    let lost: Vec<_> = acknowledged.difference(&held).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged changes are gone: {lost:?}", lost.len(), acknowledged.len());
    assert!(acknowledged.len() > 1000, "{}", acknowledged.len());
    room.run("git-task", &["add", "after all"]).succeeds();
}

/// Adds a task, changes it, adds the next; returns the last acknowledged goal of each task.
fn write_many(room: &Sandbox, running: &Mutex<Vec<(u32, u32)>>, writer: u32, writes: u32) -> Vec<(String, String)> {
    let mut acknowledged: Vec<(String, String)> = Vec::new();
    for write in 0..writes {
        let slug = format!("w{writer}-{}", write / 2);
        let goal = write.to_string();
        let edits = write % 2 == 1 && acknowledged.last().is_some_and(|(last, _)| *last == slug);
        let arguments = if edits {
            vec!["edit", &slug, "--goal", &goal]
        } else {
            vec!["add", "t", "--slug", &slug, "--goal", &goal]
        };
        let mut command = room.command("git-task");
        command.args(&arguments).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child: Child = {
            let mut all = running.lock().unwrap();
            let child = command.spawn().unwrap();
            all.push((writer, child.id()));
            child
        };
        let done = loop {
            let mut all = running.lock().unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                all.retain(|(known, _)| *known != writer);
                break status;
            }
            drop(all);
            std::thread::sleep(Duration::from_millis(1));
        };
        if done.success() {
            if edits {
                acknowledged.pop();
            }
            acknowledged.push((slug, goal));
        } else if edits {
            // Killed in the middle: the old or the new goal may stand, so neither is claimed.
            acknowledged.pop();
        }
    }
    acknowledged
}

#[test]
fn a_broken_registry_is_refused_with_its_place_and_never_overwritten() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["add", "two"]).succeeds();
    let path = room.data().join("tasks.json");
    let good = fs::read(&path).unwrap();
    let newer = String::from_utf8(good.clone()).unwrap().replace("\"schema\": 1", "\"schema\": 2");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("truncated", good[..good.len() / 2].to_vec(), "line "),
        ("filled with NUL", vec![0; good.len()], "line 1 column 1"),
        ("empty", Vec::new(), "line 1 column 0"),
        ("newer", newer.into_bytes(), "has schema 2"),
        ("no object", b"[]".to_vec(), "line 1"),
    ];
    for (name, bytes, words) in cases {
        fs::write(&path, &bytes).unwrap();
        for arguments in [&["list"][..], &["add", "three"], &["edit", "one", "--title", "x"], &["undo"], &["status"]] {
            let ran = room.run("git-task", arguments).exits(128).warns("tasks.json'").warns(words);
            assert!(ran.stderr.contains("hint: "), "{name}: {}", ran.stderr);
            assert_eq!(fs::read(&path).unwrap(), bytes, "{name}: `{}` wrote", ran.words);
        }
        room.run("git-worker", &["list"]).succeeds();
    }
}

#[test]
fn fields_of_a_newer_version_survive_a_rewrite() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    let path = room.data().join("tasks.json");
    let mut document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    document["colour"] = "green".into();
    document["tasks"][0]["weight"] = serde_json::json!({ "kg": 3 });
    document["tasks"][0]["repo"]["forge"] = "x".into();
    fs::write(&path, document.to_string()).unwrap();
    room.run("git-task", &["edit", "one", "--title", "uno"]).succeeds();
    let document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(document["colour"], "green");
    assert_eq!(document["tasks"][0]["weight"]["kg"], 3);
    assert_eq!(document["tasks"][0]["repo"]["forge"], "x");
    assert_eq!(document["tasks"][0]["title"], "uno");
}

#[test]
fn readers_write_nothing_and_need_no_lock() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    let lock = fs::File::open(room.data().join("tasks.json.lock")).unwrap();
    lock.lock().unwrap();
    let before: Vec<_> = fs::read_dir(room.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    for arguments in
        [&["list"][..], &["show", "one"], &["log"], &["status"], &["worktree", "list"], &["add", "-n", "x"]]
    {
        room.run("git-task", arguments).succeeds();
    }
    let after: Vec<_> = fs::read_dir(room.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(before, after);
}

#[test]
fn a_permissive_umask_opens_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let room = Sandbox::new();
    room.run(
        "sh",
        &["-c", "umask 000; git-task add one && git-task trust --yes && git-task config set task.base main"],
    )
    .succeeds();
    let mut stack = vec![room.data(), room.state(), room.home().join(".config/codex-agents")];
    while let Some(path) = stack.pop() {
        let Ok(facts) = fs::symlink_metadata(&path) else { continue };
        assert_eq!(facts.permissions().mode() & 0o077, 0, "{}", path.display());
        if facts.is_dir() {
            stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[test]
fn a_folder_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    fs::set_permissions(room.data(), fs::Permissions::from_mode(0o777)).unwrap();
    room.run("git-task", &["add", "two"]).exits(128).warns("may be written by others");
}
