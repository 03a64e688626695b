//! Sixty conflicts of known outcome, in one merge: rules solve what they claim and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use suite_tests::Sandbox;

/// A conflicted file: its three sides, and what a rule is to make of it, if any.
struct Case {
    path: String,
    sides: [String; 3],
    solved: Option<(&'static str, String)>,
}

fn case(path: &str, base: &str, ours: &str, theirs: &str, solved: Option<(&'static str, &str)>) -> Case {
    let solved = solved.map(|(rule, content)| (rule, content.to_owned()));
    Case { path: path.to_owned(), sides: [base, ours, theirs].map(str::to_owned), solved }
}

/// Changes of white space only on one side, each in several languages and both ways round.
fn white_space() -> Vec<Case> {
    let changes: [(&str, &str, &str, &str); 10] = [
        ("trailing", "call(a);   \n", "call(b);\n", "call(b);\n"),
        ("tab", "\tcall(a);\n", "call(b);\n", "\tcall(b);\n"),
        ("spaces", "    call(a);\n", "call(b);\n", "    call(b);\n"),
        ("operator", "call( a );\n", "call(b);\n", "call(b);\n"),
        ("blank", "\ncall(a);\n\n", "call(b);\n", "call(b);\n"),
        ("return", "call(a);\r\n", "call(b);\n", "call(b);\r\n"),
        ("more", "call(a);\t\n", "call(b);\ncall(c);\n", "call(b);\ncall(c);\n"),
        ("shift", "  call(a);\n", "call(b);\n\ncall(c);\n", "  call(b);\n\n  call(c);\n"),
        ("comment", "call(a);  \n", "call(b); // don't\n", "call(b); // don't\n"),
        ("gone", "call(a);    \n", "", ""),
    ];
    let mut cases = Vec::new();
    for (name, spaced, changed, result) in changes {
        for (extension, turned) in [("c", false), ("rs", true), ("ts", false)] {
            let (ours, theirs) = if turned { (changed, spaced) } else { (spaced, changed) };
            let path = format!("space/{name}.{extension}");
            cases.push(case(&path, "call(a);\n", ours, theirs, Some(("whitespace", result))));
        }
    }
    let result = "if x:\n        a\n        c\n";
    let sides = ["if x:\n    a\n    b\n", "if x:\n        a\n        b\n", "if x:\n    a\n    c\n"];
    cases.push(case("space/deep.py", sides[0], sides[1], sides[2], Some(("whitespace", result))));
    cases
}

/// Conflicts that no rule may take, however much they look like it.
fn traps() -> Vec<Case> {
    let texts = [
        ("quoted.c", "s = \"a  b\";\n", "s = \"a b\";\n", "s = \"a  c\";\n"),
        ("joined.c", "int a;\n", "inta;\n", "int b;\n"),
        ("lines.js", "return\nx;\n", "return x;\n", "return\ny;\n"),
        ("indent.py", "b\nd\n", "    b\n  d\n", "c\ne\n"),
        ("indent.yml", "b:\nd:\n", "    b:\n  d:\n", "c:\ne:\n"),
        ("Makefile", "a: b\n\tc\n", "a: b\n\tc\nd:\n", "a: b\n\td\ne:\n"),
        ("both.c", "f(a);\n", "f(b);\n", "f(c);\n"),
        ("gone.c", "f(a);\n", "", "f(c);\n"),
        ("added.c", "a\n", "a\nb\n", "a\nc\n"),
        ("NEWS", "- a\n", "- a\n- b\n", "- a\n- c\n"),
        ("imports.py", "import a\n", "import a\nimport b\n", "import a\nimport c\n"),
        ("number.c", "x = 1 2;\n", "x = 12;\n", "x = 1 3;\n"),
        ("empty.c", "a\n", "a\n\n\nb\n", "a\n\nc\n"),
        ("union/removed", "- a\n- b\n", "- a\n- n\n", "- a\n- b\n- c\n"),
        ("union/changed", "- a\n", "- A\n- b\n", "- a\n- c\n"),
        ("union/twice", "- a\n", "- a\n- b\n- b\n", "- a\n- c\n"),
        ("use/code.rs", "use a;\n", "use a;\nlet x = 1;\n", "use a;\nuse c;\n"),
        ("use/open.rs", "use a;\n", "use a;\nuse b::{\n    c,\n};\n", "use a;\nuse d;\n"),
    ];
    texts.into_iter().map(|(path, base, ours, theirs)| case(path, base, ours, theirs, None)).collect()
}

/// What is configured: lists, imports and files that a command makes.
fn configured() -> Vec<Case> {
    vec![
        case("union/CHANGES", "- a\n", "- b\n- a\n", "- c\n- a\n", Some(("union", "- b\n- c\n- a\n"))),
        case("union/end", "- a\n", "- a\n- b\n", "- a\n- c\n", Some(("union", "- a\n- b\n- c\n"))),
        case("union/new", "- a\n", "- a\n- b\n- d\n", "- a\n- b\n- c\n", Some(("union", "- a\n- b\n- c\n- d\n"))),
        case(
            "use/a.rs",
            "use m;\n",
            "use m;\nuse z;\n",
            "use b;\nuse m;\nuse n;\n",
            Some(("imports", "use b;\nuse m;\nuse n;\nuse z;\n")),
        ),
        case(
            "use/a.py",
            "import m\n",
            "import m\nimport z\n",
            "import m\nfrom b import c\n",
            Some(("imports", "import m\nfrom b import c\nimport z\n")),
        ),
        case(
            "use/a.ts",
            "import 'm';\n",
            "import 'm';\nimport 'n';\n",
            "import 'o';\n",
            Some(("imports", "import 'n';\nimport 'o';\n")),
        ),
        case(
            "use/a.c",
            "#include <m>\n",
            "#include <a>\n#include <m>\n",
            "#include <b>\n#include <m>\n",
            Some(("imports", "#include <a>\n#include <b>\n#include <m>\n")),
        ),
        case("app.lock", "a 1\n", "a 2\n", "a 3\n", Some(("generated", "made anew\n"))),
        case("sub/app.lock", "a 1\n", "a 2\nb 1\n", "a 1\nc 1\n", Some(("generated", "made anew\n"))),
    ]
}

/// Something of every file, so that each is a conflict of its own and no rename of another.
fn framed(path: &str, body: &str) -> String {
    let own: String = (0..6).map(|n| format!("{path} {n}\n")).collect();
    format!("{own}\n{body}\n{own}")
}

fn room(cases: &[Case]) -> Sandbox {
    let room = Sandbox::new();
    let put = |side: usize, message: &str| {
        for case in cases {
            room.write(&case.path, &framed(&case.path, &case.sides[side]));
        }
        room.commit(message);
    };
    put(0, "base");
    room.git(&["checkout", "-q", "-b", "topic"]);
    put(1, "ours");
    room.git(&["checkout", "-q", "main"]);
    put(2, "theirs");
    let make =
        "for f in app.lock sub/app.lock; do sed -i '/^a [0-9]/d; /^b [0-9]/d; /^c [0-9]/d; 7a made anew' $f; done";
    room.user_config(&format!(
        "[merge]\nunion = [\"union/\"]\nimports = [\"use/\"]\nagent = \"none\"\n\
         [merge.generated.lock]\npaths = [\"*.lock\"]\ncommand = [\"sh\", \"-c\", \"{make}\"]\n"
    ));
    room
}

fn rows(answer: &Value) -> BTreeMap<String, Value> {
    let files = answer["files"].as_array().unwrap().iter();
    files.map(|file| (file["path"].as_str().unwrap().to_owned(), file.clone())).collect()
}

fn all() -> Vec<Case> {
    [white_space(), traps(), configured()].into_iter().flatten().collect()
}

#[test]
fn rules_solve_what_they_claim_and_leave_the_rest_alone() {
    let cases = all();
    let room = room(&cases);
    let answer = room.run("git-agent-merge", &["resolve", "topic", "--json"]).exits(1).json();
    let rows = rows(&answer);
    // Some of the traps are none for git itself.
    let conflicts: Vec<&Case> = cases.iter().filter(|case| rows.contains_key(&case.path)).collect();
    assert!(conflicts.len() >= 57, "{} of {}", conflicts.len(), cases.len());
    let place = PathBuf::from(answer["worktree"].as_str().unwrap());
    let read = |path: &str| fs::read_to_string(Path::new(&place).join(path)).unwrap();
    let (mut spaced, mut solved) = (0, 0);
    for case in conflicts {
        let row = &rows[&case.path];
        let by: Vec<&str> = row["by"].as_array().unwrap().iter().map(|by| by["who"].as_str().unwrap()).collect();
        match &case.solved {
            Some(("whitespace", result)) => {
                spaced += 1;
                solved += usize::from(by == ["whitespace"] && read(&case.path) == framed(&case.path, result));
            }
            Some(("generated", _)) => assert_eq!(by, ["generated"], "{}", case.path),
            Some((rule, result)) => {
                assert_eq!(by, [*rule], "{}", case.path);
                assert_eq!(read(&case.path), framed(&case.path, result), "{}", case.path);
            }
            None => {
                assert_eq!((by, row["resolved"].as_bool()), (vec![], Some(false)), "{}", case.path);
                assert!(read(&case.path).contains("<<<<<<< topic\n"), "{}", case.path);
            }
        }
        // What a rule drops is named, whatever it is.
        if row["resolved"] == true && case.solved.as_ref().is_some_and(|(rule, _)| *rule != "generated") {
            let merged = read(&case.path);
            for (side, own, other) in [("ours", 1, 2), ("theirs", 2, 1)] {
                let words = |line: &str| line.split_whitespace().collect::<String>();
                for line in case.sides[own].lines().filter(|line| !line.trim().is_empty()) {
                    let only_one_added = !case.sides[0].lines().any(|l| words(l) == words(line))
                        && !case.sides[other].lines().any(|l| words(l) == words(line));
                    let is_there = merged.lines().any(|merged| words(merged) == words(line));
                    let is_named = row["dropped"].to_string().contains(line.trim());
                    assert!(!only_one_added || is_there || is_named, "{side} of {}: {line}", case.path);
                }
            }
        }
    }
    assert!(solved * 10 >= spaced * 9 && spaced >= 25, "{solved} of {spaced} hunks of white space are solved");
}

#[test]
fn lockfiles_are_made_anew_once_the_rest_is_solved() {
    let cases = configured();
    let room = room(&cases);
    room.run("git-agent-merge", &["resolve", "topic", "--json"]).succeeds();
    for case in &cases {
        let shown = room.git(&["show", &format!("refs/agent-merge/topic:{}", case.path)]) + "\n";
        assert_eq!(shown, framed(&case.path, &case.solved.as_ref().unwrap().1), "{}", case.path);
    }
}

#[test]
fn conflicts_of_other_kinds_are_left_as_git_leaves_them() {
    let room = Sandbox::new();
    let many: String = (0..40).map(|n| format!("line {n}\n")).collect();
    for name in ["edited", "renamed", "mode"] {
        room.write(name, &format!("{name}\n{many}"));
    }
    fs::write(room.repo().join("binary"), [0, 1, 2, 3]).unwrap();
    room.write("folder", "a file\n");
    std::os::unix::fs::symlink("edited", room.repo().join("link")).unwrap();
    room.commit("base");
    let change = |side: &str| {
        room.write("added", &format!("{side}\n"));
        fs::write(room.repo().join("binary"), [0, 9, side.len() as u8]).unwrap();
        fs::remove_file(room.repo().join("link")).unwrap();
        std::os::unix::fs::symlink(side, room.repo().join("link")).unwrap();
        room.git(&["mv", "renamed", side]);
    };
    room.git(&["checkout", "-q", "-b", "topic"]);
    change("ours");
    fs::remove_file(room.repo().join("edited")).unwrap();
    room.commit("ours");
    room.git(&["checkout", "-q", "main"]);
    change("theirs-side");
    room.write("edited", &format!("changed\n{many}"));
    room.commit("theirs");
    room.user_config("[merge]\nagent = \"none\"\n");
    let answer = room.run("git-agent-merge", &["resolve", "topic", "--json"]).exits(1).json();
    let kinds: BTreeMap<String, String> =
        rows(&answer).into_iter().map(|(path, row)| (path, row["kind"].as_str().unwrap().to_owned())).collect();
    for (path, kind) in
        [("added", "add/add"), ("binary", "binary"), ("edited", "modify/delete"), ("renamed", "rename/rename")]
    {
        assert_eq!(kinds.get(path).map(String::as_str), Some(kind), "{kinds:?}");
    }
    let place = PathBuf::from(answer["worktree"].as_str().unwrap());
    let unmerged = room.git_in(&place, &["diff", "--name-only", "--diff-filter=U"]);
    for path in kinds.keys() {
        assert!(unmerged.lines().any(|line| line == path), "{path}: {unmerged}");
    }
    // A person settles all of it: one is deleted, one is taken whole.
    room.write_in(&place, "added", "both\n");
    room.git_in(&place, &["checkout", "--theirs", "binary", "edited", "link"]);
    let answer = room.run("git-agent-merge", &["resolve", "topic", "--continue", "--json"]).succeeds().json();
    let rows = rows(&answer);
    assert_eq!((&rows["binary"]["takes"], &rows["edited"]["takes"]), (&"theirs".into(), &"theirs".into()), "{answer}");
    assert_eq!(room.git(&["show", "refs/agent-merge/topic:added"]), "both");
}
