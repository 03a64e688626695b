use std::fs;

use suite_tests::Sandbox;

use crate::room::{bare_worktree, hydrate, snapshot, varied};

#[test]
fn a_worktree_with_content_is_not_overwritten() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    fs::write(worktree.join("big"), "mine").unwrap();
    hydrate(&room, &worktree, &[]).exits(128).warns("has files already").warns("hint: ");
    assert_eq!(snapshot(&worktree).len(), 1);
    assert_eq!(fs::read_to_string(worktree.join("big")).unwrap(), "mine");
}

#[test]
fn a_worktree_with_changes_is_not_touched() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    fs::write(worktree.join("big"), "mine").unwrap();
    fs::remove_file(worktree.join("empty")).unwrap();
    let before = snapshot(&worktree);
    hydrate(&room, &worktree, &[]).exits(128).warns("differ");
    assert_eq!(snapshot(&worktree), before);
}

#[test]
fn an_index_with_changes_is_not_replaced() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    room.git_in(&worktree, &["read-tree", "HEAD"]);
    room.git_in(&worktree, &["rm", "-q", "--cached", "big"]);
    hydrate(&room, &worktree, &[]).exits(128).warns("the index of");
    assert!(!room.git_in(&worktree, &["ls-files"]).contains("big"));
}

#[test]
fn a_filled_worktree_is_left_as_it_is() {
    let room = varied();
    let before = snapshot(&room.repo());
    hydrate(&room, &room.repo(), &[]).succeeds().says("nothing to do");
    assert_eq!(snapshot(&room.repo()), before);
}

#[test]
fn there_must_be_a_worktree() {
    let room = Sandbox::new();
    hydrate(&room, room.path(), &[]).exits(128).warns("not a git repository");
    hydrate(&room, &room.repo().join(".git"), &[]).exits(128).warns("work tree");
    hydrate(&room, &room.repo(), &["/nowhere/at/all"]).exits(128).warns("cannot change to");
    hydrate(&room, &room.repo(), &["--frmo"]).exits(129);
}

#[test]
fn a_worktree_that_the_environment_does_not_mean_is_refused() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let program = suite_tests::program_folder().join("git-hydrate");
    let run = |git_dir: &str, arguments: &[&str], folder: &std::path::Path| {
        let mut command = room.command(&program);
        command.env("GIT_DIR", git_dir).args(arguments).current_dir(folder).output().unwrap().status.code()
    };
    let common = room.repo().join(".git");
    assert_eq!(run(common.to_str().unwrap(), &["../new"], &room.repo()), Some(129));
    assert_eq!(run(".git", &["../new"], &room.repo()), Some(129));
    assert_eq!(fs::read_dir(&worktree).unwrap().count(), 1);
    // As a hook of the new worktree has it.
    let own = room.git_in(&worktree, &["rev-parse", "--absolute-git-dir"]);
    assert_eq!(run(&own, &[], &worktree), Some(0));
    crate::room::is_complete(&room, &worktree);
}

#[test]
fn a_lock_of_git_is_respected() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let git_dir = room.git_in(&worktree, &["rev-parse", "--absolute-git-dir"]);
    let lock = std::path::Path::new(&git_dir).join("index.lock");
    fs::write(&lock, "").unwrap();
    hydrate(&room, &worktree, &[]).exits(128).warns("index.lock");
    assert!(lock.exists());
    fs::remove_file(&lock).unwrap();
    hydrate(&room, &worktree, &[]).succeeds();
    crate::room::is_complete(&room, &worktree);
    assert_eq!(snapshot(&worktree), snapshot(&room.repo()));
}

#[test]
fn a_repository_that_names_commands_needs_trust() {
    let room = varied();
    let canary = room.path().join("canary");
    let command = format!("touch '{}'; cat", canary.display());
    room.write(".gitattributes", "* filter=evil\n");
    room.commit("attributes");
    for side in ["clean", "smudge", "process"] {
        room.git(&["config", &format!("filter.evil.{side}"), &command]);
    }
    room.git(&["config", "core.fsmonitor", &command]);
    let worktree = bare_worktree(&room, "new", "HEAD");
    let _ = fs::remove_file(&canary);
    hydrate(&room, &worktree, &[]).exits(128).warns("names commands");
    hydrate(&room, &room.repo(), &["../new", "--dry-run"]).exits(128).warns("names commands");
    assert!(!canary.exists());
    assert_eq!(fs::read_dir(&worktree).unwrap().count(), 1);
}

#[test]
fn hooks_and_monitors_of_the_repository_do_not_run() {
    let room = varied();
    let canary = room.path().join("canary");
    let script = room.script("hook", &format!("touch '{}'", canary.display()));
    room.git(&["config", "core.hooksPath", room.path().to_str().unwrap()]);
    for hook in ["post-checkout", "post-index-change", "reference-transaction"] {
        fs::copy(&script, room.path().join(hook)).unwrap();
    }
    let worktree = bare_worktree(&room, "new", "HEAD");
    room.git(&["config", "core.fsmonitor", script.to_str().unwrap()]);
    let _ = fs::remove_file(&canary);
    hydrate(&room, &worktree, &[]).succeeds();
    assert!(!canary.exists());
}
