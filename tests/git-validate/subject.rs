use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::room::Room;

fn tree_of(room: &Room, arguments: &[&str]) -> String {
    let arguments: Vec<&str> = ["-n", "--json"].iter().chain(arguments).copied().collect();
    let answer = room.validate(&arguments).succeeds().json();
    answer["subject"]["tree"].as_str().unwrap().to_owned()
}

/// Makes a commit in one of git's modes with the hook in place and returns what the hook judged.
fn judged(room: &Room, worktree: &Path, arguments: &[&str]) -> Vec<String> {
    let seen = room.path().join("seen");
    let _ = fs::remove_file(&seen);
    room.run_in(worktree, "git", arguments).succeeds();
    fs::read_to_string(seen).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn the_hook_judges_exactly_what_is_committed_in_every_mode() {
    let room = Room::new();
    let seen = room.path().join("seen");
    room.configure(&[("seen", &format!("echo $GIT_VALIDATE_TREE >> '{}'", seen.display()))], "");
    room.write("a", "a\n");
    room.write("b", "b\n");
    room.commit("settings");
    room.validate(&["install"]).succeeds();
    let linked = room.path().join("linked");
    room.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    for (number, worktree) in [room.repo(), linked].iter().enumerate() {
        let mut count = 0;
        let mut change = |files: &[&str]| {
            count += 1;
            for file in files {
                room.write_in(worktree, file, &format!("{file} {number} {count}\n"));
            }
        };
        let tree = || room.git_in(worktree, &["rev-parse", "HEAD^{tree}"]);
        change(&["a", "b", "untracked"]);
        room.git_in(worktree, &["add", "a"]);
        assert_eq!(judged(&room, worktree, &["commit", "-qm", "plain"]), [tree()]);
        assert_eq!(judged(&room, worktree, &["commit", "-qam", "all"]), [tree()]);
        change(&["a", "b"]);
        room.git_in(worktree, &["add", "a"]);
        assert_eq!(judged(&room, worktree, &["commit", "-qm", "path", "--", "b"]), [tree()]);
        change(&["b"]);
        assert_eq!(judged(&room, worktree, &["commit", "-qm", "only", "--only", "b"]), [tree()]);
        change(&["b"]);
        assert_eq!(judged(&room, worktree, &["commit", "-q", "--amend", "-m", "amend", "b"]), [tree()]);
        assert_eq!(room.git_in(worktree, &["diff", "--cached", "--name-only"]), "a");
        let answer = room.run_in(worktree, "git-validate", &["show", "--json"]).succeeds().json();
        assert_eq!(answer["verdict"], "pass");
        assert!(judged(&room, worktree, &["commit", "-q", "--amend", "-m", "words", "--only"]).is_empty(), "known");
    }
}

#[test]
fn a_failing_check_stops_the_commit() {
    let room = Room::with(&[("no-x", "! test -e x")]);
    room.validate(&["install"]).succeeds();
    room.write("x", "x\n");
    room.git(&["add", "x"]);
    let mut before = room.users();
    room.run("git", &["commit", "-qm", "x"]).exits(1);
    let mut after = room.users();
    // Git writes the message and refreshes the index before the hook runs.
    for users in [&mut before, &mut after] {
        users.retain(|path, _| !path.ends_with("COMMIT_EDITMSG") && !path.ends_with(".git/index"));
    }
    assert!(before == after);
    assert_eq!(room.git(&["diff", "--cached", "--name-only"]), "x");
}

#[test]
fn a_dirty_worktree_is_never_recorded_as_heads() {
    let room = Room::with(&[("dirty", "grep -q dirty README")]);
    room.write("README", "dirty\n");
    room.write("untracked", "u\n");
    let before = room.users();
    let answer = room.validate(&["--worktree", "--json"]).succeeds().json();
    assert_eq!(answer["subject"]["kind"], "worktree");
    assert_eq!(room.verdict("HEAD"), "none");
    room.validate(&[]).exits(1);
    assert_eq!(room.verdict("HEAD"), "fail");
    assert_eq!(room.validate(&["show", "--worktree", "--json"]).succeeds().json()["verdict"], "pass");
    room.validate(&["--staged"]).exits(1);
    room.is_untouched(&before, "the user's");
    room.commit("now");
    assert_eq!(room.verdict("HEAD"), "pass", "the very same tree");
}

#[test]
fn the_worktree_is_what_git_would_commit_of_it() {
    let room = Room::with(&[("none", "true")]);
    room.write("sub/deep/new", "n\n");
    room.write("build/ignored", "i\n");
    fs::remove_file(room.repo().join("README")).unwrap();
    std::os::unix::fs::symlink("nowhere", room.repo().join("link")).unwrap();
    fs::write(room.repo().join(OsStr::from_bytes(b"caf\xe9 \n-\xf0\x9f\x8e\x89")), "odd\n").unwrap();
    room.write("promised", "content\n");
    room.git(&["add", "-N", "promised"]);
    let without = room.git(&["rev-parse", "HEAD^{tree}"]);
    assert_eq!(tree_of(&room, &["--staged"]), without, "what is only promised is left out");
    let worktree = tree_of(&room, &["--worktree"]);
    room.validate(&["--worktree"]).succeeds();
    room.commit("all of it");
    assert_eq!(worktree, room.git(&["rev-parse", "HEAD^{tree}"]));
    assert_eq!(tree_of(&room, &["--staged"]), worktree);
}

#[test]
fn an_unmerged_index_is_no_tree() {
    let room = Room::with(&[("none", "true")]);
    room.git(&["checkout", "-qb", "other"]);
    room.write("README", "other\n");
    room.commit("other");
    room.git(&["checkout", "-q", "main"]);
    room.write("README", "main\n");
    room.commit("main");
    room.run("git", &["merge", "-q", "other"]).exits(1);
    let before = room.users();
    room.validate(&["--staged"]).exits(128).warns("the index cannot be a tree");
    room.validate(&[]).succeeds();
    room.is_untouched(&before, "the user's");
}

#[test]
fn a_split_index_keeps_its_halves() {
    let room = Room::with(&[("none", "true")]);
    room.git(&["config", "core.splitIndex", "true"]);
    room.git(&["update-index", "--split-index"]);
    room.write("more", "more\n");
    room.git(&["add", "more"]);
    room.write("README", "changed\n");
    let before = room.users();
    let staged = tree_of(&room, &["--staged"]);
    assert_eq!(staged, room.git(&["write-tree"]));
    room.validate(&["--staged"]).succeeds();
    room.validate(&["--worktree"]).succeeds();
    let mut after = room.users();
    // `git write-tree` above, and nobody else, may have refreshed the index.
    let index = room.repo().join(".git/index");
    after.insert(index.clone(), before[&index]);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
}

#[test]
fn a_repository_without_commits_has_an_index_and_a_worktree() {
    let room = Room::new();
    fs::remove_dir_all(room.repo().join(".git")).unwrap();
    room.git(&["init", "-q"]);
    room.configure(&[("a", "test -f README && git status --porcelain")], "");
    room.validate(&[]).exits(128).warns("'HEAD' names no tree");
    room.validate(&["--worktree"]).succeeds();
    room.git(&["add", "README"]);
    room.validate(&["--staged"]).succeeds();
}

#[test]
fn a_bare_repository_has_commits() {
    let room = Room::new();
    room.write(".codex-agent/config.toml", "[[checks]]\nname = \"a\"\ncommand = [\"test\", \"-f\", \"README\"]\n");
    room.commit("settings");
    room.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
    let bare = room.path().join("bare.git");
    room.run_in(&bare, "git-validate", &["main"]).exits(128).warns("trusted");
    room.run_in(&bare, "git-task", &["trust", "--yes"]).succeeds();
    room.run_in(&bare, "git-validate", &["main"]).succeeds();
    room.run_in(&bare, "git-validate", &["--staged"]).exits(128).warns("no worktree");
    room.run_in(&bare, "git-validate", &["show", "main"]).succeeds();
    room.git_in(&bare, &["fsck", "--strict"]);
}

#[test]
fn a_repository_of_sha256_is_one_too() {
    let room = Room::new();
    fs::remove_dir_all(room.repo().join(".git")).unwrap();
    room.git(&["init", "-q", "--object-format=sha256"]);
    room.configure(&[("a", "test $(git rev-parse HEAD | wc -c) -eq 65 && git commit -q --allow-empty -m x")], "");
    room.commit("settings");
    room.validate(&[]).succeeds();
    room.validate(&["--worktree"]).succeeds().says("from its note");
    let tree = room.git(&["rev-parse", "HEAD^{tree}"]);
    assert!(room.git(&["notes", "--ref=validate", "show", &tree]).contains("\"check\":\"a\""));
    room.git(&["fsck", "--strict"]);
}

#[test]
fn borrowed_objects_and_odd_folders_are_no_hindrance() {
    for name in ["plain", "with space", "colon:and\"quote", "new\nline"] {
        let room = Room::with(&[("a", "git log --oneline main && git describe --always && test -f README")]);
        let clone = room.path().join(name);
        room.git(&["clone", "-q", "--shared", ".", clone.to_str().unwrap()]);
        room.run_in(&clone, "git-task", &["trust", "--yes"]).succeeds();
        room.write_in(&clone, "own", "own\n");
        room.commit_in(&clone, "own");
        room.run_in(&clone, "git-validate", &[]).succeeds();
        let linked = room.path().join(format!("{name} linked"));
        room.git_in(&clone, &["worktree", "add", "-q", "-b", "linked", linked.to_str().unwrap()]);
        room.run_in(&linked, "git-validate", &["--force"]).succeeds();
    }
}

#[test]
fn a_shallow_clone_has_the_history_that_it_has() {
    let room = Room::with(&[("a", "git log --oneline && git rev-list --count HEAD")]);
    room.commit("second");
    let url = format!("file://{}", room.repo().display());
    room.git(&["clone", "-q", "--depth=1", &url, "../shallow"]);
    let shallow = room.path().join("shallow");
    room.run_in(&shallow, "git-task", &["trust", "--yes"]).succeeds();
    room.run_in(&shallow, "git-validate", &["--force"]).succeeds();
}

#[test]
fn a_sparse_checkout_does_not_make_the_tree_smaller() {
    let room = Room::with(&[("all", "test -f in/a && test -f out/b && test -z \"$(git status --porcelain)\"")]);
    room.write("in/a", "a\n");
    room.write("out/b", "b\n");
    room.commit("two");
    for sparse in [
        &["sparse-checkout", "set", "in", ".codex-agent"][..],
        &["sparse-checkout", "set", "--sparse-index", "in", ".codex-agent"],
    ] {
        room.git(sparse);
        assert!(!room.repo().join("out").exists());
        let head = room.git(&["rev-parse", "HEAD^{tree}"]);
        assert_eq!(tree_of(&room, &["--worktree"]), head);
        assert_eq!(tree_of(&room, &["--staged"]), head);
        room.validate(&["--force"]).succeeds();
    }
}

#[test]
fn files_are_written_by_the_repositorys_rules() {
    let room = Room::new();
    room.write(".gitattributes", "*.txt eol=crlf\n*.id ident\n*.up filter=up\n");
    room.write("a.txt", "one\ntwo\n");
    room.write("b.id", "$Id$\n");
    room.write("c.up", "quiet\n");
    room.git(&["config", "filter.up.clean", "tr A-Z a-z"]);
    room.git(&["config", "filter.up.smudge", "tr a-z A-Z"]);
    let script = "od -c a.txt | grep -q '\\\\r' && grep -q 'Id: ' b.id && grep -q QUIET c.up";
    room.configure(&[("rules", script)], "");
    room.commit("settings");
    room.validate(&[]).succeeds();
    assert_eq!(room.validate(&["--worktree", "--json"]).succeeds().json()["cached"], true);
    room.validate(&["--force"]).succeeds();
}

#[test]
fn a_submodule_is_an_empty_folder() {
    let room = Room::with(&[(
        "sub",
        "test -d sub && test -z \"$(ls -A sub)\" && mkdir sub/.git && touch sub/x sub/.git/HEAD",
    )]);
    let head = room.git(&["rev-parse", "HEAD"]);
    room.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},sub")]);
    room.git(&["commit", "-qm", "gitlink"]);
    room.validate(&[]).succeeds();
    room.validate(&["--force"]).succeeds();
}
