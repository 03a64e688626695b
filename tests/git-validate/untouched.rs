//! Whatever ends a run, and whatever else runs beside it: the user's files are the user's.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::room::Room;

/// A file partly staged, one unstaged, one untracked, one only promised, one removed.
fn mixed(room: &Room) {
    room.write("partly", "staged\n");
    room.git(&["add", "partly"]);
    room.write("partly", "staged\nand more\n");
    room.write("README", "unstaged\n");
    room.write("untracked", "u\n");
    room.write("promised", "p\n");
    room.git(&["add", "-N", "promised"]);
    fs::remove_file(room.repo().join("gone")).unwrap();
}

fn room(checks: &[(&str, &str)]) -> Room {
    let room = Room::new();
    room.write("partly", "committed\n");
    room.write("gone", "g\n");
    room.configure(checks, "");
    room.commit("settings");
    mixed(&room);
    room
}

#[test]
fn a_check_sees_what_is_staged_and_nothing_of_the_rest() {
    let sees = "test \"$(cat partly)\" = staged && ! grep -q unstaged README && ! test -e untracked && ! test -e promised && test -e gone";
    let room = room(&[("sees", sees), ("fails", "false"), ("adds", "git add -A; echo x > partly; git add partly")]);
    let before = room.users();
    let answer = room.validate(&["--staged", "--json"]).exits(1).json();
    assert_eq!(Room::check(&answer, "sees")["status"], "pass");
    room.is_untouched(&before, "staged");
    room.validate(&["--worktree", "--check", "fails"]).exits(1);
    room.is_untouched(&before, "worktree");
    assert_eq!(room.git(&["stash", "list"]), "");
}

#[test]
fn a_signal_at_any_moment_leaves_all_of_it_as_it_is() {
    let room = room(&[("slow", "sleep 0.05"), ("git", "git add -A; git stash -q; sleep 0.05")]);
    let before = room.users();
    for (signal, step) in
        [Signal::INT, Signal::TERM, Signal::KILL].into_iter().flat_map(|s| (0..20).map(move |n| (s, n)))
    {
        let mut child = room.start(&["--staged", "--force"]);
        // Another moment each time, from before the first file is read until after the last is written.
        std::thread::sleep(Duration::from_millis(step * 8));
        let _ = kill_process(Pid::from_child(&child), signal);
        let status = child.wait().unwrap();
        assert!(
            matches!(status.code(), None | Some(0 | 1 | 128 | 130 | 143)) && status.signal() != Some(6),
            "{signal:?} after {step}: {status}"
        );
        room.is_untouched(&before, &format!("{signal:?} after {step}"));
    }
    room.git(&["fsck", "--strict"]);
}

#[test]
fn two_worktrees_that_validate_at_once_mix_nothing_up() {
    let room = Room::new();
    room.configure(&[("own", "test \"$(cat README)\" = \"$(git show HEAD:README)\" && sleep 0.01")], "");
    room.write("README", "main 0\n");
    room.commit("settings");
    let linked = room.path().join("linked");
    room.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    for round in 0..50 {
        for (folder, name) in [(room.repo(), "main"), (linked.clone(), "linked")] {
            room.write_in(&folder, "README", &format!("{name} {round}\n"));
            room.commit_in(&folder, name);
        }
        let first = room.start(&[]);
        let second = room.start(&["-C", linked.to_str().unwrap()]);
        room.end(first).succeeds();
        room.end(second).succeeds();
    }
    assert_eq!(room.runs(), 100);
}

#[test]
fn output_without_end_blocks_nobody() {
    let room = Room::with(&[
        ("loud", "head -c 1073741824 /dev/zero | tr '\\0' 'x'"),
        ("fine", "true"),
        ("asks", "read line || echo nothing"),
    ]);
    let begin = Instant::now();
    let answer = room.validate(&["--json"]).succeeds().json();
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    assert_eq!(Room::check(&answer, "asks")["tail"], "nothing\n", "there is no input");
    let note = room.git(&["notes", "--ref=validate", "show", "HEAD^{tree}"]);
    assert!(note.len() < 4096, "{}", note.len());
    let room = Room::with(&[("loud", "head -c 33554432 /dev/zero | tr '\\0' 'x'; echo; echo last; false")]);
    let ran = room.validate(&[]).exits(1).says("last").says("log: ");
    assert!(ran.stdout.len() < 8 << 10, "{}", ran.stdout.len());
    let log = ran.stdout.lines().find_map(|line| line.trim().strip_prefix("log: ")).unwrap().to_owned();
    let size = fs::metadata(&log).unwrap().len();
    assert!((8 << 20..9 << 20).contains(&size), "{size}");
    assert!(fs::read_to_string(&log).unwrap().ends_with("last\n"));
}

#[test]
fn failures_without_number_are_told_in_a_few_lines() {
    let words =
        "for n in $(seq 100); do echo a line of a failure that is long enough to count for something; done; false";
    let names: Vec<String> = (0..30).map(|n| format!("c{n}")).collect();
    let checks: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), words)).collect();
    let ran = Room::with(&checks).validate(&[]).exits(1);
    // The paths of the logs come on top.
    assert!(ran.stdout.len() < (8 << 10) + 30 * 200, "{}", ran.stdout.len());
    assert_eq!(ran.stdout.matches("log: ").count(), 30);
}
