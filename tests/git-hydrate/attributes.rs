use std::fs;

use suite_tests::Sandbox;

use crate::room::{bare_worktree, commit_aged, contents, hydrate, is_complete};

/// Filling gives what `git worktree add` gives, byte for byte.
#[track_caller]
fn equals_worktree_add(room: &Sandbox, revision: &str) {
    let plain = room.path().join("plain");
    room.git(&["worktree", "add", "-q", "--detach", plain.to_str().unwrap(), revision]);
    let from = room.repo();
    let worktree = bare_worktree(room, "filled", revision);
    hydrate(room, &worktree, &["--from", from.to_str().unwrap()]).succeeds();
    assert_eq!(contents(&worktree), contents(&plain));
    assert_eq!(room.git_in(&worktree, &["status", "--porcelain"]), room.git_in(&plain, &["status", "--porcelain"]));
    is_complete(room, &worktree);
}

fn texts() -> Sandbox {
    let room = Sandbox::new();
    room.write("lf.txt", "one\ntwo\n");
    room.write("crlf.dat", "one\r\ntwo\r\n");
    room.write("id.c", "/* $Id$ */\n");
    room.write("data.bin", "a\0b\n");
    room
}

#[test]
fn line_ends_by_attributes() {
    let room = texts();
    room.write(".gitattributes", "*.txt text eol=crlf\n");
    commit_aged(&room, &room.repo());
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn line_ends_by_configuration() {
    let room = texts();
    commit_aged(&room, &room.repo());
    room.git(&["config", "core.autocrlf", "true"]);
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn automatic_text_with_an_end_of_line_of_its_own() {
    let room = texts();
    room.write(".gitattributes", "* text=auto\n*.bin -text\n");
    commit_aged(&room, &room.repo());
    room.git(&["config", "core.eol", "crlf"]);
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn ident_and_encodings() {
    let room = texts();
    room.write(".gitattributes", "*.c ident\nwide.txt working-tree-encoding=UTF-16LE\n");
    fs::write(room.repo().join("wide.txt"), b"w\0i\0d\0e\0\n\0").unwrap();
    commit_aged(&room, &room.repo());
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn a_filter_that_keeps_the_size() {
    let room = texts();
    // The user's own filter: a repository's would need trust.
    for side in ["clean", "smudge"] {
        room.git(&["config", "--global", &format!("filter.rot.{side}"), "tr a-zA-Z n-za-mN-ZA-M"]);
    }
    room.write(".gitattributes", "*.rot filter=rot\n");
    room.write("a.rot", "hello\n");
    commit_aged(&room, &room.repo());
    assert_eq!(room.git(&["show", "HEAD:a.rot"]), "uryyb");
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn attributes_that_changed_since_the_donor_was_checked_out() {
    let room = texts();
    commit_aged(&room, &room.repo());
    let before = room.git(&["rev-parse", "HEAD"]);
    room.write(".gitattributes", "*.txt text eol=crlf\n");
    commit_aged(&room, &room.repo());
    // The donor still has the files as they were without attributes.
    equals_worktree_add(&room, "HEAD");
    fs::remove_dir_all(room.path().join("plain")).unwrap();
    fs::remove_dir_all(room.path().join("filled")).unwrap();
    room.git(&["worktree", "prune"]);
    equals_worktree_add(&room, &before);
}

#[test]
fn attributes_that_went_away_since_the_donor_was_checked_out() {
    let room = texts();
    room.write(".gitattributes", "lf.txt eol=crlf\n");
    room.commit("with");
    fs::remove_file(room.repo().join("lf.txt")).unwrap();
    room.git(&["checkout", "-q", "lf.txt"]);
    assert_eq!(fs::read_to_string(room.repo().join("lf.txt")).unwrap(), "one\r\ntwo\r\n");
    fs::remove_file(room.repo().join(".gitattributes")).unwrap();
    commit_aged(&room, &room.repo());
    room.git(&["update-index", "-q", "--refresh"]);
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn attributes_of_a_folder_that_differ_in_the_donor() {
    let room = texts();
    for side in ["clean", "smudge"] {
        room.git(&["config", "--global", &format!("filter.rot.{side}"), "tr a-zA-Z n-za-mN-ZA-M"]);
    }
    room.write("deep/er/same.txt", "hello\n");
    room.write("deep/other.txt", "hello\n");
    commit_aged(&room, &room.repo());
    let plain = room.git(&["rev-parse", "HEAD"]);
    room.write("deep/er/.gitattributes", "* filter=rot\n");
    fs::write(room.repo().join("deep/er/same.txt"), "uryyb\n").unwrap();
    commit_aged(&room, &room.repo());
    // Same blob in both commits, other bytes in the donor's worktree.
    assert_eq!(
        room.git(&["rev-parse", "HEAD:deep/er/same.txt"]),
        room.git(&["rev-parse", &format!("{plain}:deep/er/same.txt")])
    );
    equals_worktree_add(&room, &plain);
}

#[test]
fn an_untracked_attributes_file_in_the_donor() {
    let room = texts();
    for side in ["clean", "smudge"] {
        room.git(&["config", "--global", &format!("filter.rot.{side}"), "tr a-zA-Z n-za-mN-ZA-M"]);
    }
    room.write("deep/a.txt", "hello\n");
    commit_aged(&room, &room.repo());
    room.write("deep/.gitattributes", "* filter=rot\n");
    fs::write(room.repo().join("deep/a.txt"), "uryyb\n").unwrap();
    crate::room::age(&room, &room.repo());
    room.git(&["add", "deep/a.txt"]);
    assert_eq!(room.git(&["diff", "--cached", "--name-only"]), "");
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn what_was_learnt_of_the_donors_sizes_holds_for_that_index_only() {
    let room = texts();
    commit_aged(&room, &room.repo());
    equals_worktree_add(&room, "HEAD");
    let kept = room.repo().join(".git/hydrate-verbatim");
    let first = fs::read(&kept).unwrap();
    // Written again with other line ends, long ago, and the index agrees.
    fs::remove_file(room.repo().join("lf.txt")).unwrap();
    let autocrlf = |command: &[&str]| room.git(&[&["-c", "core.autocrlf=true"], command].concat());
    autocrlf(&["checkout", "-q", "lf.txt"]);
    let file = fs::File::options().append(true).open(room.repo().join("lf.txt")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    autocrlf(&["update-index", "--refresh"]);
    assert_eq!(fs::read(room.repo().join("lf.txt")).unwrap(), b"one\r\ntwo\r\n");
    assert_eq!(room.git(&["status", "--porcelain"]), "");
    let worktree = bare_worktree(&room, "second", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["tracked"]["checked_out_because"]["modified"], 1, "{answer}");
    assert_eq!(fs::read(worktree.join("lf.txt")).unwrap(), b"one\ntwo\n");
    assert_eq!(fs::read(&kept).unwrap(), first, "the index with a converted file is not one that is verbatim");
    // What stands there is believed for its own index only, and a link in its place is not followed.
    fs::remove_file(&kept).unwrap();
    let outside = room.path().join("outside");
    std::os::unix::fs::symlink(&outside, &kept).unwrap();
    room.git(&["checkout-index", "-f", "-u", "lf.txt"]);
    hydrate(&room, &bare_worktree(&room, "third", "HEAD"), &[]).succeeds();
    assert!(!outside.exists());
}
