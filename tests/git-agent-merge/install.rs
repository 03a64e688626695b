//! The pre-push hook: what it says, what it stops, and beside whom it lives.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use suite_tests::{Ran, Sandbox};

/// Open tasks `one` and `two` that conflict with each other, and a remote.
fn room() -> Sandbox {
    let room = Sandbox::new();
    room.write("rest", "rest\n");
    room.commit("more");
    for (task, line) in [("one", "ONE"), ("two", "TWO")] {
        room.run("git-task", &["add", task]).succeeds();
        let place = room.run("git-task", &["worktree", "add", task]).succeeds().text().to_owned();
        room.write_in(Path::new(&place), "README", &format!("one\n{line}\nthree\n"));
        room.commit_in(Path::new(&place), task);
    }
    room.git(&["init", "-q", "--bare", "../remote.git"]);
    room.git(&["remote", "add", "origin", "../remote.git"]);
    room
}

fn hook(room: &Sandbox) -> PathBuf {
    room.repo().join(".git/hooks/pre-push")
}

fn put(path: &Path, content: &[u8], mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn facts(path: &Path) -> (Vec<u8>, u32) {
    (fs::read(path).unwrap(), path.metadata().unwrap().permissions().mode() & 0o7777)
}

/// What lies in the folder of hooks but for git's samples.
fn hooks(room: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(room.repo().join(".git/hooks")).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.ends_with(".sample"));
    names.sort();
    names
}

fn merge(room: &Sandbox, words: &[&str]) -> Ran {
    room.run("git-agent-merge", words)
}

fn push(room: &Sandbox, words: &[&str]) -> Ran {
    room.run("git", &[&["push", "-q", "origin"], words].concat())
}

fn at_remote(room: &Sandbox) -> String {
    room.git_in(&room.path().join("remote.git"), &["for-each-ref", "--format=%(refname)"])
}

#[test]
fn a_push_with_a_conflict_is_warned_of_and_goes_through() {
    let room = room();
    merge(&room, &["install", "-n"]).succeeds().says("pre-push  installed");
    assert_eq!(hooks(&room), [""; 0]);
    merge(&room, &["install"]).succeeds().says("pre-push  installed");
    merge(&room, &["install", "--warn", "--local"]).succeeds().says("pre-push  present");
    let said = push(&room, &["task/one"]).succeeds().warns("'task/one' conflicts with the task 'two': README");
    assert_eq!(said.stdout, "");
    assert_eq!(at_remote(&room), "refs/heads/task/one");
    // The base of all is not held up by those that will meet it.
    let said = push(&room, &["main"]).succeeds();
    assert_eq!(said.stderr, "");
    room.write("README", "one\nMAIN\nthree\n");
    room.commit("the base moves");
    let said =
        push(&room, &["task/two", "task/one:another"]).succeeds().warns("'task/two' conflicts with 'main': README");
    assert!(!said.stderr.contains("with the task"), "{}", said.stderr);
    merge(&room, &["uninstall"]).succeeds().says("pre-push  removed");
    merge(&room, &["uninstall"]).succeeds().says("pre-push  absent");
    assert_eq!(hooks(&room), [""; 0]);
}

#[test]
fn a_push_with_a_conflict_is_refused_where_that_is_asked_for() {
    let room = room();
    merge(&room, &["install"]).succeeds();
    merge(&room, &["install", "--refuse"]).succeeds().says("pre-push  installed");
    push(&room, &["task/one"]).exits(1).warns("'task/one' conflicts with the task 'two'").warns("refused");
    assert_eq!(at_remote(&room), "");
    room.git(&["branch", "harmless"]);
    room.git(&["tag", "v1", "task/one"]);
    push(&room, &["harmless", "v1", "main"]).succeeds();
    push(&room, &[":harmless"]).succeeds();
    assert_eq!(at_remote(&room), "refs/heads/main\nrefs/tags/v1");
    room.run("git-task", &["worktree", "remove", "two"]).succeeds();
    room.run("git-task", &["drop", "two"]).succeeds();
    push(&room, &["task/one"]).succeeds();
    merge(&room, &["install", "--warn"]).succeeds().says("pre-push  installed");
    assert!(!fs::read_to_string(hook(&room)).unwrap().contains("--refuse"));
    merge(&room, &["install", "--warn", "--refuse"]).exits(129);
}

