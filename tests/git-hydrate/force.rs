use std::fs;

use crate::room::{bare_worktree, contents, hydrate, is_complete, snapshot, varied};

#[test]
fn content_is_overwritten_only_by_force_which_keeps_what_differs() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    fs::write(worktree.join("big"), "mine\n").unwrap();
    fs::write(worktree.join("empty"), "").unwrap();
    fs::write(worktree.join("note"), "untracked\n").unwrap();
    // A beginning of the committed content: of an interrupted run it would be a torn file, here it is somebody's.
    fs::write(worktree.join("tool"), "#!/bin/sh\n").unwrap();
    let before = contents(&worktree);

    hydrate(&room, &worktree, &[]).exits(128).warns("differ from HEAD").warns("--force");
    assert_eq!(contents(&worktree), before);

    let answer = hydrate(&room, &worktree, &["--force", "--json"]).succeeds().json();
    let kept = room.repo().join(".git/hydrate-kept/new");
    assert_eq!(fs::read_to_string(kept.join("big")).unwrap(), "mine\n");
    assert_eq!(fs::read_to_string(kept.join("tool")).unwrap(), "#!/bin/sh\n");
    assert!(!kept.join("empty").exists(), "what is right stays");
    assert_eq!(answer["skipped"].as_array().unwrap().len(), 2, "{answer}");
    assert!(answer["skipped"][0]["reason"].as_str().unwrap().contains(kept.to_str().unwrap()));
    assert_eq!(fs::read_to_string(worktree.join("note")).unwrap(), "untracked\n");
    fs::remove_file(worktree.join("note")).unwrap();
    assert_eq!(contents(&worktree), contents(&room.repo()));
    is_complete(&room, &worktree);
}

#[test]
fn a_folder_or_link_in_the_way_is_moved_aside_too() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    fs::create_dir_all(worktree.join("big")).unwrap();
    fs::write(worktree.join("big/inside"), "mine\n").unwrap();
    fs::create_dir(room.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", worktree.join("src")).unwrap();
    fs::write(worktree.join("a b"), "a file\n").unwrap();
    hydrate(&room, &worktree, &["--force"]).succeeds();
    let kept = room.repo().join(".git/hydrate-kept/new");
    assert_eq!(fs::read_to_string(kept.join("big/inside")).unwrap(), "mine\n");
    assert_eq!(fs::read_link(kept.join("src")).unwrap().to_str(), Some("../elsewhere"));
    assert_eq!(fs::read_to_string(kept.join("a b")).unwrap(), "a file\n");
    assert_eq!(fs::read_dir(room.path().join("elsewhere")).unwrap().count(), 0);
    assert_eq!(snapshot(&worktree), snapshot(&room.repo()));
    is_complete(&room, &worktree);
}

#[test]
fn what_is_staged_is_kept_by_a_ref() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    fs::write(worktree.join("big"), "staged\n").unwrap();
    room.git_in(&worktree, &["add", "big"]);
    fs::write(worktree.join("big"), "later\n").unwrap();
    let answer = hydrate(&room, &worktree, &["--force", "--json"]).succeeds().json();
    let backup = answer["backup"].as_str().unwrap();
    assert!(backup.starts_with("refs/backup/new/"), "{backup}");
    assert_eq!(room.git(&["show", &format!("{backup}:big")]), "staged");
    assert_eq!(fs::read_to_string(room.repo().join(".git/hydrate-kept/new/big")).unwrap(), "later\n");
    is_complete(&room, &worktree);
    // Without anything staged, no ref.
    fs::write(worktree.join("tool"), "changed\n").unwrap();
    let answer = hydrate(&room, &worktree, &["--force", "--json"]).succeeds().json();
    assert!(answer["backup"].is_null());
    is_complete(&room, &worktree);
}

#[test]
fn force_does_not_break_into_a_merge() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    room.git_in(&worktree, &["checkout", "-q", "-b", "other"]);
    fs::write(worktree.join("big"), "other\n").unwrap();
    room.git_in(&worktree, &["commit", "-qam", "other"]);
    room.write("big", "main\n");
    room.commit("main");
    let merge = room.run_in(&worktree, "git", &["merge", "main"]);
    assert_eq!(merge.code, 1);
    let before = contents(&worktree);
    hydrate(&room, &worktree, &["--force"]).exits(128).warns("a merge is under way");
    assert_eq!(contents(&worktree), before);
}

#[test]
fn force_on_a_fresh_worktree_is_as_without() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &["--force"]).succeeds();
    assert_eq!(snapshot(&worktree), snapshot(&room.repo()));
    assert!(!room.repo().join(".git/hydrate-kept").exists());
    is_complete(&room, &worktree);
}
