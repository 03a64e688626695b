//! What is forgotten can be made again, and nobody's work goes.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use suite_tests::{Reach, Sandbox, can_kill, program_folder, run_killed};

use crate::attempts::{agent, bo4, ended, status, variant};

fn gc(room: &Sandbox) -> (Vec<Value>, Vec<Value>) {
    let said = bo4(room, &["gc", "--older-than", "0s", "--json"]).succeeds().json();
    (said["removed"].as_array().unwrap().clone(), said["kept"].as_array().unwrap().clone())
}

fn kept(room: &Sandbox, run: &str) -> PathBuf {
    room.repo().join(".codex/bo4").join(run)
}

fn two(room: &Sandbox) -> String {
    let good = agent(room, "good", "echo good >> README; printf 'a\\0b' > binary");
    let own = agent(room, "own", "echo own > own; git add -A; git commit -q -m 'my own'; echo rest > rest");
    ended(room, &[&good, &own])
}

#[test]
fn an_unmerged_winner_stays_and_a_merged_one_goes() {
    let room = Sandbox::new();
    let run = two(&room);
    bo4(&room, &["pick", &run, "--variant", "1"]).succeeds();
    for _ in 0..2 {
        let (removed, stays) = gc(&room);
        assert!(removed.is_empty() && stays.len() == 1, "{removed:?} {stays:?}");
    }
    let branch = format!("bo4/{run}/winner");
    room.git(&["rev-parse", "--verify", &format!("refs/bo4/{run}/2")]);
    let dry = bo4(&room, &["gc", "--older-than", "0s", "--dry-run", "--json"]).succeeds().json();
    assert_eq!(dry["kept"].as_array().unwrap().len(), 1);
    room.git(&["merge", "-q", "--no-edit", &branch]);
    assert!(gc(&room).1.is_empty());
    room.git(&["rev-parse", "--verify", &format!("refs/heads/{branch}")]);
    assert_eq!(room.git(&["for-each-ref", "--format=%(refname)", "refs/bo4"]), "");
    assert_eq!(bo4(&room, &["list", "--json"]).json()["runs"][0]["phase"], Value::Null, "the log knows it still");
}

#[test]
fn a_run_that_is_new_stays() {
    let room = Sandbox::new();
    let run = two(&room);
    for age in ["30d", "1h"] {
        let said = bo4(&room, &["gc", "--older-than", age, "--json"]).succeeds().json();
        assert!(said["removed"].as_array().unwrap().is_empty() && said["kept"].as_array().unwrap().is_empty());
    }
    for age in ["x", "-1d", "1y", ""] {
        bo4(&room, &["gc", "--older-than", age]).exits(129);
    }
    bo4(&room, &["status", &run]).succeeds();
}

#[test]
fn the_files_that_stay_make_every_variant_again_with_the_agents_own_commits() {
    let room = Sandbox::new();
    let run = two(&room);
    bo4(&room, &["branch", &run]).succeeds();
    // Somebody went on with one of the branches.
    room.git(&["worktree", "add", "-q", "../mine", &format!("bo4/{run}/var1")]);
    room.write("../mine/later", "later\n");
    let later = room.commit_in(&room.path().join("mine"), "later");
    room.git(&["worktree", "remove", "../mine"]);
    let base = room.git(&["rev-parse", "HEAD"]);
    let trees = [1, 2].map(|n| room.git(&["rev-parse", &format!("refs/bo4/{run}/{n}^{{tree}}")]));
    let own = room.git(&["rev-parse", &format!("refs/bo4/{run}/2-work")]);
    let (removed, stays) = gc(&room);
    assert!(removed.len() == 1 && stays.is_empty(), "{removed:?} {stays:?}");
    assert_eq!(room.git(&["for-each-ref", "--format=%(refname)", "refs/bo4", "refs/heads/bo4"]), "");
    assert_eq!(room.git(&["worktree", "list"]).lines().count(), 1);
    room.git(&["clone", "-q", "--no-local", ".", "../clone"]);
    let clone = room.path().join("clone");
    for (number, tree) in [1, 2].into_iter().zip(trees) {
        let patch = kept(&room, &run).join(format!("variants/var{number}/patch.diff"));
        room.git_in(&clone, &["checkout", "-q", "--force", "--detach", &base]);
        room.git_in(&clone, &["apply", "--index", &patch.display().to_string()]);
        assert_eq!(room.git_in(&clone, &["write-tree"]), tree);
    }
    let bundle = kept(&room, &run).join("history.bundle").display().to_string();
    room.git_in(&clone, &["fetch", "-q", &bundle, "refs/*:refs/again/*"]);
    for commit in [own, later] {
        room.git_in(&clone, &["cat-file", "-e", &format!("{commit}^{{commit}}")]);
        let all = room.git_in(&clone, &["for-each-ref", "--contains", &commit, "refs/again"]);
        assert!(!all.is_empty());
    }
}

