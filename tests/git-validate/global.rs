//! Hooks in git's own configuration. Where git is too old for them, another that only says that it is newer stands in.

use std::fs;
use std::path::PathBuf;

use suite_tests::{Ran, skip};

use crate::room::Room;

/// Says whether the git at hand reads hooks from its configuration.
pub(crate) fn reads_config_hooks(room: &Room) -> bool {
    let version = room.git(&["version"]);
    let mut numbers = version.trim_start_matches("git version ").split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (2, 54)
}

/// Runs the program with a git that says that it is new enough.
fn with_newer(room: &Room, arguments: &[&str]) -> Ran {
    let git = room.run("sh", &["-c", "command -v git"]).succeeds().text().to_owned();
    let script = format!(
        "for word; do [ \"$word\" != --version ] || {{ echo git version 2.55.0; exit; }}; done; exec '{git}' \"$@\""
    );
    room.script("newer/git", &script);
    let program = suite_tests::program_folder().join("git-validate");
    let mut command = room.command(program);
    let path = format!("{}:{}", room.path().join("newer").display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).args(arguments);
    Ran::new(format!("git-validate {}", arguments.join(" ")), command.output().unwrap())
}

fn gitconfig(room: &Room) -> PathBuf {
    room.home().join(".gitconfig")
}

#[test]
fn an_old_git_is_told_and_nothing_is_written() {
    let room = Room::with(&[("a", "true")]);
    if reads_config_hooks(&room) {
        return skip("the refusal of a git that is too old", "this git is new enough");
    }
    let before = fs::read(gitconfig(&room)).unwrap();
    let ran = room.validate(&["install", "--global"]).exits(128);
    ran.warns("reads no hooks from its configuration; 2.54").warns("init.templateDir");
    assert_eq!(fs::read(gitconfig(&room)).unwrap(), before);
}

#[test]
fn the_users_configuration_gets_it_and_is_as_before_afterwards() {
    let room = Room::with(&[("a", "true")]);
    let before = fs::read(gitconfig(&room)).unwrap();
    with_newer(&room, &["install", "--global", "-n"]).succeeds().says("pre-commit  installed");
    assert_eq!(fs::read(gitconfig(&room)).unwrap(), before);
    let words = ["install", "--global", "--hook", "pre-commit,pre-push", "--tips"];
    with_newer(&room, &words).succeeds().says(".gitconfig  (in git's configuration)");
    let of = |key: &str| room.git(&["config", "--global", "--get-all", key]);
    assert_eq!(of("hook.git-validate-pre-commit.event"), "pre-commit");
    assert_eq!(of("hook.git-validate-pre-commit.command"), "git-validate hook --where-configured pre-commit");
    let command = "git-validate hook --where-configured --tips pre-push";
    assert_eq!(of("hook.git-validate-pre-push.command"), command);
    with_newer(&room, &words).succeeds().says("pre-push  present");
    // An install that was interrupted between the two is completed.
    room.git(&["config", "--global", "--unset", "hook.git-validate-pre-commit.event"]);
    with_newer(&room, &["install", "--global"]).succeeds().says("pre-commit  installed");
    with_newer(&room, &["uninstall", "--global"]).succeeds().says("pre-push  removed").says("commit-msg  absent");
    assert_eq!(fs::read(gitconfig(&room)).unwrap(), before);
}

#[test]
fn a_folder_that_is_not_ours_is_left_alone() {
    let room = Room::with(&[("a", "true")]);
    let outside = room.path().join("outside");
    fs::create_dir(&outside).unwrap();
    room.git(&["config", "core.hooksPath", outside.to_str().unwrap()]);
    let before = fs::read(room.repo().join(".git/config")).unwrap();
    with_newer(&room, &["install"]).succeeds().says("(in git's configuration)");
    assert_eq!(
        room.git(&["config", "--local", "hook.git-validate-pre-commit.command"]),
        "git-validate hook pre-commit"
    );
    with_newer(&room, &["uninstall"]).succeeds().says("pre-commit  removed");
    assert_eq!(fs::read(room.repo().join(".git/config")).unwrap(), before);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn where_nothing_is_configured_a_hook_for_all_says_nothing() {
    let room = Room::new();
    room.validate(&["hook", "--where-configured", "pre-commit"]).succeeds().prints("");
    room.validate(&["hook", "--where-configured", "pre-push", "origin", "-url"]).succeeds().prints("");
    room.validate(&["hook", "pre-commit"]).exits(128).warns("no checks are configured");
}

#[test]
fn git_runs_them_in_every_repository() {
    let room = Room::with(&[("no-bad", "! test -e bad")]);
    if !reads_config_hooks(&room) {
        return skip("hooks of git's configuration as git runs them", "this git is older than 2.54");
    }
    room.git(&["init", "-q", "--bare", "../remote.git"]);
    room.validate(&["install", "--global", "--hook", "pre-commit,pre-push,commit-msg"]).succeeds();
    room.write("bad", "bad\n");
    room.git(&["add", "bad"]);
    room.run("git", &["commit", "-qm", "bad"]).exits(1);
    room.git(&["commit", "-qm", "bad", "--no-verify"]);
    room.git(&["rm", "-q", "bad"]);
    room.git(&["commit", "-qm", "good again"]);
    room.run("git", &["push", "-q", "../remote.git", "main"]).exits(1);
    let other = room.path().join("other");
    room.git(&["init", "-q", other.to_str().unwrap()]);
    room.commit_in(&other, "nothing is configured here");
    room.validate(&["doctor"]).succeeds();
    room.git(&["config", "hook.git-validate-pre-commit.enabled", "false"]);
    room.validate(&["doctor"]).exits(1).says("it is switched off");
}
