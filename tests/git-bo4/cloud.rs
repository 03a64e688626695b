//! Runs on a cloud: the real Codex CLI and a stand-in for its headless dialect, against a scripted backend.

mod room;
mod server;

use std::fs;
use std::path::Path;

use serde_json::Value;

use self::room::{Dialect, Room, states, text, variant};

#[test]
fn four_variants_of_the_real_cli_with_one_failed_and_one_that_does_not_apply() {
    let Some(room) = Room::new(Dialect::Published, "") else { return };
    let before = room.git(&["rev-parse", "HEAD"]);
    let run = room.begin("greet -- the user\n", "4");
    let kickoffs = room.kickoffs();
    assert_eq!(kickoffs.len(), 1, "{kickoffs:?}");
    assert_eq!((&kickoffs[0]["best_of_n"], text(&kickoffs[0]["env"])), (&Value::from(4), "env-fake-1"));
    assert_eq!((text(&kickoffs[0]["branch"]), text(&kickoffs[0]["prompt"])), ("main", "greet -- the user\n"));

    room.watch(&run, "60s").exits(0);
    let state = room.run_of(&run);
    assert_eq!(text(&state["phase"]), "ready", "{state:#}");
    // It says of no attempt how it ended: the one without a diff is the last.
    assert_eq!(states(&state), ["completed", "completed", "completed", "failed"], "{state:#}");
    assert_eq!(text(&variant(&state, 4)["reason"]), "no diff (failed, cancelled or empty)");
    assert_eq!(text(&variant(&state, 3)["label"]), "diff 3 of 3");
    harvest(&room, &run, [1, 3], 2);
    assert_eq!(room.git(&["rev-parse", "HEAD"]), before);
    assert!(!room.repo().join("error.log").exists(), "the Codex CLI ran in the repository");
    assert_eq!(room.kickoffs().len(), 1);
}

#[test]
fn four_variants_of_the_headless_dialect_keep_their_numbers() {
    let Some(room) = Room::new(Dialect::Headless, "") else { return };
    let run = room.begin("greet", "4");
    room.watch(&run, "60s").exits(0);
    let state = room.run_of(&run);
    assert_eq!(states(&state), ["completed", "completed", "failed", "completed"], "{state:#}");
    assert_eq!(text(&variant(&state, 3)["reason"]), "SETUP_FAILED: environment setup failed");
    harvest(&room, &run, [1, 4], 2);
}

/// Expects of a run that these two variants became branches whose patches apply, and that another's does not.
#[track_caller]
fn harvest(room: &Room, run: &str, good: [u64; 2], stale: u64) {
    room.bo4(&["branch", run, "--json"]);
    let state = room.run_of(run);
    for (number, content) in good.into_iter().zip(["hello.txt", "four.txt"]) {
        let branch = format!("bo4/{run}/var{number}");
        assert!(!room.git(&["show", &format!("{branch}:{content}")]).is_empty());
        assert_eq!(text(&variant(&state, number)["commit"]), room.git(&["rev-parse", &branch]));
        assert_eq!(room.git(&["rev-parse", &format!("{branch}^")]), room.git(&["rev-parse", "HEAD"]));
    }
    let branches = room.git(&["for-each-ref", "--format=%(refname)", "refs/heads/bo4"]);
    assert_eq!(branches.lines().count(), 2, "{branches}");
    assert!(!text(&variant(&state, stale)["problem"]).is_empty(), "{state:#}");
    assert!(variant(&state, stale)["commit"].is_null(), "{state:#}");

    let place = room.path().join("exported");
    room.bo4(&["export", run, "--dir", &place.display().to_string()]);
    for number in good {
        let patch = place.join(format!("variants/var{number}/patch.diff"));
        assert!(patch.exists(), "{}", listed(&place));
        room.git(&["apply", "--check", &patch.display().to_string()]);
    }
    let report = room.bo4(&["report", run, "--format", "text"]).succeeds();
    assert!(report.stdout.contains("failed"), "{}", report.stdout);
}

