//! Runs in repositories of every kind, and of questions as nobody means them to be.

use std::fs;

use serde_json::Value;
use suite_tests::Sandbox;

use crate::attempts::{agent, bo4, ended, status, variant};

fn run_in<'a>(lane: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let first = ["run", "--prompt", "do it", "--interval", "200ms", "--timeout", "60s", "--unvalidated", "--json"];
    first.into_iter().chain(["--lane", lane]).chain(more.iter().copied()).collect()
}

#[test]
fn the_whole_loop_goes_in_every_kind_of_repository() {
    for kind in ["bare", "linked", "sha256", "detached", "reftable", "inside", "git dir elsewhere"] {
        let room = Sandbox::new();
        let good = agent(&room, "good", "echo good >> README");
        let mut at = room.repo();
        match kind {
            "bare" => {
                at = room.path().join("bare.git");
                room.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
            }
            "linked" => {
                room.git(&["worktree", "add", "-q", "../linked"]);
                at = room.path().join("linked");
            }
            "detached" => drop(room.git(&["checkout", "-q", "--detach"])),
            "inside" => {
                room.write("a/b/file", "x\n");
                room.commit("folders");
                at = room.repo().join("a/b");
            }
            "git dir elsewhere" => {
                at = room.path().join("apart");
                room.git(&["clone", "-q", "--separate-git-dir", "../apart.git", ".", "../apart"]);
            }
            format => {
                at = room.path().join("other");
                let option = if format == "sha256" { "--object-format=sha256" } else { "--ref-format=reftable" };
                if room.run("git", &["init", "-q", option, "../other"]).code != 0 {
                    continue;
                }
                room.write_in(&at, "README", "one\n");
                room.commit_in(&at, "first");
            }
        }
        let ran = room.run_in(&at, "git-bo4", &run_in(&good, &[]));
        if kind == "reftable" {
            ran.exits(128).warns("reftable");
            continue;
        }
        assert!(matches!(ran.code, 0 | 1), "{kind}: {ran:?}");
        let run = ran.json()["run"].as_str().unwrap().to_owned();
        let tree = room.git_in(&at, &["show", &format!("bo4/{run}/var1:README")]);
        assert!(tree.ends_with("good"), "{kind}: {tree}");
        for words in [&["list", "--json"][..], &["show", "--json"], &["diff", "--json"], &["export", "--json"]] {
            let said = room.run_in(&at, "git-bo4", words);
            assert!(matches!(said.code, 0), "{kind}: {said:?}");
            said.json();
        }
        room.run_in(&at, "git-bo4", &["pick", "--variant", "1"]).succeeds();
        let worktrees = room.git_in(&at, &["worktree", "list"]);
        assert!(!worktrees.contains("-var1"), "{kind}: {worktrees}");
        room.run_in(&at, "git-bo4", &["gc", "--older-than", "0s"]).succeeds().says("stays");
    }
}

#[test]
fn a_repository_without_a_commit_is_refused_in_words() {
    let room = Sandbox::empty();
    room.git(&["init", "-q"]);
    let good = agent(&room, "good", "echo good > README");
    for words in [run_in(&good, &[]), vec!["new", "--prompt", "x", "--lane", &good]] {
        bo4(&room, &words).exits(128).warns("no commit yet");
    }
    bo4(&room, &["list"]).succeeds().prints("");
}

#[test]
fn the_base_that_was_recorded_counts_when_it_moves() {
    let room = Sandbox::new();
    let base = room.git(&["rev-parse", "HEAD"]);
    let good = agent(&room, "good", "echo good >> README");
    let begun = bo4(&room, &["new", "--prompt", "x", "--lane", &good, "--json"]).succeeds().json();
    let run = begun["run"].as_str().unwrap();
    room.write("README", "all is new\n");
    room.commit("moved");
    bo4(&room, &["watch", run, "--interval", "200ms"]).succeeds();
    bo4(&room, &["branch", run]).succeeds();
    assert_eq!(room.git(&["rev-parse", &format!("bo4/{run}/var1^")]), base);
    let said = bo4(&room, &["apply", run, "--variant", "1", "--json"]).exits(1).json();
    assert_eq!(said["outcome"], "conflicts", "{said:#}");
    assert_eq!(room.git(&["status", "--porcelain"]), "");
}

#[test]
fn branches_in_the_way_are_named_and_stay() {
    let room = Sandbox::new();
    room.git(&["branch", "bo4"]);
    let good = agent(&room, "good", "echo good >> README");
    let run = ended(&room, &[&good]);
    let said = bo4(&room, &["branch", &run, "--json"]).exits(1).json();
    assert_eq!(said["branches"][0]["outcome"], "taken", "{said:#}");
    assert!(said["branches"][0]["why"].as_str().unwrap().contains("bo4"), "{said:#}");
    bo4(&room, &["pick", &run, "--variant", "1"]).exits(128).warns("refs/heads/bo4");
    bo4(&room, &["pick", &run, "--variant", "1", "--branch", "winner"]).succeeds();
    room.git(&["rev-parse", "--verify", "refs/heads/winner"]);
    let again = ended(&room, &[&good]);
    room.git(&["branch", "-D", "bo4"]);
    room.git(&["branch", &format!("bo4/{again}/var1")]);
    let kept = room.git(&["rev-parse", "HEAD"]);
    bo4(&room, &["branch", &again]).exits(1).says("taken");
    assert_eq!(room.git(&["rev-parse", &format!("bo4/{again}/var1")]), kept);
}

