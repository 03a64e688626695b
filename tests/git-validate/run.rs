use std::fs;

use suite_tests::Sandbox;

use crate::room::Room;

#[test]
fn the_same_tree_is_answered_from_its_note() {
    let room = Room::with(&[("unit", "test -f README"), ("lint", "true")]);
    room.validate(&[]).succeeds().says("pass  HEAD");
    assert_eq!(room.runs(), 2);
    room.validate(&[]).succeeds().says("from its note");
    let answer = room.validate(&["--json"]).succeeds().json();
    assert_eq!((answer["verdict"].as_str(), answer["cached"].as_bool()), (Some("pass"), Some(true)));
    assert_eq!(room.runs(), 2);
    room.git(&["commit", "-q", "--amend", "-m", "other words"]);
    room.validate(&[]).succeeds();
    room.validate(&["HEAD^{tree}"]).succeeds();
    assert_eq!(room.runs(), 2, "the tree is the same");
}

#[test]
fn another_tree_or_another_configuration_runs_again() {
    let room = Room::with(&[("unit", "true")]);
    room.validate(&[]).succeeds();
    room.write("README", "one\ntwo\nthreE\n");
    room.commit("one byte");
    room.validate(&[]).succeeds();
    assert_eq!(room.runs(), 2);
    let config = fs::read_to_string(room.repo().join(".codex-agent/config.toml")).unwrap();
    let mut runs = 2;
    for more in ["timeout = \"9m\"\n", "timeout = \"9m\"\npaths = [\"README\"]\n", "paths = [\"*\"]\n"] {
        room.trusted_config(&format!("{config}{more}"));
        room.validate(&[]).succeeds();
        runs += 1;
        assert_eq!(room.runs(), runs, "{more}");
    }
    room.configure(&[("unit", "true; true")], "");
    room.validate(&[]).succeeds();
    room.configure(&[("renamed", "true; true")], "");
    room.validate(&[]).succeeds();
    assert_eq!(room.runs(), runs + 2);
    room.trusted_config(&config);
    room.validate(&[]).succeeds();
    assert_eq!(room.runs(), runs + 2, "the old configuration is still known");
}

#[test]
fn a_failing_check_is_named_with_its_output() {
    let room = Room::with(&[("good", "echo fine"), ("bad", "echo out; echo err >&2; exit 3")]);
    let ran = room.validate(&[]).exits(1).says("fail  HEAD").says("      out\n      err\n").says("exit code 3");
    assert!(!ran.stdout.contains("fine"), "{}", ran.stdout);
    let answer = room.validate(&["--json"]).exits(1).json();
    assert_eq!(answer["verdict"], "fail");
    assert_eq!(answer["cached"], true, "a failure is an answer too");
    let bad = Room::check(&answer, "bad");
    assert_eq!((bad["status"].as_str(), bad["tail"].as_str()), (Some("fail"), Some("out\nerr\n")));
    assert_eq!(bad["reason"], "exit code 3");
    assert_eq!(room.runs(), 2);
}

#[test]
fn what_cannot_start_is_broken_and_tried_again() {
    let room = Room::new();
    room.trusted_config("[[checks]]\nname = \"gone\"\ncommand = [\"no-such-program-here\"]\n");
    room.commit("settings");
    let ran = room.validate(&["--json"]).exits(128);
    assert_eq!(ran.json()["verdict"], "broken");
    let gone = Room::check(&ran.json(), "gone");
    assert!(gone["reason"].as_str().unwrap().contains("cannot start 'no-such-program-here'"), "{gone}");
    assert_eq!(room.validate(&["--json"]).exits(128).json()["cached"], false);
    assert_eq!(room.verdict("HEAD"), "broken");
}

#[test]
fn a_check_that_takes_too_long_is_ended_and_tried_again() {
    let room = Room::new();
    room.trusted_config("[[checks]]\nname = \"slow\"\ncommand = [\"sleep\", \"60\"]\ntimeout = \"100ms\"\n");
    room.commit("settings");
    let ran = room.validate(&["--json"]).exits(1);
    assert_eq!(ran.json()["verdict"], "timed-out");
    assert_eq!(Room::check(&ran.json(), "slow")["reason"], "ended after 0.100 s");
    assert_eq!(room.validate(&["--json"]).exits(1).json()["cached"], false);
    assert_eq!(room.verdict("HEAD"), "timed-out");
}

