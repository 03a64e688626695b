use std::fs;

use serde_json::json;
use suite_tests::Sandbox;

use crate::room::{bare_worktree, hydrate};

/// A repository with artefacts of many kinds, and things that only look like some.
fn full() -> Sandbox {
    let room = Sandbox::new();
    let ignored = "node_modules/\ntarget/\n.venv/\nenv-of-mine/\n.env*\n!.env.example\nout/\ndeps/\n.next/\nvendor/\n";
    room.write(".gitignore", ignored);
    room.write("Cargo.toml", "[workspace]\n");
    room.write(".env.example", "A=\n");
    room.write("tracked/.env.keep", "x\n");
    room.write("mix/mix.exs", "x\n");
    room.git(&["add", "-f", "tracked/.env.keep"]);
    room.commit("rules");
    room.write("web/node_modules/a/index.js", "12345678");
    room.write("node_modules/b/index.js", "1234");
    fs::hard_link(room.repo().join("node_modules/b/index.js"), room.repo().join("node_modules/b/twin.js")).unwrap();
    room.write("target/debug/x", "1");
    room.write("other/target/x", "no Cargo.toml beside");
    room.write(".venv/pyvenv.cfg", "home = /usr/bin\n");
    room.write("tools/env-of-mine/pyvenv.cfg", "home = /usr/bin\n");
    room.write(".env", "SECRET=1\n");
    room.write(".env.test.local", "SECRET=1\n");
    room.write("out/x", "unknown\n");
    room.write("deps/x", "no mix.exs beside\n");
    room.write("mix/deps/x", "1\n");
    room.write("web/.next/cache/x", "1\n");
    room.write("web/.next/server/x", "1\n");
    room.write("a b [1]/Cargo.toml", "[workspace]\n");
    room.git(&["add", "a b [1]/Cargo.toml"]);
    room.write("a b [1]/target/x", "1\n");
    room.commit("a strange name");
    room
}

#[test]
fn what_is_there_and_ignored_is_proposed() {
    let room = full();
    let answer = hydrate(&room, &room.repo(), &["--suggest", "--json"]).succeeds().json();
    let list = answer["suggestions"].as_array().unwrap();
    let mut found: Vec<(&str, &str)> =
        list.iter().map(|s| (s["path"].as_str().unwrap(), s["pattern"].as_str().unwrap())).collect();
    found.sort();
    let wanted = [
        (".env", ".env"),
        (".env.test.local", ".env.*.local"),
        (".venv/", ".venv/"),
        ("a b [1]/target/", "/a\\ b\\ \\[1]/target/"),
        ("mix/deps/", "/mix/deps/"),
        ("node_modules/", "node_modules/"),
        ("target/", "/target/"),
        ("tools/env-of-mine/", "/tools/env-of-mine/"),
        ("web/.next/cache/", "**/.next/cache/"),
        ("web/node_modules/", "node_modules/"),
    ];
    assert_eq!(found, wanted);
    let modules = list.iter().find(|s| s["path"] == "node_modules/").unwrap();
    assert_eq!((&modules["files"], &modules["bytes"], &modules["included"]), (&json!(2), &json!(4), &json!(false)));
}

#[test]
fn the_lines_can_be_appended_and_then_all_of_it_comes_along() {
    let room = full();
    let line =
        format!("'{}' --suggest >> .worktreeinclude", suite_tests::program_folder().join("git-hydrate").display());
    room.run("sh", &["-c", &line]).succeeds();
    let lines = fs::read_to_string(room.repo().join(".worktreeinclude")).unwrap();
    assert_eq!(lines.lines().filter(|line| *line == "node_modules/").count(), 1, "{lines}");
    assert!(lines.lines().all(|line| line.starts_with("# ") || !line.contains(": ")), "{lines}");
    // Once more there is nothing to add, though nothing is committed.
    hydrate(&room, &room.repo(), &["--suggest"]).succeeds().prints("").warns("nothing more");
    room.commit("the list");
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    for path in [
        "node_modules/b/index.js",
        "web/node_modules/a/index.js",
        "target/debug/x",
        ".venv/pyvenv.cfg",
        ".env",
        "tools/env-of-mine/pyvenv.cfg",
        ".env.test.local",
        "mix/deps/x",
        "web/.next/cache/x",
        "a b [1]/target/x",
    ] {
        assert!(worktree.join(path).exists(), "{path}: {answer}");
    }
    for path in ["out", "deps", "other/target", "web/.next/server"] {
        assert!(!worktree.join(path).exists(), "{path}");
    }
    let again = hydrate(&room, &worktree, &["--suggest", "--json"]).succeeds().json();
    assert!(again["suggestions"].as_array().unwrap().iter().all(|s| s["included"] == true), "{again}");
}

#[test]
fn an_empty_worktree_looks_at_the_main_one_and_from_at_another() {
    let room = full();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--suggest", "--json"]).succeeds().json();
    assert_eq!(answer["worktree"], room.repo().to_str().unwrap());
    assert_eq!(fs::read_dir(&worktree).unwrap().count(), 1, "nothing is written");
    hydrate(&room, &worktree, &[]).succeeds();
    room.write_in(&worktree, "target/x", "1");
    let answer = hydrate(&room, &worktree, &["--suggest", "--json"]).succeeds().json();
    assert_eq!(answer["suggestions"][0]["path"], "target/");
    let from = worktree.to_str().unwrap();
    let answer = hydrate(&room, &room.repo(), &["--suggest", "--json", "--from", from]).succeeds().json();
    assert_eq!(answer["suggestions"].as_array().unwrap().len(), 1);
    hydrate(&room, &room.repo(), &["--suggest", "--from", "/"]).exits(128);
    hydrate(&room, &room.repo(), &["--suggest", "-n"]).exits(129);
}

#[test]
fn where_nothing_is_ignored_nothing_is_printed() {
    let room = Sandbox::new();
    room.write("node_modules/x", "tracked\n");
    room.write("target/x", "untracked\n");
    hydrate(&room, &room.repo(), &["--suggest"]).succeeds().prints("").warns("nothing");
}

#[test]
fn a_worktree_without_its_artefacts_gets_one_hint() {
    let room = full();
    let hint = |name: &str, arguments: &[&str]| {
        let worktree = bare_worktree(&room, name, "HEAD");
        let ran = hydrate(&room, &worktree, arguments).succeeds();
        ran.stderr.lines().filter(|line| line.contains("git hydrate --suggest")).count()
    };
    assert_eq!(hint("plain", &[]), 1);
    assert_eq!((hint("quiet", &["-q"]), hint("without", &["--no-ignored"])), (0, 0));
    room.git(&["config", "codex-agents.hydrate.include", ".env"]);
    assert_eq!(hint("configured", &[]), 0);
    let room = Sandbox::new();
    room.write("node_modules/x", "tracked\n");
    room.commit("tracked");
    let worktree = bare_worktree(&room, "new", "HEAD");
    assert_eq!(hydrate(&room, &worktree, &[]).succeeds().stderr, "");
}
