use std::path::{Path, PathBuf};
use std::process::Stdio;

use suite_tests::{Ran, Sandbox};

const CHECKS: &str = "[[checks]]\nname = \"words\"\ncommand = [\"sh\", \"-c\", \"! grep -rq 'brok[e]n' .\"]\n";

/// A task with one commit on its branch, in a repository with checks.
fn worked(room: &Sandbox, slug: &str, file: &str, content: &str) -> PathBuf {
    room.run("git-task", &["add", slug]).succeeds();
    let path = PathBuf::from(room.run("git-task", &["worktree", "add", slug]).succeeds().text());
    room.write_in(&path, file, content);
    room.commit_in(&path, &format!("work of {slug}"));
    path
}

fn room() -> Sandbox {
    let room = Sandbox::new();
    room.trusted_config(CHECKS);
    room.commit("checks");
    room
}

fn complete(room: &Sandbox, arguments: &[&str]) -> Ran {
    room.run("git-task", &[&["complete"], arguments].concat())
}

#[test]
fn a_validated_task_is_merged_and_cleaned_up_with_nothing_lost() {
    let room = room();
    let path = worked(&room, "one", "new", "fine\n");
    room.run("git-task", &["add", "two", "--depends-on", "one"]).succeeds();
    let tip = room.git(&["rev-parse", "task/one"]);
    room.run("git-validate", &["task/one"]).succeeds();
    let json = complete(&room, &["one", "--json"]).succeeds().json();
    assert_eq!(json["unblocked"][0], "two");
    assert_eq!(json["validated"], true);
    assert_eq!(room.git(&["rev-parse", "main^2"]), tip);
    assert_eq!(room.git(&["rev-parse", json["backup"].as_str().unwrap()]), tip);
    assert_eq!(room.git(&["branch", "--list", "task/one"]), "");
    assert!(!path.exists() && room.repo().join("new").exists());
    assert_eq!(room.git(&["status", "--porcelain"]), "");
    complete(&room, &["one"]).exits(128).warns("is done already");
}