#[test]
fn a_check_without_business_is_skipped() {
    let room = Room::new();
    room.write("docs/a.md", "text\n");
    room.trusted_config(
        "[[checks]]\nname = \"rust\"\ncommand = [\"false\"]\npaths = [\"*.rs\"]\n\
         [[checks]]\nname = \"docs\"\ncommand = [\"true\"]\npaths = [\"/docs/\"]\n\
         [[checks]]\nname = \"not-docs\"\ncommand = [\"false\"]\npaths = [\"docs/**\", \"!docs/**\"]\n",
    );
    room.commit("settings");
    let answer = room.validate(&["--json"]).succeeds().json();
    assert_eq!(Room::check(&answer, "rust")["status"], "skipped");
    assert_eq!(Room::check(&answer, "docs")["status"], "pass");
    assert_eq!(Room::check(&answer, "not-docs")["status"], "skipped");
    assert_eq!(room.validate(&["--json"]).succeeds().json()["cached"], true);
}

#[test]
fn without_checks_nothing_is_good() {
    let room = Sandbox::new();
    room.run("git-validate", &[]).exits(128).warns("no checks are configured").prints("");
    let ran = room.run("git-validate", &["--json"]).exits(128);
    assert!(ran.stderr.contains("\"kind\":\"no-checks\""), "{}", ran.stderr);
}

#[test]
fn one_check_can_be_chosen_and_all_can_be_forced() {
    let room = Room::with(&[("a", "true"), ("b", "true"), ("c", "false")]);
    room.validate(&["--check", "a", "--check", "b"]).succeeds();
    assert_eq!(room.runs(), 2);
    assert_eq!(room.verdict("HEAD"), "none", "c has not run");
    room.validate(&["--check", "nope"]).exits(129).warns("there is no check 'nope'; there are a, b, c");
    room.validate(&["--force", "--check", "a"]).succeeds();
    assert_eq!(room.runs(), 3);
    room.validate(&[]).exits(1);
    assert_eq!(room.runs(), 4);
}

#[test]
fn a_dry_run_says_what_would_run_and_runs_nothing() {
    let room = Room::with(&[("a", "true"), ("b", "true")]);
    room.validate(&["--check", "a"]).succeeds();
    let before = room.git(&["rev-parse", "refs/notes/validate"]);
    let answer = room.validate(&["-n", "--json"]).succeeds().json();
    assert_eq!(Room::check(&answer, "a")["status"], "pass");
    assert!(Room::check(&answer, "b")["status"].is_null());
    let answer = room.validate(&["-n", "--force", "--json"]).succeeds().json();
    assert!(Room::check(&answer, "a")["status"].is_null());
    assert_eq!(room.runs(), 1);
    assert_eq!(room.git(&["rev-parse", "refs/notes/validate"]), before);
}

#[test]
fn a_subcommand_is_found_behind_options_and_a_revision_of_its_name_behind_dashes() {
    let room = Room::with(&[("a", "true")]);
    room.git(&["branch", "show"]);
    assert_eq!(room.validate(&["--json", "show"]).exits(1).json()["verdict"], "none");
    assert_eq!(room.validate(&["-C", ".", "--json", "show"]).exits(1).json()["verdict"], "none");
    room.validate(&["--force", "show"]).exits(129);
    assert_eq!(room.runs(), 0);
    room.validate(&["--", "show"]).succeeds().says("pass  show");
    room.validate(&["nowhere"]).exits(128).warns("'nowhere' names no tree");
    room.validate(&["--", "-x"]).exits(128);
    room.validate(&["--worktree", "--staged"]).exits(129);
    room.validate(&["--worktree", "HEAD"]).exits(129);
}

#[test]
fn many_checks_are_answered_in_their_order() {
    let names: Vec<String> = (0..60).map(|n| format!("check {n}")).collect();
    let checks: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "echo x > build/$$ || true")).collect();
    let room = Room::with(&checks);
    let answer = room.validate(&["--json"]).succeeds().json();
    let answered: Vec<&str> =
        answer["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(answered, names);
    assert_eq!(room.runs(), 60);
}

#[test]
fn one_job_runs_one_check_at_a_time() {
    let room = Room::new();
    let alone = "mkdir \"$GIT_CEILING_DIRECTORIES/busy\" && sleep 0.02 && rmdir \"$GIT_CEILING_DIRECTORIES/busy\"";
    room.configure(&[("a", alone), ("b", alone), ("c", alone), ("d", alone)], "[validate]\njobs = 1\n");
    room.commit("settings");
    room.validate(&[]).succeeds();
}