#[test]
fn what_cannot_be_told_blocks_only_where_conflicts_do() {
    let room = room();
    room.git(&["checkout", "-q", "--orphan", "stranger"]);
    room.commit("nothing in common");
    room.git(&["checkout", "-q", "main"]);
    merge(&room, &["install"]).succeeds();
    push(&room, &["stranger"]).succeeds().warns("could not be told").warns("unrelated histories");
    merge(&room, &["install", "--refuse"]).succeeds();
    push(&room, &["stranger:again"]).exits(1).warns("could not be told");
    let registry = room.data().join("tasks.json");
    let known = fs::read(&registry).unwrap();
    fs::write(&registry, "{").unwrap();
    push(&room, &["main"]).exits(1).warns("tasks.json");
    merge(&room, &["install"]).succeeds();
    push(&room, &["main"]).succeeds().warns("could not be told");
    fs::write(&registry, known).unwrap();
    // Without the program it is the same.
    let without = |room: &Sandbox, branch: &str| {
        let mut command = room.command("git");
        command.args(["push", "-q", "origin", branch]).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        Ran::new("git push".into(), command.output().unwrap())
    };
    without(&room, "task/one").succeeds().warns("git-agent-merge is not on PATH");
    merge(&room, &["install", "--refuse"]).succeeds();
    without(&room, "task/two").exits(1).warns("git-agent-merge is not on PATH");
}

#[test]
fn nothing_is_written_by_a_push_but_what_is_said() {
    let room = room();
    let objects = || room.git(&["count-objects", "-v"]);
    let refs = || room.git(&["for-each-ref", "refs/heads"]);
    let before = (objects(), refs());
    merge(&room, &["install"]).succeeds();
    let id = room.git(&["rev-parse", "task/one"]);
    let line = format!("refs/heads/task/one {id} refs/heads/task/one {}\n", "0".repeat(40));
    let words = format!("printf '{line}' | git-agent-merge hook pre-push origin ../remote.git");
    let said = room.run("sh", &["-c", &words]).succeeds().warns("conflicts");
    assert_eq!(said.stdout, "");
    assert_eq!((objects(), refs()), before);
}

#[test]
fn what_was_there_still_runs_and_reads_and_comes_back_byte_for_byte() {
    for (content, mode) in [
        (&b"#!/bin/sh\ncat >> ../theirs\n"[..], 0o755),
        (b"#!/usr/bin/env bash\nset -eu\ncat >> ../theirs", 0o700),
        (b"#!/usr/bin/awk -f\nBEGIN { while ((getline line < \"-\") > 0) print line >> \"../theirs\" }\n", 0o755),
    ] {
        for mode_of_ours in ["--warn", "--refuse"] {
            let room = room();
            put(&hook(&room), content, mode);
            merge(&room, &["install", mode_of_ours]).succeeds().says("pre-push  installed");
            push(&room, &["main"]).succeeds();
            let theirs = fs::read_to_string(room.path().join("theirs")).unwrap();
            assert!(theirs.starts_with("refs/heads/main "), "{theirs}");
            merge(&room, &["uninstall"]).succeeds().says("pre-push  removed");
            assert_eq!(facts(&hook(&room)), (content.to_vec(), mode));
            assert_eq!(hooks(&room), ["pre-push"]);
        }
    }
}

#[test]
fn it_lives_with_the_validation_in_one_hook_and_each_takes_out_its_own() {
    let validate: &[&str] = &["git-validate", "install", "--hook", "pre-push"];
    let ours: &[&str] = &["git-agent-merge", "install", "--refuse"];
    for there in [
        None,
        Some(&b"#!/bin/sh\ncat >> ../theirs\n"[..]),
        Some(b"#!/usr/bin/awk -f\nBEGIN { while ((getline line < \"-\") > 0) print line >> \"../theirs\" }\n"),
    ] {
        for installs in [[validate, ours], [ours, validate]] {
            for first_out in ["git-validate", "git-agent-merge"] {
                let room = room();
                room.trusted_config("[[checks]]\nname = \"no-bad\"\ncommand = [\"sh\", \"-c\", \"! test -e bad\"]\n");
                room.commit("checks");
                if let Some(there) = there {
                    put(&hook(&room), there, 0o755);
                }
                for install in installs {
                    room.run(install[0], &install[1..]).succeeds().says("installed");
                    room.run(install[0], &install[1..]).succeeds().says("present");
                }
                room.git(&["checkout", "-q", "-b", "bad"]);
                room.write("bad", "b\n");
                room.commit("bad");
                room.git(&["checkout", "-q", "main"]);
                push(&room, &["bad"]).exits(1);
                push(&room, &["task/one"]).exits(1).warns("conflicts with the task 'two'");
                push(&room, &["main"]).succeeds();
                assert_eq!(at_remote(&room), "refs/heads/main");
                let theirs = || fs::read_to_string(room.path().join("theirs")).unwrap_or_default();
                assert_eq!(
                    theirs().matches("refs/heads/main ").count(),
                    if there.is_some() { 2 } else { 0 },
                    "{}",
                    theirs()
                );
                room.run(first_out, &["uninstall"]).succeeds().says("pre-push  removed");
                let left = if first_out == "git-validate" { "git-agent-merge" } else { "git-validate" };
                let refused = if left == "git-validate" { "bad" } else { "task/one" };
                push(&room, &[refused]).exits(1);
                room.run(first_out, &["uninstall"]).succeeds().says("pre-push  absent");
                room.run(left, &["uninstall"]).succeeds().says("pre-push  removed");
                match there {
                    Some(there) => assert_eq!(facts(&hook(&room)), (there.to_vec(), 0o755)),
                    None => assert!(!hook(&room).exists()),
                }
                assert_eq!(hooks(&room).len(), usize::from(there.is_some()));
            }
        }
    }
}

