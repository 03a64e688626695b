//! The log of a repository's runs: it is read whatever is in it, and every run lands in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use serde_json::Value;
use suite_tests::{Ran, Sandbox, program_folder, skip};

use crate::attempts::{agent, backend, bo4, ended};

fn line(n: usize, more: &str) -> String {
    format!(
        "{{\"schema\":1,\"run\":\"old-{n:04}\",\"task_id\":null,\"task\":null,\"backend\":\"local\",\"env\":null,\"base\":\"main\",\
         \"base_commit\":\"{}\",\"best_of\":3,\"lanes\":[\"codex:3\"],\"prompt_file\":null,\"prompt_hash\":\"00\",\
         \"title\":\"question {n}\",\"created\":\"2026-01-01T00:00:{:02}Z\",\"previous\":null{more}}}",
        "0".repeat(40),
        n % 60
    )
}

fn write_log(room: &Sandbox, bytes: &[u8]) {
    fs::create_dir_all(room.repo().join(".codex")).unwrap();
    fs::write(room.repo().join(".codex/bo4_runs.jsonl"), bytes).unwrap();
}

fn runs(room: &Sandbox) -> (Vec<String>, Vec<Value>) {
    let listed = bo4(room, &["list", "--json"]).succeeds().json();
    let runs = listed["runs"].as_array().unwrap().iter();
    (runs.map(|run| run["run"].as_str().unwrap().to_owned()).collect(), listed["broken"].as_array().unwrap().clone())
}

#[test]
fn a_thousand_runs_with_a_torn_end_still_read_and_go_on() {
    let room = Sandbox::new();
    let mut text: String = (0..1000).map(|n| line(n, "") + "\n").collect();
    text.push_str(&line(1000, "")[..90]);
    write_log(&room, text.as_bytes());
    let (names, broken) = runs(&room);
    assert_eq!((names.len(), broken.len()), (1000, 1), "{broken:?}");
    bo4(&room, &["list"]).succeeds().says("question 999").warns("1 lines of the log");
    assert_eq!(bo4(&room, &["list", "-m", "5", "--json"]).json()["runs"].as_array().unwrap().len(), 5);
    let run = ended(&room, &[&agent(&room, "good", "echo x >> README")]);
    let (names, broken) = runs(&room);
    assert_eq!((names.len(), broken.len()), (1001, 1), "{broken:?}");
    let now = fs::read_to_string(room.repo().join(".codex/bo4_runs.jsonl")).unwrap();
    assert!(now.starts_with(&text), "what was there stays");
    let last: Value = serde_json::from_str(now.lines().last().unwrap()).unwrap();
    assert_eq!(last["run"], run.as_str());
}

#[test]
fn broken_long_and_newer_lines_hide_no_other() {
    let room = Sandbox::new();
    let long = line(2, &format!(",\"more\":\"{}\"", "x".repeat(1 << 20)));
    let newer = line(3, ",\"new\":{\"a\":[1]}").replace("\"schema\":1", "\"schema\":7");
    let strange = line(4, "").replace("\"local\"", "\"moon\"");
    let control = line(5, "").replace("question", "\\u001b[2J\\u202e\\u0000question");
    let all: Vec<Vec<u8>> = vec![
        line(0, "").into(),
        b"\0\0\0\0".to_vec(),
        b"{\"run\":\"\0\"}".to_vec(),
        b"\xff\xfe".to_vec(),
        b"[]".to_vec(),
        b"[".repeat(100_000),
        b"".to_vec(),
        (line(1, "") + "\r").into(),
        long.into(),
        newer.into(),
        strange.into(),
        control.into(),
        line(6, "").into(),
    ];
    write_log(&room, &all.join(&b'\n'));
    let (names, broken) = runs(&room);
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["old-0000", "old-0001", "old-0002", "old-0003", "old-0005", "old-0006"]);
    assert!(broken[0].as_str().unwrap().starts_with('6'), "{broken:?}");
    let listed = bo4(&room, &["list"]).succeeds();
    assert!(!listed.stdout.contains(['\u{1b}', '\u{202e}', '\0']), "{:?}", listed.stdout);
}