#[test]
fn more_jobs_run_side_by_side() {
    let room = Room::new();
    // Each waits for the other: one after the other they would never end.
    let meet = |own: &str, other: &str| {
        format!(
            "cd ..; touch {own}; n=0; until [ -e {other} ]; do sleep 0.01; n=$((n+1)); [ $n -lt 1000 ] || exit 1; done"
        )
    };
    room.configure(&[("a", &meet("x", "y")), ("b", &meet("y", "x"))], "[validate]\njobs = 2\n");
    room.commit("settings");
    room.validate(&[]).succeeds();
}

#[test]
fn odd_names_are_names() {
    let names = ["two words", "🎉", "-x", "quote'\"", "tab\tand $(id)"];
    let checks: Vec<(&str, &str)> = names.iter().map(|name| (*name, "test \"$GIT_VALIDATE_CHECK\"")).collect();
    let room = Room::with(&checks);
    let answer = room.validate(&["--json"]).succeeds().json();
    for name in names {
        assert_eq!(Room::check(&answer, name)["status"], "pass");
    }
    room.validate(&["--force", "--check=-x"]).succeeds();
}

#[test]
fn what_a_check_prints_reaches_no_terminal_as_it_is() {
    let room = Room::with(&[("evil", "printf 'a\\000b\\033]0;title\\007\\033[2Jc\\377d\\n'; exit 1")]);
    let ran = room.validate(&[]).exits(1);
    assert!(!ran.stdout.contains(['\0', '\u{1b}', '\u{7}']), "{:?}", ran.stdout);
    let answer = room.validate(&["--json"]).exits(1).json();
    assert_eq!(Room::check(&answer, "evil")["tail"], "a\0b\u{1b}]0;title\u{7}\u{1b}[2Jc\u{fffd}d\n");
}

#[test]
fn much_output_blocks_nobody_and_keeps_both_ends() {
    let room = Room::with(&[("loud", "echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last; exit 1")]);
    let answer = room.validate(&["--json"]).exits(1).json();
    let tail = Room::check(&answer, "loud")["tail"].as_str().unwrap().to_owned();
    assert!(tail.starts_with("first\n") && tail.ends_with("\nlast\n") && tail.len() < 6000, "{}", tail.len());
    assert!(tail.contains("bytes left out"));
}

#[test]
fn a_check_that_reads_gets_nothing() {
    let room = Room::with(&[("reader", "test \"$(cat | wc -c)\" -eq 0")]);
    room.validate(&[]).succeeds();
}

#[test]
fn a_check_sees_nothing_of_the_git_that_called() {
    let room = Room::with(&[(
        "env",
        "env | grep -E '^GIT_(DIR|INDEX_FILE|WORK_TREE|PREFIX|EDITOR|CONFIG|AUTHOR_DATE)' && exit 1; test \"$GIT_VALIDATE_TREE\" = \"$(git rev-parse HEAD^{tree})\" && test \"$PWD\" = \"$(git rev-parse --show-toplevel)\"",
    )]);
    let mut command = room.command(suite_tests::program_folder().join("git-validate"));
    let git_dir = room.repo().join(".git");
    command.env("GIT_DIR", &git_dir).env("GIT_INDEX_FILE", git_dir.join("index")).env("GIT_PREFIX", "x/");
    command.env("GIT_EDITOR", "false").env("GIT_AUTHOR_DATE", "now").env("GIT_CONFIG_COUNT", "0");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_program_of_the_tree_is_taken_from_the_tree() {
    let room = Room::new();
    room.write("tools/check", "#!/bin/sh\nexit 0\n");
    room.git(&["add", "-A"]);
    room.git(&["update-index", "--chmod=+x", "tools/check"]);
    room.trusted_config("[[checks]]\nname = \"own\"\ncommand = [\"./tools/check\"]\n");
    room.git(&["add", "-A"]);
    room.git(&["update-index", "--chmod=+x", "tools/check"]);
    room.git(&["commit", "-qm", "settings"]);
    let sub = room.repo().join("tools");
    room.run_in(&sub, "git-validate", &[]).succeeds();
    // The worktree's own cannot change the verdict on HEAD.
    room.write("tools/check", "#!/bin/sh\nexit 1\n");
    room.validate(&["--force"]).succeeds();
}

#[test]
fn uncommitted_work_is_mentioned_when_head_is_judged() {
    let room = Room::with(&[("unit", "true")]);
    room.write("README", "changed\n");
    room.validate(&[]).succeeds().warns("the uncommitted work is not in it");
    let ran = room.validate(&["-q", "--force"]).succeeds();
    assert_eq!(ran.stderr, "");
}
