use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use suite_tests::Ran;

use crate::room::Room;

fn hook(room: &Room, name: &str) -> PathBuf {
    room.repo().join(".git/hooks").join(name)
}

pub(crate) fn put(path: &Path, content: &[u8], mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn facts(path: &Path) -> (Vec<u8>, u32) {
    (fs::read(path).unwrap(), path.metadata().unwrap().permissions().mode() & 0o7777)
}

/// A room with an empty remote and a check that refuses trees with a file `bad`.
fn with_remote() -> Room {
    let room = Room::with(&[("no-bad", "! test -e bad")]);
    room.git(&["init", "-q", "--bare", "../remote.git"]);
    room.git(&["remote", "add", "origin", "../remote.git"]);
    room
}

#[test]
fn what_was_there_still_runs_and_comes_back_byte_for_byte() {
    for (content, mode) in [
        (&b"#!/bin/sh\necho theirs >> ../theirs\n"[..], 0o755),
        (b"#!/usr/bin/env bash\nset -eu\necho theirs >> ../theirs", 0o700),
        (b"#!/bin/sh\n# caf\xe9\r\necho theirs >> ../theirs\n\n\n", 0o775),
        (b"#!/usr/bin/awk -f\nBEGIN { print \"theirs\" >> \"../theirs\" }\n", 0o755),
    ] {
        let room = Room::with(&[("a", "true")]);
        let path = hook(&room, "pre-commit");
        put(&path, content, mode);
        room.validate(&["install"]).succeeds().says("pre-commit  installed");
        let installed = facts(&path);
        room.validate(&["install"]).succeeds().says("present");
        assert_eq!(facts(&path), installed, "twice is once");
        room.commit("through both");
        assert_eq!(room.runs(), 1);
        assert_eq!(fs::read_to_string(room.path().join("theirs")).unwrap(), "theirs\n");
        room.validate(&["uninstall"]).succeeds().says("pre-commit  removed");
        assert_eq!(facts(&path), (content.to_vec(), mode));
        room.validate(&["uninstall"]).succeeds().says("absent");
        assert_eq!(
            fs::read_dir(path.parent().unwrap())
                .unwrap()
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().contains("git-validate"))
                .count(),
            0
        );
    }
}

#[test]
fn the_exit_code_of_the_other_hook_counts() {
    for script in [&b"#!/bin/sh\nexit 3\n"[..], b"#!/usr/bin/awk -f\nBEGIN { exit 3 }\n"] {
        let room = Room::with(&[("a", "true")]);
        put(&hook(&room, "pre-commit"), script, 0o755);
        room.validate(&["install"]).succeeds();
        room.write("new", "new\n");
        room.git(&["add", "new"]);
        room.run("git", &["commit", "-qm", "no"]).exits(1);
        assert_eq!(room.runs(), 1);
    }
}

#[test]
fn a_hook_that_git_does_not_run_is_not_made_to_run() {
    let room = Room::with(&[("a", "true")]);
    let path = hook(&room, "pre-commit");
    put(&path, b"#!/bin/sh\nexit 1\n", 0o644);
    room.validate(&["install"]).succeeds();
    room.commit("fine");
    assert_eq!(room.runs(), 1);
    room.validate(&["uninstall"]).succeeds();
    assert_eq!(facts(&path), (b"#!/bin/sh\nexit 1\n".to_vec(), 0o644));
}

#[test]
fn a_link_to_a_file_of_the_project_stays_a_link_and_the_file_as_it_is() {
    let room = Room::with(&[("a", "true")]);
    put(&room.repo().join("scripts/hook"), b"#!/bin/sh\necho theirs >> ../theirs\n", 0o755);
    let path = hook(&room, "pre-commit");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink("../../scripts/hook", &path).unwrap();
    room.validate(&["install"]).succeeds().says("before the hook that is there");
    room.commit("scripts");
    assert_eq!(room.git(&["status", "--porcelain"]), "");
    assert!(room.path().join("theirs").exists());
    room.validate(&["uninstall"]).succeeds();
    assert_eq!(fs::read_link(&path).unwrap(), Path::new("../../scripts/hook"));
}

