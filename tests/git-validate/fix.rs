//! `--fix`: mended on a copy, and brought back only where nothing else has happened.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::room::{Room, until};

/// A room whose one check wants no capital letters in `.txt` files, and mends them.
fn room(fix: &str) -> Room {
    let room = Room::new();
    room.write(".gitignore", "/build/\n");
    let fix = serde_json::to_string(&["sh", "-c", fix]).unwrap();
    room.trusted_config(&format!(
        "[[checks]]\nname = \"small\"\ncommand = [\"sh\", \"-c\", \"! grep -l '[A-Z]' *.txt\"]\nfix = {fix}\n"
    ));
    room.write("a.txt", "one\n");
    room.write("b.txt", "two\n");
    room.commit("settings");
    room
}

const SMALL: &str = "for f in *.txt; do tr A-Z a-z < \"$f\" > t && cat t > \"$f\"; rm t; done";

fn text(room: &Room, name: &str) -> String {
    fs::read_to_string(room.repo().join(name)).unwrap()
}

#[test]
fn a_staged_file_is_mended_and_restaged() {
    let room = room(SMALL);
    room.write("a.txt", "ONE\n");
    room.git(&["add", "a.txt"]);
    room.write("untracked.txt", "UNTRACKED\n");
    room.validate(&["--staged"]).exits(1);
    let answer = room.validate(&["--staged", "--fix", "--json"]).succeeds().json();
    assert_eq!(answer["fixed"]["applied"], serde_json::json!(["a.txt"]));
    assert_eq!(answer["fixed"]["by"], serde_json::json!(["small"]));
    assert_eq!(text(&room, "a.txt"), "one\n");
    assert_eq!(text(&room, "untracked.txt"), "UNTRACKED\n", "it was not judged");
    assert_eq!(room.git(&["diff", "--cached", "--name-only"]), "", "it is HEAD's again");
    assert_eq!(room.git(&["diff", "--name-only"]), "");
    room.validate(&["--staged"]).succeeds();
}

#[test]
fn a_worktree_is_mended_and_restaged_is_only_what_was_staged() {
    let room = room(SMALL);
    room.write("a.txt", "STAGED\n");
    room.git(&["add", "a.txt"]);
    room.write("b.txt", "Not Staged\n");
    room.write("new.txt", "New\n");
    room.validate(&["--worktree", "--fix"]).succeeds().says("fixed  a.txt").says("fixed  b.txt").says("fixed  new.txt");
    assert_eq!((text(&room, "a.txt"), text(&room, "b.txt")), ("staged\n".into(), "not staged\n".into()));
    assert_eq!(room.git(&["diff", "--cached", "--name-only"]), "a.txt");
    assert_eq!(room.git(&["show", ":a.txt"]), "staged");
    assert_eq!(room.git(&["show", ":b.txt"]), "two");
    assert_eq!(room.git(&["status", "--porcelain", "new.txt"]), "?? new.txt");
    // Without a word of what, it is the worktree.
    room.write("b.txt", "Again\n");
    room.validate(&["--fix"]).succeeds();
    assert_eq!(text(&room, "b.txt"), "again\n");
}

#[test]
fn a_file_with_changes_that_are_not_staged_is_left_alone() {
    let room = room(SMALL);
    room.write("a.txt", "STAGED\n");
    room.write("b.txt", "B\n");
    room.git(&["add", "a.txt", "b.txt"]);
    room.write("a.txt", "STAGED\nand more\n");
    let ran = room.validate(&["--staged", "--fix"]).exits(1);
    ran.says("not fixed  a.txt: it has changes that were not judged").says("fixed  b.txt");
    assert_eq!(text(&room, "a.txt"), "STAGED\nand more\n");
    assert_eq!((room.git(&["show", ":a.txt"]), room.git(&["show", ":b.txt"])), ("STAGED".into(), "b".into()));
}

#[test]
fn an_edit_while_the_fix_runs_is_not_lost() {
    let room = Room::new();
    let user = room.repo().join("a.txt");
    let fix = format!("{SMALL}; echo 'edited meanwhile' > '{}'", user.display());
    let fix = serde_json::to_string(&["sh", "-c", &fix]).unwrap();
    room.trusted_config(&format!(
        "[[checks]]\nname = \"small\"\ncommand = [\"sh\", \"-c\", \"! grep -l '[A-Z]' *.txt\"]\nfix = {fix}\n"
    ));
    room.commit("settings");
    room.write("a.txt", "ONE\n");
    room.git(&["add", "a.txt"]);
    room.validate(&["--staged", "--fix"]).exits(1).says("not fixed  a.txt");
    assert_eq!(text(&room, "a.txt"), "edited meanwhile\n");
    assert_eq!(room.git(&["show", ":a.txt"]), "ONE");
}

#[test]
fn a_fixer_that_uses_git_touches_nothing_of_the_users() {
    let room = room(&format!("{SMALL}; git add -A; git commit -qm fixed; git stash; git checkout -q -b x"));
    room.write("a.txt", "ONE\n");
    room.git(&["add", "a.txt"]);
    room.write("b.txt", "unstaged\n");
    room.write("loose", "l\n");
    let head = room.git(&["rev-parse", "HEAD"]);
    room.validate(&["--staged", "--fix"]).succeeds();
    assert_eq!(room.git(&["rev-parse", "HEAD"]), head);
    assert_eq!(room.git(&["branch", "--list", "--format=%(refname)"]), "refs/heads/main");
    assert_eq!((text(&room, "b.txt"), text(&room, "loose")), ("unstaged\n".into(), "l\n".into()));
    assert_eq!(room.git(&["stash", "list"]), "");
}

