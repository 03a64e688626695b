use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use suite_tests::Sandbox;

fn added(room: &Sandbox, title: &str) -> PathBuf {
    room.run("git-task", &["add", title]).succeeds();
    PathBuf::from(room.run("git-task", &["worktree", "add", title]).succeeds().text())
}

#[test]
fn a_task_gets_a_branch_and_a_filled_clean_worktree() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["worktree", "add", "-n", "one"]).succeeds();
    assert!(!room.path().join("repo.worktrees").exists());
    let path = PathBuf::from(room.run("git-task", &["worktree", "add", "one"]).succeeds().text());
    assert_eq!(path, fs::canonicalize(room.path()).unwrap().join("repo.worktrees/one"));
    assert_eq!(room.git_in(&path, &["status", "--porcelain"]), "");
    assert_eq!(room.git_in(&path, &["symbolic-ref", "HEAD"]), "refs/heads/task/one");
    let json = room.run("git-task", &["show", "one", "--json"]).succeeds().json();
    assert_eq!(json["status"], "active");
    assert_eq!(json["base"]["commit"], room.git(&["rev-parse", "main"]).as_str());
    room.run("git-task", &["worktree", "add", "one"]).exits(128).warns("checked out at");
    room.run("git-task", &["worktree", "list"]).succeeds().says("task/one  task one");
}

#[test]
fn forty_at_once_all_succeed() {
    let room = Sandbox::new();
    for n in 0..40 {
        room.write(&format!("dir{}/file{n}", n % 4), &"text\n".repeat(n));
    }
    room.commit("files");
    for n in 0..40 {
        room.run("git-task", &["add", "t", "--slug", &format!("t{n}")]).succeeds();
    }
    let start = |n: u32| {
        let mut command = room.command("git-task");
        command
            .args(["worktree", "add", &format!("t{n}")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..40).map(start).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let list = room.run("git-task", &["worktree", "list", "--json"]).succeeds().json();
    let rows = list["worktrees"].as_array().unwrap();
    assert_eq!(rows.iter().filter(|row| row["task"].is_string()).count(), 40);
    for row in rows {
        let path = PathBuf::from(row["path"].as_str().unwrap());
        assert_eq!(room.git_in(&path, &["status", "--porcelain"]), "", "{}", path.display());
    }
    room.git(&["fsck", "--strict"]);
}

#[test]
fn a_worktree_with_anything_to_lose_stays() {
    let room = Sandbox::new();
    let path = added(&room, "one");
    let refused = |words: &str| {
        let ran = room.run("git-task", &["worktree", "remove", "one"]).exits(128).warns(words);
        assert!(path.exists(), "{}", ran.stderr);
    };
    room.write_in(&path, "new\nname", "x");
    refused("untracked: new name");
    fs::remove_file(path.join("new\nname")).unwrap();
    room.write_in(&path, "README", "changed");
    refused("changed: README");
    room.git_in(&path, &["update-index", "--assume-unchanged", "README"]);
    refused("hidden from 'git status': README");
    room.git_in(&path, &["update-index", "--no-assume-unchanged", "README"]);
    room.git_in(&path, &["checkout", "README"]);
    room.git_in(&path, &["checkout", "-q", "--detach"]);
    let commit = room.commit_in(&path, "loose");
    refused(&format!("no ref reaches the commit {commit}"));
    room.git_in(&path, &["checkout", "-q", "task/one"]);
    room.git(&["worktree", "lock", path.to_str().unwrap(), "--reason", "usb"]);
    refused("it is locked: usb");
    room.run("git-task", &["worktree", "remove", "--force", "one"]).exits(128);
    room.git(&["worktree", "unlock", path.to_str().unwrap()]);
    room.run("git-task", &["worktree", "remove", "-n", "one"]).succeeds();
    assert!(path.exists());
    room.run("git-task", &["worktree", "remove", "one"]).succeeds();
    assert!(!path.exists());
    assert_eq!(room.git(&["branch", "--list", "task/one"]), "  task/one");
}

#[test]
fn force_keeps_everything_first_and_says_where() {
    let room = Sandbox::new();
    let path = added(&room, "one");
    room.write(".gitignore", "*.o\n");
    room.write_in(&path, "README", "changed\n");
    room.write_in(&path, "staged", "s\n");
    room.git_in(&path, &["add", "staged"]);
    room.write_in(&path, "-rf", "u\n");
    room.write_in(&path, "🎉 dir/ü", "u2\n");
    let json = room.run("git-task", &["worktree", "remove", "--force", "one", "--json"]).succeeds().json();
    let kept = json["kept"].as_str().unwrap();
    assert!(kept.starts_with("refs/backup/one/"), "{kept}");
    assert!(!path.exists());
    let show = |name: &str| room.git(&["show", &format!("{kept}:{name}")]);
    assert_eq!(
        (show("README"), show("staged"), show("-rf"), show("🎉 dir/ü")),
        ("changed".into(), "s".into(), "u".into(), "u2".into())
    );
}

#[test]
fn a_second_worktree_starts_from_the_branch_that_is_there() {
    let room = Sandbox::new();
    let path = added(&room, "one");
    room.write_in(&path, "work", "w");
    room.commit_in(&path, "work");
    room.run("git-task", &["worktree", "remove", "one"]).succeeds();
    let again = PathBuf::from(room.run("git-task", &["worktree", "add", "one"]).succeeds().text());
    assert!(again.join("work").exists());
    assert_eq!(room.git_in(&again, &["status", "--porcelain"]), "");
}

#[test]
fn a_place_that_is_taken_is_left_alone() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.write_in(room.path(), "repo.worktrees/one/mine", "x");
    room.run("git-task", &["worktree", "add", "one"]).exits(128).warns("is there already");
    let path = room.path().join("else where");
    room.run("git-task", &["worktree", "add", "one", "--path", path.to_str().unwrap()]).succeeds();
    assert!(path.join("README").exists() && room.path().join("repo.worktrees/one/mine").exists());
}

#[test]
fn a_place_outside_named_by_the_repository_waits_for_trust() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    room.write(".codex-agent/config.toml", "[task]\nworktree-dir = \"/tmp/elsewhere-{slug}\"\n");
    room.run("git-task", &["worktree", "add", "one"]).exits(128).warns("task.worktree-dir");
    assert!(!std::path::Path::new("/tmp/elsewhere-one").exists());
}

