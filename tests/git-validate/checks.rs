//! What a check can say of itself: files, needs, stages, variables, reports.

use std::fs;

use serde_json::Value;

use crate::room::Room;

fn room(toml: &str) -> Room {
    let room = Room::new();
    room.trusted_config(toml);
    room.write("a.rs", "a\n");
    room.write("b.rs", "b\n");
    room.write("c.md", "c\n");
    room.commit("settings");
    room
}

fn status(answer: &Value, name: &str) -> String {
    Room::check(answer, name)["status"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn the_files_that_are_its_business_are_passed() {
    let room = room(
        "[[checks]]\nname = \"all\"\ncommand = [\"sh\", \"-c\", \"echo \\\"$@\\\"\", \"-\"]\npaths = [\"*.rs\"]\npass-files = \"all\"\n\
         [[checks]]\nname = \"changed\"\ncommand = [\"echo\"]\nexclude = [\"*.md\", \".codex-agent\"]\npass-files = \"changed\"\n\
         [[checks]]\nname = \"none\"\ncommand = [\"false\"]\npaths = [\"*.py\"]\npass-files = \"all\"\n",
    );
    let answer = room.validate(&["--json"]).succeeds().json();
    assert_eq!(Room::check(&answer, "all")["tail"], "a.rs b.rs\n");
    assert_eq!(Room::check(&answer, "changed")["tail"], "a.rs b.rs\n");
    assert_eq!(status(&answer, "none"), "skipped");
    room.write("b.rs", "other\n");
    room.write("-rf", "x\n");
    room.write("new line.rs", "x\n");
    room.commit("second");
    let answer = room.validate(&["--json"]).succeeds().json();
    assert_eq!(Room::check(&answer, "changed")["tail"], "./-rf b.rs new line.rs\n");
}

#[test]
fn many_files_are_passed_in_parts() {
    let room = room("[[checks]]\nname = \"count\"\nshell = 'echo $#'\npass-files = \"all\"\npaths = [\"d/\"]\n");
    let long = "x".repeat(180);
    for n in 0..6000 {
        room.write(&format!("d/{n:04}{long}"), "");
    }
    room.commit("many");
    let answer = room.validate(&["--json"]).succeeds().json();
    let tail = Room::check(&answer, "count")["tail"].as_str().unwrap().to_owned();
    let parts: Vec<u32> = tail.lines().map(|line| line.parse().unwrap()).collect();
    assert!(parts.len() > 1, "{parts:?}");
    assert_eq!(parts.iter().sum::<u32>(), 6000);
}

#[test]
fn what_needs_another_waits_for_it_and_is_not_run_without_it() {
    let room = room(
        "[[checks]]\nname = \"late\"\nshell = 'test -e made/it'\nneeds = [\"early\"]\n\
         [[checks]]\nname = \"early\"\nshell = 'sleep 0.2; mkdir made; touch made/it'\n\
         [[checks]]\nname = \"bad\"\ncommand = [\"false\"]\n\
         [[checks]]\nname = \"after bad\"\ncommand = [\"true\"]\nneeds = [\"bad\"]\n\
         [[checks]]\nname = \"after that\"\ncommand = [\"true\"]\nneeds = [\"after bad\"]\n",
    );
    let answer = room.validate(&["--json"]).exits(1).json();
    assert_eq!((status(&answer, "early"), status(&answer, "late")), ("pass".into(), "pass".into()));
    assert_eq!((status(&answer, "bad"), status(&answer, "after bad")), ("fail".into(), "skipped".into()));
    assert_eq!(status(&answer, "after that"), "skipped");
    assert!(Room::check(&answer, "after bad")["reason"].as_str().unwrap().contains("needs 'bad'"));
    let again = room.validate(&["show", "--json"]).exits(1).json();
    assert_eq!(status(&again, "after bad"), "none", "nothing is noted of it");
    // Whoever asks for one check gets what it needs as well.
    let answer = room.validate(&["--json", "--force", "--check", "late"]).succeeds().json();
    assert_eq!(answer["checks"].as_array().unwrap().len(), 2);
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    for (toml, words) in [
        ("command = [\"true\"]\nneeds = [\"nobody\"]", "checks.a.needs: there is no check 'nobody'"),
        ("command = [\"true\"]\nneeds = [\"a\"]", "checks.a.needs: in the end it needs itself"),
        ("command = [\"true\"]\nshell = \"true\"", "checks.a.shell: there is a command as well"),
        ("timeout = \"1s\"", "the check 'a' has no command"),
        ("command = [\"true\"]\nstage = [\"pre-merge\"]", "checks.a.stage: 'pre-merge'"),
        ("command = [\"true\"]\noutputs = [\"junit\"]", "checks.a.outputs: 'junit' is no report"),
        ("command = [\"true\"]\noutputs = [\"junit:../x\"]", "'../x' leads out of the tree"),
        ("command = [\"true\"]\nenv = [\"NAME\"]", "'NAME' is no NAME=value"),
        ("command = [\"true\"]\npaths = [\"a[z-y]\"]", "'checks.a.paths': 'a[z-y]' is no pattern"),
    ] {
        let room = Room::new();
        room.trusted_config(&format!("[[checks]]\nname = \"a\"\n{toml}\n"));
        room.commit("settings");
        let ran = room.validate(&[]);
        assert!(ran.code == 128 && ran.stderr.contains(words), "{toml}: {}", ran.stderr);
    }
}

#[test]
fn a_stage_asks_its_own_checks_and_those_of_none() {
    let room = room(
        "[[checks]]\nname = \"always\"\ncommand = [\"true\"]\n\
         [[checks]]\nname = \"slow\"\ncommand = [\"true\"]\nstage = [\"pre-push\", \"complete\"]\n",
    );
    let names = |arguments: &[&str]| -> Vec<String> {
        let answer = room.validate(&[&["-n", "--json"], arguments].concat()).succeeds().json();
        answer["checks"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&[]), ["always", "slow"]);
    assert_eq!(names(&["--stage", "pre-commit"]), ["always"]);
    assert_eq!(names(&["--stage", "complete"]), ["always", "slow"]);
}

#[test]
fn a_check_gets_its_variables_and_none_of_gits() {
    let room = room(
        "[[checks]]\nname = \"env\"\nshell = 'echo $FLAVOUR; env | grep -c ^GIT_INDEX_FILE; true'\nenv = [\"FLAVOUR=sour = good\"]\n",
    );
    let answer = room.validate(&["--json", "--staged"]).succeeds().json();
    assert_eq!(Room::check(&answer, "env")["tail"], "sour = good\n0\n");
}

#[test]
fn a_serial_check_is_alone() {
    let alone = "test $(ls \"$GIT_CEILING_DIRECTORIES\"/busy-* 2>/dev/null | wc -l) = 0";
    let busy = "touch \"$GIT_CEILING_DIRECTORIES/busy-$$\"; sleep 0.1; rm \"$GIT_CEILING_DIRECTORIES/busy-$$\"";
    let mut toml = "[validate]\njobs = 4\n".to_owned();
    for (name, script, more) in
        [("a", busy, ""), ("b", busy, ""), ("c", alone, "serial = true\n"), ("d", busy, ""), ("e", busy, "")]
    {
        toml.push_str(&format!("[[checks]]\nname = \"{name}\"\nshell = '{script}'\n{more}"));
    }
    room(&toml).validate(&[]).succeeds();
}

#[test]
fn after_a_failure_nothing_else_begins_if_asked() {
    let room = room(
        "[validate]\njobs = 1\n[[checks]]\nname = \"bad\"\ncommand = [\"false\"]\n[[checks]]\nname = \"good\"\ncommand = [\"true\"]\n",
    );
    let answer = room.validate(&["--json", "--fail-fast"]).exits(1).json();
    assert_eq!(status(&answer, "good"), "skipped");
    assert_eq!(status(&room.validate(&["show", "--json"]).exits(1).json(), "good"), "none");
}

#[test]
fn a_run_as_a_whole_has_its_time() {
    let room = room(
        "[validate]\njobs = 1\ntimeout = \"300ms\"\n[[checks]]\nname = \"slow\"\ncommand = [\"sleep\", \"60\"]\n[[checks]]\nname = \"next\"\ncommand = [\"true\"]\n",
    );
    let answer = room.validate(&["--json"]).exits(1).json();
    assert_eq!((status(&answer, "slow"), status(&answer, "next")), ("timed-out".into(), "timed-out".into()));
    assert!(Room::check(&answer, "slow")["reason"].as_str().unwrap().contains("as a whole"));
}

#[test]
fn the_output_of_all_checks_is_shown_whole_and_in_order() {
    let mut toml = "[validate]\njobs = 8\n".to_owned();
    for n in 0..8 {
        let pause = (n * 37) % 90;
        toml.push_str(&format!("[[checks]]\nname = \"c{n}\"\nshell = 'echo {n}a; sleep 0.0{pause}; echo {n}b'\n"));
    }
    let room = room(&toml);
    let mut first = String::new();
    for round in 0..5 {
        let ran = room.validate(&["--no-cache", "--verbose"]).succeeds();
        let text: String =
            ran.stderr.lines().filter(|line| !line.contains("HEAD")).map(|line| format!("{line}\n")).collect();
        if round == 0 {
            first.clone_from(&text);
            assert!(text.starts_with("--- c0 (pass)\n0a\n0b\n--- c1 (pass)\n1a\n1b\n"), "{text}");
        }
        assert_eq!(text, first);
    }
}

#[test]
fn events_are_told_while_it_runs() {
    let room =
        room("[[checks]]\nname = \"a\"\ncommand = [\"true\"]\n[[checks]]\nname = \"b\"\ncommand = [\"false\"]\n");
    let ran = room.validate(&["--jsonl"]).exits(1);
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines.iter().filter(|line| line["event"] == "started").count(), 2);
    assert_eq!(lines.iter().filter(|line| line["event"] == "ended").count(), 2);
    assert_eq!(lines[4]["verdict"], "fail");
    let ran = room.validate(&["--jsonl", "--fix", "--force"]).exits(1);
    let last: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last["verdict"], "fail");
    room.validate(&["--jsonl", "--sarif"]).exits(129);
}

