//! Branches that are replayed on their base, in memory and with conflicts.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use suite_tests::{Ran, Sandbox};

use crate::resolve::{agent, file, room as conflicting, users};

fn rebase(room: &Sandbox, more: &[&str]) -> Ran {
    room.run("git-agent-merge", &[&["rebase", "topic", "--json"], more].concat())
}

/// `topic` has three commits that do not conflict with `main`, the second of which `main` has too.
fn clean() -> Sandbox {
    let room = Sandbox::new();
    room.write("shared", "1\n");
    room.commit("files");
    room.git(&["checkout", "-q", "-b", "topic"]);
    for (name, content) in [("a", "a\n"), ("both", "both\n"), ("b", "b\n")] {
        room.write(name, content);
        room.git(&["add", "-A"]);
        room.git(&[
            "-c",
            "user.name=Somebody Else",
            "commit",
            "-q",
            "-m",
            &format!("add {name}\n\nand why"),
            "--date=@1700000000 +0530",
        ]);
    }
    room.git(&["checkout", "-q", "main"]);
    room.write("both", "both\n");
    room.commit("main has it too");
    room
}

fn steps(answer: &Value) -> Vec<&str> {
    answer["steps"].as_array().unwrap().iter().map(|row| row["step"].as_str().unwrap()).collect()
}

#[test]
fn commits_are_replayed_in_memory_and_the_branch_moves_with_a_backup() {
    let room = clean();
    let before = users(&room);
    let preview = rebase(&room, &["-n"]).succeeds().json();
    assert_eq!((steps(&preview), &preview["outcome"]), (vec!["replayed", "empty", "replayed"], &"preview".into()));
    assert_eq!(before, users(&room));
    let old = room.git(&["rev-parse", "topic"]);
    let answer = rebase(&room, &[]).succeeds().json();
    assert_eq!(room.git(&["rev-parse", "topic"]), answer["to"].as_str().unwrap());
    assert_eq!(room.git(&["rev-parse", answer["backup"].as_str().unwrap()]), old);
    assert_eq!(
        room.git(&["log", "--format=%an %ad %s %b", "--date=raw", "main..topic"]),
        "Somebody Else 1700000000 +0530 add b and why\n\nSomebody Else 1700000000 +0530 add a and why"
    );
    assert_eq!(room.git(&["worktree", "list"]).lines().count(), 1);
    // As git itself would have it.
    room.git(&["checkout", "-q", "-B", "again", &old]);
    room.git(&["rebase", "-q", "main"]);
    assert_eq!(room.git(&["rev-parse", "again^{tree}"]), room.git(&["rev-parse", "topic^{tree}"]));
    rebase(&room, &["--onto", "main"]).succeeds().says("up-to-date");
}

#[test]
fn the_checkout_of_the_branch_follows_unless_its_changes_overlap() {
    let room = clean();
    let place = room.path().join("topic");
    room.git(&["worktree", "add", "-q", place.to_str().unwrap(), "topic"]);
    room.write_in(&place, "a", "changed\n");
    room.write_in(&place, "untracked", "u\n");
    let answer = rebase(&room, &[]).succeeds().json();
    assert_eq!(answer["checkout"]["followed"], true, "{answer}");
    assert_eq!(room.git_in(&place, &["status", "--porcelain"]), " M a\n?? untracked");
    assert_eq!(fs::read_to_string(place.join("a")).unwrap(), "changed\n");
}

#[test]
fn a_person_solves_a_commit_and_the_rest_follows() {
    let room = conflicting();
    let before = users(&room);
    let answer = rebase(&room, &[]).exits(1).json();
    assert_eq!((steps(&answer), &answer["outcome"]), (vec!["conflict"], &"open".into()));
    assert_eq!(before, users(&room));
    assert!(answer["reason"].as_str().unwrap().contains("topic works with b"), "{answer}");
    rebase(&room, &[]).exits(128).warns("there already");
    rebase(&room, &["--status"]).exits(1).says("open");
    rebase(&room, &["--continue"]).exits(1).says("markers");
    let place = PathBuf::from(answer["worktree"].as_str().unwrap());
    let content = fs::read_to_string(place.join("code")).unwrap();
    assert!(content.contains("<<<<<<< main") && content.contains(">>>>>>> topic"), "{content}");
    room.write_in(&place, "code", "by hand\n");
    room.write_in(&place, "list", "by hand\n");
    let answer = rebase(&room, &["--continue"]).succeeds().json();
    assert_eq!((steps(&answer), &answer["outcome"]), (vec!["resolved"], &"rebased".into()));
    assert_eq!(room.git(&["show", "topic:code"]), "by hand");
    assert_eq!(room.git(&["rev-parse", "topic~1"]), room.git(&["rev-parse", "main"]));
    assert_eq!(room.git(&["log", "-1", "--format=%s", "topic"]), "topic works with b");
    assert_eq!(room.git(&["worktree", "list"]).lines().count(), 1);
}

#[test]
fn a_given_up_rebase_leaves_all_as_it_was_and_keeps_the_work() {
    let room = conflicting();
    let before = users(&room);
    let answer = rebase(&room, &[]).exits(1).json();
    room.write_in(&PathBuf::from(answer["worktree"].as_str().unwrap()), "code", "half done\n");
    room.run("git-agent-merge", &["resolve", "topic", "--abort"]).exits(128).warns("is a rebase");
    let dropped = rebase(&room, &["--abort"]).succeeds().json();
    assert_eq!(before, users(&room));
    assert_eq!(room.git(&["show", &format!("{}:code", dropped["backup"].as_str().unwrap())]), "half done");
    rebase(&room, &["--abort"]).exits(128);
}

