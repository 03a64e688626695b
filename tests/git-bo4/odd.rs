//! Agents and repositories as nobody means them to be.

use std::fs;

use suite_tests::Sandbox;

use crate::attempts::{agent, bo4, ended, status, variant};

#[test]
fn an_agent_that_leaves_a_repository_without_a_commit_keeps_no_other_from_its_end() {
    let room = Sandbox::new();
    let nested = agent(&room, "nested", "git init -q sub; echo work > sub/file");
    let good = agent(&room, "good", "echo good >> README");
    let run = ended(&room, &[&nested, &good]);
    let state = status(&room, &run);
    assert_eq!(state["phase"], "ready", "{state:#}");
    assert!(variant(&state, 1)["problem"].as_str().unwrap().contains("sub"), "{state:#}");
    let picked = bo4(&room, &["pick", &run, "--variant", "2", "--json"]).succeeds().json();
    assert_eq!((&picked["worktrees"][0]["removed"], &picked["worktrees"][1]["removed"]), (&false.into(), &true.into()));
    // Once it is mended, its work can be taken.
    let worktree = picked["worktrees"][0]["path"].as_str().unwrap().to_owned();
    fs::remove_dir_all(format!("{worktree}/sub/.git")).unwrap();
    bo4(&room, &["branch", &run]).succeeds();
    assert_eq!(room.git(&["show", &format!("bo4/{run}/var1:sub/file")]), "work");
}

#[test]
fn a_repository_inside_a_worktree_is_not_removed_with_it() {
    let room = Sandbox::new();
    let body = "git init -q sub; cd sub; echo work > file; git add -A; git commit -q -m inside";
    let nested = agent(&room, "nested", body);
    let run = ended(&room, &[&nested]);
    let picked = bo4(&room, &["pick", &run, "--variant", "1", "--json"]).succeeds().json();
    let row = &picked["worktrees"][0];
    assert!(row["removed"] == false && row["why"].as_str().unwrap().contains("sub"), "{picked:#}");
    assert!(fs::exists(format!("{}/sub/file", row["path"].as_str().unwrap())).unwrap());
    let gone = bo4(&room, &["gc", "--older-than", "0s", "--json"]).succeeds().json();
    assert!(gone["removed"].as_array().unwrap().is_empty(), "{gone:#}");
}

#[test]
fn submodules_that_nobody_touched_keep_no_worktree() {
    let room = Sandbox::new();
    room.git(&["config", "--global", "protocol.file.allow", "always"]);
    room.git(&["init", "-q", "../library"]);
    room.write("../library/file", "x\n");
    room.commit_in(&room.path().join("library"), "library");
    room.git(&["submodule", "--quiet", "add", "../library", "library"]);
    room.commit("a submodule");
    let idle = agent(&room, "idle", "echo x >> README");
    let busy = agent(&room, "busy", "echo x >> README; ls library > seen; echo mine > library/mine");
    let run = ended(&room, &[&idle, &busy]);
    let picked = bo4(&room, &["pick", &run, "--variant", "1", "--json"]).succeeds().json();
    assert_eq!(picked["worktrees"][0]["removed"], true, "{picked:#}");
    let busy = &picked["worktrees"][1];
    // What was not filled has nothing of its own but files that git sees.
    assert!(busy["removed"] == false || busy["backup"].is_string(), "{picked:#}");
}

#[test]
fn what_agents_do_to_their_worktree_harms_nobody_else() {
    let room = Sandbox::new();
    let ran = room.path().join("ran");
    let shout = format!("sh -c 'echo ran >> {}'", ran.display());
    let outside = room.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("precious"), "precious\n").unwrap();
    let bodies = [
        "echo good >> README".to_owned(),
        format!("w=$PWD; cd ..; mv \"$w\" \"$w.moved\"; ln -s '{}' \"$w\"", outside.display()),
        "rm .git; echo without >> README".to_owned(),
        "rm .git; git init -q .; git add -A; git commit -q -m own; echo own >> README".to_owned(),
        "w=$PWD; cd /; rm -rf \"$w\"".to_owned(),
        format!(
            "echo '* filter=odd' > .gitattributes; d=$(git rev-parse --git-dir); printf '[filter \"odd\"]\\n\\tclean = {shout}\\n\\tsmudge = {shout}\\n[core]\\n\\tfsmonitor = {shout}\\n' > \"$d/config.worktree\"; echo x >> README"
        ),
        "git checkout -q --orphan other; git rm -rqf .; echo o > other; git add -A; git commit -q -m other".to_owned(),
        "mkfifo pipe; echo pipe >> README".to_owned(),
        "echo nonsense > \"$(git rev-parse --git-dir)/HEAD\"; echo head >> README".to_owned(),
        "echo nonsense > \"$(git rev-parse --git-dir)/index\"; echo index >> README".to_owned(),
        "sleep 60 & echo daemon >> README".to_owned(),
        "git worktree lock .; echo locked >> README".to_owned(),
    ];
    let agents: Vec<String> =
        bodies.iter().enumerate().map(|(at, body)| agent(&room, &format!("a{at}"), body)).collect();
    let before = room.git(&["rev-parse", "HEAD"]);
    let run = ended(&room, &agents.iter().map(String::as_str).collect::<Vec<_>>());
    let state = status(&room, &run);
    assert_eq!(state["phase"], "ready", "{state:#}");
    for number in [1, 3, 4, 6, 7, 8, 11, 12] {
        assert!(variant(&state, number)["commit"].is_string(), "{number}: {state:#}");
    }
    for number in [2, 5] {
        assert!(variant(&state, number)["problem"].is_string(), "{number}: {state:#}");
    }
    bo4(&room, &["branch", &run, "--json"]).json();
    bo4(&room, &["review", &run, "--json"]).succeeds().json();
    bo4(&room, &["report", &run, "--json"]).succeeds().json();
    let picked = bo4(&room, &["pick", &run, "--variant", "1", "--json"]).succeeds().json();
    let rows = picked["worktrees"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["removed"] == true || row["why"].is_string()), "{picked:#}");
    assert_eq!(fs::read_to_string(outside.join("precious")).unwrap(), "precious\n");
    assert_eq!(room.git(&["rev-parse", "HEAD"]), before);
    assert_eq!(room.git(&["status", "--porcelain"]), "");
    assert!(!ran.exists(), "what an agent left was run");
}