#[test]
fn without_the_cache_nothing_is_read_and_nothing_written() {
    let room = Room::with(&[("a", "true")]);
    room.validate(&["--no-cache"]).succeeds();
    assert_eq!(room.verdict("HEAD"), "none");
    room.validate(&[]).succeeds();
    room.validate(&["--no-cache"]).succeeds();
    assert_eq!(room.runs(), 3);
}

#[test]
fn every_commit_of_a_range_is_judged() {
    let room = Room::with(&[("no-x", "! test -e x")]);
    let base = room.git(&["rev-parse", "HEAD"]);
    room.write("a", "a\n");
    room.commit("good");
    room.write("x", "x\n");
    room.commit("bad");
    fs::remove_file(room.repo().join("x")).unwrap();
    room.commit("good again");
    let range = format!("{base}..HEAD");
    let answer = room.validate(&["--json", &range]).exits(1).json();
    let verdicts: Vec<&str> =
        answer["commits"].as_array().unwrap().iter().map(|commit| commit["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["pass", "fail", "pass"]);
    assert_eq!(answer["verdict"], "fail");
    assert_eq!(room.runs(), 2, "the first and the last tree are the same");
    room.validate(&["show", "--json", &range]).exits(1);
    room.validate(&["HEAD..HEAD"]).exits(128).warns("there is no commit in");
    room.validate(&["HEAD..nowhere"]).exits(128).warns("names no range");
}

#[test]
fn the_log_has_what_was_noted_on_each_commit() {
    let room = Room::with(&[("a", "true"), ("b", "! test -e x")]);
    room.validate(&[]).succeeds();
    room.write("x", "x\n");
    room.commit("second");
    room.validate(&[]).exits(1);
    room.write("y", "y\n");
    room.commit("third");
    let answer = room.validate(&["log", "--json"]).succeeds().json();
    let commits = answer["commits"].as_array().unwrap();
    assert_eq!(commits[0]["subject"], "third");
    assert_eq!(commits[0]["checks"].as_array().unwrap().len(), 0);
    assert_eq!(commits[1]["checks"][1]["status"], "fail");
    let ran = room.validate(&["log", "-m", "2"]).succeeds();
    assert_eq!(ran.stdout.lines().count(), 2);
    assert!(ran.stdout.lines().nth(1).unwrap().contains("1 fail, 1 pass"), "{}", ran.stdout);
    room.validate(&["log", "nowhere"]).exits(128);
}
