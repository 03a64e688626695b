//! What is secret is written nowhere.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;
use suite_tests::Ran;

use crate::room::{Room, text, until};

/// Lists the files below a folder that hold one of these.
fn holding(folder: &Path, what: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(holding(&entry.path(), what));
        } else {
            let content = text(&entry.path());
            let hits = what.iter().filter(|secret| content.contains(*secret));
            found.extend(hits.map(|secret| format!("{} holds {secret}", entry.path().display())));
        }
    }
    found
}

fn base64(room: &Room, secret: &str, before: &str) -> String {
    let script = format!("printf '%s%s=' '{before}' '{secret}' | base64 -w0");
    room.run("sh", &["-c", &script]).succeeds().text().to_owned()
}

#[test]
fn thirty_planted_secrets_are_written_nowhere() {
    let room = Room::new();
    room.user_config("[worker]\nenv = [\"*\"]\n");
    let worktree = room.task("gate");
    let secrets: Vec<String> = (0..30).map(|n| format!("pl4nted/{n:02}+se:cret&{}", "x".repeat(n % 7))).collect();
    let mut script = String::from("env\n");
    let mut spelled = Vec::new();
    for (n, secret) in secrets.iter().enumerate() {
        for at in 0..=secret.len() {
            // Two writes each: the shell's printf does not wait for the other.
            writeln!(script, "printf '%s' '{}'; printf '%s\\n' '{}'", &secret[..at], &secret[at..]).unwrap();
        }
        writeln!(script, "printf '::milestone:: %s\\n' '{secret}'").unwrap();
        spelled.push(base64(&room, secret, &"ab"[..n % 3]));
        spelled.push(secret.replace('/', "%2F").replace('+', "%2B").replace(':', "%3A").replace('&', "%26"));
    }
    for spelling in &spelled {
        writeln!(script, "echo x{spelling}").unwrap();
    }
    script
        .push_str("cat \"$GIT_WORKER_PROMPT_FILE\"; printf '%s\\n' \"$@\" | tee args > /dev/null; wc -l < args >&2\n");
    script.push_str("[ \"$(cat \"$GIT_WORKER_PROMPT_FILE\")\" = \"$3\" ] && echo prompt is whole\n");
    room.write_in(room.path(), "job.sh", &script);
    let job = room.path().join("job.sh");
    let mut command = room.command("git-worker");
    for (n, secret) in secrets.iter().enumerate() {
        command.env(format!("PLANTED_TOKEN_{n}"), secret);
    }
    command.args(["launch", "gate", "--json", "--prompt", &format!("use {}", secrets[1]), "--", "sh"]).arg(&job);
    command.args([&secrets[0], &format!("--key={}", secrets[2]), &format!("use {}", secrets[1])]);
    let launched = Ran::new("launch".into(), command.output().unwrap()).succeeds();
    assert!(!secrets.iter().any(|secret| launched.stdout.contains(secret)), "{}", launched.stdout);
    let record = room.ended("gate");
    assert_eq!(record["state"], "completed", "{record}");
    assert_eq!(record["request_redacted"], true);
    let log = text(&room.folder("gate").join("output.log"));
    assert!(
        log.contains("prompt is whole") && log.contains("use [redacted]") && log.contains("[redacted]3\n"),
        "{log}"
    );
    assert_eq!(text(&worktree.join("args")).lines().next(), Some(secrets[0].as_str()), "the job gets what was said");
    assert!(record["redactions"].as_u64().unwrap() > 30 * 25, "{record}");

    assert_eq!(holding(&room.state(), &secrets), Vec::<String>::new());
    assert_eq!(holding(&room.state(), &spelled), Vec::<String>::new());
    let refs = room.git(&["for-each-ref", "--format=%(refname) %(contents)"]);
    let notes = room.git(&["log", "--all", "--notes=agent", "--format=%B%N"]) + &refs;
    assert!(notes.contains("gate#1") && !secrets.iter().any(|secret| notes.contains(secret)), "{notes}");
}

#[test]
fn a_secret_with_a_pause_in_it_is_one_and_a_prompt_comes_out() {
    let room = Room::new();
    room.user_config("[worker]\nenv = [\"*\"]\n");
    let gate = room.path().join("gate");
    let script = format!(
        "printf 'name? g'; while ! [ -e '{}' ]; do sleep 0.01; done; printf 'reat val'; sleep 0.3; echo ue-of-mine end",
        gate.display()
    );
    let mut command = room.command("git-worker");
    command.args(["launch", "--name", "slow", "--", "sh", "-c", &script]).env("MY_SECRET", "value-of-mine");
    Ran::new("launch".into(), command.output().unwrap()).succeeds();
    let log = room.folder("slow").join("output.log");
    until("the prompt is out", || text(&log) == "name? g");
    fs::write(&gate, "").unwrap();
    assert_eq!(room.ended("slow")["redactions"], 1);
    assert_eq!(text(&log), "name? great [redacted] end\n");
}

