//! What surrounds a command may be odd: no home, closed streams, rights taken away, a full disk, links.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use suite_tests::{Ran, Sandbox, skip};

fn ran(room: &Sandbox, settings: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let output = room.command("git-task").envs(settings.iter().copied()).args(arguments).output().unwrap();
    Ran::new(arguments.join(" "), output)
}

#[test]
fn a_relative_home_is_refused_and_relative_xdg_folders_do_not_count() {
    let room = Sandbox::new();
    ran(&room, &[("HOME", "here")], &["add", "x"]).exits(128).warns("no absolute path");
    let relative = [("XDG_DATA_HOME", "data"), ("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config")];
    ran(&room, &relative, &["add", "one"]).succeeds();
    ran(&room, &[], &["list", "-z"]).succeeds().prints("one\0");
    assert_eq!(room.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_wrong_git_dir_is_named_in_one_line() {
    let room = Sandbox::new();
    for wrong in ["/nowhere", "README", "/tmp/unsafe"] {
        for arguments in [&["list"][..], &["status"], &["add", "x"], &["config", "list"]] {
            let ran = ran(&room, &[("GIT_DIR", wrong)], arguments).exits(128).warns("not a git repository");
            assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        }
    }
}

#[test]
fn closed_streams_cost_the_answer_and_not_the_work() {
    let room = Sandbox::new();
    for (name, streams) in [("a", ">&-"), ("b", "<&-"), ("c", "2>&-"), ("d", "<&- >&- 2>&-")] {
        room.run("sh", &["-c", &format!("git-task add {name} {streams}")]).succeeds();
    }
    room.run("sh", &["-c", "git-task worktree add a <&- >&- 2>&-"]).succeeds();
    assert!(room.path().join("repo.worktrees/a/README").exists());
    room.run("sh", &["-c", "git-task list >/dev/full"]).exits(128).warns("standard output");
    room.run("git-task", &["list", "-z"]).succeeds().prints("a\0b\0c\0d\0");
}

#[test]
fn a_link_that_leads_nowhere_is_no_empty_registry() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["add", "two"]).succeeds();
    // As a disk that is not there now.
    let (path, away) = (room.data().join("tasks.json"), room.path().join("disk"));
    fs::create_dir(&away).unwrap();
    fs::rename(&path, away.join("tasks.json")).unwrap();
    symlink(away.join("tasks.json"), &path).unwrap();
    room.run("git-task", &["add", "three"]).succeeds();
    fs::rename(&away, room.path().join("gone")).unwrap();
    room.run("git-task", &["list"]).exits(128).warns("tasks.json");
    room.run("git-task", &["add", "four"]).exits(128).warns("tasks.json");
    fs::rename(room.path().join("gone"), &away).unwrap();
    room.run("git-task", &["list", "-z"]).succeeds().prints("one\0two\0three\0");
    assert_eq!(room.run("git-task", &["log"]).succeeds().stdout.lines().count(), 3);
}

#[test]
fn a_registry_that_was_removed_does_not_hide_the_old_changes() {
    let room = Sandbox::new();
    for name in ["one", "two", "three"] {
        room.run("git-task", &["add", name]).succeeds();
    }
    fs::remove_file(room.data().join("tasks.json")).unwrap();
    room.run("git-task", &["add", "four"]).succeeds();
    let log = room.run("git-task", &["log", "--all"]).succeeds().stdout;
    let whats: Vec<&str> = log.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(whats, ["four", "three", "two", "one"], "{log}");
}

#[test]
fn settings_of_a_clone_that_are_a_link_to_a_device_or_pipe_are_refused_at_once() {
    let room = Sandbox::new();
    fs::create_dir(room.repo().join(".codex-agent")).unwrap();
    let config = room.repo().join(".codex-agent/config.toml");
    room.run("mkfifo", &[room.path().join("pipe").to_str().unwrap()]).succeeds();
    for target in [PathBuf::from("/dev/zero"), room.path().join("pipe"), PathBuf::from("/dev/tty")] {
        symlink(&target, &config).unwrap();
        for arguments in [&["status"][..], &["add", "x"], &["config", "list"]] {
            let words = [&["10", "git-task"], arguments].concat();
            room.run("timeout", &words).exits(128).warns("config.toml");
        }
        fs::remove_file(&config).unwrap();
    }
}

