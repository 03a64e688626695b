//! `git worker retry`.

use crate::room::{Room, text};

#[test]
fn the_same_runs_again_under_the_next_number() {
    let room = Room::new();
    let tree = room.path().join("tree");
    room.git(&["worktree", "add", "-q", "-b", "side", tree.to_str().unwrap()]);
    let words = ["launch", "--worktree", tree.to_str().unwrap(), "--timeout", "1h", "--", "sh", "-c", "pwd; exit 3"];
    room.worker(&words).succeeds().prints("side#1\n");
    room.ended("side");
    room.worker(&["retry", "-n", "side"]).succeeds().says("would start side");
    room.worker(&["retry", "side"]).succeeds().prints("side#2\n");
    let (first, second) = (room.job("side#1"), room.ended("side#2"));
    for field in ["worktree", "command", "program", "branch", "timeout_ms", "exit", "agent"] {
        assert_eq!(first[field], second[field], "{field}");
    }
    assert_eq!(text(&room.folder("side#1").join("output.log")), text(&room.folder("side#2").join("output.log")));
}

#[test]
fn a_prompt_is_asked_again_and_added_to() {
    let room = Room::new();
    room.user_config("[agents.bot]\ncommand = [\"cat\"]\nprompt = \"stdin\"\n");
    room.worker(&["launch", "--agent", "bot", "--prompt", "mend it"]).succeeds();
    room.ended("main");
    room.worker(&["retry", "main#1"]).succeeds();
    room.ended("main#2");
    room.worker(&["logs", "main#2"]).succeeds().prints("mend it");
    room.worker(&["retry", "main#1", "--prompt", "and paint it"]).succeeds();
    room.ended("main#3");
    room.worker(&["logs", "main#3"]).succeeds().prints("mend it\n\nand paint it\n");
}

#[test]
fn the_job_of_a_task_is_retried_for_the_task() {
    let room = Room::new();
    let tree = room.task("gate");
    room.worker(&["launch", "gate", "--", "sh", "-c", "[ -e ok ] && echo a > a"]).succeeds();
    assert_eq!(room.ended("gate")["state"], "failed");
    room.write_in(&tree, "ok", "");
    room.worker(&["retry", "gate"]).succeeds().prints("gate#2\n");
    let job = room.ended("gate");
    assert!(job["commit"].is_string() && job["task"].is_string(), "{job}");
}

#[test]
fn a_live_job_is_not_retried() {
    let room = Room::new();
    room.sh("a", "sleep 60");
    room.worker(&["retry", "a"]).exits(128).warns("has not ended");
    room.worker(&["retry", "nobody"]).exits(128);
    room.worker(&["stop", "--grace", "0", "a"]).succeeds();
    room.sh("b", "sleep 60");
    room.worker(&["retry", "a"]).exits(128).warns("b#1");
    room.worker(&["retry", "--share", "a"]).succeeds().prints("a#2\n");
}
