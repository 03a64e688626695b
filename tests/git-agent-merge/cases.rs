//! Made-up cases, each against git itself: its verdict, its conflicted paths, its tree.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use serde_json::Value;
use suite_tests::{Ran, Sandbox};

/// What git says of merging `two` into `one` with the attributes of `one`.
fn gits_word(room: &Sandbox, one: &str, two: &str) -> (i32, Option<String>, BTreeSet<Vec<u8>>) {
    let mut command = room.command("git");
    command.args(["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", one, two]);
    let output = command.env("GIT_ATTR_SOURCE", one).output().unwrap();
    let mut parts = output.stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    let tree = parts.next().map(|tree| String::from_utf8(tree).unwrap()).filter(|tree| !tree.is_empty());
    let code = if tree.is_none() { 128 } else { output.status.code().unwrap() };
    let plain = |path: Vec<u8>| {
        let at = [one, two].iter().find_map(|label| {
            let tail = format!("~{label}");
            path.windows(tail.len()).rposition(|part| part == tail.as_bytes())
        });
        path[..at.unwrap_or(path.len())].to_vec()
    };
    (code, tree.filter(|_| code == 0), parts.filter(|path| !path.is_empty()).map(plain).collect())
}

/// The same of git-agent-merge.
fn word(ran: &Ran) -> (i32, Option<String>, BTreeSet<Vec<u8>>) {
    let Ok(json) = serde_json::from_str::<Value>(&ran.stdout) else { return (ran.code, None, BTreeSet::new()) };
    let row = &json["branches"][0];
    let path = |conflict: &Value| match conflict["path_bytes"].as_str() {
        Some(hex) => hex
            .as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect(),
        None => conflict["path"].as_str().unwrap().as_bytes().to_vec(),
    };
    let conflicts = row["conflicts"].as_array().unwrap().iter().map(path).collect();
    (ran.code, row["tree"].as_str().map(str::to_owned), conflicts)
}

/// Merges `two` into `one`, and the other way round, as git does; returns the kinds that are named.
#[track_caller]
fn as_git(room: &Sandbox, one: &str, two: &str) -> Vec<String> {
    let mut kinds = Vec::new();
    for (one, two) in [(two, one), (one, two)] {
        for more in [&["--no-cache"][..], &[], &[]] {
            let ran = room.run("git-agent-merge", &[&["check", "--json", "--onto", one, two], more].concat());
            assert_eq!(word(&ran), gits_word(room, one, two), "{two} into {one}: {}{}", ran.stdout, ran.stderr);
            let json: Value = serde_json::from_str(&ran.stdout).unwrap();
            let conflicts = json["branches"][0]["conflicts"].as_array().unwrap();
            kinds = conflicts.iter().map(|conflict| conflict["kind"].as_str().unwrap().to_owned()).collect();
        }
    }
    kinds.sort();
    kinds.dedup();
    kinds
}

/// The text of a file that is long enough to be known again once it is moved.
const TEXT: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";

/// A base with files of all kinds, and a branch for each script.
fn branches(scripts: &[(&str, &str)]) -> Sandbox {
    let room = Sandbox::new();
    for name in ["f", "dir/a", "dir/b", "dir/c", "run.sh"] {
        room.write(name, &format!("{name}\n{TEXT}"));
    }
    room.run("sh", &["-c", "ln -s f link; printf '\\0\\1\\2' >bin"]).succeeds();
    room.commit("base");
    for (name, script) in scripts {
        room.git(&["checkout", "-q", "-f", "-b", name, "main"]);
        room.run("sh", &["-ec", script]).succeeds();
        room.git(&["add", "-A", "--", ".", ":!sub"]);
        room.git(&["commit", "-q", "--allow-empty", "-m", name]);
    }
    room.git(&["checkout", "-q", "-f", "main"]);
    room
}