#[test]
fn a_question_of_any_text_is_text() {
    let room = Sandbox::new();
    let good = agent(&room, "good", "echo good >> README");
    let file = room.path().join("prompt").display().to_string();
    let texts = [
        "\u{1b}]0;harm\u{7}\u{1b}[2J red \u{202e}siht\r\nmore".to_owned(),
        "# ".to_owned() + &"long ".repeat(200_000),
        "-rf --help\n".to_owned(),
        "\u{feff}Ünïcode ☃ <script>alert(1)</script>\n".to_owned(),
        "\n\n   \n../../x\n".to_owned(),
        "...\n".to_owned(),
        "Co-authored-by: x <y@z>\n\nSigned-off-by: q\n".to_owned(),
    ];
    for text in &texts {
        fs::write(&file, text).unwrap();
        let words = ["run", "--prompt-file", &file, "--interval", "200ms", "--unvalidated", "--lane", &good];
        let ran = bo4(&room, &words);
        assert!(matches!(ran.code, 0 | 1), "{ran:?}");
        let run = bo4(&room, &["list", "--json"]).json()["runs"][0]["run"].as_str().unwrap().to_owned();
        let subject = room.git(&["log", "-1", "--format=%s", &format!("bo4/{run}/var1")]);
        assert!(!subject.chars().any(char::is_control) && !subject.is_empty(), "{subject:?}");
        for words in [&["list"][..], &["status"], &["show"], &["report"], &["report", "--format", "md"]] {
            let said = bo4(&room, words).succeeds();
            let is_bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!said.stdout.contains(is_bad) && !said.stderr.contains(is_bad), "{said:?}");
        }
        bo4(&room, &["pick", &run, "--variant", "1"]).succeeds();
    }
}

#[test]
fn a_question_that_nobody_could_be_asked_is_refused_before_anything_begins() {
    let room = Sandbox::new();
    let good = agent(&room, "good", "echo good >> README");
    let file = room.path().join("prompt").display().to_string();
    let texts: [(&[u8], i32); 5] =
        [(b"do \0 it", 129), (b"\xff\xfe", 129), (b"", 129), (b" \n\t\n", 129), (&[b'x'; (1 << 20) + 1], 129)];
    for (text, code) in texts {
        fs::write(&file, text).unwrap();
        bo4(&room, &["new", "--prompt-file", &file, "--lane", &good]).exits(code);
        bo4(&room, &["run", "--prompt-file", &file, "--lane", &good]).exits(code);
    }
    bo4(&room, &["new", "--prompt-file", "/nowhere", "--lane", &good]).exits(128);
    assert_eq!(bo4(&room, &["list", "--json"]).json()["runs"], Value::Array(vec![]));
    assert_eq!(room.git(&["worktree", "list"]).lines().count(), 1);
}

#[test]
fn who_has_no_name_is_told_before_agents_are_paid() {
    let room = Sandbox::new();
    let good = agent(&room, "good", "echo good >> README");
    fs::write(room.home().join(".gitconfig"), "[user]\n\tuseConfigOnly = true\n").unwrap();
    bo4(&room, &["new", "--prompt", "x", "--lane", &good]).exits(128).warns("user.");
    assert_eq!(room.git(&["worktree", "list"]).lines().count(), 1);
}

#[test]
fn names_of_runs_that_are_none_are_answered_and_do_nothing() {
    let room = Sandbox::new();
    let run = ended(&room, &[&agent(&room, "good", "echo good >> README")]);
    for name in ["../x", "a\nb", "/", ".", "..", "*", "x/../y", "\u{1b}[2J", &format!("{run}/"), "lock", ".replaced"] {
        for command in ["status", "watch", "branch", "export", "diff", "show", "review", "report", "pick", "retry"] {
            let said = bo4(&room, &[command, name]).exits(128);
            assert!(!said.stderr.contains('\u{1b}'), "{said:?}");
        }
    }
    bo4(&room, &["status", "-rf"]).exits(129);
    bo4(&room, &["apply", &run, "--variant", "0"]).exits(128);
    bo4(&room, &["apply", &run, "--variant", "-1"]).exits(129);
    bo4(&room, &["apply", &run, "--variant", "18446744073709551615"]).exits(128);
}

#[test]
fn what_is_at_the_place_of_a_worktree_is_left_alone() {
    let room = Sandbox::new();
    let good = agent(&room, "good", "echo good >> README");
    // The folder of all worktrees is somebody's file.
    fs::write(room.path().join("repo.worktrees"), "mine\n").unwrap();
    let run = ended(&room, &[&good]);
    let state = status(&room, &run);
    assert_eq!(state["phase"], "error", "{state:#}");
    assert!(variant(&state, 1)["reason"].is_string(), "{state:#}");
    assert_eq!(fs::read_to_string(room.path().join("repo.worktrees")).unwrap(), "mine\n");
}