#[test]
fn rules_and_an_agent_solve_it_where_that_is_asked_for() {
    let room = conflicting();
    agent(
        &room,
        "printf 'fn one() {\\n    start();\\n    work(a, b, c);\\n    log(b);\\n    check(c);\\n    end();\\n}\\n' > code",
    );
    let answer = rebase(&room, &["--resolve"]).succeeds().json();
    assert_eq!((steps(&answer), &answer["validated"]), (vec!["resolved"], &"no-checks".into()), "{answer}");
    assert!(room.git(&["show", "topic:code"]).contains("work(a, b, c)"));
    assert_eq!(room.git(&["rev-parse", "topic~1"]), room.git(&["rev-parse", "main"]));
    assert_eq!(room.git(&["for-each-ref", "refs/agent-merge-attempts"]), "");
}

#[test]
fn what_checks_refuse_does_not_move_the_branch() {
    let room = conflicting();
    agent(
        &room,
        "printf 'fn one() {\\n    start();\\n    work(a, b, c);\\n    log(b);\\n    check(c);\\n    end();\\n}\\n' > code",
    );
    let config = fs::read_to_string(room.home().join(".config/codex-agents/config.toml")).unwrap();
    room.user_config(&format!("{config}[[checks]]\nname = \"never\"\ncommand = [\"false\"]\n"));
    let before = users(&room);
    let answer = rebase(&room, &["--resolve"]).exits(1).json();
    assert_eq!(answer["outcome"], "refused", "{answer}");
    assert_eq!(before, users(&room));
    assert!(room.git(&["show", &format!("{}:code", answer["backup"].as_str().unwrap())]).contains("work(a, b, c)"));
    let answer = rebase(&room, &["--resolve", "--attempts", "1", "--agent", "none"]).exits(1).json();
    assert_eq!(file(&answer, "list")["by"][0]["who"], "union");
}

#[test]
fn merges_and_moving_branches_are_refused() {
    let room = clean();
    room.git(&["checkout", "-q", "topic"]);
    room.git(&["merge", "-q", "--no-edit", "main"]);
    room.git(&["checkout", "-q", "main"]);
    room.write("more", "more\n");
    room.commit("more");
    rebase(&room, &[]).exits(128).warns("is a merge").warns("resolve");
    let room = conflicting();
    let answer = rebase(&room, &[]).exits(1).json();
    let place = PathBuf::from(answer["worktree"].as_str().unwrap());
    for name in ["code", "list"] {
        room.write_in(&place, name, "by hand\n");
    }
    room.git(&["branch", "-f", "topic", "topic~1"]);
    let moved = room.git(&["rev-parse", "topic"]);
    rebase(&room, &["--continue"]).exits(128).warns("has moved");
    assert_eq!(room.git(&["rev-parse", "topic"]), moved);
    let kept = rebase(&room, &["--abort"]).succeeds().json();
    assert!(kept["backup"].is_string(), "{kept}");
}

#[test]
fn a_branch_that_holds_its_base_is_there_already_merges_or_not() {
    let room = clean();
    room.git(&["checkout", "-q", "topic"]);
    room.git(&["merge", "-q", "--no-edit", "main"]);
    room.git(&["checkout", "-q", "main"]);
    assert_eq!(rebase(&room, &[]).succeeds().json()["outcome"], "up-to-date");
}

#[test]
fn authors_and_messages_are_copied_byte_for_byte() {
    let room = clean();
    let heads = ["author <> 1700000000 -0730", "author \"q\", x. <a b> 1700000000 +0000\nencoding ISO-8859-1"];
    let tree = room.git(&["rev-parse", "topic^{tree}"]);
    for (head, message) in heads.iter().zip(["", "\n\n# a hash\n\n\nend\n\n\n"]) {
        let parent = room.git(&["rev-parse", "topic"]);
        let (author, encoding) = head.split_once('\n').unwrap_or((head, ""));
        let encoding = if encoding.is_empty() { String::new() } else { format!("{encoding}\n") };
        let raw = format!(
            "tree {tree}\nparent {parent}\n{author}\ncommitter C <c@d> 1700000000 +0000\n{encoding}\n{message}"
        );
        room.write_in(room.path(), "raw", &raw);
        let file = room.path().join("raw");
        let id = room.git(&["hash-object", "-t", "commit", "-w", "--literally", file.to_str().unwrap()]);
        room.git(&["update-ref", "refs/heads/topic", &id]);
    }
    // Neither parent nor committer.
    let facts = |name: &str| {
        let raw = room.git(&["cat-file", "commit", name]);
        let kept = raw.lines().filter(|line| !line.starts_with("parent ") && !line.starts_with("committer "));
        kept.map(|line| line.to_owned() + "\n").filter(|line| !line.starts_with("tree ")).collect::<String>()
    };
    let old = ["topic~1", "topic"].map(facts);
    rebase(&room, &[]).succeeds();
    assert_eq!(old, ["topic~1", "topic"].map(facts));
}

#[test]
fn a_rebase_that_was_ended_after_the_branch_moved_is_done() {
    let room = conflicting();
    let place = PathBuf::from(rebase(&room, &[]).exits(1).json()["worktree"].as_str().unwrap());
    let record = place.parent().unwrap().join("state.json");
    room.write_in(&place, "code", "both\n");
    room.write_in(&place, "list", "both\n");
    let mut state: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    let done = rebase(&room, &["--continue"]).succeeds().json();
    // As it is written before the branch moves.
    state["steps"] = done["steps"].clone();
    state["ours"] = done["to"].clone();
    fs::write(&record, state.to_string()).unwrap();
    let again = rebase(&room, &["--continue"]).succeeds().json();
    assert_eq!((&again["outcome"], &again["backup"]), (&"rebased".into(), &done["backup"]));
    assert!(!record.exists());
}