#[test]
fn work_that_is_in_no_commit_has_a_backup_before_its_worktree_goes() {
    let room = Sandbox::new();
    let run = two(&room);
    let state = status(&room, &run);
    let worktree = variant(&state, 2)["worktree"].as_str().unwrap().to_owned();
    fs::write(format!("{worktree}/by-hand"), "by hand\n").unwrap();
    let (removed, stays) = gc(&room);
    assert!(removed.len() == 1 && stays.is_empty(), "{removed:?} {stays:?}");
    assert!(!fs::exists(&worktree).unwrap());
    let backups = room.git(&["for-each-ref", "--format=%(refname)", "refs/backup"]);
    assert_eq!(backups.lines().count(), 1, "{backups}");
    assert_eq!(room.git(&["show", &format!("{backups}:by-hand")]), "by hand");
    assert_eq!(room.git(&["show", &format!("{backups}:own")]), "own");
}

#[test]
fn commits_on_a_head_that_was_moved_by_hand_have_a_backup() {
    let room = Sandbox::new();
    let run = two(&room);
    let worktree = variant(&status(&room, &run), 1)["worktree"].as_str().unwrap().to_owned();
    let folder = PathBuf::from(&worktree);
    room.git_in(&folder, &["checkout", "-q", "-b", "by-hand"]);
    let first = room.commit_in(&folder, "first by hand");
    room.git_in(&folder, &["checkout", "-q", "--detach"]);
    room.write_in(&folder, "more", "more\n");
    let second = room.commit_in(&folder, "second by hand");
    assert_eq!(gc(&room).0.len(), 1);
    for commit in [first, second] {
        assert!(!room.git(&["for-each-ref", "--contains", &commit]).is_empty(), "{commit} is lost");
    }
}

#[test]
fn what_still_runs_or_is_locked_or_checked_out_stays() {
    let room = Sandbox::new();
    let slow = agent(&room, "slow", "echo x > x; sleep 100");
    let begun = bo4(&room, &["new", "--prompt", "x", "--lane", &slow, "--json"]).succeeds().json();
    let live = begun["run"].as_str().unwrap().to_owned();
    let run = two(&room);
    let worktree = variant(&status(&room, &run), 1)["worktree"].as_str().unwrap().to_owned();
    room.git(&["worktree", "lock", &worktree]);
    let (removed, stays) = gc(&room);
    assert!(removed.is_empty() && stays.len() == 2, "{removed:?} {stays:?}");
    assert!(fs::exists(&worktree).unwrap());
    room.git(&["rev-parse", "--verify", &format!("refs/bo4/{run}/1")]);
    room.git(&["worktree", "unlock", &worktree]);
    bo4(&room, &["branch", &run]).succeeds();
    room.git(&["checkout", "-q", &format!("bo4/{run}/var1")]);
    room.write("README", "mine\n");
    let (removed, stays) = gc(&room);
    assert!(removed.len() == 1 && stays.len() == 1, "{removed:?} {stays:?}");
    assert_eq!(room.git(&["rev-parse", "--abbrev-ref", "HEAD"]), format!("bo4/{run}/var1"));
    room.git(&["rev-parse", "--verify", "HEAD"]);
    // A job that goes on in the worktree of a run that is over.
    let job = bo4(&room, &["status", &live, "--json"]).json()["variants"][0]["job"].as_str().unwrap().to_owned();
    room.run("git-worker", &["stop", &job]).succeeds();
}

