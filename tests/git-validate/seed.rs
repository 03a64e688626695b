//! The first filling of a slot.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::room::Room;

#[test]
fn the_first_slot_has_the_artefacts_that_every_worktree_gets() {
    let room = Room::with(&[("warm", "cat build/cache"), ("clean", "test \"$(git status --porcelain)\" = ''")]);
    room.write(".worktreeinclude", "/build/\n");
    room.commit("include");
    room.write("build/cache", "built before\n");
    room.write("README", "edited and not committed\n");
    let before = room.users();
    let answer = room.validate(&["--json"]).succeeds().json();
    assert_eq!(Room::check(&answer, "warm")["tail"], "built before\n");
    room.is_untouched(&before, "the user's");
    assert_eq!(room.git(&["worktree", "list"]).lines().count(), 1);
    // What the slot holds then is its own.
    room.write("build/cache", "built later\n");
    let answer = room.validate(&["--json", "--force"]).succeeds().json();
    assert_eq!(Room::check(&answer, "warm")["tail"], "built before\n");
}

#[test]
fn without_hydrate_git_fills_it() {
    let room = Room::with(&[("equal", "test \"$(cat README)\" = \"$(git show HEAD:README)\"")]);
    room.write(".worktreeinclude", "/build/\n");
    room.commit("include");
    let alone = room.path().join("alone");
    fs::create_dir(&alone).unwrap();
    fs::copy(suite_tests::program_folder().join("git-validate"), alone.join("git-validate")).unwrap();
    let program = alone.join("git-validate");
    let ran = room.command(program).env("PATH", "/usr/bin:/bin").output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// A git-hydrate that writes down which file it has brought.
fn watched(room: &Room) -> std::path::PathBuf {
    let folder = room.path().join("watched");
    fs::create_dir(&folder).unwrap();
    fs::copy(suite_tests::program_folder().join("git-validate"), folder.join("git-validate")).unwrap();
    let hydrate = suite_tests::program_folder().join("git-hydrate");
    let script = format!(
        "#!/bin/sh\n'{}' \"$@\" || exit\nstat -c %i README > '{}'\n",
        hydrate.display(),
        room.path().join("brought").display()
    );
    let path = folder.join("git-hydrate");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn what_hydrate_has_written_is_not_written_again() {
    let room = Room::with(&[("a", "grep -q two README")]);
    room.write(".worktreeinclude", "/build/\n");
    room.commit("include");
    let program = watched(&room).join("git-validate");
    let run = || {
        let ran = room.command(&program).arg("--force").output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let brought = fs::read_to_string(room.path().join("brought")).unwrap();
        let found = fs::metadata(room.slot().join("tree/README")).unwrap().ino();
        (brought.trim().parse::<u64>().unwrap(), found)
    };
    let (brought, found) = run();
    assert_eq!(found, brought);
    // Nor when the slot is filled once more from nothing.
    fs::write(room.slot().join("index"), "garbage").unwrap();
    let (brought, found) = run();
    assert_eq!(found, brought);
}

#[test]
fn a_filter_that_only_the_repository_names_has_written_all_the_same() {
    let room = Room::new();
    room.write(".gitattributes", "upper filter=upper\n");
    room.write("upper", "one\n");
    room.write(".worktreeinclude", "/build/\n");
    room.configure(&[("a", "test \"$(cat upper)\" = ONE")], "");
    room.commit("settings");
    room.git(&["config", "filter.upper.smudge", "tr a-z A-Z"]);
    room.git(&["config", "filter.upper.clean", "tr A-Z a-z"]);
    room.run("git-task", &["trust", "--yes"]).succeeds();
    room.validate(&[]).succeeds();
}
