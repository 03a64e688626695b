//! Dangerous commands are seen, and interrupted or stopped where they run; who only speaks of them goes on.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use suite_tests::Ran;

use crate::room::{Room, count, text, unique, until};

/// Lists the dangers that were told: pattern, place, action.
fn dangers(room: &Room, id: &str) -> Vec<(String, String, String)> {
    let word = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let told = events(room, id);
    told.iter().map(|event| (word(event, "pattern"), word(event, "where"), word(event, "action"))).collect()
}

fn events(room: &Room, id: &str) -> Vec<Value> {
    let events = text(&room.folder(id).join("events.jsonl"));
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == "danger").collect()
}

fn of(pattern: &str, place: &str, action: &str) -> (String, String, String) {
    (pattern.to_owned(), place.to_owned(), action.to_owned())
}

/// Makes a program of this name that sleeps, and returns its path; it removes nothing.
fn stand_in(room: &Room, name: &str, before: &str, span: &str) -> PathBuf {
    room.write_in(room.path(), &format!("bin/{name}"), &format!("#!/bin/sh\n{before}\nsleep {span}\n"));
    let path = room.path().join("bin").join(name);
    room.run("chmod", &["755", path.to_str().unwrap()]).succeeds();
    path
}

/// Launches a script that finds the stand-ins first.
#[track_caller]
fn launch(room: &Room, name: &str, script: &str) -> String {
    let bin = room.path().join("bin");
    room.sh(name, &format!("PATH='{}':\"$PATH\"; {script}", bin.display()))
}

#[test]
fn a_grandchild_that_removes_what_is_outside_is_interrupted_and_the_job_goes_on() {
    let room = Room::new();
    let span = unique();
    stand_in(&room, "rm", "", &span);
    room.write_in(room.path(), "agent.sh", "echo begin; (rm -rf /nonexistent/of-a-test; echo code $?); echo goes on\n");
    let id = launch(&room, "outside", &format!("sh {}/agent.sh", room.path().display()));
    let job = room.ended(&id);
    assert_eq!((job["state"].as_str(), job["dangers"].as_u64()), (Some("completed"), Some(1)), "{job}");
    assert_eq!(dangers(&room, &id), [of("rm-outside", "process", "interrupt")]);
    let event = &events(&room, &id)[0];
    assert!(event["text"].as_str().unwrap().ends_with("/bin/rm -rf /nonexistent/of-a-test"), "{event}");
    assert!(event["pid"].as_u64().is_some_and(|pid| pid > 1) && count(&span) == 0, "{event}");
    let log = text(&room.folder(&id).join("output.log"));
    assert!(log.contains("code 130") && log.contains("goes on"), "{log}");
}

#[test]
fn who_ignores_the_interrupt_is_killed_and_the_job_goes_on() {
    let room = Room::new();
    let span = unique();
    stand_in(&room, "rm", "trap '' INT", &span);
    let id = launch(&room, "deaf", "rm -rf /nonexistent/of-a-test; echo code $?");
    let job = room.ended(&id);
    assert_eq!((job["state"].as_str(), count(&span)), (Some("completed"), 0), "{job}");
    assert!(text(&room.folder(&id).join("output.log")).contains("code 137"));
}

#[test]
fn a_shell_that_becomes_what_it_was_told_to_run_is_interrupted() {
    let room = Room::new();
    let span = unique();
    stand_in(&room, "rm", "", &span);
    let job = room.ended(&launch(&room, "becomes", "exec rm -rf /nonexistent/of-a-test"));
    assert_eq!((job["reason"].as_str(), count(&span)), (Some("danger 'rm-outside'"), 0), "{job}");
    // As a text in the command line of the shell, and then as its own.
    let told = [of("rm-outside", "process", "note"), of("rm-outside", "process", "interrupt")];
    assert_eq!(dangers(&room, "becomes"), told);
}

#[test]
fn what_is_inside_is_removed() {
    let room = Room::new();
    let id =
        room.sh("inside", "mkdir -p a/b; cd a; touch b/c; rm -rf b ../a/x; cd ..; rm -r a; [ ! -e a ] && sleep 0.3");
    let job = room.ended(&id);
    assert_eq!((job["state"].as_str(), job["dangers"].as_u64()), (Some("completed"), Some(0)), "{job}");
}