#[test]
fn each_kind_of_conflict_is_gits_own() {
    let id = |n: u8| format!("git update-index --add --cacheinfo 160000,{},sub", format!("{n:02x}").repeat(20));
    let (sub1, sub2) = (id(1), id(2));
    let cases: &[(&str, &str, &str)] = &[
        ("content", "sed -i s/5/five/ f", "sed -i s/5/FIVE/ f"),
        ("", "sed -i s/1/one/ f", "sed -i s/9/nine/ f"),
        ("", "sed -i s/5/five/ f", "sed -i s/5/five/ f"),
        ("add/add", "echo 1 >new", "echo 2 >new"),
        ("modify/delete", "sed -i s/5/five/ f", "git rm -q f"),
        ("", "git rm -q f", "git rm -q f"),
        ("rename/delete", "git mv f g", "git rm -q f"),
        ("content", "git mv f g; sed -i s/5/five/ g", "sed -i s/5/FIVE/ f"),
        ("", "git mv f g", "sed -i s/5/FIVE/ f"),
        ("rename/rename", "git mv f g", "git mv f h"),
        ("any", "git mv f same", "git mv dir/a same"),
        ("any", "git mv f g", "echo other >g"),
        ("any", "git mv dir moved", "echo new >dir/new"),
        ("any", "mkdir x y; git mv dir/a x/a; git mv dir/b y/b; git mv dir/c y/c", "echo new >dir/new"),
        ("any", "mkdir x y; git mv dir/a x/a; git mv dir/b y/b; git rm -q dir/c", "echo new >dir/new"),
        ("any", "git rm -q f; mkdir f; echo 1 >f/below", "sed -i s/5/five/ f"),
        ("directory/file", "echo 1 >n", "mkdir n; echo 1 >n/below"),
        ("", "chmod +x run.sh", "sed -i s/5/five/ run.sh"),
        ("any", "chmod +x run.sh; echo 1 >>run.sh", "chmod +x f; sed -i s/9/ni/ run.sh"),
        ("any", "echo 1 >new", "echo 1 >new; chmod +x new"),
        ("any", "ln -sf dir link", "ln -sf run.sh link"),
        ("any", "rm f; ln -s dir f", "sed -i s/5/five/ f"),
        ("any", "ln -s f both", "echo 1 >both"),
        ("binary", "printf '\\0\\1\\3' >bin", "printf '\\0\\1\\4' >bin"),
        ("submodule", &sub1, &sub2),
        ("any", &sub1, "echo 1 >sub; git add sub"),
        ("", &sub1, "echo 1 >other"),
        ("any", "echo '* merge=union' >.gitattributes; sed -i s/5/five/ f", "sed -i s/5/FIVE/ f"),
        ("any", "echo 'f -merge' >.gitattributes; sed -i s/1/one/ f", "sed -i s/9/nine/ f"),
        ("any", "echo '* -text merge=binary' >dir/.gitattributes; echo 1 >>dir/a", "sed -i s/1/one/ dir/a"),
    ];
    let names: Vec<(String, String)> = (0..cases.len()).map(|n| (format!("x{n}"), format!("y{n}"))).collect();
    let scripts: Vec<(&str, &str)> =
        cases.iter().zip(&names).flat_map(|((_, x, y), (one, two))| [(one.as_str(), *x), (two.as_str(), *y)]).collect();
    let room = branches(&scripts);
    for ((kind, ..), (one, two)) in cases.iter().zip(&names) {
        let kinds = as_git(&room, one, two);
        match *kind {
            "any" => {}
            "" => assert!(kinds.is_empty(), "{one}: {kinds:?}"),
            kind => assert!(kinds.iter().any(|named| named == kind), "{one}: {kinds:?}, not {kind}"),
        }
    }
    // All against all, by pairs: nobody is called clean who conflicts, as one question or as many.
    let all: Vec<&str> = names.iter().flat_map(|(one, two)| [one.as_str(), two.as_str()]).collect();
    let json = room.run("git-agent-merge", &[&["check", "--json", "--onto", "main"], &all[..]].concat()).json();
    for pair in json["pairs"].as_array().unwrap() {
        let (a, b) = (pair["a"].as_str().unwrap(), pair["b"].as_str().unwrap());
        let mut command = room.command("git");
        command.args(["merge-tree", "--write-tree", a, b]).env("GIT_ATTR_SOURCE", "main");
        let code = command.output().unwrap().status.code().unwrap();
        assert_eq!(pair["verdict"] == "conflict", code == 1, "{pair}");
    }
}

