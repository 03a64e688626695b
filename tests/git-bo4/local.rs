//! The whole loop on this machine: six agents, of which four must never win.

use std::fs;

use suite_tests::Sandbox;

use crate::room::{bo4, lanes, ranking, room, whole};

const CANNOT_WIN: [&str; 4] = ["breaks", "nothing", "hangs", "deletes"];

/// Expects that the good one is first, the larger one second, and that the others have no place.
#[track_caller]
fn good_wins(report: &serde_json::Value) {
    let places = ranking(report);
    assert_eq!(places[..2], [("good".to_owned(), Some(1)), ("large".to_owned(), Some(2))], "{report:#}");
    let mut rest: Vec<&str> = places[2..].iter().map(|(agent, _)| agent.as_str()).collect();
    assert!(places[2..].iter().all(|(_, place)| place.is_none()), "{places:?}");
    rest.sort_unstable();
    let mut wanted = CANNOT_WIN;
    wanted.sort_unstable();
    assert_eq!(rest, wanted);
}

#[test]
fn the_good_one_wins_whatever_the_order_of_the_lanes() {
    for names in [
        ["good", "large", "breaks", "nothing", "hangs", "deletes"],
        ["deletes", "hangs", "nothing", "breaks", "large", "good"],
        ["large", "deletes", "good", "hangs", "breaks", "nothing"],
    ] {
        let room = room();
        let before = room.git(&["status", "--porcelain"]);
        let report = whole(&room, &names, &[]);
        good_wins(&report);
        for (agent, word) in [
            ("good", "smallest"),
            ("large", "larger"),
            ("breaks", "check 'test' fails"),
            ("nothing", "changes nothing"),
            ("hangs", "did not end in time"),
            ("deletes", "deletes the tests of 'tests/some.sh'"),
        ] {
            let number = crate::room::number(&report, agent);
            let places = report["ranking"].as_array().unwrap();
            let place = places.iter().find(|place| place["variant"] == number).unwrap();
            assert!(place["reason"].as_str().unwrap().contains(word), "{agent}: {place}");
        }
        assert_eq!(room.git(&["status", "--porcelain"]), before);
        assert_eq!(room.git(&["for-each-ref", "refs/heads/bo4", "--format=x"]).lines().count(), 5);
    }
}

#[test]
fn no_metric_and_no_judge_lifts_one_that_cannot_win() {
    let room = room();
    // The metric likes the breaker best, then the deleter; it fails where there is nothing new.
    let metric = "if grep -q 'echo 1;' src/add.sh; then echo 1000; elif [ ! -e tests/some.sh ]; then echo 900; \
                  elif grep -q ' + ' src/add.sh; then wc -l < src/add.sh; else exit 3; fi";
    judge(&room, "B");
    let names = ["breaks", "deletes", "large", "good", "nothing", "hangs"];
    let report = whole(&room, &names, &["--metric", metric, "--metric-goal", "lower", "--judge=always"]);
    good_wins(&report);
    let report = whole(&room, &names, &["--fresh", "--metric", metric, "--metric-goal", "higher", "--judge=always"]);
    // More lines are better now, and that is allowed to count among those that can win.
    assert_eq!(ranking(&report)[0].0, "large");
    assert!(ranking(&report)[2..].iter().all(|(_, place)| place.is_none()));
    for duel in report["duels"].as_array().unwrap() {
        assert!(duel["winner"].is_null(), "who always says B has said nothing: {duel}");
        assert_eq!(duel["answers"], serde_json::json!(["B", "B"]));
    }
    assert_eq!(report["duels"].as_array().unwrap().len(), 1);
    // Asked again without a word, it is the same review and no judge has to work.
    let asked = fs::metadata(room.home().join("judged")).unwrap().modified().unwrap();
    let again = bo4(&room, &["review", "--json"]).succeeds().json();
    assert_eq!((&again["ranking"], &again["metric"]), (&report["ranking"], &report["metric"]));
    assert_eq!(fs::metadata(room.home().join("judged")).unwrap().modified().unwrap(), asked);
}

