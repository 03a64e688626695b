//! `git worker gc`: what has ended goes by age and size, and never the only copy of work.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use suite_tests::{CHANGING_CALLS, Ran, Reach, can_kill, program_folder, run_killed};

use crate::index::copies;
use crate::room::{Room, count, kill_with_heir, text, unique, until};

/// Runs gc as JSON.
#[track_caller]
fn gc(room: &Room, arguments: &[&str]) -> Value {
    room.worker(&[&["gc", "--json"], arguments].concat()).succeeds().json()
}

fn ids(answer: &Value, list: &str) -> Vec<String> {
    answer[list].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

fn listed(room: &Room) -> Vec<String> {
    let all = room.worker(&["list", "--json"]).succeeds().json();
    let mut all = ids(&all, "jobs");
    all.sort();
    all
}

/// Runs a job to its end and returns its folder.
fn done(room: &Room, name: &str) -> PathBuf {
    let id = room.sh(name, "echo hello");
    room.ended(&id);
    room.folder(&id)
}

#[test]
fn what_is_beyond_the_limits_goes_with_all_its_files_and_the_rest_stays() {
    let room = Room::new();
    let folders: Vec<PathBuf> = ["a", "b", "c", "d"].iter().map(|name| done(&room, name)).collect();
    let repository = folders[0].ancestors().nth(2).unwrap().to_owned();
    let live = room.sh("live", "sleep 60");
    room.worker(&["gc"]).succeeds().prints("").warns("freed 0 bytes of 0 jobs");
    assert_eq!(ids(&gc(&room, &["--older-than", "1h"]), "removed").len(), 0);
    let would = gc(&room, &["-n", "--keep", "3"]);
    assert_eq!((ids(&would, "removed"), would["dry_run"].as_bool()), (vec!["a#1".to_owned()], Some(true)));
    assert_eq!(listed(&room).len(), 5);
    let said = room.worker(&["gc", "--keep", "3"]).succeeds();
    assert!(said.stdout.starts_with("removed  a#1  ("), "{}", said.stdout);
    assert!(!folders[0].exists() && !text(&repository.join(".index.jsonl")).contains("\"a\""));
    // Of three jobs of this size two fit.
    let bytes: u64 = fs::read_dir(&folders[3]).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    let gone = gc(&room, &["--max-size", &(bytes * 5 / 2).to_string()]);
    assert_eq!(ids(&gone, "removed"), ["b#1"]);
    assert!(gone["bytes"].as_u64().unwrap() > 500, "{gone}");
    // The newest stays whatever its age.
    let mut later = room.command("git-worker");
    let later = later.args(["gc", "--json", "--older-than", "1d", "--keep", "1"]);
    let later = Ran::new("later".into(), later.env("CODEX_AGENTS_CLOCK", "2099-01-01T00:00:00Z").output().unwrap());
    assert_eq!(ids(&later.succeeds().json(), "removed"), ["c#1"]);
    assert_eq!(ids(&gc(&room, &["--keep", "0"]), "removed"), ["d#1"]);
    assert_eq!(listed(&room), [live]);
    assert!(!repository.join(".gc").exists());
    room.worker(&["status", "--latest"]).succeeds().says("live#1");
    assert_eq!(room.sh("a", "true"), "a#2", "a number is not given twice");
    room.worker(&["gc", "--max-size", "many"]).exits(129);
}

#[test]
fn the_settings_count_where_no_option_does() {
    let room = Room::new();
    let first = done(&room, "a");
    let repository = first.ancestors().nth(2).unwrap().to_owned();
    copies(&repository, &first, "old", 12);
    for number in 1..=12 {
        let path = repository.join(format!("old/{number}/job.json"));
        let day = format!("\"ended\":\"2020-01-{number:02}T00:00:00Z\"");
        let record: Value = serde_json::from_str(&text(&path)).unwrap();
        let was = format!("\"ended\":{}", record["ended"]);
        fs::write(&path, text(&path).replace(&was, &day)).unwrap();
    }
    // Ten stay, the young one among them.
    let gone = gc(&room, &[]);
    assert_eq!(ids(&gone, "removed"), ["old#1", "old#2", "old#3"]);
    room.user_config("[worker]\ngc-keep = 2\n");
    assert_eq!(ids(&gc(&room, &[]), "removed").len(), 8);
    room.user_config("[worker]\ngc-keep = 0\ngc-older-than = \"0\"\n");
    room.worker(&["gc"]).succeeds().prints("").warns("no limit is set").warns("--older-than");
    room.user_config("[worker]\ngc-keep = 0\ngc-older-than = \"0\"\ngc-max-size = \"1\"\n");
    assert_eq!(ids(&gc(&room, &[]), "removed"), ["old#12", "a#1"]);
    assert_eq!(room.sh("old", "true"), "old#13", "a number is not given twice, though nobody noted it");
}

#[test]
fn what_lives_waits_is_corrupt_held_or_not_ours_stays() {
    let room = Room::new();
    let (corrupt, foreign, held) = (done(&room, "corrupt"), done(&room, "foreign"), done(&room, "held"));
    fs::write(corrupt.join("job.json"), "{").unwrap();
    fs::write(foreign.join("notes"), "mine").unwrap();
    let lock = fs::File::open(held.join("lock")).unwrap();
    lock.lock().unwrap();
    let live = room.sh("live", "sleep 60");
    room.user_config("[worker]\nmax-concurrency = 1\n");
    let queued = room.sh("queued", "true");
    for arguments in [vec!["-n", "--keep", "0"], vec!["--keep", "0"]] {
        let kept = gc(&room, &arguments);
        let mut kinds: Vec<(&str, &str)> = kept["kept"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| (job["id"].as_str().unwrap(), job["kind"].as_str().unwrap()))
            .collect();
        kinds.sort_unstable();
        assert_eq!(kinds, [("corrupt#1", "corrupt"), ("foreign#1", "foreign-file"), ("held#1", "busy")]);
        assert_eq!(ids(&kept, "removed").len(), 0);
    }
    assert_eq!((text(&foreign.join("notes")).as_str(), text(&corrupt.join("job.json")).as_str()), ("mine", "{"));
    assert_eq!(
        (room.job(&live)["state"].as_str(), room.job(&queued)["state"].as_str()),
        (Some("running"), Some("queued"))
    );
    drop(lock);
    assert_eq!(ids(&gc(&room, &["--keep", "0"]), "removed"), ["held#1"]);
    // A snapshot may be on its way although the supervisor is gone.
    let taken = fs::File::create(foreign.join("snapshot.lock")).unwrap();
    taken.lock().unwrap();
    fs::remove_file(foreign.join("notes")).unwrap();
    assert_eq!(gc(&room, &["--keep", "0"])["kept"][1]["kind"], "busy");
}

#[test]
fn a_snapshot_that_is_the_only_copy_stays_with_its_job_until_its_tree_is_on_a_branch() {
    let room = Room::new();
    let id = room.sh("work", "echo new > file");
    room.ended(&id);
    let folder = room.folder(&id);
    let kept = gc(&room, &["--keep", "0"]);
    assert_eq!((ids(&kept, "removed").len(), &kept["kept"][0]["kind"]), (0, &Value::from("snapshots")), "{kept}");
    assert!(kept["kept"][0]["why"].as_str().unwrap().contains("refs/worker/work/1/1"), "{kept}");
    room.worker(&["restore", "-n", &id]).succeeds();
    // Part of it elsewhere is not enough, nor is a branch that leads to the snapshot itself.
    room.git(&["symbolic-ref", "refs/heads/led", "refs/worker/work/1/1"]);
    room.git(&["symbolic-ref", "refs/heads/by", "refs/heads/led"]);
    room.git(&["commit", "-q", "--allow-empty", "-m", "nothing"]);
    assert_eq!(ids(&gc(&room, &["--keep", "0"]), "removed").len(), 0);
    room.git(&["symbolic-ref", "-d", "refs/heads/by"]);
    room.git(&["symbolic-ref", "-d", "refs/heads/led"]);
    room.commit("the work");
    // A tag need not lead to a commit.
    room.git(&["tag", "blob", "HEAD:file"]);
    room.git(&["tag", "-a", "-m", "x", "tree", "HEAD^{tree}"]);
    let commit = room.git(&["rev-parse", "refs/worker/work/1/1"]);
    let gone = gc(&room, &["--keep", "0"]);
    let snapshot = &gone["removed"][0]["snapshots"][0];
    assert_eq!((snapshot["ref"].as_str(), snapshot["commit"].as_str()), (Some("refs/worker/work/1/1"), Some(&*commit)));
    assert!(snapshot["backup"].is_null() && !folder.exists());
    assert_eq!(room.git(&["for-each-ref", "refs/worker", "refs/backup"]), "");
}

#[test]
fn commits_that_only_a_snapshot_reaches_keep_it() {
    let room = Room::new();
    // The tree comes back on the branch, the commit between does not.
    let script = "git checkout -q --detach; echo draft > file; git add file; git -c user.name=a -c user.email=b commit -qm draft; echo final > file";
    let id = room.sh("detached", script);
    room.ended(&id);
    room.git(&["checkout", "-qf", "main"]);
    room.write("file", "final\n");
    room.commit("final");
    let kept = gc(&room, &["--keep", "0"]);
    assert_eq!((ids(&kept, "removed").len(), &kept["kept"][0]["kind"]), (0, &Value::from("snapshots")), "{kept}");
    room.git(&["branch", "draft", "refs/worker/detached/1/1^"]);
    assert_eq!(ids(&gc(&room, &["--keep", "0"]), "removed"), [id]);
}

#[test]
fn where_it_is_asked_for_the_only_copy_is_moved_and_the_job_goes() {
    let room = Room::new();
    let id = room.sh("work", "echo new > file");
    room.ended(&id);
    let commit = room.git(&["rev-parse", "refs/worker/work/1/1"]);
    let would = gc(&room, &["-n", "--keep", "0", "--snapshots"]);
    assert_eq!(would["removed"][0]["snapshots"][0]["backup"], "refs/backup/work/1/1");
    assert_eq!(
        room.git(&["for-each-ref", "--format=%(refname)", "refs/worker", "refs/backup"]),
        "refs/worker/work/1/1"
    );
    room.worker(&["gc", "--keep", "0", "--snapshots"]).succeeds().says("refs/worker/work/1/1 -> refs/backup/work/1/1");
    assert_eq!(room.git(&["for-each-ref", "--format=%(objectname)", "refs/worker", "refs/backup"]), commit);
    assert_eq!(listed(&room).len(), 0);
    // What is no snapshot is not understood, and stays.
    let id = room.sh("strange", "echo newer > file");
    room.ended(&id);
    room.git(&["tag", "-a", "-m", "x", "x"]);
    room.git(&["update-ref", "refs/worker/strange/1/note", "refs/tags/x"]);
    let kept = gc(&room, &["--keep", "0", "--snapshots"]);
    assert!(kept["kept"][0]["why"].as_str().unwrap().contains("'refs/worker/strange/1/note' is no snapshot"), "{kept}");
}

#[test]
fn what_a_killed_supervisor_left_is_ended() {
    let room = Room::new();
    let mark = unique();
    let id = room.sh("victim", &format!("setsid sleep {mark} & exec sleep {mark}"));
    until("both run", || count(&format!("sleep\0{mark}")) == 2);
    kill_with_heir(&room, &room.job(&id)["supervisor"]["pid"]);
    until("it is lost", || room.job(&id)["state"] == "lost");
    assert_eq!(gc(&room, &["-n"])["ended"].as_array().unwrap().len(), 0);
    assert_eq!(count(&format!("sleep\0{mark}")), 2);
    let ended = gc(&room, &[]);
    assert_eq!(
        (&ended["ended"][0]["id"], &ended["ended"][0]["left_over"]),
        (&Value::from("victim#1"), &Value::from(2))
    );
    assert_eq!(count(&format!("sleep\0{mark}")), 0);
    assert_eq!(room.job(&id)["state"], "lost");
    assert_eq!(gc(&room, &[])["ended"].as_array().unwrap().len(), 0);
}

#[test]
fn a_gc_that_is_killed_leaves_whole_jobs_and_the_next_one_completes() {
    let room = Room::new();
    if !can_kill(&room, "killing gc at its calls") {
        return;
    }
    let program = program_folder().join("git-worker").to_str().unwrap().to_owned();
    let first = done(&room, "like");
    let repository = first.ancestors().nth(2).unwrap().to_owned();
    let like = room.path().join("like");
    fs::create_dir(&like).unwrap();
    fs::copy(first.join("job.json"), like.join("job.json")).unwrap();
    for call in CHANGING_CALLS {
        for n in (1..).step_by(2) {
            // Always the same two, so that each round makes the same calls.
            copies(&repository, &like, "a", 1);
            copies(&repository, &like, "b", 1);
            for file in ["output.log", "output.1", "events.jsonl", ".spare", "times"] {
                fs::write(repository.join("a/1").join(file), "x").unwrap();
            }
            room.git(&["update-ref", "refs/worker/a/1/1", "HEAD"]);
            let ran = run_killed(&room, &room.repo(), Reach::Alone, call, n, &[&program, "gc", "--keep", "0"]);
            let all = room.worker(&["list", "--json"]).succeeds().json();
            assert_eq!(all["broken"].as_array().unwrap().len(), 0, "{call} {n}: {all}");
            for id in ids(&all, "jobs").iter().filter(|id| id.starts_with('a')) {
                assert_eq!(text(&room.folder(id).join("output.log")), "x", "{call} {n}");
            }
            if !ids(&all, "jobs").contains(&"a#1".to_owned()) {
                assert_eq!(room.git(&["for-each-ref", "refs/worker"]), "", "a snapshot without its job: {call} {n}");
            }
            room.worker(&["gc", "--keep", "0"]).succeeds();
            assert_eq!(listed(&room).len(), 0, "{call} {n}");
            assert!(!repository.join(".gc").exists() && !repository.join("a/1").exists(), "{call} {n}");
            if ran.code == 0 {
                break;
            }
        }
    }
}
