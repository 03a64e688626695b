use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use suite_tests::{Ran, Sandbox};

use super::{files, programs, top};

/// Runs install.sh for the room's user.
pub(crate) fn install(room: &Sandbox, arguments: &[&str]) -> Ran {
    let script = top().join("install.sh");
    let mut command = room.command(script);
    let target = suite_tests::program_folder().parent().unwrap().to_owned();
    let output = command.args(arguments).env("CARGO_TARGET_DIR", target).output().unwrap();
    Ran::new(format!("install.sh {}", arguments.join(" ")), output)
}

fn state(folder: &Path) -> BTreeMap<String, (u64, Option<SystemTime>)> {
    let fact = |path: &Path| (path.metadata().unwrap().len(), path.metadata().unwrap().modified().ok());
    files(folder, "").into_iter().map(|path| (path.display().to_string(), fact(&path))).collect()
}

#[test]
fn all_files_come_and_only_they_go() {
    let room = Sandbox::new();
    let local = room.home().join(".local");
    room.write_in(&local, "bin/mine", "x");
    install(&room, &["--dry-run"]).succeeds().says("would install");
    assert_eq!(files(&local, "").len(), 1);
    install(&room, &[]).succeeds().says("add to your shell's start file");
    for program in programs() {
        for place in [
            format!("bin/{program}"),
            format!("share/man/man1/{program}.1"),
            format!("share/bash-completion/completions/{program}"),
            format!("share/zsh/site-functions/_{program}"),
            format!("share/fish/vendor_completions.d/{program}.fish"),
        ] {
            assert!(local.join(&place).is_file(), "{place}");
        }
    }
    let before: Vec<String> = state(&local).into_keys().collect();
    install(&room, &[]).succeeds();
    assert_eq!(state(&local).into_keys().collect::<Vec<_>>(), before);
    install(&room, &["uninstall", "--dry-run"]).succeeds().says("would remove");
    install(&room, &["uninstall"]).succeeds();
    assert_eq!(files(&local, ""), [local.join("bin/mine")]);
    assert!(!local.join("share").exists());
    install(&room, &["uninstall"]).succeeds().says("nothing is installed");
}

#[test]
fn git_finds_programs_and_pages() {
    let room = Sandbox::new();
    let prefix = room.path().join("else where");
    install(&room, &["--prefix", prefix.to_str().unwrap()]).succeeds();
    let git = |arguments: &[&str]| {
        let path = format!("{}:{}", prefix.join("bin").display(), std::env::var("PATH").unwrap());
        let output = room.command("git").args(arguments).env("PATH", path).env("MANPAGER", "cat").output().unwrap();
        Ran::new(format!("git {}", arguments.join(" ")), output)
    };
    let all = git(&["help", "-a"]).succeeds();
    for program in programs() {
        let verb = program.trim_start_matches("git-");
        assert!(all.stdout.lines().any(|line| line.trim() == verb), "'git help -a' does not list {verb}");
        git(&[verb, "-h"]).succeeds().says("Usage:");
        if room.run("sh", &["-c", "command -v man"]).code == 0 {
            git(&["help", verb]).succeeds().says("SYNOPSIS");
            git(&[verb, "--help"]).succeeds().says("SYNOPSIS");
        } else {
            suite_tests::skip("pages through 'git help'", "there is no man");
        }
    }
    git(&["task", "list", "--help"]).succeeds().says("List the open tasks");
}

#[test]
fn a_wrong_argument_is_refused() {
    let room = Sandbox::new();
    install(&room, &["--fast"]).exits(129).warns("unknown argument");
    install(&room, &["--prefix"]).exits(129);
    install(&room, &["--agent", "codex"]).exits(129);
    assert!(!room.home().join(".local").exists());
}

#[test]
fn the_demo_tells_its_story_and_leaves_only_what_it_names() {
    let room = Sandbox::new();
    let temporary = room.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let before = state(&room.home());
    let target = suite_tests::program_folder().parent().unwrap().to_owned();
    let prefix = room.path().join("prefix");
    let mut command = room.command(top().join("install.sh"));
    command.args(["--demo", "--prefix", prefix.to_str().unwrap()]);
    command.env("CARGO_TARGET_DIR", target).env("TMPDIR", &temporary);
    let ran = Ran::new("install.sh --demo".into(), command.output().unwrap()).succeeds();
    for words in ["merged greeting into main", "merged farewell into main", "demo.conf", "waiting:  language"] {
        assert!(ran.stdout.contains(words), "{words}: {}\n{}", ran.stdout, ran.stderr);
    }
    assert_eq!(state(&room.home()), before, "the demo touched the home");
    let left: Vec<_> = fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(ran.stdout.contains(left[0].to_str().unwrap()));
}