#[test]
fn known_shapes_need_no_setting() {
    let room = Room::new();
    let id = room.sh(
        "shapes",
        "echo ghp_0123456789abcdefghijABCDEFGHIJ012345 task-list; echo '::milestone:: AKIAIOSFODNN7EXAMPLE'",
    );
    room.ended(&id);
    assert_eq!(text(&room.folder(&id).join("output.log")), "[redacted] task-list\n::milestone:: [redacted]\n");
    let events = text(&room.folder(&id).join("events.jsonl"));
    assert!(events.contains("\"[redacted]\"") && !events.contains("AKIA"), "{events}");
}

#[test]
fn a_job_gets_the_environment_that_is_allowed() {
    let room = Room::new();
    let launch = |name: &str| {
        let mut command = room.command("git-worker");
        command.args(["launch", "--share", "--name", name, "--", "env"]).env("CARGO_REGISTRY_TOKEN", "crates-token");
        command.env("SOMETHING_ELSE", "1").env("OPENAI_API_KEY", "key-of-openai").env("http_proxy", "p:1");
        Ran::new("launch".into(), command.output().unwrap()).succeeds();
        let job = room.ended(name);
        let names: Vec<String> =
            job["env_names"].as_array().unwrap().iter().map(|n| n.as_str().unwrap().into()).collect();
        (names, text(&room.folder(name).join("output.log")))
    };
    let (names, log) = launch("usual");
    for (name, is) in [("PATH", true), ("http_proxy", true), ("OPENAI_API_KEY", true), ("SOMETHING_ELSE", false)] {
        assert_eq!((names.contains(&name.to_owned()), log.contains(&format!("{name}="))), (is, is), "{name}: {log}");
    }
    assert!(!log.contains("CARGO_REGISTRY_TOKEN") && log.contains("OPENAI_API_KEY=[redacted]"), "{log}");
    room.user_config("[worker]\nenv = [\"PATH\", \"SOME*\"]\n");
    assert_eq!(launch("own").0, ["PATH", "SOMETHING_ELSE"]);
    // A repository may neither pass on nor show what the user has not agreed to.
    room.user_config("");
    room.write(".codex-agent/config.toml", "[worker]\nenv = [\"*\"]\n");
    room.worker(&["launch", "--share", "--", "env"]).exits(128).warns("worker.env");
    room.write(".codex-agent/config.toml", "[worker]\nredact = []\n");
    let (_, log) = launch("again");
    assert!(log.contains("OPENAI_API_KEY=[redacted]"), "{log}");
}

#[test]
fn an_error_names_no_secret() {
    let room = Room::new();
    room.write("junk-value-of-mine", "\u{1}");
    room.run("chmod", &["755", "junk-value-of-mine"]).succeeds();
    let mut command = room.command("git-worker");
    command.args(["launch", "--name", "bad", "--", "./junk-value-of-mine"]).env("MY_SECRET", "value-of-mine");
    let ran = Ran::new("launch".into(), command.output().unwrap()).exits(128).warns("[redacted]");
    assert!(!ran.stderr.contains("value-of-mine"), "{}", ran.stderr);
    let record: Value = room.job("bad");
    assert!(!record.to_string().contains("value-of-mine"), "{record}");
}

#[test]
fn what_holds_a_secret_is_neither_queued_nor_launched_once_more() {
    let room = Room::new();
    room.user_config("[worker]\nmax-concurrency = 1\n");
    let secret = "pl4nted/secret+value";
    let launch = |name: &str, script: &str| {
        let mut command = room.command("git-worker");
        command.args(["launch", "--share", "--name", name, "--", "sh", "-c", script]).env("MY_TOKEN", secret);
        Ran::new("launch".to_owned(), command.output().unwrap())
    };
    launch("first", &format!("sleep 60; echo {secret}")).succeeds();
    launch("second", &format!("echo {secret}")).exits(128).warns("secret").warns("environment");
    launch("third", "echo harmless").succeeds().prints("third#1\n");
    assert_eq!(room.worker(&["list", "--json"]).json()["jobs"].as_array().unwrap().len(), 2);
    room.worker(&["stop", "--grace", "0", "first"]).succeeds();
    room.worker(&["wait", "third"]).succeeds();
    room.worker(&["retry", "first"]).exits(128).warns("first#1").warns("secret");
    room.worker(&["retry", "third"]).succeeds();
    assert_eq!(holding(&room.state(), &[secret.to_owned()]), Vec::<String>::new());
}