#[test]
fn a_name_that_can_be_no_branch_is_said_to_be_none() {
    let room = Sandbox::new();
    for name in ["main~0", "main:README", "", "-x", "--help", "a b", "ma\nin", "x.lock"] {
        let base = format!("--base={name}");
        let ran = room.run("git-task", &["add", "t", &base]).exits(128).warns("there is no branch");
        assert!(!ran.stderr.contains("Message"), "{}", ran.stderr);
    }
}

#[test]
fn what_is_staged_in_a_worktree_that_is_gone_is_not_forgotten() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    let path = PathBuf::from(room.run("git-task", &["worktree", "add", "one"]).succeeds().text());
    room.write_in(&path, "staged", "precious\n");
    room.git_in(&path, &["add", "staged"]);
    fs::rename(&path, room.path().join("elsewhere")).unwrap();
    room.run("git-task", &["worktree", "add", "one"]).exits(128).warns("that folder is gone");
    room.run("git-task", &["worktree", "remove", "one"]).exits(128).warns("changed: staged");
    let kept = room.run("git-task", &["worktree", "remove", "--force", "one", "--json"]).succeeds().json();
    assert_eq!(room.git(&["show", &format!("{}:staged", kept["kept"].as_str().unwrap())]), "precious");
    assert_eq!(fs::read_to_string(room.path().join("elsewhere/staged")).unwrap(), "precious\n");
    room.run("git-task", &["worktree", "add", "one"]).succeeds();
}

/// Gives the room to a user without rights of their own; false where that cannot be had.
fn given_away(room: &Sandbox, what: &str) -> bool {
    let ran = room.run("chown", &["-R", "65534:65534", room.path().to_str().unwrap()]);
    let can = ran.code == 0 && as_user(room, &["git-task", "list"]).code == 0;
    if !can {
        skip(what, "it takes root, and programs that another user can start");
    }
    can
}

fn as_user(room: &Sandbox, words: &[&str]) -> Ran {
    room.run("setpriv", &[&["--reuid=65534", "--regid=65534", "--clear-groups"], words].concat())
}

#[test]
fn without_the_right_to_write_it_reads_and_says_why_it_cannot_change() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    if !given_away(&room, "commands without the right to write") {
        return;
    }
    let mode = |path: PathBuf, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(room.data(), 0o500);
    for words in [&["git-task", "list"][..], &["git-task", "status"], &["git-task", "log"], &["git-task", "doctor"]] {
        as_user(&room, words).succeeds();
    }
    as_user(&room, &["git-task", "add", "two"]).exits(128).warns("Permission denied").prints("");
    mode(room.data(), 0o700);
    for (file, word) in [("tasks.json", "read"), ("tasks.log.jsonl", "append"), ("tasks.json.lock", "lock")] {
        mode(room.data().join(file), 0o000);
        as_user(&room, &["git-task", "add", "two"]).exits(128).warns(word).warns(file);
        mode(room.data().join(file), 0o600);
    }
    as_user(&room, &["git-task", "list", "-z"]).succeeds().prints("one\0");
    mode(room.repo().join(".git"), 0o500);
    as_user(&room, &["git-task", "worktree", "add", "one"]).exits(128).warns("Permission denied");
    mode(room.repo().join(".git"), 0o700);
    as_user(&room, &["git-task", "worktree", "add", "one"]).succeeds();
}

#[test]
fn a_full_disk_refuses_the_change_and_keeps_what_was_there() {
    let room = Sandbox::new();
    let disk = room.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let path = disk.to_str().unwrap();
    if room.run("mount", &["-t", "tmpfs", "-o", "size=64k", "none", path]).code != 0 {
        return skip("a registry on a full disk", "no tmpfs can be mounted");
    }
    let settings = [("XDG_DATA_HOME", path)];
    let mut added = 0;
    let failed = loop {
        let one = ran(&room, &settings, &["add", &format!("task {added} {}", "x".repeat(200))]);
        if one.code != 0 {
            break one;
        }
        added += 1;
    };
    let listed = || ran(&room, &settings, &["list", "-z"]).stdout.matches('\0').count();
    let before = (listed(), ran(&room, &settings, &["log"]).code, ran(&room, &settings, &["doctor"]).code);
    room.run("mount", &["-o", "remount,size=1m", path]);
    let after = ran(&room, &settings, &["add", "after"]).code;
    let changes = ran(&room, &settings, &["log"]).stdout.lines().count();
    let listed_after = listed();
    room.run("umount", &[path]).succeeds();
    failed.exits(128).warns("No space left");
    assert!(added > 3);
    assert_eq!((before, after), ((added, 0, 0), 0));
    assert_eq!((listed_after, changes), (added + 1, added + 1));
}