#[test]
fn alone_it_comes_and_goes_without_a_trace() {
    let room = Room::with(&[("a", "true")]);
    let before = room.users();
    room.validate(&["install", "-n"]).succeeds().says("installed");
    room.validate(&["uninstall", "-n"]).succeeds();
    room.is_untouched(&before, "a dry run");
    let answer = room.validate(&["install", "--hook", "pre-commit", "--hook", "pre-push", "--json"]).succeeds().json();
    assert_eq!(answer["hooks"][1]["action"], "installed");
    assert_eq!(answer["hooks"][1]["beside"], "alone");
    assert_eq!(facts(&hook(&room, "pre-push")).1 & 0o111, 0o111);
    let answer = room.validate(&["uninstall", "--json"]).succeeds().json();
    assert_eq!(answer["hooks"][0]["action"], "removed");
    room.is_untouched(&before, "install and uninstall");
    room.validate(&["install", "--hook", "post-commit"]).exits(129);
}

#[test]
fn an_interrupted_install_is_completed_or_undone() {
    let room = Room::with(&[("a", "true")]);
    let path = hook(&room, "pre-commit");
    let script = b"#!/usr/bin/awk -f\nBEGIN { print \"theirs\" >> \"../theirs\" }\n";
    let kept = hook(&room, "pre-commit.git-validate-kept");
    put(&kept, script, 0o755);
    room.validate(&["install"]).succeeds();
    room.commit("through both");
    assert!(room.path().join("theirs").exists());
    room.validate(&["uninstall"]).succeeds();
    assert_eq!(facts(&path).0, script);
    fs::rename(&path, &kept).unwrap();
    room.validate(&["uninstall"]).succeeds();
    assert_eq!(facts(&path).0, script);
    put(&kept, b"in the way", 0o644);
    room.validate(&["install"]).exits(128).warns("is in the way");
    assert_eq!(facts(&path).0, script);
}

#[test]
fn changed_lines_are_not_taken_out_by_guess() {
    let room = Room::with(&[("a", "true")]);
    let path = hook(&room, "pre-commit");
    room.validate(&["install"]).succeeds();
    let changed = fs::read_to_string(&path).unwrap().replace("|| exit $?", "|| true");
    put(&path, changed.as_bytes(), 0o755);
    room.validate(&["uninstall"]).exits(128).warns("were changed by hand");
    room.validate(&["install"]).exits(128).warns("were changed by hand");
    assert_eq!(fs::read_to_string(&path).unwrap(), changed);
}

#[test]
fn exactly_the_pushed_commits_are_judged() {
    let room = with_remote();
    put(&hook(&room, "pre-push"), b"#!/bin/sh\ncat >> ../refs\n", 0o755);
    room.validate(&["install", "--hook", "pre-push"]).succeeds();
    room.git(&["branch", "good"]);
    room.write("bad", "bad\n");
    room.commit("bad");
    // HEAD is bad, and so is the worktree; what is pushed is not.
    room.git(&["push", "-q", "origin", "good"]);
    let refs = fs::read_to_string(room.path().join("refs")).unwrap();
    assert_eq!(refs.lines().count(), 1, "{refs:?}");
    assert!(refs.starts_with("refs/heads/good ") && refs.ends_with('\n'), "{refs:?}");
    room.run("git", &["push", "-q", "origin", "main", "good:other"]).exits(1);
    assert_eq!(room.git(&["ls-remote", "origin", "refs/heads/main", "refs/heads/other"]), "");
    let runs = room.runs();
    room.git(&["push", "-q", "origin", ":good"]);
    room.git(&["push", "-q", "origin", "refs/notes/validate"]);
    let blob = room.git(&["rev-parse", "HEAD:README"]);
    room.git(&["tag", "file", &blob]);
    room.git(&["push", "-q", "origin", "file"]);
    assert_eq!(room.runs(), runs, "a deletion, notes and a file are no commits");
}

