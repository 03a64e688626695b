//! Branches that are merged on top of each other, and those that break together.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use suite_tests::{Ran, Reach, Sandbox, can_kill, run_killed};

/// Branches `b01`, `b02`, … each add a file of their own.
fn room(count: usize) -> Sandbox {
    let room = Sandbox::new();
    checks(&room, "true");
    for at in 1..=count {
        branch(&room, &format!("b{at:02}"), &[(&format!("f{at:02}"), "x\n")]);
    }
    room
}

/// A branch of `main` that writes these files.
fn branch(room: &Sandbox, name: &str, files: &[(&str, &str)]) {
    room.git(&["checkout", "-q", "-b", name, "main"]);
    for (path, content) in files {
        room.write(path, content);
    }
    room.commit(name);
    room.git(&["checkout", "-q", "main"]);
}

/// One check, which notes each of its runs and then runs this script on the tree.
fn checks(room: &Sandbox, script: &str) {
    let runs = room.path().join("runs");
    // By another name than the one before, whose verdicts stay known.
    let name = format!("check-{}.sh", room.git(&["rev-list", "--count", "main"]));
    let path = room.script(&name, &format!("echo x >> '{}'\n{script}", runs.display()));
    room.trusted_config(&format!("[[checks]]\nname = \"test\"\ncommand = [\"sh\", \"{}\"]\n", path.display()));
    room.commit("checks");
}

/// Members whose files both exist do not get along.
fn breaks(one: &str, other: &str) -> String {
    format!("if test -e {one} && test -e {other}; then echo '{one} and {other} do not go together'; exit 1; fi")
}

fn runs(room: &Sandbox) -> usize {
    fs::read_to_string(room.path().join("runs")).unwrap_or_default().lines().count()
}

fn train(room: &Sandbox, more: &[&str]) -> Ran {
    room.run("git-agent-merge", &[&["train", "--json"], more].concat())
}

fn named(count: usize) -> Vec<String> {
    (1..=count).map(|at| format!("b{at:02}")).collect()
}

fn with<'a>(names: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    names.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

fn row<'a>(answer: &'a Value, name: &str) -> &'a Value {
    answer["members"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()
}

/// The members by what became of them.
fn states(answer: &Value) -> BTreeMap<&str, Vec<&str>> {
    let mut states: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in answer["members"].as_array().unwrap() {
        states.entry(row["state"].as_str().unwrap()).or_default().push(row["name"].as_str().unwrap());
    }
    states
}

fn validates(room: &Sandbox, commit: &str) -> Ran {
    room.run("git-validate", &["--stage", "complete", &format!("{commit}^{{tree}}")])
}

/// Every ref and every object, and the files of the worktree.
fn all(room: &Sandbox) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut stack = vec![room.repo()];
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn of_sixteen_the_one_that_breaks_another_is_named_in_as_few_runs_as_halving_needs() {
    for (one, other) in [(3, 11), (1, 2), (15, 16), (1, 16), (8, 9), (7, 8)] {
        let room = room(16);
        checks(&room, &breaks(&format!("f{one:02}"), &format!("f{other:02}")));
        let names = named(16);
        let before = room.git(&["for-each-ref", "refs/heads"]);
        let answer = train(&room, &with(&names, &["--validate"])).exits(1).json();
        let culprit = format!("b{other:02}");
        assert_eq!(states(&answer)["fails"], [culprit.as_str()], "{answer}");
        assert_eq!(states(&answer)["in"], names[..other - 1].iter().map(String::as_str).collect::<Vec<_>>());
        let validations = answer["validations"].as_u64().unwrap();
        assert!(validations <= 5 && runs(&room) as u64 == validations, "{validations} {}", runs(&room));
        let row = row(&answer, &culprit);
        assert_eq!((&row["verdict"], &row["checks"][0]["name"]), (&"fail".into(), &"test".into()));
        assert!(row["checks"][0]["tail"].as_str().unwrap().contains("do not go together"), "{row}");
        // The good prefix is there, passes without another run, and is what git would have made.
        let ready = answer["train"]["ref"].as_str().unwrap();
        assert_eq!((ready, &answer["validated"]), ("refs/agent-merge-train/main", &"pass".into()));
        assert_eq!(room.git(&["rev-parse", ready]), answer["train"]["commit"].as_str().unwrap());
        validates(&room, ready).succeeds();
        assert_eq!(runs(&room) as u64, validations);
        assert_eq!(room.git(&["for-each-ref", "refs/heads"]), before);
        room.git(&["merge", "-q", "--ff-only", ready]);
        assert_eq!(room.git(&["ls-files", "f*"]).lines().count(), other - 1);
        assert_eq!(room.git(&["log", "-1", "--format=%s"]), format!("Merge branch 'b{:02}'", other - 1));
    }
}

