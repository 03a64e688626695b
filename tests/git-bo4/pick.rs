//! The choice: the winner becomes a branch, the others stay, and no worktree goes without proof.

use std::fs;

use crate::room::{bo4, lanes, number, room, whole};

fn worktrees(room: &suite_tests::Sandbox) -> usize {
    room.git(&["worktree", "list", "--porcelain"]).matches("worktree ").count()
}

#[test]
fn the_first_of_the_review_becomes_a_branch_and_the_worktrees_go() {
    let room = room();
    let report = whole(&room, &["large", "good"], &[]);
    let run = report["run"].as_str().unwrap();
    assert_eq!(worktrees(&room), 3);
    bo4(&room, &["pick", "-n"]).succeeds().says("would become");
    assert_eq!(worktrees(&room), 3);
    let picked = bo4(&room, &["pick", "--json"]).succeeds().json();
    assert_eq!(picked["variant"], number(&report, "good"));
    assert_eq!(picked["branch"], format!("bo4/{run}/winner"));
    assert_eq!(worktrees(&room), 1);
    for variant in [1, 2] {
        assert!(!room.git(&["rev-parse", &format!("refs/bo4/{run}/{variant}")]).is_empty());
    }
    // Again is no harm, and another one goes on top of nothing: it is refused.
    bo4(&room, &["pick"]).succeeds();
    let loser = number(&report, "large").to_string();
    bo4(&room, &["pick", "--variant", &loser]).exits(128).warns("commits that the winner does not hold");
}

#[test]
fn a_tasks_branch_moves_by_compare_and_swap() {
    let room = room();
    room.run("git-task", &["add", "Mend add"]).succeeds();
    let lanes = lanes(&room, &["good"]);
    let words: Vec<&str> = lanes.iter().map(String::as_str).collect();
    bo4(&room, &[&["run", "--task", "mend-add", "--interval", "1s"], &words[..]].concat()).succeeds();
    bo4(&room, &["pick"]).succeeds().says("is task/mend-add");
    assert_eq!(room.git(&["rev-parse", "task/mend-add^"]), room.git(&["rev-parse", "main"]));
    // Work on the branch that the winner does not hold stays.
    room.git(&["checkout", "-q", "task/mend-add"]);
    room.write("mine", "mine\n");
    let mine = room.commit("mine");
    bo4(&room, &["pick"]).exits(128).warns("not touched");
    assert_eq!(room.git(&["rev-parse", "task/mend-add"]), mine);
}

#[test]
fn a_task_whose_branch_a_pick_has_made_is_completed_like_any_other() {
    let room = room();
    room.run("git-task", &["add", "Mend add"]).succeeds();
    let lanes = lanes(&room, &["good"]);
    let words: Vec<&str> = lanes.iter().map(String::as_str).collect();
    bo4(&room, &[&["run", "--task", "mend-add", "--interval", "1s"], &words[..]].concat()).succeeds();
    bo4(&room, &["pick"]).succeeds();
    room.run("git-task", &["worktree", "add", "mend-add"]).succeeds();
    room.run("git-task", &["complete", "mend-add"]).succeeds();
    assert!(room.git(&["show", "main:src/add.sh"]).contains(" + "));
    // The winner is merged, so the run may go, and its patches stay.
    bo4(&room, &["gc", "--older-than", "0s"]).succeeds().says("gone");
    assert_eq!(room.git(&["for-each-ref", "refs/bo4", "refs/heads/bo4"]), "");
}

#[test]
fn what_somebody_left_in_a_worktree_is_kept_before_it_goes() {
    let room = room();
    let report = whole(&room, &["good", "large"], &[]);
    let status = bo4(&room, &["status", "--json"]).succeeds().json();
    let place = status["variants"][1]["worktree"].as_str().unwrap().to_owned();
    fs::write(format!("{place}/late"), "by hand\n").unwrap();
    let picked = bo4(&room, &["pick", "--json"]).succeeds().json();
    let ended = picked["worktrees"].as_array().unwrap();
    let backup = ended.iter().find_map(|row| row["backup"].as_str()).unwrap_or_else(|| panic!("{picked:#}"));
    assert_eq!(room.git(&["show", &format!("{backup}:late")]), "by hand");
    assert_eq!((worktrees(&room), report["variants"].as_array().unwrap().len()), (1, 2));
}

#[test]
fn a_worktree_with_a_live_job_stays() {
    let room = room();
    whole(&room, &["good", "large"], &[]);
    let status = bo4(&room, &["status", "--json"]).succeeds().json();
    let place = status["variants"][0]["worktree"].as_str().unwrap();
    let started =
        room.run("git-worker", &["launch", "--json", "--worktree", place, "--name", "busy", "--", "sleep", "60"]);
    started.succeeds();
    bo4(&room, &["pick"]).succeeds().says("stays").says("busy#1");
    assert_eq!(worktrees(&room), 2);
    room.run("git-worker", &["stop", "busy"]).succeeds();
    bo4(&room, &["pick"]).succeeds();
    assert_eq!(worktrees(&room), 1);
}

#[test]
fn a_part_of_another_goes_on_top() {
    let room = room();
    room.script("agents/tests", "sed -i 's/ - / + /' src/add.sh; echo '[ 1 ]' > tests/more.sh; echo note > notes.txt");
    let report = whole(&room, &["good", "tests"], &[]);
    let from = number(&report, "tests").to_string();
    bo4(&room, &["graft", "--from", &from, "--paths", "tests"]).exits(128).warns("picked");
    let winner = number(&report, "good").to_string();
    bo4(&room, &["pick", "--variant", &winner]).succeeds();
    bo4(&room, &["graft", "--from", &from, "--paths", "no-such"]).exits(1).warns("none of these paths");
    bo4(&room, &["graft", "--from", &from, "--paths", "tests", "-n"]).succeeds().says("tests/more.sh");
    bo4(&room, &["graft", "--from", &from, "--paths", "tests"]).succeeds().says("tests/more.sh");
    let run = report["run"].as_str().unwrap();
    let names = room.git(&["ls-tree", "-r", "--name-only", &format!("bo4/{run}/winner")]);
    assert!(names.contains("tests/more.sh") && !names.contains("notes.txt"), "{names}");
    // What overlaps is a conflict and changes nothing.
    let tip = room.git(&["rev-parse", &format!("bo4/{run}/winner")]);
    room.script("agents/apart", "echo 'add() { expr $1 + $2; }' > src/add.sh");
    let other = whole(&room, &["apart"], &["--fresh"]);
    let other = other["run"].as_str().unwrap();
    let onto = format!("bo4/{run}/winner");
    bo4(&room, &["graft", other, "--from", "1", "--paths", "src", "--onto", &onto]).exits(1).says("conflict");
    assert_eq!(room.git(&["rev-parse", &onto]), tip);
}

#[test]
fn the_next_round_is_linked_to_the_last() {
    let room = room();
    let report = whole(&room, &["breaks", "nothing"], &[]);
    bo4(&room, &["pick"]).exits(1).warns("no variant").warns("git bo4 retry");
    let next = bo4(&room, &["retry", "--prompt", "Mend it for real", "--json"]).succeeds().json();
    assert_eq!((&next["previous"], &next["round"]), (&report["run"], &1.into()));
    assert_eq!(next["base_commit"], report["base_commit"]);
    assert_eq!(next["variants"].as_array().unwrap().len(), 2);
    bo4(&room, &["watch", "--timeout", "60s"]).succeeds();
    let first = bo4(&room, &["list", "--json"]).json()["runs"][0]["run"].clone();
    assert_eq!(first, next["run"]);
}