#[test]
fn what_an_agent_put_in_place_of_its_own_is_not_thrown_away() {
    let room = Sandbox::new();
    let body = "rm .git; git init -q .; echo own > own; git add -A; git commit -q -m 'of my own'; rm own";
    let run = ended(&room, &[&agent(&room, "own", body)]);
    let commit = {
        let worktree = variant(&status(&room, &run), 1)["worktree"].as_str().unwrap().to_owned();
        room.git_in(&PathBuf::from(worktree), &["rev-parse", "HEAD"])
    };
    gc(&room);
    let found = room.run("sh", &["-c", "find \"$HOME/..\" -path '*/objects/*' -name \"$1*\"", "sh", &commit[2..]]);
    assert!(!found.succeeds().text().is_empty(), "the commit that the agent made is nowhere any more");
}

#[test]
fn a_worktree_whose_job_lives_is_left_by_pick_and_gc() {
    let room = Sandbox::new();
    let run = two(&room);
    let worktree = variant(&status(&room, &run), 2)["worktree"].as_str().unwrap().to_owned();
    let words = ["launch", "--json", "--worktree", &worktree, "--name", "later", "--", "sleep", "100"];
    let job = room.run("git-worker", &words).succeeds().json()["id"].as_str().unwrap().to_owned();
    let picked = bo4(&room, &["pick", &run, "--variant", "1", "--json"]).succeeds().json();
    assert_eq!(picked["worktrees"][1]["removed"], false, "{picked:#}");
    room.git(&["merge", "-q", "--no-edit", &format!("bo4/{run}/winner")]);
    assert!(gc(&room).0.is_empty());
    assert!(fs::exists(&worktree).unwrap());
    room.git(&["rev-parse", "--verify", &format!("refs/bo4/{run}/2")]);
    room.run("git-worker", &["stop", &job]).succeeds();
}

#[test]
fn pick_and_gc_that_are_killed_anywhere_lose_nothing_and_go_on() {
    if !can_kill(&Sandbox::new(), "gc killed at each call") {
        return;
    }
    let program = program_folder().join("git-bo4").display().to_string();
    for (call, places) in [
        ("rename,renameat,renameat2", &[1, 2, 3, 5, 7, 9][..]),
        ("unlink,unlinkat,rmdir", &[1, 2, 3, 5, 8, 13]),
        ("mkdir,mkdirat", &[1, 2, 4]),
        ("write", &[3, 9, 15]),
    ] {
        for n in places {
            let room = Sandbox::new();
            let run = two(&room);
            let trees = [1, 2].map(|n| room.git(&["rev-parse", &format!("refs/bo4/{run}/{n}^{{tree}}")]));
            let own = room.git(&["rev-parse", &format!("refs/bo4/{run}/2-work")]);
            let base = room.git(&["rev-parse", "HEAD"]);
            let pick = [&program[..], "pick", &run, "--variant", "1"];
            let gc_of = [&program[..], "gc", "--older-than", "0s"];
            run_killed(&room, &room.repo(), Reach::Alone, call, *n, &pick);
            bo4(&room, &["pick", &run, "--variant", "1"]).succeeds();
            room.git(&["merge", "-q", "--no-edit", &format!("bo4/{run}/winner")]);
            run_killed(&room, &room.repo(), Reach::Alone, call, *n, &gc_of);
            let what = format!("{call} {n}");
            assert!(gc(&room).1.is_empty(), "{what}");
            assert_eq!(room.git(&["for-each-ref", "--format=%(refname)", "refs/bo4"]), "", "{what}");
            assert_eq!(room.git(&["worktree", "list"]).lines().count(), 1, "{what}");
            room.git(&["checkout", "-q", "--detach", &base]);
            for (number, tree) in [1, 2].into_iter().zip(trees) {
                let patch = kept(&room, &run).join(format!("variants/var{number}/patch.diff"));
                room.git(&["apply", "--index", &patch.display().to_string()]);
                assert_eq!(room.git(&["write-tree"]), tree, "{what}");
                room.git(&["reset", "-q", "--hard", &base]);
            }
            let bundle = kept(&room, &run).join("history.bundle").display().to_string();
            assert!(room.git(&["bundle", "list-heads", &bundle]).contains(&own), "{what}");
        }
    }
}
