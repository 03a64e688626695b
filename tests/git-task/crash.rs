//! Each writing command is killed at each of its system calls that change something.

use suite_tests::{Sandbox, skip};

const CALLS: &str =
    "openat,write,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,link,linkat,mkdir,ftruncate";

/// Kills `command` at every such call in turn until it ends by itself; after each kill `check` must hold.
fn sweep(prepare: impl Fn(&Sandbox), command: &str, check: impl Fn(&Sandbox, bool)) {
    let probe = Sandbox::empty();
    if probe.run("strace", &["-o", "/dev/null", "true"]).code != 0 {
        return skip("killing at each system call", "strace cannot trace here");
    }
    for call in CALLS.split(',') {
        for at in 1.. {
            let room = Sandbox::new();
            prepare(&room);
            let words =
                format!("strace -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={at} {command}");
            let ran = room.run("sh", &["-c", &words]);
            let ended = ran.code == 0;
            assert!(ended || ran.code == 137, "{words}: {} {}", ran.code, ran.stderr);
            check(&room, ended);
            if ended {
                break;
            }
        }
    }
}

#[test]
fn an_added_task_is_there_or_not_and_the_next_command_works() {
    sweep(
        |room| {
            room.run("git-task", &["add", "before"]).succeeds();
        },
        "git-task add one",
        |room, ended| {
            let list = room.run("git-task", &["list", "-z"]).succeeds().stdout;
            assert!(list == "before\0one\0" || (!ended && list == "before\0"), "{list:?}");
            room.run("git-task", &["add", "next"]).succeeds();
            room.run("git-task", &["undo"]).succeeds();
            room.run("git-task", &["list", "-z"]).succeeds().prints(&list);
            room.run("git-task", &["doctor", "--fix"]).succeeds();
        },
    );
}

#[test]
fn a_worktree_is_finished_by_the_same_command_again() {
    sweep(
        |room| {
            room.run("git-task", &["add", "one"]).succeeds();
        },
        "git-task worktree add one",
        |room, ended| {
            if !ended {
                let again = room.run("git-task", &["worktree", "add", "one"]);
                // Only the last step may have been cut off: then it is there and says so.
                assert!(again.code == 0 || again.stderr.contains("is checked out at"), "{}", again.stderr);
            }
            let path = room.run("git-task", &["show", "one", "--json"]).succeeds().json()["worktree"].clone();
            room.run_in(std::path::Path::new(path.as_str().unwrap()), "git-hydrate", &[]).succeeds();
            assert_eq!(room.git(&["-C", path.as_str().unwrap(), "status", "--porcelain"]), "");
        },
    );
}

#[test]
fn a_completion_is_finished_by_the_same_command_again() {
    sweep(
        |room| {
            room.run("git-task", &["add", "one"]).succeeds();
            let path = room.run("git-task", &["worktree", "add", "one"]).succeeds().text().to_owned();
            room.write_in(std::path::Path::new(&path), "new", "x\n");
            room.commit_in(std::path::Path::new(&path), "work");
        },
        "git-task complete --unvalidated one",
        |room, ended| {
            if !ended {
                let again = room.run("git-task", &["complete", "--unvalidated", "one"]);
                assert!(again.code == 0 || again.stderr.contains("is done already"), "{}", again.stderr);
            }
            assert_eq!(room.git(&["show", "main:new"]), "x");
            assert!(room.repo().join("new").exists());
            assert_eq!(room.git(&["status", "--porcelain"]), "");
            let kept = room.git(&["for-each-ref", "refs/backup/one"]);
            assert!(!kept.is_empty());
            room.git(&["fsck", "--strict"]);
        },
    );
}

#[test]
fn trust_and_settings_are_old_or_new() {
    sweep(
        |room| {
            room.write(".codex-agent/config.toml", "[[checks]]\nname = \"unit\"\ncommand = [\"true\"]\n");
            room.user_config("[task]\nmerge = \"merge\"\n");
        },
        "sh -c 'exec git-task trust --yes'",
        |room, ended| {
            let shown = room.run("git-task", &["trust", "--show"]);
            assert!(shown.code == 0 || (!ended && shown.code == 1), "{}", shown.stderr);
            room.run("git-task", &["trust", "--yes"]).succeeds();
        },
    );
    sweep(
        |room| room.user_config("[task]\nmerge = \"merge\"\n"),
        "git-task config set task.merge squash",
        |room, ended| {
            let value = room.run("git-task", &["config", "get", "task.merge"]).succeeds().stdout;
            assert!(value == "squash\n" || (!ended && value == "merge\n"), "{value}");
            room.run("git-task", &["config", "set", "task.merge", "rebase"]).succeeds();
        },
    );
}