#[test]
fn squash_makes_one_commit_and_rebase_keeps_authors() {
    let room = room();
    let path = worked(&room, "one", "a", "1\n");
    room.write_in(&path, "b", "2\n");
    room.git_in(&path, &["add", "-A"]);
    room.git_in(
        &path,
        &[
            "commit",
            "-q",
            "-m",
            "second\n\nbody",
            "--author",
            "Some One <s@example.com>",
            "--date",
            "2020-01-02T03:04:05+02:00",
        ],
    );
    room.write("base", "moved\n");
    room.commit("base moved");
    complete(&room, &["one", "--unvalidated", "--merge", "rebase", "-n"]).succeeds().says("would merge");
    complete(&room, &["one", "--unvalidated", "--merge", "rebase"]).succeeds();
    assert_eq!(
        room.git(&["log", "-1", "--format=%an %ad %B", "--date=iso"]).trim_end(),
        "Some One 2020-01-02 03:04:05 +0200 second\n\nbody"
    );
    assert_eq!(room.git(&["rev-list", "--count", "main", "--min-parents=2"]), "0");
    worked(&room, "two", "c", "3\n");
    room.git(&["config", "codex-agents.task.merge", "squash"]);
    complete(&room, &["two", "--unvalidated"]).succeeds();
    assert_eq!(room.git(&["log", "-1", "--format=%s %P"]).split(' ').count(), 2);
    assert_eq!(room.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_tree_without_a_passing_verdict_does_not_land() {
    let room = room();
    worked(&room, "one", "new", "fine\n");
    complete(&room, &["one"]).exits(1).warns("has no verdict").warns("--validate");
    let path = worked(&room, "two", "new2", "broken\n");
    room.run("git-validate", &["task/two"]).exits(1);
    complete(&room, &["two"]).exits(1).warns("the verdict 'fail'");
    complete(&room, &["two", "--validate"]).exits(1);
    assert_eq!(room.git(&["rev-list", "--count", "main"]), "2");
    assert!(path.exists());
    complete(&room, &["one", "--validate"]).succeeds();
}

#[test]
fn no_checks_are_no_pass() {
    let room = Sandbox::new();
    worked(&room, "one", "new", "x");
    complete(&room, &["one"]).exits(1).warns("no checks are configured").warns("--unvalidated");
    complete(&room, &["one", "--unvalidated"]).succeeds().warns("without a verdict");
}

#[test]
fn a_base_that_moved_is_merged_and_judged_as_it_is_now() {
    let room = room();
    worked(&room, "one", "new", "fine\n");
    room.run("git-validate", &["task/one"]).succeeds();
    room.write("other", "x\n");
    room.commit("the base moves");
    complete(&room, &["one"]).exits(1).warns("because the base has moved");
    complete(&room, &["one", "--validate"]).succeeds();
    assert!(room.repo().join("new").exists() && room.repo().join("other").exists());
}

#[test]
fn conflicts_are_named_and_nothing_moves() {
    let room = room();
    worked(&room, "one", "README", "mine\n");
    room.write("README", "theirs\n");
    let base = room.commit("the base changes the same line");
    let ran = complete(&room, &["one"]).exits(1).warns("README");
    assert!(ran.stderr.contains("conflicts with 'main'"));
    assert_eq!(room.git(&["rev-parse", "main"]), base);
    assert_eq!(room.git(&["for-each-ref", "refs/backup"]), "");
    assert_eq!(room.git(&["status", "--porcelain"]), "");
}

#[test]
fn an_empty_branch_is_nothing_to_merge() {
    let room = room();
    room.run("git-task", &["add", "one"]).succeeds();
    room.run("git-task", &["worktree", "add", "one"]).succeeds();
    complete(&room, &["one"]).exits(1).warns("no commits");
    room.write("../repo.worktrees/one/loose", "not nothing\n");
    complete(&room, &["one"]).exits(128).warns("untracked: loose");
}

#[test]
fn uncommitted_and_untracked_work_in_the_tasks_worktree_stops_it() {
    let room = room();
    let path = worked(&room, "one", "new", "fine\n");
    room.write_in(&path, "loose", "l");
    complete(&room, &["one", "--unvalidated"]).exits(128).warns("untracked: loose");
    std::fs::remove_file(path.join("loose")).unwrap();
    room.write_in(&path, "new", "changed");
    complete(&room, &["one", "--unvalidated"]).exits(128).warns("changed: new");
    assert_eq!(room.git(&["rev-list", "--count", "main"]), "2");
}

#[test]
fn a_checkout_follows_when_its_own_changes_do_not_overlap() {
    let room = room();
    worked(&room, "one", "new", "fine\n");
    room.write("README", "my edit\n");
    room.write("untracked", "u\n");
    room.write("staged", "s\n");
    room.git(&["add", "staged"]);
    complete(&room, &["one", "--unvalidated"]).succeeds();
    assert!(room.repo().join("new").exists());
    assert_eq!(room.git(&["status", "--porcelain"]), " M README\nA  staged\n?? untracked");
}

#[test]
fn a_checkout_with_changes_that_overlap_keeps_every_byte_and_can_take_nothing_back() {
    let room = room();
    worked(&room, "one", "README", "from the task\n");
    room.write("README", "my edit\n");
    let old = room.git(&["rev-parse", "main"]);
    complete(&room, &["one", "--unvalidated"]).succeeds().warns("overlap").warns("checkout --merge main");
    assert_ne!(room.git(&["rev-parse", "main"]), old);
    assert_eq!(std::fs::read_to_string(room.repo().join("README")).unwrap(), "my edit\n");
    assert_eq!(room.git(&["status", "--porcelain"]), " M README");
    // A commit there starts from the old base and so does not undo the merge.
    room.git(&["commit", "-qam", "mine"]);
    assert_eq!(room.git(&["show", "main:README"]), "from the task");
    assert_eq!(room.git(&["rev-parse", "HEAD^"]), old);
}

#[test]
fn an_untracked_file_in_the_way_is_not_overwritten() {
    let room = room();
    worked(&room, "one", "new", "from the task\n");
    room.write("new", "mine\n");
    complete(&room, &["one", "--unvalidated"]).succeeds().warns("overlap");
    assert_eq!(std::fs::read_to_string(room.repo().join("new")).unwrap(), "mine\n");
    assert_eq!(room.git(&["show", "main:new"]), "from the task");
}

#[test]
fn two_completions_at_once_both_land_and_neither_undoes_the_other() {
    let room = room();
    for n in 0..6 {
        worked(&room, &format!("t{n}"), &format!("file{n}"), "x\n");
    }
    let start = |n: u32| {
        let mut command = room.command("git-task");
        command
            .args(["complete", &format!("t{n}"), "--unvalidated"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..6).map(start).collect();
    for (n, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            assert_eq!(output.status.code(), Some(128), "{words}");
            complete(&room, &[&format!("t{n}"), "--unvalidated"]).succeeds();
        }
    }
    for n in 0..6 {
        assert_eq!(room.git(&["show", &format!("main:file{n}")]), "x");
        assert!(room.repo().join(format!("file{n}")).exists());
    }
    assert_eq!(room.git(&["status", "--porcelain"]), "");
    room.git(&["fsck", "--strict"]);
}

#[test]
fn what_an_interrupted_completion_left_is_finished_by_the_next() {
    let room = room();
    let path = worked(&room, "one", "new", "fine\n");
    complete(&room, &["one", "--unvalidated", "--keep-worktree"]).succeeds();
    // As if it had died after the refs moved and before the registry was written.
    room.run("git-task", &["undo"]).succeeds();
    assert!(path.exists());
    complete(&room, &["one"]).succeeds().says("was merged already");
    assert!(!Path::new(&path).exists());
    assert_eq!(room.run("git-task", &["show", "one", "--json"]).succeeds().json()["status"], "done");
}

#[test]
fn a_task_that_waits_is_not_completed() {
    let room = room();
    worked(&room, "one", "new", "x");
    room.run("git-task", &["add", "two"]).succeeds();
    room.run("git-task", &["edit", "one", "--depends-on", "two"]).succeeds();
    complete(&room, &["one", "--unvalidated"]).exits(128).warns("waits for two");
    complete(&room, &["two"]).exits(128).warns("has no branch yet");
}

#[test]
fn the_attributes_of_the_base_decide_wherever_it_runs() {
    let room = room();
    room.write(".gitattributes", "log merge=union\n");
    room.write("log", "start\n");
    room.commit("log");
    worked(&room, "one", "log", "start\nmine\n");
    room.write("log", "start\ntheirs\n");
    room.commit("theirs");
    let linked = room.path().join("bare-ish");
    room.git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap(), "HEAD~3"]);
    room.run_in(&linked, "git-task", &["complete", "one", "--unvalidated"]).succeeds();
    assert_eq!(room.git(&["show", "main:log"]), "start\ntheirs\nmine");
}

#[test]
fn a_locked_index_in_the_checkout_is_waited_for_and_is_no_overlap() {
    let room = room();
    worked(&room, "one", "new", "fine\n");
    let lock = room.repo().join(".git/index.lock");
    std::fs::write(&lock, "").unwrap();
    complete(&room, &["one", "--unvalidated"]).exits(128).warns("is locked by another git");
    assert_eq!(room.git(&["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(room.git(&["for-each-ref", "refs/backup"]), "");
    std::fs::remove_file(&lock).unwrap();
    complete(&room, &["one", "--unvalidated"]).succeeds();
}

#[test]
fn an_identity_from_the_command_line_makes_the_merge() {
    let room = room();
    worked(&room, "one", "new", "fine\n");
    room.git(&["config", "--global", "--remove-section", "user"]);
    room.git(&["config", "--global", "user.useConfigOnly", "true"]);
    complete(&room, &["one", "--unvalidated"]).exits(128).warns("commit-tree");
    let words =
        ["-c", "user.name=Some One", "-c", "user.email=s@example.com", "task", "complete", "one", "--unvalidated"];
    room.run("git", &words).succeeds();
    assert_eq!(room.git(&["log", "-1", "--format=%an %ce", "main"]), "Some One s@example.com");
}
