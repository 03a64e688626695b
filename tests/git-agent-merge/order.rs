use suite_tests::Sandbox;

use crate::untouched::content;

/// Branches that change lines of one file of thirty: each its own and, where two share one, both.
fn room(changes: &[(&str, &[usize])]) -> Sandbox {
    let room = Sandbox::new();
    let text = |own: &[usize], name: &str| -> String {
        (0..30).map(|n| if own.contains(&n) { format!("{name} {n}\n") } else { format!("line {n}\n") }).collect()
    };
    room.write("file", &text(&[], ""));
    room.commit("file");
    for (name, lines) in changes {
        room.git(&["checkout", "-q", "-b", name, "main"]);
        room.write("file", &text(lines, name));
        room.commit(name);
    }
    room.git(&["checkout", "-q", "main"]);
    room
}

fn names(json: &serde_json::Value, merges: bool) -> Vec<String> {
    let places = json["order"].as_array().unwrap().iter().filter(|place| place["merges"] == merges);
    places.map(|place| place["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_largest_set_comes_first_and_each_place_is_explained() {
    let room = room(&[("a", &[0, 8, 16]), ("b", &[0]), ("c", &[8]), ("d", &[16]), ("e", &[24])]);
    let before = content(room.path());
    let json = room.run("git-agent-merge", &["order", "a", "b", "c", "d", "e", "--json"]).exits(1).json();
    assert_eq!(names(&json, true).len(), 4);
    assert_eq!(names(&json, false), ["a"]);
    assert_eq!(json["exact"], true);
    let last = &json["order"][4];
    assert_eq!(last["why"], "conflicts with b in file; conflicts with c in file; conflicts with d in file");
    assert!(content(room.path()) == before, "something changed");
    // Really: on top of each other, by git.
    for name in names(&json, true) {
        room.git(&["merge", "-q", "--no-edit", &name]);
    }
    assert_eq!(room.git(&["rev-parse", "HEAD^{tree}"]), json["tree"].as_str().unwrap());
    room.git(&["reset", "-q", "--hard", "HEAD^{/file}"]);
    let ran = room.run("git-agent-merge", &["order", "b", "c", "d", "e", "--onto", "main"]).succeeds();
    assert!(ran.stdout.ends_with("4 of 4 merge into main on top of each other in this order\n"), "{}", ran.stdout);
    room.run("git-agent-merge", &["order", "nonsense"]).exits(128).warns("names no commit").prints("");
}

#[test]
fn a_branch_that_conflicts_with_the_base_comes_last() {
    let room = room(&[("a", &[0]), ("b", &[8])]);
    room.write("file", "all is new\n");
    room.commit("the base moves");
    room.git(&["checkout", "-q", "-b", "c"]);
    room.write("c", "c\n");
    room.commit("c");
    room.git(&["checkout", "-q", "main"]);
    let json = room.run("git-agent-merge", &["order", "a", "b", "c", "--json"]).exits(1).json();
    assert_eq!((names(&json, true), names(&json, false)), (vec!["c".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(json["order"][1]["conflicts"][0]["with"], "base");
}

/// A branch that makes a folder of a file's name, one that moves the file there, and one that needs neither.
#[test]
fn what_is_said_to_merge_merges_in_that_order_by_git_too() {
    let scripts = [
        ("x", "mkdir new && git mv old/a new/a"),
        ("y", "echo y >old/b"),
        ("z", "mkdir new && echo z >new/b"),
        ("v", "sed -i s/c/C/ old/a"),
        ("w", "echo w >old/c && git rm -q old/a"),
        ("u", "echo u >new"),
    ];
    let room = Sandbox::new();
    room.write("old/a", "a\nb\nc\nd\ne\nf\n");
    room.commit("base");
    for (name, script) in scripts {
        room.git(&["checkout", "-q", "-b", name, "main"]);
        room.run("sh", &["-c", script]).succeeds();
        room.commit(name);
    }
    room.git(&["checkout", "-q", "--detach", "main"]);
    // Every choice of at least two.
    for choice in 3..1_u32 << scripts.len() {
        let chosen: Vec<&str> = (0..scripts.len()).filter(|n| choice >> n & 1 == 1).map(|n| scripts[n].0).collect();
        if chosen.len() < 2 {
            continue;
        }
        room.git(&["checkout", "-q", "--detach", "main"]);
        let arguments = [&["order", "--json", "--onto", "main"], &chosen[..]].concat();
        let json = room.run("git-agent-merge", &arguments).json();
        let (merged, rest) = (names(&json, true), names(&json, false));
        for name in &merged {
            room.git(&["merge", "-q", "--no-edit", name]);
        }
        assert_eq!(room.git(&["rev-parse", "HEAD^{tree}"]), json["tree"].as_str().unwrap(), "{chosen:?}");
        for name in rest {
            let code = room.run("git", &["merge-tree", "--write-tree", "HEAD", &name]).code;
            assert_eq!(code, 1, "{name} after {merged:?}: {json}");
        }
    }
}

/// Tasks with a worktree and a file of their own each.
fn tasks(names: &[&str]) -> Sandbox {
    let room = Sandbox::new();
    for name in names {
        room.run("git-task", &["add", name]).succeeds();
        let path = room.run("git-task", &["worktree", "add", name]).succeeds().text().to_owned();
        let path = std::path::Path::new(&path);
        room.write_in(path, &format!("{name}.txt"), "x\n");
        room.commit_in(path, name);
    }
    room
}

#[test]
fn what_a_task_depends_on_comes_before_it_and_priority_before_names() {
    let room = tasks(&["alpha", "beta", "zeta"]);
    room.run("git-task", &["edit", "alpha", "--depends-on", "zeta"]).succeeds();
    room.run("git-task", &["edit", "beta", "--priority", "9"]).succeeds();
    let json = room.run("git-agent-merge", &["order", "--all", "--json"]).succeeds().json();
    assert_eq!(names(&json, true), ["beta", "zeta", "alpha"]);
    assert_eq!(json["order"][2]["why"], "conflicts with none; after zeta, which it depends on");
    let json = room.run("git-agent-merge", &["order", "alpha", "beta", "--json"]).succeeds().json();
    assert_eq!(json["order"][1]["waits_for"][0], "zeta");
}

#[test]
fn a_task_that_depends_on_one_that_conflicts_stays_too() {
    let room = tasks(&["first", "second", "third"]);
    room.run("git-task", &["edit", "second", "--depends-on", "first"]).succeeds();
    room.write("first.txt", "by the base\n");
    room.commit("the base moves");
    let json = room.run("git-agent-merge", &["order", "--all", "--json"]).exits(1).json();
    assert_eq!((names(&json, true), names(&json, false).len()), (vec!["third".to_owned()], 2));
    assert_eq!(json["order"][2]["why"], "depends on first, which does not merge");
}
