//! The index of what has ended: faster than the records, and never in their place.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::room::{Room, text};

/// Runs some jobs to their end and returns the folder of the repository's jobs.
fn with_jobs(room: &Room, names: &[&str]) -> PathBuf {
    for name in names {
        let id = room.sh(name, "echo hello");
        room.ended(&id);
    }
    room.folder(&format!("{}#1", names[0])).ancestors().nth(2).unwrap().to_owned()
}

/// Writes finished jobs as copies of one, without an index.
pub(crate) fn copies(folder: &Path, like: &Path, slug: &str, count: u32) {
    let record: Value = serde_json::from_str(&text(&like.join("job.json"))).unwrap();
    for number in 1..=count {
        let mut record = record.clone();
        record["id"] = json!(format!("{slug}#{number}"));
        record["slug"] = json!(slug);
        record["number"] = json!(number);
        let job = folder.join(slug).join(number.to_string());
        fs::create_dir_all(&job).unwrap();
        fs::write(job.join("job.json"), record.to_string()).unwrap();
        fs::write(job.join("lock"), "").unwrap();
    }
}

fn lines(folder: &Path) -> Vec<String> {
    text(&folder.join(".index.jsonl")).lines().map(str::to_owned).collect()
}

fn list(room: &Room) -> Value {
    room.worker(&["list", "--json"]).succeeds().json()
}

#[test]
fn a_job_that_ends_is_one_line_and_reads_as_its_record() {
    let room = Room::new();
    let folder = with_jobs(&room, &["a", "b", "a"]);
    let all = lines(&folder);
    assert_eq!(all.len(), 3, "{all:?}");
    let line: Value = serde_json::from_str(&all[1]).unwrap();
    let record: Value = serde_json::from_str(&text(&folder.join("b/1/job.json"))).unwrap();
    assert_eq!(line["record"], record);
    assert_eq!(line["head"]["stamp"]["size"], fs::metadata(folder.join("b/1/job.json")).unwrap().len());
    let with = list(&room);
    let from_text = room.worker(&["list"]).succeeds().stdout;
    fs::remove_file(folder.join(".index.jsonl")).unwrap();
    let mut command = room.command("git-worker");
    let ran = command.args(["list", "--json"]).env("GIT_OPTIONAL_LOCKS", "0").output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&ran.stdout).unwrap(), with);
    assert!(!folder.join(".index.jsonl").exists(), "a reader that may take no lock writes nothing");
    room.worker(&["list"]).succeeds().prints(&from_text);
    assert_eq!(lines(&folder), all, "the index is made anew");
}

#[test]
fn a_record_that_changed_counts_and_its_line_does_not() {
    let room = Room::new();
    let folder = with_jobs(&room, &["a", "b", "c", "d"]);
    let record = folder.join("a/1/job.json");
    let failed = text(&record).replace("\"completed\"", "\"failed\"");
    fs::write(&record, failed).unwrap();
    // The same length, and a time that somebody set back.
    let same = text(&folder.join("b/1/job.json")).replace("\"completed\"", "\"timed-out\"");
    let facts = fs::metadata(folder.join("b/1/job.json")).unwrap();
    fs::write(folder.join("b/1/new"), same).unwrap();
    let file = fs::File::options().write(true).open(folder.join("b/1/new")).unwrap();
    file.set_modified(facts.modified().unwrap()).unwrap();
    fs::rename(folder.join("b/1/new"), folder.join("b/1/job.json")).unwrap();
    fs::write(folder.join("c/1/job.json"), "").unwrap();
    let all = list(&room);
    let state = |id: &str| {
        let jobs = all["jobs"].as_array().unwrap();
        jobs.iter().find(|job| job["id"] == id).map(|job| job["state"].as_str().unwrap().to_owned())
    };
    assert_eq!(state("a#1").as_deref(), Some("failed"));
    assert_eq!(state("b#1").as_deref(), Some("timed-out"));
    assert_eq!((state("c#1"), state("d#1").as_deref()), (None, Some("completed")));
    assert_eq!(all["broken"][0]["id"], "c#1");
    room.worker(&["status"]).succeeds().says("a#1  failed").warns("c#1");
    fs::remove_dir_all(folder.join("a")).unwrap();
    assert_eq!(list(&room)["jobs"].as_array().unwrap().len(), 2);
    assert!(!room.worker(&["status"]).succeeds().stdout.contains("a#1"));
}