fn listed(folder: &Path) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| format!("{} {}\n", entry.path().display(), listed(&entry.path()))).collect()
}

#[test]
fn the_whole_loop_is_one_command() {
    let Some(room) = Room::new(Dialect::Published, "") else { return };
    let environment = ["--backend", "codex-cloud", "--env", "env-fake-1"];
    let rest = ["--best-of", "4", "--prompt", "greet", "--interval", "1s", "--timeout", "120s"];
    room.bo4(&[&["run"], &environment[..], &rest].concat()).succeeds().says("failed");
    assert_eq!(room.git(&["for-each-ref", "--format=%(refname)", "refs/heads/bo4"]).lines().count(), 2);
    assert_eq!(room.kickoffs().len(), 1);
}

#[test]
fn a_first_attempt_that_failed_hides_no_good_one() {
    for dialect in [Dialect::Published, Dialect::Headless] {
        let Some(room) = Room::new(dialect, "") else { continue };
        let run = room.begin("firstfails", "2");
        room.watch(&run, "60s").exits(0);
        let state = room.run_of(&run);
        let mut all = states(&state);
        all.sort();
        assert_eq!(all, ["completed", "failed"], "{state:#}");
    }
}

#[test]
fn a_late_attempt_is_waited_for() {
    for dialect in [Dialect::Published, Dialect::Headless] {
        let Some(room) = Room::new(dialect, "") else { continue };
        let run = room.begin("uneven", "2");
        room.watch(&run, "60s").exits(0);
        let state = room.run_of(&run);
        assert_eq!(states(&state), ["completed", "completed"], "{state:#}");
    }
}

#[test]
fn a_task_of_which_nothing_came_ends_in_an_error() {
    for dialect in [Dialect::Published, Dialect::Headless] {
        let Some(room) = Room::new(dialect, "") else { continue };
        let run = room.begin("allfail", "2");
        room.watch(&run, "60s").exits(1);
        let state = room.run_of(&run);
        assert_eq!((text(&state["phase"]), states(&state)), ("error", vec!["failed".to_owned(); 2]), "{state:#}");
        // The whole loop ends, and is not open for the next who asks the same.
        let whole = ["run", "--backend", "codex-cloud", "--env", "env-fake-1", "--best-of", "2", "--prompt", "allfail"];
        for kickoffs in [2, 3] {
            room.bo4(&[&whole[..], &["--interval", "1s"]].concat()).exits(1).says("variant 2 failed");
            assert_eq!(room.kickoffs().len(), kickoffs);
        }
    }
}

#[test]
fn a_backend_that_stumbles_is_asked_again() {
    let fault = |path: &str, what: &str| format!("[[fault]]\npath = \"{path}\"\nmethod = \"GET\"\ntimes = 1\n{what}\n");
    for dialect in [Dialect::Published, Dialect::Headless] {
        let path = if dialect == Dialect::Published { "tasks/list" } else { "tasks/task_e_[^/]*$" };
        let faults = ["status = 500", "status = 429", "status = 503", "garbage = true", "reset = true"];
        let faults: String = faults.iter().map(|what| fault(path, what)).collect();
        let Some(room) = Room::new(dialect, &(faults + &fault("sibling_turns", "status = 404"))) else { continue };
        let run = room.begin("greet", "4");
        room.watch(&run, "180s").exits(0);
        assert_eq!(text(&room.run_of(&run)["phase"]), "ready");
        assert_eq!(room.kickoffs().len(), 1);
    }
}

#[test]
fn a_task_that_never_ends_is_left_at_the_timeout_and_can_be_watched_again() {
    for dialect in [Dialect::Published, Dialect::Headless] {
        let Some(room) = Room::new(dialect, "") else { continue };
        let run = room.begin("forever", "2");
        for _ in 0..2 {
            let watched = room.watch(&run, "3s");
            assert_ne!(watched.code, 0, "{}", watched.stdout);
            let phase = text(&room.run_of(&run)["phase"]).to_owned();
            assert!(matches!(phase.as_str(), "pending" | "in_progress"), "{phase}");
        }
        assert_eq!(room.kickoffs().len(), 1);
    }
}