#[test]
fn hooks_of_the_repository_do_not_run() {
    let room = Sandbox::new();
    let canary = room.path().join("canary");
    let hook = format!("#!/bin/sh\ntouch {}\n", canary.display());
    room.write(".git/hooks/post-checkout", &hook);
    room.run("chmod", &["+x", ".git/hooks/post-checkout"]).succeeds();
    added(&room, "one");
    assert!(!canary.exists());
}

#[test]
fn bare_repositories_have_worktrees_too() {
    let room = Sandbox::new();
    room.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
    let bare = room.path().join("bare.git");
    room.run_in(&bare, "git-task", &["add", "one"]).succeeds();
    let path = PathBuf::from(room.run_in(&bare, "git-task", &["worktree", "add", "one"]).succeeds().text());
    assert!(path.ends_with("bare.worktrees/one") && path.join("README").exists());
}

#[test]
fn force_keeps_what_the_flags_of_the_index_hide() {
    let room = Sandbox::new();
    room.write("other", "o\n");
    room.commit("another file");
    let path = added(&room, "one");
    for (flag, file) in [("--assume-unchanged", "README"), ("--skip-worktree", "other")] {
        room.git_in(&path, &["update-index", flag, file]);
        room.write_in(&path, file, "hidden work\n");
    }
    assert_eq!(room.git_in(&path, &["status", "--porcelain"]), "");
    room.run("git-task", &["worktree", "remove", "one"]).exits(128).warns("hidden from 'git status': other");
    let json = room.run("git-task", &["worktree", "remove", "--force", "one", "--json"]).succeeds().json();
    let kept = json["kept"].as_str().unwrap();
    for file in ["README", "other"] {
        assert_eq!(room.git(&["show", &format!("{kept}:{file}")]), "hidden work", "{file}");
    }
}

/// A repository with the submodule `lib`, filled, and a task's worktree of it.
fn with_submodule() -> (Sandbox, PathBuf) {
    let room = Sandbox::new();
    let library = room.path().join("library");
    room.git(&["init", "-q", library.to_str().unwrap()]);
    room.write_in(&library, "file", "one\n");
    room.commit_in(&library, "one");
    room.git(&["-c", "protocol.file.allow=always", "submodule", "-q", "add", library.to_str().unwrap(), "lib"]);
    room.commit("a submodule");
    let path = added(&room, "one");
    assert_eq!(fs::read_to_string(path.join("lib/file")).unwrap(), "one\n", "the submodule is filled");
    (room, path)
}

#[test]
fn a_worktree_with_submodules_goes_when_nothing_is_lost_in_them() {
    let (room, path) = with_submodule();
    room.run("git-task", &["worktree", "remove", "one"]).succeeds();
    assert!(!path.exists());
    assert_eq!(room.git(&["status", "--porcelain"]), "");
}

#[test]
fn work_in_a_submodule_keeps_the_worktree_even_from_force() {
    let (room, path) = with_submodule();
    let lib = path.join("lib");
    let stays = |why: &str| {
        for arguments in [["worktree", "remove", "one"].as_slice(), &["worktree", "remove", "--force", "one"]] {
            room.run("git-task", arguments).exits(128).warns("submodule lib").warns(why);
        }
        assert!(lib.join("file").exists());
    };
    fs::write(lib.join("new"), "untracked\n").unwrap();
    stays("it has changes");
    room.commit_in(&lib, "mine");
    stays("another commit");
    // Committed in the worktree too: the commit that it names is still nowhere else.
    room.git_in(&path, &["commit", "-qam", "lib"]);
    stays("nowhere else");
    room.git_in(&lib, &["push", "-q", "origin", "HEAD:refs/heads/pushed"]);
    room.git_in(&lib, &["fetch", "-q"]);
    room.run("git-task", &["worktree", "remove", "one"]).succeeds();
    assert!(!path.exists());
}