#[test]
fn who_only_speaks_of_it_is_at_most_noted() {
    let room = Room::new();
    let user = "[danger.rm-outside]\naction = \"stop\"\n[danger.drop]\npattern = \"drop table\"\naction = \"stop\"\n";
    room.user_config(user);
    let script = "echo 'I shall never rm -rf /etc or drop anything'; echo '$ rm -rf /etc/x'; echo '+ git push -f'\n\
        echo '{\"type\":\"x\",\"item\":{\"command\":\"bash -lc \\\"rm -rf /etc/y\\\"\"}}'; echo '> psql -c drop table x'\n\
        echo '$ rm -rf /etc/x'; echo '$ rm -rf target'; sleep 0.5; grep -c 'drop table' - < /dev/null; true";
    let id = room.sh("speaks", script);
    let job = room.ended(&id);
    assert_eq!(job["state"], "completed", "{job}");
    let mut told = dangers(&room, &id);
    assert!(told.iter().all(|(_, _, action)| action == "note"), "{told:?}");
    told.retain(|(_, place, _)| place == "output");
    let told: Vec<_> = told.into_iter().map(|(pattern, _, _)| pattern).collect();
    assert_eq!(told, ["rm-outside", "force-push", "drop", "rm-outside"].map(str::to_owned));
    assert_eq!(job["dangers"].as_u64(), Some(events(&room, &id).len() as u64));
}

#[test]
fn a_command_that_an_agent_tells_of_is_noted() {
    let room = Room::new();
    let (said, told) = (room.path().join("said"), room.path().join("told"));
    room.write_in(
        room.path(),
        "said",
        "{\"event\":\"tool\",\"kind\":\"command\",\"text\":\"rm -rf /nonexistent/of-a-test\",\"phase\":\"begin\"}\n\
         {\"event\":\"tool\",\"kind\":\"command\",\"text\":\"rm -rf /nonexistent/of-a-test\",\"phase\":\"end\",\"ok\":true}\n\
         {\"event\":\"message\",\"text\":\"$ git push --force\"}\n{\"event\":\"ended\",\"good\":true}",
    );
    // On stderr it is announced as by any other command, also in a last line without newline.
    room.write_in(room.path(), "told", "half a line\n+ npm publish");
    room.user_config(&format!(
        "[agents.bot]\ncommand = [\"sh\", \"-c\", \"cat > /dev/null; cat '{}' >&2; cat '{}'\"]\n\
         prompt = \"stdin\"\nformat = \"events\"\n",
        told.display(),
        said.display()
    ));
    room.worker(&["launch", "--name", "a", "--agent", "bot", "--prompt", "x"]).succeeds();
    let job = room.ended("a");
    assert_eq!(job["state"], "completed", "{job}");
    let mut noted = dangers(&room, "a");
    noted.sort();
    assert_eq!(noted, [of("publish", "output", "note"), of("rm-outside", "output", "note")]);
}

#[test]
fn a_stop_stops_the_job_and_names_the_pattern() {
    let room = Room::new();
    room.user_config("[danger.deploy]\npattern = '(?i)Launch-the-\\w+ --now'\naction = \"stop\"\n");
    let span = unique();
    let path = stand_in(&room, "launch-the-rocket", "", &span);
    let id = room.sh("rocket", &format!("sleep 0.2; '{}' --later 0; '{0}' --now & wait; sleep 60", path.display()));
    let begun = text(&path);
    room.write_in(room.path(), "bin/launch-the-rocket", &begun.replace("\nsleep", "\n[ $1 = --later ] && exit\nsleep"));
    let job = room.ended(&id);
    let words = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
    assert_eq!((words("state"), words("by")), ("stopped".into(), "danger".into()), "{job}");
    assert_eq!((words("reason"), count(&span)), ("danger 'deploy'".into(), 0));
    assert_eq!(dangers(&room, &id).last(), Some(&of("deploy", "process", "stop")));
    room.worker(&["status", "rocket"]).succeeds().says("danger 'deploy' by danger");
    let noted = || -> Value {
        let told = room.worker(&["audit", "--json"]).succeeds().json();
        let lines = text(&PathBuf::from(told["unread"]["path"].as_str().unwrap()));
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).next_back().unwrap_or_default()
    };
    until("its end is noted", || noted()["event"] == "end");
    assert_eq!((&noted()["reason"], &noted()["interrupts"]), (&Value::from("danger"), &job["interrupts"]));
    assert!(job["interrupts"].as_u64() >= Some(1), "{job}");
    room.worker(&["wait", "rocket"]).exits(1);
}

