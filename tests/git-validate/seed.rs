//! The first filling of a slot.

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
    std::fs::create_dir(&alone).unwrap();
    std::fs::copy(suite_tests::program_folder().join("git-validate"), alone.join("git-validate")).unwrap();
    let program = alone.join("git-validate");
    let ran = room.command(program).env("PATH", "/usr/bin:/bin").output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