#[test]
fn a_task_that_vanished_ends_in_an_error() {
    for dialect in [Dialect::Published, Dialect::Headless] {
        let Some(room) = Room::new(dialect, "") else { continue };
        let run = room.begin("vanishes", "2");
        room.watch(&run, "60s").exits(1);
        let state = room.run_of(&run);
        assert_eq!(text(&state["phase"]), "error", "{state:#}");
        assert!(text(&state["reason"]).contains("vanished"), "{state:#}");
    }
}

#[test]
fn a_login_that_is_refused_ends_the_watch() {
    let fault = "[[fault]]\npath = \"tasks/\"\nmethod = \"GET\"\nstatus = 401\n";
    for dialect in [Dialect::Published, Dialect::Headless] {
        let Some(room) = Room::new(dialect, fault) else { continue };
        let run = room.begin("greet", "4");
        room.watch(&run, "60s").exits(1);
        assert!(text(&room.run_of(&run)["reason"]).contains("401"));
    }
}

#[test]
fn a_kickoff_that_is_refused_did_not_happen_and_may_be_repeated() {
    let faults = [("status = 429", "429"), ("status = 422", "422")];
    for dialect in [Dialect::Published, Dialect::Headless] {
        for (fault, word) in faults {
            let fault = format!("[[fault]]\npath = \"/tasks$\"\nmethod = \"POST\"\ntimes = 1\n{fault}\n");
            let Some(room) = Room::new(dialect, &fault) else { continue };
            room.kickoff("greet", "4").exits(128).warns(word);
            assert_eq!(room.kickoffs().len(), 0);
            room.begin("greet", "4");
            assert_eq!(room.kickoffs().len(), 1);
        }
    }
}

#[test]
fn an_environment_that_is_not_there_is_named() {
    for dialect in [Dialect::Published, Dialect::Headless] {
        let Some(room) = Room::new(dialect, "") else { continue };
        let words = ["new", "--backend", "codex-cloud", "--env", "nope", "--prompt", "greet", "--json"];
        room.bo4(&words).exits(128).warns("environment 'nope' not found");
        assert_eq!(room.kickoffs().len(), 0);
    }
}

#[test]
fn a_kickoff_of_which_nobody_knows_is_not_repeated() {
    for fault in ["status = 500", "garbage = true", "reset = true"] {
        let fault = format!("[[fault]]\npath = \"/tasks$\"\nmethod = \"POST\"\n{fault}\n");
        for dialect in [Dialect::Published, Dialect::Headless] {
            let Some(room) = Room::new(dialect, &fault) else { continue };
            let ended = room.kickoff("greet", "4");
            assert_ne!(ended.code, 0, "{}", ended.stdout);
            let listed = room.bo4(&["list", "--json"]).succeeds().json();
            assert_eq!(listed["runs"].as_array().map(Vec::len), Some(1), "it is kept, to be cleared up: {listed:#}");
        }
    }
}

#[test]
fn hostile_words_and_patches_are_shown_as_text_and_written_nowhere() {
    for dialect in [Dialect::Published, Dialect::Headless] {
        let Some(room) = Room::new(dialect, "") else { continue };
        let run = room.begin("hostile", "2");
        let watched = room.watch(&run, "60s");
        let branched = room.bo4(&["branch", &run]);
        let reported = room.bo4(&["report", &run, "--format", "text"]);
        for ran in [&watched, &branched, &reported] {
            assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{}", ran.words);
        }
        let state = room.run_of(&run);
        for number in [1, 2] {
            assert!(!text(&variant(&state, number)["problem"]).is_empty(), "{state:#}");
        }
        assert_eq!(room.git(&["for-each-ref", "refs/heads/bo4"]), "");
        assert!(!room.path().join("escape.txt").exists());
    }
}
