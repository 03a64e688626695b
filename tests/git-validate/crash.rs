//! A validation, and what puts it into a hook, are killed at each of their system calls that change something.

use std::fs;
use std::path::Path;

use suite_tests::{CHANGING_CALLS, Reach, Sandbox, can_kill, program_folder, run_killed};

const CHECKS: &str = "[[checks]]\nname = \"readme\"\ncommand = [\"grep\", \"-q\", \"two\", \"README\"]\n";

fn program() -> String {
    program_folder().join("git-validate").to_str().unwrap().to_owned()
}

/// Every few opened files, since most of those calls only read.
fn steps(call: &str) -> usize {
    if call == "openat" { 5 } else { 1 }
}

#[test]
fn a_killed_validation_leaves_the_old_note_or_the_new_and_the_next_one_answers() {
    let room = Sandbox::new();
    if !can_kill(&room, "killing a validation at its calls") {
        return;
    }
    room.trusted_config(CHECKS);
    room.commit("checks");
    room.write("README", "edited two\n");
    room.write("loose", "l\n");
    let before = (fs::read(room.repo().join(".git/index")).unwrap(), room.git(&["status", "--porcelain"]));
    let program = program();
    let mut killed = 0;
    for call in CHANGING_CALLS {
        for n in (1..).step_by(steps(call)) {
            let ran = run_killed(&room, &room.repo(), Reach::Alone, call, n, &[&program, "--force"]);
            let what = format!("{call} {n}");
            let notes = room.run("git", &["notes", "--ref=validate", "show", "HEAD^{tree}"]);
            assert!(notes.code == 0 || !notes.stderr.contains("fatal"), "{what}: {}", notes.stderr);
            room.run("git-validate", &[]).succeeds().says("pass");
            assert_eq!(
                (fs::read(room.repo().join(".git/index")).unwrap(), room.git(&["status", "--porcelain"])),
                before,
                "{what}"
            );
            if ran.code == 0 {
                break;
            }
            assert_eq!(ran.code, 137, "{what}: {}", ran.stderr);
            killed += 1;
        }
    }
    room.git(&["fsck", "--strict"]);
    assert!(killed > 40, "only {killed} runs were killed");
}

#[test]
fn a_killed_install_or_uninstall_leaves_a_hook_that_the_next_one_finishes() {
    let room = Sandbox::new();
    if !can_kill(&room, "killing an install at its calls") {
        return;
    }
    room.trusted_config(CHECKS);
    let hook = room.repo().join(".git/hooks/pre-commit");
    for original in ["#!/bin/sh\necho theirs\n", "#!/usr/bin/env python3\nprint('theirs')\n"] {
        for verb in ["install", "uninstall"] {
            for call in CHANGING_CALLS {
                for n in (1..).step_by(steps(call)) {
                    room.write(".git/hooks/pre-commit", original);
                    room.run("chmod", &["755", hook.to_str().unwrap()]).succeeds();
                    if verb == "uninstall" {
                        room.run("git-validate", &["install"]).succeeds();
                    }
                    let ran = run_killed(&room, &room.repo(), Reach::Alone, call, n, &[&program(), verb]);
                    room.run("git-validate", &["install"]).succeeds();
                    room.run("git-validate", &["uninstall"]).succeeds();
                    assert_eq!(fs::read_to_string(&hook).unwrap(), original, "{verb}: {call} {n}");
                    assert_eq!(kept(&hook), 0, "{verb}: {call} {n}");
                    if ran.code == 0 {
                        break;
                    }
                    assert_eq!(ran.code, 137, "{verb}: {call} {n}: {}", ran.stderr);
                }
            }
        }
    }
}

/// Counts what we keep beside a hook.
fn kept(hook: &Path) -> usize {
    let entries = fs::read_dir(hook.parent().unwrap()).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().contains("git-validate")).count()
}