#[test]
fn many_at_once_all_land() {
    for count in [2, 8] {
        let room = Sandbox::new();
        let agent = agent(&room, "good", "echo x >> README");
        let begin = |n: usize| {
            let mut command = room.command(program_folder().join("git-bo4"));
            command.args(["new", "--prompt", &format!("question {n}"), "--lane", &agent, "--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children: Vec<_> = (0..count).map(begin).collect();
        for child in children {
            Ran::new("new".to_owned(), child.wait_with_output().unwrap()).succeeds().json();
        }
        let text = fs::read_to_string(room.repo().join(".codex/bo4_runs.jsonl")).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), count);
        assert_eq!(runs(&room), (runs(&room).0, vec![]));
        assert_eq!(runs(&room).0.len(), count);
        assert_eq!(room.git(&["status", "--porcelain"]), "");
        bo4(&room, &["watch", "--interval", "200ms"]);
    }
}

#[test]
fn a_folder_or_a_log_that_leads_elsewhere_is_refused_before_anything_begins() {
    for what in ["folder", "file in its place", "log", "lock", "pipe", "folder of files"] {
        let room = Sandbox::new();
        let folder = backend(&room, &[b"--- a/README\n+++ b/README\n@@ -1,2 +1,2 @@\n-one\n+good\n two\n"]);
        let (outside, own) = (room.path().join("outside"), room.repo().join(".codex"));
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "precious\n").unwrap();
        match what {
            "folder" => symlink("../outside", &own).unwrap(),
            "file in its place" => fs::write(&own, "a file\n").unwrap(),
            _ => fs::create_dir(&own).unwrap(),
        }
        match what {
            "log" => symlink("../../outside/precious", own.join("bo4_runs.jsonl")).unwrap(),
            "lock" => symlink("../../outside/lock", own.join("bo4_runs.lock")).unwrap(),
            "folder of files" => symlink("../../outside", own.join("bo4")).unwrap(),
            "pipe" => drop(room.run("mkfifo", &[&own.join("bo4_runs.jsonl").display().to_string()]).succeeds()),
            _ => {}
        }
        if what != "pipe" {
            // As a clone brings it.
            room.git(&["add", "-f", ".codex"]);
            room.git(&["commit", "-q", "-m", "harm"]);
        }
        let words = ["run", "--backend", "command", "--prompt", "x", "--best-of", "1", "--interval", "200ms"];
        bo4(&room, &words).exits(128).warns(".codex");
        assert!(!folder.join("news").exists(), "{what}: it was begun");
        assert_eq!(fs::read_to_string(outside.join("precious")).unwrap(), "precious\n", "{what}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{what}");
        let listed = bo4(&room, &["list", "--json"]);
        assert!(matches!(listed.code, 0 | 128), "{listed:?}");
    }
}

#[test]
fn the_log_of_a_cloned_repository_makes_nothing_run() {
    let room = Sandbox::new();
    let ran = room.path().join("ran");
    let harm = room.script("harm", &format!("echo ran >> '{}'", ran.display()));
    let hostile = line(1, "")
        .replace("\"codex:3\"", &format!("\"{}:3\"", harm.display()))
        .replace("question 1", "$(touch ran)`touch ran`; touch ran")
        .replace("old-0001", "../../x");
    let other = line(2, "").replace("\"main\"", "\"--upload-pack=touch ran\"");
    room.write(".codex/bo4_runs.jsonl", &format!("{hostile}\n{other}\n"));
    room.write(".codex/bo4/old-0002/report.html", "<script>alert(1)</script>");
    room.commit("a log");
    for words in [
        &["list"][..],
        &["list", "--json"],
        &["status"],
        &["status", "old-0002"],
        &["watch", "old-0002"],
        &["run", "old-0002"],
        &["retry", "old-0002"],
        &["branch", "old-0002"],
        &["review", "old-0002"],
        &["report", "old-0002"],
        &["pick", "old-0002"],
        &["status", "../../x"],
        &["export", "../../x"],
        &["gc", "--older-than", "0s"],
    ] {
        let ran = bo4(&room, words);
        assert!(matches!(ran.code, 0 | 128), "{ran:?}");
    }
    assert!(!ran.exists() && !room.repo().join("ran").exists());
    assert_eq!(room.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    assert!(room.repo().join(".codex/bo4/old-0002/report.html").exists());
}

#[test]
fn what_cannot_be_logged_is_not_begun() {
    let room = Sandbox::new();
    let folder = backend(&room, &[b"--- a/README\n+++ b/README\n@@ -1,2 +1,2 @@\n-one\n+good\n two\n"]);
    let own = room.repo().join(".codex");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(own.join("x"), "").is_ok() {
        fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
        return skip("a folder that nobody may write to", "root may");
    }
    bo4(&room, &["new", "--backend", "command", "--prompt", "x", "--best-of", "1"]).exits(128);
    assert!(!folder.join("news").exists(), "it was begun");
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_full_disk_loses_no_run_and_begins_none_twice() {
    let room = Sandbox::new();
    let folder = backend(&room, &[b"--- a/README\n+++ b/README\n@@ -1,2 +1,2 @@\n-one\n+good\n two\n"]);
    let own = room.repo().join(".codex");
    fs::create_dir(&own).unwrap();
    let place = own.display().to_string();
    if room.run("mount", &["-t", "tmpfs", "-o", "size=16k", "tmpfs", &place]).code != 0 {
        return skip("a full disk", "nothing can be mounted here");
    }
    room.run("sh", &["-c", "yes > .codex/filler 2> /dev/null; :"]);
    let words = ["run", "--backend", "command", "--prompt", "x", "--best-of", "1", "--interval", "200ms"];
    let full = bo4(&room, &words);
    let listed = bo4(&room, &["list", "--json"]);
    fs::remove_file(own.join("filler")).unwrap();
    let again = bo4(&room, &words);
    let text = fs::read_to_string(own.join("bo4_runs.jsonl")).unwrap_or_default();
    room.run("umount", &[&place]).succeeds();
    full.exits(128);
    listed.succeeds().json();
    assert!(matches!(again.code, 0 | 1 | 128), "{again:?}");
    assert!(text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count() == 1, "{text}\n{again:?}");
    assert_eq!(fs::read_to_string(folder.join("news")).unwrap().lines().count(), 1);
}