#[test]
fn with_whom_it_breaks_is_found_by_halving_too() {
    let room = room(16);
    checks(&room, &breaks("f05", "f14"));
    let answer = train(&room, &with(&named(16), &["--validate", "--explain"])).exits(1).json();
    let row = row(&answer, "b14");
    assert_eq!((&row["breaks_with"], &row["alone"]), (&"b05".into(), &"pass".into()), "{answer}");
    // Five for the culprit, one for it alone, four for the other.
    assert!(answer["validations"].as_u64().unwrap() <= 10, "{answer}");
    let said = room.run("git-agent-merge", &with(&["train".to_owned()], &["--validate", "--explain", "b14", "b05"]));
    let said = said.exits(1);
    assert!(said.stdout.contains("passes alone, but not together with 'b05'"), "{}", said.stdout);
}

#[test]
fn all_that_pass_are_in_after_one_run() {
    let room = room(16);
    let answer = train(&room, &with(&named(16), &["--validate"])).succeeds().json();
    assert_eq!((&answer["validations"], runs(&room)), (&1.into(), 1));
    assert_eq!(states(&answer)["in"].len(), 16);
    assert_eq!(answer["base"]["verdict"], Value::Null);
    assert_eq!(
        room.git(&["log", "--first-parent", "--format=%s", "main..refs/agent-merge-train/main"]).lines().count(),
        16
    );
}

#[test]
fn a_red_base_is_told_from_a_red_member() {
    let room = room(4);
    checks(&room, "exit 1");
    room.git(&["update-ref", "refs/agent-merge-train/main", "b01"]);
    let answer = train(&room, &with(&named(4), &["--validate"])).exits(1).json();
    assert_eq!((&answer["base"]["verdict"], &answer["train"]), (&"fail".into(), &Value::Null));
    assert_eq!(states(&answer)["behind"].len(), 4);
    assert_eq!(room.git(&["for-each-ref", "refs/agent-merge-train"]), "", "what would mislead is gone");
    let said = room.run("git-agent-merge", &["train", "b01", "--validate", "--land"]).exits(1);
    assert!(said.stdout.contains("main itself is red (fail)"), "{}", said.stdout);
    checks(&room, "! test -e f01");
    let answer = train(&room, &with(&named(4), &["--validate"])).exits(1).json();
    assert_eq!((&answer["base"]["verdict"], &answer["train"]), (&"pass".into(), &Value::Null));
    assert_eq!(states(&answer), BTreeMap::from([("fails", vec!["b01"]), ("behind", vec!["b02", "b03", "b04"])]));
    assert_eq!(row(&answer, "b01")["alone"], "fail");
    assert!(answer["validations"].as_u64().unwrap() <= 4, "{answer}");
}

#[test]
fn the_rest_goes_on_without_those_that_fail() {
    let room = room(16);
    checks(&room, &format!("{}\n! test -e f01 || exit 1\n{}", breaks("f03", "f11"), breaks("f12", "f16")));
    let answer = train(&room, &with(&named(16), &["--validate", "--keep-going", "--explain"])).exits(1).json();
    assert_eq!(states(&answer)["fails"], ["b01", "b11", "b16"], "{answer}");
    assert_eq!(states(&answer)["in"].len(), 13);
    assert_eq!(row(&answer, "b11")["breaks_with"], "b03");
    assert_eq!(row(&answer, "b16")["breaks_with"], "b12");
    assert_eq!(runs(&room) as u64, answer["validations"].as_u64().unwrap());
    validates(&room, "refs/agent-merge-train/main").succeeds();
    let again = train(&room, &with(&named(16), &["--validate", "--keep-going", "--explain"])).exits(1).json();
    assert_eq!(states(&again), states(&answer));
    assert_eq!(runs(&room) as u64, answer["validations"].as_u64().unwrap(), "the second time all is known");
}

