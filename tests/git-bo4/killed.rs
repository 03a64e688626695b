//! A run that is killed anywhere goes on where it was: nothing is begun twice, nothing is left over.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use suite_tests::{Ran, Reach, Sandbox, can_kill, program_folder, run_killed};

use crate::attempts::{agent, backend, bo4};

/// Agents that write down that they were started, and need a moment.
fn agents(room: &Sandbox) -> Vec<String> {
    let counter = room.path().join("started").display().to_string();
    let body = |name: &str, work: &str| agent(room, name, &format!("echo {name} >> '{counter}'; sleep 0.2; {work}"));
    vec![
        body("good", "echo good >> README"),
        body("large", "echo good >> README; seq 1 300 > more"),
        body("own", "echo own > own; git add -A; git commit -q -m own; echo rest > rest"),
    ]
}

fn words<'a>(lanes: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    let first = ["run", "--prompt", "do it", "--interval", "200ms", "--timeout", "120s", "--json"];
    first.into_iter().chain(more.iter().copied()).chain(lanes.iter().flat_map(|lane| ["--lane", lane])).collect()
}

fn prepared() -> (Sandbox, Vec<String>) {
    let room = Sandbox::new();
    room.user_config("[[checks]]\nname = \"test\"\ncommand = [\"grep\", \"-q\", \"one\", \"README\"]\n");
    let agents = agents(&room);
    (room, agents)
}

/// The ranking without what depends on the name of the run.
fn ranking(ran: &Ran) -> Vec<(Value, Value)> {
    let said = ran.json();
    said["ranking"].as_array().unwrap().iter().map(|row| (row["place"].clone(), row["variant"].clone())).collect()
}

