use std::fs;

use suite_tests::Sandbox;

use crate::room::{age, bare_worktree, commit_aged, contents, hydrate, is_complete, snapshot, varied};

#[test]
fn a_modified_file_of_the_donor_is_not_taken() {
    let room = varied();
    let before = contents(&room.repo());
    fs::write(room.repo().join("big"), "modified").unwrap();
    room.run("chmod", &["600", "empty"]).succeeds();
    room.run("chmod", &["755", "src/d1/f1.c"]).succeeds();
    fs::remove_file(room.repo().join("src/d2/f2.c")).unwrap();
    fs::remove_file(room.repo().join("link")).unwrap();
    std::os::unix::fs::symlink("elsewhere", room.repo().join("link")).unwrap();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["tracked"]["checked_out"], 5);
    assert_eq!(contents(&worktree), before);
    is_complete(&room, &worktree);
}

#[test]
fn a_folder_of_the_donor_that_became_a_link_gives_nothing() {
    let room = varied();
    let before = contents(&room.repo());
    fs::rename(room.repo().join("src/d1"), room.path().join("moved")).unwrap();
    std::os::unix::fs::symlink("../../moved", room.repo().join("src/d1")).unwrap();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    assert_eq!(contents(&worktree), before);
    is_complete(&room, &worktree);
}

#[test]
fn a_file_changed_in_the_tick_of_its_add_is_not_taken() {
    // Same size, same time: only the hash can tell.
    let room = Sandbox::new();
    for n in 0..30 {
        let name = format!("racy{n}");
        room.write(&name, "aaaa\n");
        room.git(&["add", &name]);
        fs::write(room.repo().join(&name), "bbbb\n").unwrap();
    }
    room.git(&["commit", "-qm", "racy"]);
    // The worst case, made sure: the index and the file have one time.
    let touch = "touch -d '2024-05-05 05:05:05.5' racy0 && git update-index racy0 && touch -r racy0 .git/index \
                 && printf 'cccc\\n' > racy0 && touch -d '2024-05-05 05:05:05.5' racy0 && git commit -qm racy0 && \
                 touch -r racy0 .git/index";
    room.run("sh", &["-c", touch]);
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    for n in 0..30 {
        let name = format!("racy{n}");
        let committed = room.git(&["show", &format!("HEAD:{name}")]);
        assert_eq!(fs::read_to_string(worktree.join(&name)).unwrap().trim_end(), committed, "{name}");
    }
    is_complete(&room, &worktree);
}

#[test]
fn a_racy_file_that_is_right_is_taken_with_its_time() {
    let room = Sandbox::new();
    room.write("just-written", "content\n");
    room.commit("now");
    room.run("touch", &["-r", "just-written", ".git/index"]).succeeds();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["tracked"]["checked_out"], 0);
    assert_eq!(snapshot(&worktree), snapshot(&room.repo()));
}

#[test]
fn a_donor_at_another_commit_gives_what_is_equal() {
    let room = varied();
    let old = room.git(&["rev-parse", "HEAD"]);
    let before = contents(&room.repo());
    room.write("src/d1/f1.c", "another\n");
    room.write("new-file", "new\n");
    fs::remove_file(room.repo().join("src/d2/f2.c")).unwrap();
    fs::remove_file(room.repo().join("big")).unwrap();
    room.write("big/now/a/folder", "x\n");
    commit_aged(&room, &room.repo());
    let worktree = bare_worktree(&room, "new", &old);
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["tracked"]["checked_out"], 3);
    assert_eq!(contents(&worktree), before);
    is_complete(&room, &worktree);
}

#[test]
fn the_worktree_with_the_most_in_common_gives() {
    let room = varied();
    let old = room.git(&["rev-parse", "HEAD"]);
    let near = bare_worktree(&room, "near", &old);
    hydrate(&room, &near, &[]).succeeds();
    for n in 0..10 {
        room.write(&format!("src/d1/f{}.c", n * 4 + 1), "another\n");
    }
    commit_aged(&room, &room.repo());
    let worktree = bare_worktree(&room, "new", &old);
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["donor"], near.to_str().unwrap());
    let worktree = bare_worktree(&room, "other", &old);
    let from = room.repo();
    let answer = hydrate(&room, &worktree, &["--json", "--from", from.to_str().unwrap()]).succeeds().json();
    assert_eq!(answer["donor"], from.to_str().unwrap());
    assert_eq!(contents(&worktree), contents(&near));
}

#[test]
fn an_unknown_donor_is_refused_and_nothing_is_written() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    for from in ["/nowhere", "/", worktree.to_str().unwrap()] {
        hydrate(&room, &worktree, &["--from", from]).exits(128).warns("error: ");
    }
    assert_eq!(fs::read_dir(&worktree).unwrap().count(), 1);
}

#[test]
fn entries_that_hide_their_file_are_left_to_git() {
    let room = varied();
    let before = contents(&room.repo());
    room.git(&["update-index", "--assume-unchanged", "big"]);
    room.git(&["update-index", "--skip-worktree", "tool"]);
    fs::write(room.repo().join("big"), "hidden change").unwrap();
    fs::write(room.repo().join("tool"), "hidden change").unwrap();
    age(&room, &room.repo());
    room.git(&["update-index", "-q", "--refresh"]);
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    assert_eq!(contents(&worktree), before);
}

#[test]
fn a_broken_or_split_index_of_the_donor_does_no_harm() {
    let room = varied();
    let before = contents(&room.repo());
    room.git(&["update-index", "--split-index"]);
    let worktree = bare_worktree(&room, "split", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    assert_eq!(contents(&worktree), before);
    is_complete(&room, &worktree);
    fs::write(room.repo().join(".git/index"), "DIRC broken").unwrap();
    let worktree = bare_worktree(&room, "broken", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["donor"], room.path().join("split").to_str().unwrap());
    assert_eq!(contents(&worktree), before);
}

#[test]
fn a_donor_that_cannot_be_read_is_named() {
    let room = varied();
    fs::write(room.repo().join(".git/index"), "broken").unwrap();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().warns("as a donor").json();
    assert_eq!(answer["method"], "checkout");
    assert_eq!(answer["skipped"][0]["path"], room.repo().canonicalize().unwrap().to_str().unwrap());
    assert_eq!(room.git_in(&worktree, &["status", "--porcelain"]), "");
}