#[test]
fn what_conflicts_is_left_out_and_named_with_whom() {
    let room = room(2);
    branch(&room, "edits", &[("README", "one\nEDIT\nthree\n")]);
    branch(&room, "other", &[("README", "one\nOTHER\nthree\n"), ("more", "m\n")]);
    branch(&room, "late", &[("f09", "x\n"), ("late", "x\n")]);
    room.write("f09", "main's\n");
    room.commit("main moves");
    room.git(&["branch", "merged", "main~1"]);
    room.git(&["checkout", "-q", "--orphan", "stranger"]);
    room.commit("nothing in common");
    room.git(&["checkout", "-q", "main"]);
    let answer = train(&room, &["b01", "b02", "edits", "other", "late", "merged", "--keep-order"]).exits(1).json();
    assert_eq!(states(&answer)["in"], ["b01", "b02", "edits"], "{answer}");
    assert_eq!(states(&answer)["contained"], ["merged"]);
    let other = row(&answer, "other");
    assert_eq!(other["conflicts"], serde_json::json!([{"path": "README", "kind": "content"}]));
    assert_eq!(other["conflicts_with"], serde_json::json!(["edits"]));
    assert_eq!(row(&answer, "late")["conflicts_with"], serde_json::json!(["main"]));
    assert_eq!((&answer["validated"], &answer["validations"]), (&"no".into(), &0.into()));
    let answer = train(&room, &["edits", "other", "--keep-order"]).exits(1).json();
    assert_eq!(row(&answer, "other")["state"], "conflict");
    let answer = train(&room, &["other", "edits", "--keep-order"]).exits(1).json();
    assert_eq!(row(&answer, "edits")["state"], "conflict");
    let answer = train(&room, &["stranger", "b01"]).exits(128).json();
    assert_eq!(states(&answer), BTreeMap::from([("in", vec!["b01"]), ("could-not-tell", vec!["stranger"])]));
    train(&room, &["merged"]).succeeds();
    assert_eq!(room.git(&["for-each-ref", "refs/agent-merge-train"]), "");
    train(&room, &["nonsense"]).exits(128).warns("names no commit");
    train(&room, &["b01", "--explain"]).exits(129);
}

#[test]
fn tasks_come_after_those_that_they_depend_on_and_not_without_them() {
    let room = Sandbox::new();
    for (task, file) in [("able", "a"), ("zero", "README"), ("rival", "README")] {
        room.run("git-task", &["add", task]).succeeds();
        let place = room.run("git-task", &["worktree", "add", task]).succeeds().text().to_owned();
        room.write_in(Path::new(&place), file, task);
        room.commit_in(Path::new(&place), task);
    }
    room.run("git-task", &["edit", "able", "--depends-on", "zero"]).succeeds();
    // The order with the most of them is found; another one may be asked for.
    let answer = train(&room, &["--all", "-n"]).exits(1).json();
    assert_eq!(states(&answer), BTreeMap::from([("in", vec!["zero", "able"]), ("conflict", vec!["rival"])]));
    let answer = train(&room, &["rival", "zero", "able", "--keep-order"]).exits(1).json();
    assert_eq!(
        states(&answer),
        BTreeMap::from([("in", vec!["rival"]), ("conflict", vec!["zero"]), ("waits", vec!["able"])]),
    );
    assert!(row(&answer, "able")["reason"].as_str().unwrap().contains("'zero'"));
    let ran = room.run("git-agent-merge", &["train", "able", "zero", "--land"]).succeeds();
    assert!(ran.stderr.contains("git task complete able"), "{}", ran.stderr);
    assert_eq!(
        room.git(&["log", "-2", "--first-parent", "--format=%s %b"]).trim(),
        "Merge task 'able' able\n\nMerge task 'zero' zero"
    );
    for task in ["zero", "able"] {
        room.run("git-task", &["complete", task]).succeeds();
    }
}

#[test]
fn landing_moves_the_base_and_its_checkout_by_what_passed() {
    let room = room(4);
    checks(&room, &breaks("f02", "f03"));
    room.write("mine", "untracked\n");
    room.write("README", "one\ntwo\nthree\nedited\n");
    let before = room.git(&["rev-parse", "main"]);
    let answer = train(&room, &with(&named(4), &["--validate", "--land", "--keep-going"])).exits(1).json();
    assert_eq!((&answer["landed"], &answer["checkout"]["followed"]), (&true.into(), &true.into()), "{answer}");
    assert_eq!(room.git(&["rev-parse", "main"]), answer["train"]["commit"].as_str().unwrap());
    assert_eq!(room.git(&["rev-parse", "main~3"]), before);
    assert_eq!(room.git(&["status", "--porcelain"]), " M README\n?? mine");
    assert!(room.repo().join("f04").exists() && !room.repo().join("f03").exists());
    assert_eq!(room.git(&["for-each-ref", "refs/agent-merge-train"]), "", "nothing is left to be forwarded to");
    assert!(room.git(&["reflog", "-1", "main"]).contains("agent-merge: train of 3"));
    let said = room.run("git-agent-merge", &["train", "b01", "--land"]).succeeds();
    assert!(said.stdout.contains("contained"), "{}", said.stdout);
}