#[test]
fn a_damaged_index_is_mended_and_hides_nothing() {
    let room = Room::new();
    let folder = with_jobs(&room, &["a", "b", "c"]);
    let (path, good) = (folder.join(".index.jsonl"), list(&room));
    let whole = text(&path);
    let torn = &whole[..whole.len() - 40];
    let wrong = whole.replace("hello", "hullo");
    let lines = lines(&folder);
    let twice = [lines.clone(), lines].concat().join("\n") + "\n";
    for content in ["", "garbage\n", torn, &wrong, &twice, &"\0".repeat(5000), "{\"crc\":\"00000000\",\"head\":"] {
        fs::write(&path, content).unwrap();
        assert_eq!(list(&room), good);
        fs::write(&path, content).unwrap();
        let status = room.worker(&["status", "--json"]).succeeds().json();
        assert!(status["jobs"].as_array().unwrap().iter().all(|job| good["jobs"].as_array().unwrap().contains(job)));
        assert_eq!(list(&room), good);
    }
    assert_eq!(text(&path).lines().filter(|line| line.ends_with("}}")).count(), 3);
    fs::write(&path, torn).unwrap();
    let id = room.sh("d", "true");
    room.ended(&id);
    room.worker(&["status"]).succeeds().says("d#1").says("a#1").says("c#1");
}

#[test]
fn an_index_that_cannot_be_written_is_done_without() {
    let room = Room::new();
    let folder = with_jobs(&room, &["a"]);
    fs::remove_file(folder.join(".index.jsonl")).unwrap();
    fs::create_dir(folder.join(".index.jsonl")).unwrap();
    let id = room.sh("b", "true");
    room.ended(&id);
    assert_eq!(list(&room)["jobs"].as_array().unwrap().len(), 2);
    room.worker(&["status"]).succeeds().says("a#1").says("b#1");
}

#[test]
fn the_latest_and_the_next_are_found_without_their_pointers() {
    let room = Room::new();
    let folder = with_jobs(&room, &["a", "b", "a"]);
    room.worker(&["status", "--latest"]).succeeds().says("a#2");
    fs::remove_dir_all(folder.join("a/2")).unwrap();
    room.worker(&["status", "--latest"]).succeeds().says("b#1");
    fs::remove_file(folder.join(".latest")).unwrap();
    room.worker(&["status", "--latest"]).succeeds().says("b#1");
    room.worker(&["logs"]).succeeds().prints("hello\n");
    room.worker(&["status", "a"]).succeeds().says("a#1");
    assert_eq!(room.sh("a", "true"), "a#3", "a number is not given twice");
    fs::remove_file(folder.join("a/.next")).unwrap();
    room.worker(&["status", "a"]).succeeds().says("a#3");
    assert_eq!(room.sh("a", "true"), "a#4");
    for wrong in ["2", "x", "0", "99999999999"] {
        fs::remove_file(folder.join("a/.next")).unwrap();
        std::os::unix::fs::symlink(wrong, folder.join("a/.next")).unwrap();
        room.worker(&["status", "a"]).succeeds();
        room.sh("a", "true");
    }
    // Who says 2 gets 2, which was free; the others are found by a look at all.
    room.worker(&["status", "a"]).succeeds().says("a#7");
}

#[test]
fn the_cost_does_not_grow_with_what_has_ended() {
    let room = Room::new();
    if !suite_tests::can_kill(&room, "counting system calls") {
        return;
    }
    let folder = with_jobs(&room, &["a"]);
    let calls = |words: &[&str]| -> usize {
        let trace = room.path().join("trace");
        let mut arguments = vec!["-qqq", "-f", "-e", "trace=%file,getdents64,read", "-o", trace.to_str().unwrap()];
        arguments.push("git-worker");
        arguments.extend(words);
        room.run("strace", &arguments).succeeds();
        text(&trace).lines().count()
    };
    let all = [["status", "--latest"], ["status", "-q"], ["status", "a"], ["list", "--live"]];
    let few: Vec<usize> = all.iter().map(|words| calls(words)).collect();
    copies(&folder, &folder.join("a/1"), "many", 300);
    copies(&folder, &folder.join("a/1"), "b", 1);
    assert_eq!(list(&room)["jobs"].as_array().unwrap().len(), 302);
    assert_eq!(lines(&folder).len(), 302);
    for (words, few) in all.iter().zip(few) {
        let many = calls(words);
        // The last ten are looked at one by one.
        assert!(many < few + 40, "{words:?}: {few} calls with one job, {many} with 302");
    }
}

#[test]
fn a_lost_job_is_in_the_index_once_a_launch_has_seen_it() {
    let room = Room::new();
    let id = room.sh("victim", "exec sleep 60");
    crate::room::kill_with_heir(&room, &room.job(&id)["supervisor"]["pid"]);
    crate::room::until("it is lost", || room.job(&id)["state"] == "lost");
    room.worker(&["status"]).succeeds().says("victim#1  lost");
    let next = room.sh("next", "true");
    room.ended(&next);
    room.worker(&["status"]).succeeds().says("victim#1  lost");
    room.worker(&["list"]).succeeds().says("victim#1  lost");
    room.worker(&["list", "--live"]).succeeds().prints("");
    room.worker(&["stop", "--grace", "0", &id]).succeeds();
    assert_eq!(room.job(&id)["left_over"].as_u64(), Some(1));
    let listed = list(&room);
    let victim = listed["jobs"].as_array().unwrap().iter().find(|job| job["slug"] == "victim").unwrap().clone();
    assert_eq!(victim["left_over"].as_u64(), Some(1), "what the burial wrote counts");
}