#[test]
fn a_suggestion_is_a_patch_and_changes_nothing() {
    let room = room(SMALL);
    room.write("a.txt", "ONE\n");
    let before = room.users();
    let ran = room.validate(&["--worktree", "--fix=suggest"]).exits(1);
    room.is_untouched(&before, "suggest");
    assert!(ran.stdout.contains("-ONE\n+one\n"), "{}", ran.stdout);
    room.write("patch", &ran.stdout);
    room.git(&["apply", "--check", "patch"]);
}

#[test]
fn modes_and_new_and_removed_files_are_mended_too() {
    let room = room("tr A-Z a-z < a.txt > t && cat t > a.txt; rm -f t b.txt; echo made > c.txt; chmod +x a.txt");
    room.write("a.txt", "ONE\n");
    room.git(&["add", "a.txt"]);
    room.validate(&["--staged", "--fix"]).succeeds();
    assert_eq!(text(&room, "c.txt"), "made\n");
    assert!(!room.repo().join("b.txt").exists());
    assert_eq!(fs::metadata(room.repo().join("a.txt")).unwrap().permissions().mode() & 0o111, 0o111);
    assert_eq!(room.git(&["status", "--porcelain"]), "M  a.txt\nD  b.txt\nA  c.txt");
}

#[test]
fn a_commit_cannot_be_mended() {
    let room = room(SMALL);
    room.validate(&["--fix", "HEAD"]).exits(129).warns("give --worktree or --staged");
    room.validate(&["--staged", "--fix"]).succeeds();
}

#[test]
fn a_locked_index_is_said_and_stays() {
    let room = room(SMALL);
    room.write("a.txt", "ONE\n");
    room.git(&["add", "a.txt"]);
    room.write(".git/index.lock", "");
    room.validate(&["--staged", "--fix"]).exits(128).warns("another git is at work");
    assert!(room.repo().join(".git/index.lock").exists());
    fs::remove_file(room.repo().join(".git/index.lock")).unwrap();
    assert_eq!(room.git(&["show", ":a.txt"]), "ONE");
}

#[test]
fn line_ends_that_git_would_change_are_no_change() {
    let room = room(SMALL);
    room.git(&["config", "core.autocrlf", "true"]);
    room.write("a.txt", "ONE\nTWO\n");
    room.git(&["add", "a.txt"]);
    room.validate(&["--staged", "--fix"]).succeeds();
    assert_eq!(text(&room, "a.txt"), "one\r\ntwo\r\n");
    assert_eq!(room.git(&["status", "--porcelain"]), "M  a.txt");
}

#[test]
fn a_kill_leaves_nothing_beside_the_users_files() {
    let room = Room::new();
    let names: Vec<String> = (0..60).map(|number| format!("f{number}.txt")).collect();
    room.trusted_config(
        "[[checks]]\nname = \"a\"\nshell = \"! grep -q bad f*.txt\"\nfix = [\"sh\", \"-c\", \"sed -i s/bad/good/ f*.txt\"]\n",
    );
    room.commit("settings");
    for pause in [0, 2, 5, 9, 14, 20] {
        for name in &names {
            room.write(name, "bad\n");
        }
        room.git(&["add", "-A"]);
        let mut child = room.start(&["--staged", "--fix"]);
        until("the first mended file", || names.iter().any(|name| text(&room, name) == "good\n"));
        std::thread::sleep(std::time::Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        for name in &names {
            assert!(["bad\n", "good\n"].contains(&text(&room, name).as_str()), "{name}");
        }
        let _ = fs::remove_file(room.repo().join(".git/index.lock"));
        assert_eq!(room.git(&["ls-files", "--others"]), "", "nothing is left beside them");
    }
}

#[test]
fn a_dry_run_says_whose_fix_would_run_and_changes_nothing() {
    let room = room(SMALL);
    room.write("b.txt", "TWO\n");
    room.validate(&["--worktree"]).exits(1);
    let before = room.users();
    for how in ["--fix", "--fix=suggest"] {
        room.validate(&[how, "-n"]).succeeds().warns("'small' has failed: its fix would run");
    }
    room.is_untouched(&before, "a dry run");
    assert_eq!(text(&room, "b.txt"), "TWO\n");
}

#[test]
fn what_a_killed_run_has_left_is_swept_when_it_is_old() {
    let room = room(SMALL);
    let left = |name: &str, age: u64| {
        let path = room.repo().join(".git").join(name);
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        fs::File::create(&path).unwrap().set_modified(time).unwrap();
        path
    };
    for words in [&["gc"][..], &["--fix"]] {
        room.write("a.txt", "ONE\n");
        let (old, young, other) = (left(".git-validate-a", 7200), left(".git-validate-b", 0), left("other", 7200));
        room.validate(words).succeeds();
        assert!(!old.exists() && young.exists() && other.exists(), "{words:?}");
    }
}