#[test]
fn without_a_verdict_only_what_was_not_to_be_validated_lands() {
    let room = Sandbox::new();
    branch(&room, "topic", &[("new", "x\n")]);
    let old = room.git(&["rev-parse", "main"]);
    let said = room.run("git-agent-merge", &["train", "topic", "--validate", "--land"]).exits(1);
    assert!(said.stdout.contains("no checks are configured"), "{} {}", said.stdout, said.stderr);
    assert_eq!(train(&room, &["topic", "--validate", "--land"]).exits(1).json()["validated"], "no-checks");
    assert_eq!(room.git(&["rev-parse", "main"]), old);
    assert_eq!(room.git(&["for-each-ref", "refs/agent-merge-train"]), "");
    room.run("git-agent-merge", &["train", "topic", "--land"]).succeeds().says("not validated");
    assert_eq!(room.git(&["rev-parse", "main^1"]), old);
    train(&room, &["topic", "--onto", &old, "--land"]).exits(128).warns("no branch that could move");
    train(&room, &["topic", "--onto", &old]).succeeds().says(&format!("refs/agent-merge-train-at/{old}"));
}

#[test]
fn a_base_that_moves_meanwhile_is_not_touched_and_nothing_is_lost() {
    let room = room(2);
    let git = format!("git -C '{}'", room.repo().display());
    checks(
        &room,
        &format!(
            "unset $(git rev-parse --local-env-vars)\nnew=$({git} commit-tree -p main -m meanwhile main^{{tree}}) && \
             {git} update-ref refs/heads/main $new"
        ),
    );
    let ran = train(&room, &["b01", "b02", "--validate", "--land"])
        .exits(128)
        .warns("has moved")
        .warns("refs/agent-merge-train/main");
    assert_eq!(ran.stdout, "");
    assert_eq!(room.git(&["log", "-1", "--format=%s", "main"]), "meanwhile");
    assert_eq!(room.git(&["status", "--porcelain"]), "");
    let ready = room.git(&["ls-tree", "--name-only", "refs/agent-merge-train/main"]);
    assert!(ready.contains("f01") && ready.contains("f02"));
    checks(&room, "true");
    train(&room, &["b01", "b02", "--validate", "--land"]).succeeds();
    assert!(room.git(&["log", "--format=%s", "main"]).contains("meanwhile"));
}

#[test]
fn a_dry_run_changes_nothing() {
    let room = room(4);
    branch(&room, "edits", &[("f01", "another\n")]);
    let before = all(&room);
    let names = [named(4), vec!["edits".to_owned()]].concat();
    let answer = train(&room, &with(&names, &["-n", "--validate", "--land"])).exits(1).json();
    assert!(all(&room) == before);
    assert_eq!((&answer["train"]["commit"], &answer["validations"], runs(&room)), (&Value::Null, &0.into(), 0));
    let real = train(&room, &with(&names, &[])).exits(1).json();
    assert_eq!((states(&real), &real["train"]["tree"]), (states(&answer), &answer["train"]["tree"]));
}

#[test]
fn killed_anywhere_it_leaves_nothing_that_hinders_the_next() {
    let room = room(3);
    if !can_kill(&room, "killing a train") {
        return;
    }
    let program = suite_tests::program_folder().join("git-agent-merge");
    let program = program.to_str().unwrap();
    let words = [program, "train", "--validate", "b01", "b02", "b03"];
    let main = room.git(&["rev-parse", "main"]);
    let mut killed = 0;
    for call in ["openat", "write", "clone,clone3,vfork", "mkdir,mkdirat"] {
        for n in [1, 3, 8, 20, 40] {
            let ran = run_killed(&room, Path::new(&room.repo()), Reach::Alone, call, n, &words);
            killed += usize::from(ran.code == 137);
            assert_eq!(room.git(&["rev-parse", "main"]), main);
            room.git(&["fsck", "--connectivity-only"]);
        }
    }
    assert!(killed > 5, "only {killed} were killed");
    train(&room, &["b01", "b02", "b03", "--validate", "--land"]).succeeds();
    assert_eq!(room.git(&["status", "--porcelain"]), "");
}