#[test]
fn the_command_of_the_launch_counts() {
    let room = Room::new();
    let rm = stand_in(&room, "rm", "", &unique());
    let rm = rm.to_str().unwrap();
    room.worker(&["launch", "--share", "--name", "own", "--", rm, "-rf", "/nonexistent/of-a-test"]).succeeds();
    let job = room.ended("own");
    assert_eq!(
        (job["state"].as_str(), job["reason"].as_str()),
        (Some("stopped"), Some("danger 'rm-outside'")),
        "{job}"
    );
    let setting = "codex-agents.danger.rm-outside.action=never";
    room.run(
        "git",
        &["-c", setting, "worker", "launch", "--share", "--name", "off", "--", rm, "-rf", "/nonexistent/x"],
    )
    .succeeds();
    let gone = ["launch", "--share", "--name", "quick", "--", "git", "push", "--force", "/nonexistent/of-a-test"];
    room.worker(&gone).succeeds();
    room.ended("quick");
    assert_eq!(dangers(&room, "quick")[0].0, "force-push");
    assert_eq!((room.job("off")["state"].as_str(), dangers(&room, "off").len()), (Some("running"), 0));
}

#[test]
fn a_repository_may_be_stricter_and_not_looser() {
    let room = Room::new();
    room.user_config("[danger.mine]\npattern = \"mine\"\naction = \"interrupt\"\n");
    let shown = |text: &str| {
        room.write(".codex-agent/config.toml", text);
        let ran = room.worker(&["launch", "--share", "--name", "rules", "--", "true"]).succeeds();
        room.ended("rules");
        (room.job("rules")["rules"]["danger"].clone(), ran.stderr)
    };
    let mine = |action: &str| serde_json::json!({ "name": "mine", "pattern": "mine", "action": action });
    let (rules, warned) = shown("");
    assert_eq!((rules, warned.as_str()), (serde_json::json!([mine("interrupt")]), ""));
    let looser = "[danger.rm-outside]\naction = \"note\"\n[danger.mine]\npattern = \"none\"\naction = \"never\"\n";
    let (rules, warned) = shown(looser);
    assert_eq!(rules, serde_json::json!([mine("interrupt")]));
    for key in ["danger.rm-outside.action", "danger.mine.pattern", "danger.mine.action"] {
        assert!(warned.contains(key) && warned.contains("stricter"), "{warned}");
    }
    let (rules, warned) = shown(
        "[danger.rm-outside]\naction = \"stop\"\n[danger.mine]\naction = \"stop\"\n[danger.theirs]\npattern = \"x\"\n",
    );
    let stop = serde_json::json!({ "name": "rm-outside", "pattern": null, "action": "stop" });
    let theirs = serde_json::json!({ "name": "theirs", "pattern": "x", "action": "note" });
    let rules = rules.as_array().unwrap();
    assert!([stop, mine("stop"), theirs].iter().all(|rule| rules.contains(rule)) && rules.len() == 3, "{rules:?}");
    assert_eq!(warned, "");
    room.write(".codex-agent/config.toml", "[danger.bad]\npattern = \"(\"\n");
    room.worker(&["launch", "--share", "--", "true"]).exits(128).warns("danger.bad.pattern");
    room.write(".codex-agent/config.toml", "[danger.rm-outsid]\naction = \"stop\"\n");
    room.worker(&["launch", "--share", "--", "true"]).exits(128).warns("rm-outside");
}

#[test]
fn an_event_holds_no_secret_and_is_short() {
    let room = Room::new();
    stand_in(&room, "rm", "", &unique());
    let secret = "pl4nted/secret+value";
    let line = format!(
        "PATH='{}':$PATH; rm -rf /nonexistent/\"$MY_TOKEN\" {}",
        room.path().join("bin").display(),
        "x".repeat(400)
    );
    let mut command = room.command("git-worker");
    command.args(["-C", room.repo().to_str().unwrap(), "launch", "--name", "quiet", "--", "sh", "-c"]);
    command.arg(format!("{line}; echo '$ rm -rf /nonexistent/{secret}'"));
    command.env("MY_TOKEN", secret).env("CODEX_AGENTS_WORKER_ENV", "[\"PATH\", \"MY_TOKEN\"]");
    Ran::new("launch".into(), command.output().unwrap()).succeeds();
    room.ended("quiet");
    let told = events(&room, "quiet");
    assert!(told.iter().any(|event| event["where"] == "process" && event["action"] == "interrupt"), "{told:?}");
    assert!(told.iter().any(|event| event["where"] == "output"), "{told:?}");
    for event in &told {
        let text = event["text"].as_str().unwrap();
        // The line of the shell is cut off before the secret in it.
        let full = text.contains("[redacted]") || event["action"] == "note" && event["where"] == "process";
        assert!(full && !text.contains("pl4nted") && text.chars().count() <= 300, "{event}");
    }
    let record = fs::read_to_string(room.folder("quiet").join("job.json")).unwrap();
    assert!(!record.contains("pl4nted"), "{record}");
}