/// Configures an agent `always` that gives this answer whatever it is asked.
fn judge(room: &Sandbox, answer: &str) {
    let script = room.script(
        "judge",
        &format!(
            "cat > \"$HOME/judged\"; echo '{{\"event\":\"started\",\"session\":\"s\"}}'\n\
             echo '{{\"event\":\"message\",\"text\":\"{{\\\"winner\\\":\\\"{answer}\\\",\\\"why\\\":\\\"because\\\"}}\"}}'\n\
             echo '{{\"event\":\"ended\",\"good\":true}}'"
        ),
    );
    room.user_config(&format!(
        "[[checks]]\nname = \"test\"\ncommand = [\"sh\", \"tests/run.sh\"]\n\
         [agents.always]\ncommand = [\"{0}\"]\nprompt = \"stdin\"\nformat = \"events\"\n",
        script.display()
    ));
}

#[test]
fn a_judge_that_means_it_decides_between_equals_and_is_told_no_names() {
    let room = room();
    room.script("agents/other", "sed -i 's/ - / + /; s/add() {/add() { :;/' src/add.sh");
    // It looks for the attempt with ':;' and says its letter.
    let script = room.script(
        "judge",
        "cat > \"$HOME/judged\"; answer=A; sed -n '/# Attempt B/,$p' \"$HOME/judged\" | grep -q '^+add() { :;' && answer=B\n\
         echo '{\"event\":\"started\",\"session\":\"s\"}'\n\
         echo \"{\\\"event\\\":\\\"message\\\",\\\"text\\\":\\\"{\\\\\\\"winner\\\\\\\":\\\\\\\"$answer\\\\\\\",\\\\\\\"why\\\\\\\":\\\\\\\"it is odd\\\\\\\"}\\\"}\"\n\
         echo '{\"event\":\"ended\",\"good\":true}'",
    );
    room.user_config(&format!(
        "[[checks]]\nname = \"test\"\ncommand = [\"sh\", \"tests/run.sh\"]\n\
         [agents.fair]\ncommand = [\"{0}\"]\nprompt = \"stdin\"\nformat = \"events\"\n",
        script.display()
    ));
    let report = whole(&room, &["good", "other"], &["--judge=fair"]);
    assert_eq!(ranking(&report)[0], ("other".to_owned(), Some(1)), "{report:#}");
    let asked = fs::read_to_string(room.home().join("judged")).unwrap();
    assert!(asked.contains("Mend add") && asked.contains("test: pass"), "{asked}");
    assert!(!asked.contains("agents/") && !asked.contains("other") && !asked.contains("good"), "{asked}");
}

#[test]
fn a_run_is_begun_in_words_that_are_checked_first() {
    let room = room();
    let good = lanes(&room, &["good"]);
    let good: Vec<&str> = good.iter().map(String::as_str).collect();
    for (words, says) in [
        (&["new"][..], "nothing is asked"),
        (&["new", "--prompt", " "], "is empty"),
        (&["new", "--prompt", "x", "--best-of", "0"], "can be asked for"),
        (&["new", "--prompt", "x", "--best-of", "17"], "can be asked for"),
        (&["new", "--prompt", "x", "--lane", "./no-such"], "./no-such"),
        (&["new", "--prompt", "x", "--lane", "codex:x"], "no number"),
        (&["new", "--prompt", "x", "--backend", "codex-cloud"], "--env"),
        (&["new", "--prompt", "x", "--env", "e"], "belongs to a cloud"),
        (&["new", "--prompt", "x", "--base", "no-such"], "no-such"),
        (&["new", "--prompt-file", "no-such"], "no-such"),
        (&["new", "--task", "no-such"], "no-such"),
        (&["new", "--prompt", "x", "--lane", "no-such-agent"], "no-such-agent"),
        (&["run"], "give a run"),
        (&["watch", "no-such"], "no-such"),
        (&["status"], "no run yet"),
    ] {
        let ran = bo4(&room, words);
        assert!(matches!(ran.code, 128 | 129), "{words:?}: {ran:?}");
        ran.warns(says);
    }
    bo4(&room, &[&["new", "--prompt", "x", "-n"], &good[..]].concat())
        .succeeds()
        .says("would make 1 attempt from main");
    assert_eq!(bo4(&room, &["list", "--json"]).json()["runs"], serde_json::json!([]));
    assert!(!room.repo().join(".codex").exists());
    assert_eq!(room.git(&["worktree", "list"]).lines().count(), 1);
}