#[test]
fn the_folder_that_git_takes_hooks_from_is_used_if_it_is_of_this_repository() {
    let room = room();
    room.git(&["config", "core.hooksPath", ".husky/_"]);
    let theirs = room.repo().join(".husky/_/pre-push");
    put(&theirs, b"#!/usr/bin/env sh\n. \"$(dirname \"$0\")/h\"", 0o755);
    put(&room.repo().join(".husky/_/h"), b"cat > ../husky\n", 0o644);
    merge(&room, &["install"]).succeeds().says(".husky/_/pre-push").warns("husky");
    push(&room, &["task/one"]).succeeds().warns("conflicts with the task 'two'");
    assert!(fs::read_to_string(room.path().join("husky")).unwrap().contains("task/one"));
    merge(&room, &["uninstall"]).succeeds();
    assert_eq!(fs::read(&theirs).unwrap(), b"#!/usr/bin/env sh\n. \"$(dirname \"$0\")/h\"");
    let outside = room.path().join("outside");
    fs::create_dir(&outside).unwrap();
    room.git(&["config", "core.hooksPath", outside.to_str().unwrap()]);
    let before = fs::read(room.repo().join(".git/config")).unwrap();
    let ran = merge(&room, &["install"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    if ran.code == 0 {
        ran.says("(in git's configuration)");
        push(&room, &["task/one:once-more"]).succeeds().warns("conflicts with the task 'two'");
        merge(&room, &["uninstall"]).succeeds().says("removed");
    } else {
        ran.exits(128).warns("leads outside this repository").warns("git-agent-merge hook pre-push");
    }
    assert_eq!(fs::read(room.repo().join(".git/config")).unwrap(), before);
}

#[test]
fn the_users_configuration_gets_it_where_git_reads_hooks_from_it() {
    let room = room();
    let git = room.run("sh", &["-c", "command -v git"]).succeeds().text().to_owned();
    let script = format!(
        "for word; do [ \"$word\" != --version ] || {{ echo git version 2.55.0; exit; }}; done; exec '{git}' \"$@\""
    );
    room.script("newer/git", &script);
    // A git that only says that it is newer.
    let with_newer = |words: &[&str]| {
        let mut command = room.command(suite_tests::program_folder().join("git-agent-merge"));
        let path = format!("{}:{}", room.path().join("newer").display(), std::env::var("PATH").unwrap());
        Ran::new("git-agent-merge".into(), command.env("PATH", path).args(words).output().unwrap())
    };
    let gitconfig = room.home().join(".gitconfig");
    let before = fs::read(&gitconfig).unwrap();
    with_newer(&["install", "--global", "-n"]).succeeds().says("installed");
    assert_eq!(fs::read(&gitconfig).unwrap(), before);
    for (flag, command) in
        [("--warn", "git-agent-merge hook pre-push || :"), ("--refuse", "git-agent-merge hook --refuse pre-push")]
    {
        with_newer(&["install", "--global", flag]).succeeds().says("(in git's configuration)");
        with_newer(&["install", "--global", flag]).succeeds().says("present");
        assert_eq!(room.git(&["config", "--global", "--get-all", "hook.git-agent-merge-pre-push.command"]), command);
        assert_eq!(room.git(&["config", "--global", "hook.git-agent-merge-pre-push.event"]), "pre-push");
        // As git runs it: the arguments of the hook follow.
        let id = room.git(&["rev-parse", "task/one"]);
        let line = format!("refs/heads/task/one {id} refs/heads/task/one {}", "0".repeat(40));
        let as_git = format!("echo '{line}' | sh -c '{command} \"$@\"' sh origin ../remote.git");
        let ran = room.run("sh", &["-c", &as_git]).warns("conflicts with the task 'two'");
        assert_eq!(ran.code, i32::from(flag == "--refuse"), "{}", ran.stderr);
    }
    with_newer(&["uninstall", "--global"]).succeeds().says("removed");
    assert_eq!(fs::read(&gitconfig).unwrap(), before);
}