#[test]
fn a_hook_that_reads_gets_nothing_when_there_is_nothing() {
    let room = with_remote();
    put(&hook(&room, "pre-push"), b"#!/bin/sh\ncat | wc -c > ../count\n", 0o755);
    room.validate(&["install", "--hook", "pre-push"]).succeeds();
    let hook = hook(&room, "pre-push");
    room.run("sh", &["-c", &format!("'{}' origin url < /dev/null", hook.display())]).succeeds();
    assert_eq!(fs::read_to_string(room.path().join("count")).unwrap().trim(), "0");
}

#[test]
fn linked_worktrees_share_it_and_their_pushes_are_judged_too() {
    let room = with_remote();
    let linked = room.path().join("linked");
    room.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    room.run_in(&linked, "git-validate", &["install", "--hook", "pre-commit", "--hook", "pre-push"]).succeeds();
    assert!(hook(&room, "pre-commit").exists());
    room.write_in(&linked, "bad", "bad\n");
    room.git_in(&linked, &["add", "bad"]);
    room.run_in(&linked, "git", &["commit", "-qm", "bad"]).exits(1);
    room.git_in(&linked, &["commit", "-qm", "bad", "--no-verify"]);
    room.run_in(&linked, "git", &["push", "-q", "../remote.git", "linked"]).exits(1);
    room.git(&["push", "-q", "origin", "main"]);
}