#[test]
fn new_returns_at_once_and_its_end_is_watched() {
    let room = room();
    room.script("agents/slow", "sleep 2; sed -i 's/ - / + /' src/add.sh; echo done");
    let slow = lanes(&room, &["slow"]);
    let words: Vec<&str> = slow.iter().map(String::as_str).collect();
    let begun = bo4(&room, &[&["new", "--prompt", "Mend add", "--json"], &words[..]].concat()).succeeds().json();
    assert_eq!(begun["phase"], "in_progress");
    let log = fs::read_to_string(room.repo().join(".codex/bo4_runs.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(log.trim()).unwrap();
    assert_eq!((&line["run"], &line["best_of"], &line["backend"]), (&begun["run"], &1.into(), &"local".into()));
    assert_eq!(line["base_commit"], room.git(&["rev-parse", "HEAD"]));
    bo4(&room, &["watch", "--timeout", "100ms"]).exits(128).warns("in_progress still");
    let refs = room.git(&["for-each-ref", "refs/bo4"]);
    bo4(&room, &["status"]).succeeds().says("in_progress");
    assert_eq!(room.git(&["for-each-ref", "refs/bo4"]), refs, "who only looks writes nothing");
    // The base goes on meanwhile; the variant stays on the one that was recorded.
    room.write("more", "more\n");
    room.commit("the base goes on");
    bo4(&room, &["watch", "--timeout", "60s"]).succeeds().says("completed");
    let run = begun["run"].as_str().unwrap();
    bo4(&room, &["branch"]).succeeds().says("made  bo4/");
    assert_eq!(room.git(&["rev-parse", &format!("bo4/{run}/var1^")]), line["base_commit"]);
    bo4(&room, &["branch"]).succeeds().says("kept");
    let note = room.git(&["notes", "--ref=agent", "show", &format!("bo4/{run}/var1")]);
    assert!(note.contains("\"variant\":1") && note.contains("-var1#1"), "{note}");
    let message = room.git(&["show", "-s", "--format=%B", &format!("bo4/{run}/var1")]);
    assert!(message.contains("Co-authored-by: slow"), "{message}");
    room.git(&["branch", "-f", &format!("bo4/{run}/var1"), "main"]);
    bo4(&room, &["branch"]).exits(1).says("taken");
    assert_eq!(room.git(&["rev-parse", &format!("bo4/{run}/var1")]), room.git(&["rev-parse", "main"]));
    bo4(&room, &["show"]).succeeds().says("+1     -1     src/add.sh");
    bo4(&room, &["diff", "--variant", "1"]).succeeds().says("+add() { echo $(($1 + $2)); }");
}

#[test]
fn what_has_ended_is_taken_over_without_a_watch() {
    let room = room();
    let good = lanes(&room, &["good"]);
    let words: Vec<&str> = good.iter().map(String::as_str).collect();
    let begun = bo4(&room, &[&["new", "--prompt", "Mend add", "--json"], &words[..]].concat()).succeeds().json();
    let job = begun["variants"][0]["job"].as_str().unwrap();
    room.run("git-worker", &["wait", job, "--timeout", "60s"]).succeeds();
    bo4(&room, &["status"]).succeeds().says("completed");
    for words in [&["branch", "-n"][..], &["apply", "--preflight", "--variant", "1"]] {
        bo4(&room, words);
        assert_eq!(room.git(&["for-each-ref", "refs/bo4"]), "", "{words:?} says what would be, and writes nothing");
    }
    bo4(&room, &["branch"]).succeeds().says("made  bo4/");
    bo4(&room, &["review"]).succeeds().says("passes all checks");
}

#[test]
fn a_link_in_the_place_of_its_folders_leads_nowhere() {
    let room = room();
    let report = whole(&room, &["good"], &[]);
    let own = room.repo().join(".codex/bo4").join(report["run"].as_str().unwrap());
    let outside = room.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::rename(own.join("variants"), room.path().join("aside")).unwrap();
    std::os::unix::fs::symlink(&outside, own.join("variants")).unwrap();
    bo4(&room, &["export"]).exits(128).warns("is no folder but a link");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_run_in_the_background_is_a_job() {
    let room = room();
    let good = lanes(&room, &["good"]);
    let words: Vec<&str> = good.iter().map(String::as_str).collect();
    let first = ["run", "--prompt", "Mend add", "--background", "--interval", "1s", "--json"];
    let begun = bo4(&room, &[&first, &words[..]].concat()).succeeds().json();
    room.run("git-worker", &["wait", begun["job"].as_str().unwrap(), "--timeout", "60s"]).succeeds();
    bo4(&room, &["report"]).succeeds().says("passes all checks");
    assert!(room.repo().join(".codex/bo4").join(begun["run"].as_str().unwrap()).join("report.html").exists());
}