fn log(room: &Sandbox) -> Vec<Value> {
    let text = fs::read_to_string(room.repo().join(".codex/bo4_runs.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn started(room: &Sandbox) -> Vec<String> {
    let text = fs::read_to_string(room.path().join("started")).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Expects that the room looks as after one run that nobody disturbed.
#[track_caller]
fn expect_one_run(room: &Sandbox, what: &str) {
    assert_eq!(started(room), ["good", "large", "own"], "{what}");
    let log = log(room);
    assert_eq!(log.len(), 1, "{what}: {log:#?}");
    let run = log[0]["run"].as_str().unwrap();
    let listed = bo4(room, &["list", "--json"]).succeeds().json();
    assert_eq!(listed["runs"].as_array().unwrap().len(), 1, "{what}: {listed:#}");
    assert_eq!(listed["broken"], Value::Array(vec![]), "{what}: {listed:#}");
    let worktrees = room.git(&["worktree", "list"]);
    assert_eq!(worktrees.lines().count(), 4, "{what}: {worktrees}");
    let refs = room.git(&["for-each-ref", "--format=%(refname)", "refs/bo4", "refs/heads", "refs/backup"]);
    let wanted = ["heads/bo4/RUN/var1", "heads/bo4/RUN/var2", "heads/bo4/RUN/var3", "heads/main", "bo4/RUN/1"];
    let wanted = wanted.iter().chain(&["bo4/RUN/2", "bo4/RUN/3", "bo4/RUN/3-work"]);
    let mut wanted: Vec<String> = wanted.map(|name| format!("refs/{}", name.replace("RUN", run))).collect();
    wanted.sort();
    assert_eq!(refs.lines().collect::<Vec<_>>(), wanted, "{what}");
    assert_eq!(room.git(&["status", "--porcelain"]), "", "{what}");
    assert!(room.repo().join(format!(".codex/bo4/{run}/report.html")).exists(), "{what}");
}

/// Kills a process and, if they are not the jobs, those below it.
fn kill(id: u32) {
    let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
}

#[test]
fn a_run_that_is_killed_at_any_moment_goes_on_and_begins_nothing_twice() {
    const MOMENTS: u32 = 25;
    let (room, lanes) = prepared();
    let words_of = words(&lanes, &[]);
    let began = Instant::now();
    let wanted = ranking(&bo4(&room, &words_of).succeeds());
    let length = began.elapsed();
    expect_one_run(&room, "undisturbed");
    let mut killed = 0;
    for moment in 0..MOMENTS {
        let (room, lanes) = prepared();
        let words = words(&lanes, &[]);
        let mut command = room.command(program_folder().join("git-bo4"));
        let mut child = command.args(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(length * moment / (MOMENTS - 1));
        killed += u32::from(child.try_wait().unwrap().is_none());
        kill(child.id());
        child.wait().unwrap();
        let what = format!("killed after {moment}/{MOMENTS} of {length:?}");
        // Once killed after its end, it is another question.
        let is_over = log(&room).len() == 1 && !is_open(&room);
        if !is_over {
            let again = bo4(&room, &words).succeeds();
            assert_eq!(ranking(&again), wanted, "{what}");
        }
        expect_one_run(&room, &what);
    }
    // How many depends on what else the machine does; the test below kills at calls, whatever their time.
    assert!(killed > 0, "none was killed before its end");
}

/// Says whether a run is there that 'git bo4 run' did not bring to its end.
fn is_open(room: &Sandbox) -> bool {
    fn has(folder: &Path) -> bool {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name() == "open" || (entry.path().is_dir() && has(&entry.path())))
    }
    has(&room.state().join("bo4"))
}

#[test]
fn a_run_that_is_killed_at_any_call_that_changes_something_goes_on() {
    let (room, lanes) = prepared();
    if !can_kill(&room, "runs killed at each call") {
        return;
    }
    let wanted = ranking(&bo4(&room, &words(&lanes, &[])).succeeds());
    let program = program_folder().join("git-bo4").display().to_string();
    let mut killed = 0;
    for call in ["rename,renameat,renameat2", "write", "mkdir,mkdirat", "openat", "fsync,fdatasync", "unlink,unlinkat"]
    {
        for n in [1, 2, 3, 4, 5, 8, 12, 17, 25, 40, 70] {
            let (room, lanes) = prepared();
            let words = words(&lanes, &[]);
            let all: Vec<&str> = [&program[..]].into_iter().chain(words.iter().copied()).collect();
            let ended = run_killed(&room, &room.repo(), Reach::Alone, call, n, &all);
            killed += u32::from(ended.code == 137);
            let what = format!("killed at {call} {n}");
            if ended.code == 137 && (log(&room).is_empty() || is_open(&room)) {
                let again = bo4(&room, &words).succeeds();
                assert_eq!(ranking(&again), wanted, "{what}");
            }
            expect_one_run(&room, &what);
            if ended.code != 137 {
                break;
            }
        }
    }
    assert!(killed >= 25, "only {killed} were killed");
}

#[test]
fn two_at_once_conduct_one_run() {
    let (room, lanes) = prepared();
    let words = words(&lanes, &[]);
    let begin = || {
        let mut command = room.command(program_folder().join("git-bo4"));
        command.args(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (one, two) = (begin(), begin());
    let ends = [one, two].map(|child| Ran::new("run".to_owned(), child.wait_with_output().unwrap()));
    assert!(ends.iter().any(|end| end.code == 0), "{ends:#?}");
    assert!(ends.iter().all(|end| matches!(end.code, 0 | 128)), "{ends:#?}");
    expect_one_run(&room, "two at once");
}

#[test]
fn two_watch_the_same_run() {
    let (room, lanes) = prepared();
    let lanes: Vec<&str> = lanes.iter().flat_map(|lane| ["--lane", lane]).collect();
    bo4(&room, &[&["new", "--prompt", "do it"], &lanes[..]].concat()).succeeds();
    let begin = || {
        let mut command = room.command(program_folder().join("git-bo4"));
        command.args(["watch", "--interval", "200ms", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    for child in [begin(), begin(), begin()] {
        Ran::new("watch".to_owned(), child.wait_with_output().unwrap()).succeeds().json();
    }
    assert_eq!(started(&room), ["good", "large", "own"]);
}

/// A diff that makes the README good.
const GOOD: &[u8] = b"--- a/README\n+++ b/README\n@@ -1 +1,2 @@\n+good\n one\n";
const ASK: [&str; 10] =
    ["run", "--backend", "command", "--prompt", "do it", "--best-of", "1", "--interval", "200ms", "--unvalidated"];

fn news(room: &Sandbox) -> usize {
    fs::read_to_string(room.path().join("backend/news")).unwrap_or_default().lines().count()
}

/// A room whose run was killed while its backend was asked to begin, and the name of the run.
fn uncertain() -> (Sandbox, String) {
    let room = Sandbox::new();
    let folder = backend(&room, &[GOOD]);
    room.write_in(&folder, "on-new", "sleep 30\n");
    let mut child = room.command(program_folder().join("git-bo4")).args(ASK).stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while news(&room) == 0 {
        assert!(Instant::now() < end, "it does not begin");
        thread::sleep(Duration::from_millis(10));
    }
    kill(child.id());
    child.wait().unwrap();
    room.write_in(&folder, "on-new", "echo '{\"task_id\":\"task-1\"}'\n");
    let listed = bo4(&room, &["list", "--json"]).succeeds().json();
    let run = listed["runs"][0]["run"].as_str().unwrap().to_owned();
    (room, run)
}

#[test]
fn a_kickoff_that_was_killed_is_never_repeated_by_itself() {
    let (room, run) = uncertain();
    for words in [&ASK[..], &["run", &run], &["watch", &run, "--interval", "200ms"]] {
        bo4(&room, words).exits(128).warns(&run).warns("--again");
    }
    let told = bo4(&room, &[&ASK[..], &["--json"]].concat()).exits(128);
    let error: Value = serde_json::from_str(told.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["kind"], "uncertain-kickoff", "{error:#}");
    assert_eq!(news(&room), 1);
    assert_eq!(log(&room).len(), 0);
    bo4(&room, &["status", &run, "--json"]).succeeds().json();
    bo4(&room, &["branch", &run]);
    assert_eq!(news(&room), 1);
}

#[test]
fn a_kickoff_that_was_killed_is_adopted_by_its_id() {
    let (room, run) = uncertain();
    bo4(&room, &["run", &run, "--adopt", "../x"]).exits(129);
    bo4(&room, &["run", &run, "--adopt", "task-1", "--interval", "200ms", "--unvalidated"]);
    assert_eq!((news(&room), log(&room).len()), (1, 1));
    assert_eq!(log(&room)[0]["task_id"], "task-1");
    room.git(&["rev-parse", "--verify", &format!("refs/heads/bo4/{run}/var1")]);
    bo4(&room, &["run", &run, "--adopt", "task-1"]).exits(128).warns("uncertain");
}

#[test]
fn a_kickoff_that_surely_began_nothing_is_repeated_when_a_person_says_so() {
    let (room, run) = uncertain();
    bo4(&room, &["run", &run, "--again", "--interval", "200ms", "--unvalidated"]);
    assert_eq!((news(&room), log(&room).len()), (2, 1));
    room.git(&["rev-parse", "--verify", &format!("refs/heads/bo4/{run}/var1")]);
    bo4(&room, &["run", &run, "--again"]).exits(128);
    assert_eq!(news(&room), 2);
}

#[test]
fn a_run_that_the_backend_refused_is_begun_anew_by_the_same_words() {
    let room = Sandbox::new();
    let folder = backend(&room, &[GOOD]);
    room.write_in(&folder, "on-new", "echo 'no room' >&2; exit 3\n");
    bo4(&room, &ASK).exits(128).warns("no room");
    room.write_in(&folder, "on-new", "echo '{\"task_id\":\"task-1\"}'\n");
    bo4(&room, &ASK).warns("variant 1 is completed");
    assert_eq!((news(&room), log(&room).len()), (2, 1));
}

#[test]
fn a_run_of_which_nothing_came_ends_and_is_not_gone_on_with() {
    let room = Sandbox::new();
    let folder = backend(&room, &[GOOD]);
    let failed = r#"{"status": "error", "variants": [{"variant_index": 1, "status": "failed", "error": "no luck"}]}"#;
    room.write_in(&folder, "shown.json", failed);
    bo4(&room, &ASK).exits(1);
    room.write_in(&folder, "shown.json", &failed.replace("failed", "completed").replace("error", "message"));
    bo4(&room, &ASK);
    assert_eq!((news(&room), log(&room).len()), (2, 2));
}