#[test]
fn settings_that_hide_submodules_hide_no_conflict() {
    let id = |n: u8| format!("git update-index --add --cacheinfo 160000,{},sub", format!("{n:02x}").repeat(20));
    let room = branches(&[("one", &id(1)), ("two", &id(2))]);
    for (key, value) in
        [("diff.ignoreSubmodules", "all"), ("submodule.sub.ignore", "all"), ("submodule.sub.path", "sub")]
    {
        room.git(&["config", key, value]);
    }
    let json = room.run("git-agent-merge", &["check", "one", "two", "--json"]).exits(1).json();
    assert_eq!(json["pairs"][0]["conflicts"][0]["kind"], "submodule");
    // As many as are asked of git in one go.
    for n in 0..9 {
        room.git(&["branch", &format!("o{n}"), ["one", "two"][n % 2]]);
    }
    let json = room.run("git-agent-merge", &["check", "o[0-9]", "--no-cache", "--json"]).exits(1).json();
    let pairs = json["pairs"].as_array().unwrap();
    assert_eq!(pairs.iter().filter(|pair| pair["verdict"] == "conflict").count(), 20);
}

#[test]
fn strange_names_are_gits_own() {
    let room = Sandbox::new();
    let names: [&[u8]; 6] = [b"tab\there", b"new\nline", b"\"quoted\"", b"latin\xe9", b"-dash", b"\xff/\xfe"];
    let put = |content: &str| {
        for name in names {
            let path = room.repo().join(OsStr::from_bytes(name));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    };
    put("base\n");
    room.commit("base");
    for name in ["one", "two"] {
        room.git(&["checkout", "-q", "-b", name, "main"]);
        put(&format!("{name}\n"));
        room.commit(name);
    }
    room.git(&["checkout", "-q", "main"]);
    assert_eq!(as_git(&room, "one", "two"), ["content"]);
    // The name of a branch may look like a lot.
    for name in ["--help", "-x", "--onto", "-"] {
        room.git(&["update-ref", &format!("refs/heads/{name}"), "one"]);
        let json = room.run("git-agent-merge", &["check", "--json", "--", name]).succeeds().json();
        assert_eq!(json["branches"][0]["ref"], format!("refs/heads/{name}"));
        room.run("git-agent-merge", &["check", "--json", &format!("--onto={name}"), "two"]).exits(1);
    }
    room.run("git-agent-merge", &["check", "--help"]).succeeds().says("Usage:");
}

#[test]
fn crossed_and_shallow_and_foreign_histories_are_gits_own() {
    let room = branches(&[("one", "sed -i s/1/one/ f"), ("two", "sed -i s/9/nine/ f")]);
    let (one, two) = (room.git(&["rev-parse", "one"]), room.git(&["rev-parse", "two"]));
    for (name, other) in [("one", &two), ("two", &one)] {
        room.git(&["checkout", "-q", name]);
        room.git(&["merge", "-q", "--no-edit", other]);
        room.run("sed", &["-i", &format!("s/5/{name}/"), "f"]);
        room.commit(name);
    }
    assert_eq!(room.git(&["merge-base", "--all", "one", "two"]).lines().count(), 2);
    assert_eq!(as_git(&room, "one", "two"), ["content"]);
    room.git(&["checkout", "-q", "--orphan", "stranger"]);
    room.commit("no common history");
    let json = room.run("git-agent-merge", &["check", "--json", "stranger", "--onto", "one"]).exits(128).json();
    assert_eq!(json["branches"][0]["verdict"], "could-not-tell");
    let shallow = room.path().join("shallow");
    let url = format!("file://{}", room.repo().display());
    room.git(&["clone", "-q", "--depth=1", "--no-single-branch", &url, shallow.to_str().unwrap()]);
    let ran = room.run_in(&shallow, "git-agent-merge", &["check", "--json", "origin/two", "--onto", "origin/one"]);
    let said = ran.exits(128).json();
    assert!(said["branches"][0]["reason"].as_str().unwrap().contains("unrelated histories"), "{said}");
}

#[test]
fn a_partial_clone_is_filled_for_the_moment_or_could_not_be_told() {
    let room =
        branches(&[("one", "sed -i s/5/one/ f"), ("two", "sed -i s/5/two/ f"), ("three", "sed -i s/9/x/ dir/a")]);
    room.git(&["config", "uploadpack.allowFilter", "true"]);
    room.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let partial = room.path().join("partial");
    let url = format!("file://{}", room.repo().display());
    room.git(&["clone", "-q", "--filter=blob:none", "--no-checkout", &url, partial.to_str().unwrap()]);
    let check = |names: &[&str]| {
        let names = [&["check", "--json", "--onto", "origin/main", "--no-cache"], names].concat();
        room.run_in(&partial, "git-agent-merge", &names)
    };
    let count = || room.git_in(&partial, &["count-objects", "-v"]);
    let before = count();
    assert_eq!(check(&["origin/one", "origin/two"]).exits(1).json()["pairs"][0]["verdict"], "conflict");
    assert_eq!(count(), before);
    fs::rename(room.repo(), room.path().join("gone")).unwrap();
    fs::create_dir(room.repo()).unwrap();
    let json = check(&["origin/one", "origin/three", "origin/two"]).exits(128).json();
    let verdicts: Vec<&str> =
        json["pairs"].as_array().unwrap().iter().map(|p| p["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["clean", "could-not-tell", "clean"]);
}

#[test]
fn one_line_that_git_dies_of_costs_that_pair_only() {
    let room = Sandbox::new();
    for n in 0..12 {
        room.write(&format!("f{n}"), TEXT);
    }
    room.commit("base");
    for n in 0..50 {
        room.git(&["checkout", "-q", "-b", &format!("b{n:02}"), "main"]);
        room.write(&format!("f{}", n % 12), &TEXT.replace('5', &format!("by {n}")));
        room.commit("work");
    }
    room.git(&["checkout", "-q", "--orphan", "b25x"]);
    room.commit("a stranger in the middle");
    room.git(&["checkout", "-q", "-f", "main"]);
    room.write("later", "the base moved\n");
    room.commit("later");
    let blob = room.git(&["rev-parse", "b07:f7"]);
    fs::remove_file(room.repo().join(".git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    let json = room.run("git-agent-merge", &["check", "b*", "--json"]).exits(128).json();
    let unknown = |rows: &str| -> Vec<String> {
        let rows = json[rows].as_array().unwrap().iter().filter(|row| row["verdict"] == "could-not-tell");
        rows.map(|row| row["name"].as_str().map_or_else(|| format!("{}{}", row["a"], row["b"]), str::to_owned))
            .collect()
    };
    assert_eq!(unknown("branches"), ["b25x"]);
    // With the three others that change the same file.
    let pairs = unknown("pairs");
    assert!(pairs.len() == 3 && pairs.iter().all(|pair| pair.contains("b07")), "{pairs:?}");
    let conflicts = json["pairs"].as_array().unwrap().iter().filter(|row| row["verdict"] == "conflict").count();
    // 50 over 12 files: two files of five, ten of four branches, but for those of the broken one.
    assert_eq!(conflicts, 2 * 10 + 10 * 6 - pairs.len());
}
