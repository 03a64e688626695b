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