#[test]
fn the_folder_that_git_takes_hooks_from_is_used_if_it_is_of_this_repository() {
    let room = Room::with(&[("a", "true")]);
    put(&room.repo().join(".husky/_/pre-commit"), b"#!/usr/bin/env sh\necho theirs >> ../theirs\n", 0o755);
    room.git(&["config", "core.hooksPath", ".husky/_"]);
    let sub = room.repo().join(".husky");
    room.run_in(&sub, "git-validate", &["install"]).succeeds().says(".husky/_/pre-commit");
    assert!(!hook(&room, "pre-commit").exists());
    room.commit("through both");
    assert_eq!(room.runs(), 1);
    assert!(room.path().join("theirs").exists());
    let outside = room.path().join("outside");
    fs::create_dir(&outside).unwrap();
    room.git(&["config", "core.hooksPath", outside.to_str().unwrap()]);
    if !crate::global::reads_config_hooks(&room) {
        room.validate(&["install"]).exits(128).warns("leads outside this repository");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn without_the_program_the_hook_says_so_and_stops() {
    let room = Room::with(&[("a", "true")]);
    room.validate(&["install"]).succeeds();
    let hook = hook(&room, "pre-commit");
    let output = room.command(&hook).env("PATH", "/usr/bin:/bin").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("git-validate is not on PATH") && !words.contains("no-verify"), "{words}");
}

#[test]
fn a_list_of_hooks_is_each_of_them_once() {
    let room = Room::with(&[("a", "true")]);
    let words = ["install", "--hook", "pre-commit,commit-msg", "--hook", "pre-push,pre-commit", "--json"];
    let answer = room.validate(&words).succeeds().json();
    let hooks: Vec<&str> =
        answer["hooks"].as_array().unwrap().iter().map(|row| row["hook"].as_str().unwrap()).collect();
    assert_eq!(hooks, ["pre-commit", "commit-msg", "pre-push"]);
    room.validate(&["install", "--tips"]).exits(129);
    room.validate(&["install", "--local", "--global"]).exits(129);
    let before = room.users();
    room.validate(&["install", "--local", "--hook", "commit-msg"]).succeeds().says("commit-msg  present");
    room.is_untouched(&before, "twice is once");
}

#[test]
fn a_message_passes_where_no_policy_reads_it_and_the_other_hook_may_change_it() {
    let room = Room::with(&[("never", "false")]);
    put(&hook(&room, "commit-msg"), b"#!/bin/sh\necho theirs >> \"$1\"\n", 0o755);
    room.validate(&["install", "--hook", "commit-msg"]).succeeds();
    room.write("new", "new\n");
    room.commit("ours");
    assert_eq!(room.git(&["log", "-1", "--format=%B"]).trim_end(), "ours\ntheirs");
    assert_eq!(room.runs(), 0, "no check runs for a message");
    room.validate(&["hook", "commit-msg"]).exits(129);
}

#[test]
fn each_commit_that_the_remote_has_not_is_judged_unless_only_the_tips_are_asked_for() {
    let room = with_remote();
    room.git(&["push", "-q", "origin", "main"]);
    room.write("bad", "bad\n");
    room.commit("bad");
    fs::remove_file(room.repo().join("bad")).unwrap();
    room.commit("good again");
    let path = hook(&room, "pre-push");
    put(&path, b"#!/bin/sh\ncat > ../refs\n", 0o755);
    room.validate(&["install", "--hook", "pre-push"]).succeeds();
    room.run("git", &["push", "-q", "origin", "main"]).exits(1);
    assert_eq!(room.runs(), 1, "the oldest first, and only what is new");
    room.run("git", &["push", "-q", "../remote.git", "main:by-address"]).exits(1);
    // The other way of calling takes its place.
    room.validate(&["install", "--hook", "pre-push", "--tips"]).succeeds().says("pre-push  installed");
    room.git(&["push", "-q", "origin", "main"]);
    assert!(fs::read_to_string(room.path().join("refs")).unwrap().starts_with("refs/heads/main "));
    room.validate(&["install", "--hook", "pre-push"]).succeeds();
    // What the remote has already is judged by its last commit all the same.
    room.git(&["push", "-q", "origin", "main:other"]);
    room.validate(&["uninstall"]).succeeds();
    assert_eq!(facts(&path).0, b"#!/bin/sh\ncat > ../refs\n");
}

#[test]
fn a_hook_of_an_older_version_goes_on_working_and_is_taken_out() {
    let room = with_remote();
    room.git(&["push", "-q", "origin", "main"]);
    room.write("bad", "bad\n");
    room.commit("bad");
    fs::remove_file(room.repo().join("bad")).unwrap();
    room.commit("good again");
    let path = hook(&room, "pre-push");
    room.validate(&["install", "--hook", "pre-push"]).succeeds();
    let now = String::from_utf8(facts(&path).0).unwrap();
    let line = "git-validate hook pre-push \"$@\"";
    for old in ["git-validate hook pre-push", "git-validate hook --each-commit pre-push \"$@\""] {
        put(&path, now.replace(line, old).as_bytes(), 0o755);
        room.run("git", &["push", "-q", "origin", "main"]).exits(1);
        room.validate(&["install", "--hook", "pre-push"]).succeeds().says("pre-push  installed");
        assert_eq!(facts(&path).0, now.as_bytes());
        put(&path, now.replace(line, old).as_bytes(), 0o755);
        room.validate(&["uninstall"]).succeeds().says("pre-push  removed");
        assert!(!path.exists());
    }
}

#[test]
fn of_an_old_history_that_is_pushed_first_only_the_tips_are_judged() {
    let room = with_remote();
    for _ in 0..64 {
        room.git(&["commit", "-q", "--allow-empty", "-m", "one more"]);
    }
    room.validate(&["install", "--hook", "pre-push"]).succeeds();
    let words = "66 commits are new there; of each ref only the last is judged";
    room.run("git", &["push", "origin", "main"]).succeeds().warns(words);
    assert_eq!(room.runs(), 1);
}

#[test]
fn checks_of_another_stage_hold_nothing_up() {
    let room = Room::new();
    room.trusted_config("[[checks]]\nname = \"late\"\ncommand = [\"false\"]\nstage = [\"pre-push\"]\n");
    room.validate(&["install"]).succeeds();
    room.commit("settings");
    room.validate(&["hook", "pre-commit"]).succeeds().prints("");
}

#[test]
fn a_hook_that_is_a_file_of_the_project_is_not_changed() {
    let room = Room::with(&[("a", "true")]);
    let path = room.repo().join(".githooks/pre-commit");
    put(&path, b"#!/bin/sh\nexit 0\n", 0o755);
    room.commit("hooks");
    room.git(&["config", "core.hooksPath", ".githooks"]);
    if crate::global::reads_config_hooks(&room) {
        room.validate(&["install"]).succeeds().says("(in git's configuration)");
        room.validate(&["uninstall"]).succeeds();
    } else {
        let words = ["install", "--hook", "pre-push,pre-commit"];
        room.validate(&words).exits(128).warns("is a file of the project").warns("git-validate hook pre-commit \"$@\"");
    }
    assert_eq!(room.git(&["status", "--porcelain"]), "");
    // One that calls us by itself is fine.
    put(&path, b"#!/bin/sh\ngit-validate hook pre-commit \"$@\"\n", 0o755);
    room.validate(&["install"]).succeeds().says("pre-commit  present");
    room.commit("called by themselves");
    assert_eq!(room.runs(), 1);
}

#[test]
fn a_message_is_judged_as_git_will_keep_it() {
    let room = Room::with(&[("never", "false")]);
    room.user_config("[policies.commit-message]\nsubject-max = 20\nbody-max = 30\n");
    room.validate(&["install", "--hook", "commit-msg"]).succeeds();
    let mut number = 0;
    let mut commits = |editor: &str, arguments: &[&str]| {
        number += 1;
        room.write("new", &format!("{number}\n"));
        room.git(&["add", "new"]);
        let mut command = room.command("git");
        let script = room.script("editor", editor);
        command.env("GIT_EDITOR", script).arg("commit").args(arguments);
        Ran::new(format!("git commit {arguments:?}"), command.output().unwrap())
    };
    commits("", &["-qm", "a subject that is far too long"]).exits(1).warns("the subject has 30 characters");
    assert_eq!(commits("", &["-qm", "short"]).succeeds().stderr, "", "it is silent where all is well");
    // What an editor is shown beside the message is longer than any line may be.
    let put = "{ echo subject; echo; echo body; cat \"$1\"; } > \"$1.new\"; mv \"$1.new\" \"$1\"";
    commits(put, &["-q", "-v"]).succeeds();
    commits(&put.replace("echo body", "echo a line of the body that is too long"), &["-q"]).exits(1).warns("line 3");
    // Git chooses by what the message is before the editor: here '#'.
    for (comment, code) in [(";", 1), ("auto", 0)] {
        room.git(&["config", "core.commentChar", comment]);
        commits(put, &["-q", "-v"]).succeeds();
        let heading = put.replace("echo body", "echo '# a heading that is kept, and is far too long'");
        commits(&heading, &["-q"]).exits(code);
    }
    room.git(&["config", "--unset", "core.commentChar"]);
    // Without an editor nothing is a comment.
    commits("", &["-qm", "short", "-m", "# a heading that is kept, and is far too long"]).exits(1);
    room.git(&["config", "commit.cleanup", "strip"]);
    commits("", &["-qm", "short", "-m", "# a heading that is cut, and is far too long"]).succeeds();
    commits(":", &["-q"]).exits(1).warns("empty commit message");
    assert_eq!(room.runs(), 0);
}

#[test]
fn a_hook_that_git_does_not_run_is_not_called_present() {
    let room = Room::with(&[("a", "true")]);
    room.validate(&["install"]).succeeds();
    let hook = room.repo().join(".git/hooks/pre-commit");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o644)).unwrap();
    room.validate(&["install"]).exits(128).warns("is not executable");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    room.validate(&["install"]).succeeds().says("present");
}
