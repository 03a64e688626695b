//! Every answer of every program against its published schema.
//!
//! Each program has a story that gives every command of its help something to answer. A command
//! without a schema, an answer with a field that no schema names, and a field of a schema that no
//! answer holds are failures all the same.

mod best_of;
mod check;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use suite_tests::{Ran, Sandbox, skip};

use super::pages::offered;
use super::programs;
use check::Schemas;

/// Fields that need what no story has, or not everywhere: too many files, a path that is not UTF-8, a program that may
/// be missing and the like; and those of a failure that another program's story has.
const RARE: &[&str] = &[
    "worktree_bytes",
    "command_bytes",
    "broken",
    "commit_problem",
    "steps",
    "last_lines",
    "queue/properties/env",
    "notify/properties/terminal",
    "agent_version",
    "agents/items/properties/tried",
    "details/properties/agent",
    "details/properties/until",
    "details/properties/error_kind",
    "details/properties/job",
    "details/properties/run",
    "details/properties/candidates",
    "signature/properties",
];

/// Lists the commands of a program that answer, as the names of their schemas.
fn answering(room: &Sandbox, program: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut ways: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(way) = ways.pop() {
        let arguments: Vec<&str> = way.iter().map(String::as_str).chain(["-h"]).collect();
        let help = room.run(program, &arguments).succeeds().stdout;
        let (_, commands) = offered(&help);
        let usage = help.lines().find(|line| line.starts_with("Usage:")).unwrap_or_default();
        if !usage.ends_with("<COMMAND>") {
            found.push(name(program, &way));
        }
        ways.extend(commands.into_iter().map(|command| way.iter().cloned().chain([command]).collect()));
    }
    found.sort();
    found
}

fn name(program: &str, way: &[String]) -> String {
    [&[program.to_owned()], way].concat().join("-")
}

/// A room in which every answer is checked.
struct Story {
    room: Sandbox,
    program: &'static str,
    commands: Vec<String>,
    told: BTreeSet<String>,
    schemas: Schemas,
}

impl Story {
    fn of(program: &'static str) -> Story {
        let room = Sandbox::new();
        let commands = answering(&room, program);
        Story { room, program, commands, told: BTreeSet::new(), schemas: Schemas::load() }
    }

    /// Runs the program with --json and checks each document that it prints; returns the last.
    #[track_caller]
    fn asks(&mut self, code: i32, arguments: &[&str]) -> Value {
        self.asks_in(&self.room.repo(), code, arguments, "")
    }

    #[track_caller]
    fn asks_in(&mut self, folder: &Path, code: i32, arguments: &[&str], input: &str) -> Value {
        let mut command = self.room.command(self.program);
        let path = command.get_envs().find_map(|(name, value)| value.filter(|_| name == "PATH")).unwrap_or_default();
        let path = [self.room.path().join("bin")].into_iter().chain(std::env::split_paths(path));
        command.env("PATH", std::env::join_paths(path).unwrap());
        command.arg("--json").args(arguments).current_dir(folder);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let words = format!("{} --json {}", self.program, arguments.join(" "));
        let ran = Ran::new(words, child.wait_with_output().unwrap()).exits(code);
        if ran.stdout.is_empty() {
            return self.failed(&ran);
        }
        let mut last = Value::Null;
        let schema = self.schema_of(arguments);
        for line in ran.stdout.lines() {
            last = serde_json::from_str(line).unwrap_or_else(|e| panic!("`{}` printed {line}: {e}", ran.words));
            self.fits(&schema, &last, &ran.words);
            assert!(line.starts_with("{\"schema\":1,"), "`{}`: {line}", ran.words);
        }
        self.told.insert(schema);
        last
    }

    /// A failure is one document on stderr, its status the exit code.
    #[track_caller]
    fn failed(&mut self, ran: &Ran) -> Value {
        let line = ran.stderr.lines().last().unwrap_or_else(|| panic!("`{}` says nothing", ran.words));
        let error: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("`{}` says {line}: {e}", ran.words));
        self.fits("error", &error, &ran.words);
        assert_eq!(error["error"]["status"], ran.code, "{}", ran.words);
        error
    }

    #[track_caller]
    fn fits(&mut self, schema: &str, value: &Value, words: &str) {
        let problems = self.schemas.check(schema, value);
        assert!(problems.is_empty(), "`{words}` against {schema}.json:\n{}\n{value:#}", problems.join("\n"));
    }

    /// The longest command that the arguments begin with.
    #[track_caller]
    fn schema_of(&self, arguments: &[&str]) -> String {
        let words: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let names = (0..=words.len()).rev().map(|n| name(self.program, &words[..n]));
        let mut known = names.filter(|name| self.commands.contains(name));
        known.next().unwrap_or_else(|| panic!("{} has no command {words:?}", self.program))
    }

    /// Nothing was left out: no command, and no field of their schemas nor of `more`.
    #[track_caller]
    fn ends(self, more: &[&str]) {
        let commands: BTreeSet<String> = self.commands.into_iter().collect();
        assert_eq!(self.told, commands, "commands that the story told of, and those that there are");
        let own = |file: &str| {
            let name = file.trim_end_matches(".json");
            commands.contains(name) || more.contains(&name)
        };
        let unseen = self.schemas.unseen(own);
        let unseen: Vec<&String> =
            unseen.iter().filter(|place| !RARE.iter().any(|rare| place.contains(&format!("/{rare}")))).collect();
        assert!(unseen.is_empty(), "no answer holds {unseen:#?}");
    }
}

#[test]
fn every_command_has_a_schema() {
    let room = Sandbox::empty();
    let schemas = Schemas::load();
    for program in programs() {
        let without: Vec<String> =
            answering(&room, &program).into_iter().filter(|command| !schemas.has(command)).collect();
        assert!(without.is_empty(), "no schema for {without:?}");
    }
}

/// A setting that needs trust, an open task, one that waits for it, and the checks of git-validate.
fn plan(story: &mut Story) {
    story.asks(0, &["init", "-n"]);
    story.asks(0, &["init"]);
    story.room.write(".codex-agent/config.toml", "[[checks]]\nname = \"unit\"\ncommand = [\"true\"]\n");
    story.asks(0, &["config", "list"]);
    story.asks(1, &["trust", "--show"]);
    story.asks(128, &["trust"]);
    story.asks(0, &["trust", "--yes"]);
    story.asks(0, &["config", "get", "task.merge"]);
    story.asks(0, &["config", "get", "checks.unit.command"]);
    story.asks(128, &["config", "get", "task.merg"]);
    story.asks(0, &["config", "set", "task.merge", "merge"]);
    story.asks(129, &["config", "set", "task.merge", "fast"]);
    story.asks(0, &["add", "Eat 🍎 \u{202e}now", "--slug", "eat", "--label", "food", "--goal", "x"]);
    story.asks(0, &["edit", "eat", "--owner", "me", "--agent", "codex"]);
    let batch = json!([
        { "title": "sleep", "depends_on": ["eat"], "touches": ["bed"], "priority": -3 }, { "title": "wake" },
    ]);
    story.asks_in(&story.room.repo(), 0, &["add", "--batch"], &batch.to_string());
    story.asks_in(&story.room.repo(), 128, &["add", "--batch"], "[{}]");
    story.asks(0, &["add", "-n", "nothing"]);
    story.asks(0, &["list"]);
    story.asks(0, &["show", "eat"]);
    story.asks(0, &["show", "sleep"]);
    story.asks(128, &["show", "eet"]);
    story.asks(128, &["edit", "eat", "--depends-on", "sleep"]);
    story.asks(0, &["edit", "wake", "--title", "get up"]);
    story.asks(129, &["edit"]);
    story.asks(0, &["drop", "wake"]);
    story.asks(0, &["undo"]);
    story.asks(128, &["undo", "99"]);
}

/// The worktree of a task, with a job, a verdict and something that would be lost.
fn work(story: &mut Story) {
    story.asks(0, &["worktree", "add", "-n", "eat"]);
    let path = story.asks(0, &["worktree", "add", "eat"])["worktree"].as_str().unwrap().to_owned();
    let tree = Path::new(&path);
    story.room.write_in(tree, "apple", "x\n");
    story.room.commit_in(tree, "eat");
    story.room.run("git-validate", &["task/eat"]).succeeds();
    story.room.run("git-worker", &["launch", "eat", "--", "sleep", "60"]).succeeds();
    story.asks(128, &["complete", "eat"]);
    story.room.run("git-worker", &["stop", "--grace", "0", "eat"]).succeeds();
    story.asks(0, &["status"]);
    story.asks(0, &["worktree", "list"]);
    story.asks(0, &["worktree", "add", "wake"]);
    let other = story.asks(0, &["show", "wake"])["worktree"].as_str().unwrap().to_owned();
    story.room.write_in(Path::new(&other), "README", "one\nWAKE\nthree\n");
    story.asks(128, &["complete", "wake"]);
    story.room.commit_in(Path::new(&other), "wake");
    story.room.write_in(Path::new(&other), "dream", "x\n");
    story.asks(128, &["worktree", "remove", "wake"]);
    story.asks(128, &["worktree", "remove", "sleep"]);
    story.asks(0, &["worktree", "remove", "--force", "wake"]);
}

/// Landing with and without a verdict, beside a checkout that cannot follow.
fn land(story: &mut Story) {
    story.asks(128, &["complete", "sleep"]);
    story.asks(0, &["complete", "-n", "eat"]);
    story.asks(0, &["complete", "eat"]);
    story.room.write("README", "one\nMAIN\nthree\n");
    story.room.git(&["commit", "-q", "-m", "the base moves", "README"]);
    story.asks(1, &["complete", "--unvalidated", "wake"]);
    let path = story.asks(0, &["worktree", "add", "sleep"])["worktree"].as_str().unwrap().to_owned();
    story.room.write_in(Path::new(&path), "README", "one\nMAIN\nthree\nsleep\n");
    story.room.commit_in(Path::new(&path), "sleep");
    story.asks(1, &["complete", "sleep"]);
    story.room.write("README", "one\nMAIN\nthree\nmine\n");
    let landed = story.asks(0, &["complete", "--unvalidated", "sleep"]);
    assert_eq!(landed["checkout"]["followed"], false, "{landed}");
    story.asks(0, &["log"]);
}

#[test]
fn git_task_answers_as_its_schemas_say() {
    let mut story = Story::of("git-task");
    plan(&mut story);
    work(&mut story);
    land(&mut story);
    // What is not there any more: a branch, and a whole repository.
    story.room.git(&["branch", "-D", "task/wake"]);
    story.asks(1, &["doctor"]);
    story.asks(1, &["doctor", "--fix"]);
    story.asks(0, &["list", "--closed"]);
    let registry = std::fs::read_to_string(story.room.data().join("tasks.json")).unwrap();
    story.fits("registry", &serde_json::from_str(&registry).unwrap(), "tasks.json");
    for line in std::fs::read_to_string(story.room.data().join("tasks.log.jsonl")).unwrap().lines() {
        let log = json!({ "schema": 1, "changes": [serde_json::from_str::<Value>(line).unwrap()], "unreadable": 0 });
        story.fits("git-task-log", &log, "tasks.log.jsonl");
    }
    std::fs::rename(story.room.repo(), story.room.path().join("elsewhere")).unwrap();
    let away = story.asks_in(&story.room.home(), 0, &["status", "--all"], "");
    assert!(away["repositories"][0]["unreadable"].is_string(), "{away}");
    story.ends(&["registry", "error"]);
}

#[test]
fn git_validate_answers_as_its_schemas_say() {
    let mut story = Story::of("git-validate");
    story.asks(1, &["show"]);
    story.asks(128, &[]);
    story.room.trusted_config(
        "[[checks]]\nname = \"good 🍎 \u{202e}\"\ncommand = [\"echo\", \"a\\u0000\\u001b[2Jb\"]\n\
         [[checks]]\nname = \"skipped\"\ncommand = [\"false\"]\npaths = [\"none\"]\n\
         [[checks]]\nname = \"slow\"\ncommand = [\"sleep\", \"60\"]\ntimeout = \"10ms\"\n\
         [[checks]]\nname = \"broken\"\ncommand = [\"no-such-program\"]\n",
    );
    story.room.commit("checks");
    story.asks(1, &["show"]);
    story.asks(0, &["-n"]);
    story.asks(1, &[]);
    story.asks(0, &["--check", "skipped", "HEAD^{tree}"]);
    story.asks(128, &["--check", "broken", "--worktree"]);
    story.asks(1, &["show", "--staged"]);
    story.asks(129, &["--check", "none"]);
    story.asks(128, &["nowhere"]);
    story.asks(0, &["install", "-n", "--hook", "pre-push"]);
    story.asks(0, &["install"]);
    story.asks(0, &["install"]);
    story.asks(0, &["uninstall"]);
    story.asks(1, &["doctor"]);
    story.room.write("Makefile", "test:\n");
    story.room.write("package.json", "{\"scripts\":{\"lint\":\"x\"}}");
    story.asks(0, &["init"]);
    story.asks(0, &["init", "--write", "-n"]);
    policies(&mut story);
    streams(&mut story);
    mends(&mut story);
    reviewers(&mut story);
    several_clones(&mut story);
    notes(&mut story);
    story.ends(&["git-validate-note", "git-validate-event"]);
}

/// Every line of every note, those of a key's signature too where there is one.
fn notes(story: &mut Story) {
    let key = story.room.home().join("key");
    let made = story.room.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
    if made.code == 0 {
        story.room.user_config(&format!("[validate]\nsign-key = {:?}\n", key.to_str().unwrap()));
    } else {
        skip("the schema of a signature", "there is no ssh-keygen");
    }
    story.asks(0, &["--check", "skipped", "--force"]);
    for note in story.room.git(&["notes", "--ref=validate", "list"]).lines() {
        let tree = note.split_once(' ').unwrap().1;
        for line in story.room.git(&["notes", "--ref=validate", "show", tree]).lines() {
            story.fits("git-validate-note", &serde_json::from_str(line).unwrap(), "a line of a note");
        }
    }
}

/// The commits of a range, and events as lines with the answers behind them.
fn streams(story: &mut Story) {
    story.room.write("more", "x\n");
    story.room.commit("more");
    let told = story.asks(1, &["HEAD~1..HEAD"]);
    assert_eq!((told["verdict"].as_str(), told["commits"].as_array().unwrap().len()), (Some("timed-out"), 1), "{told}");
    story.asks(1, &["show", "HEAD~1..HEAD"]);
    story.asks(128, &["HEAD..HEAD"]);
    let ran = story.room.run("git-validate", &["--jsonl", "--force", "HEAD~1..HEAD"]).exits(1);
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, events) = lines.split_last().unwrap();
    for event in events {
        story.fits("git-validate-event", event, &ran.words);
    }
    assert!(events.len() >= 6, "{}", ran.stdout);
    story.fits("git-validate", last, &ran.words);
}

/// Files that are mended, and one that somebody edits meanwhile.
fn mends(story: &mut Story) {
    let edited = story.room.repo().join("edited").display().to_string();
    story.room.trusted_config(&format!(
        "[[checks]]\nname = \"upper\"\nshell = \"! grep '[a-z]' plain edited\"\n\
         fix = [\"sh\", \"-c\", \"for f in plain edited; do tr a-z A-Z < $f > t && cat t > $f; done; rm t; \
         echo mine >> '{edited}'\"]\n\
         [[checks]]\nname = \"skipped\"\ncommand = [\"false\"]\npaths = [\"none\"]\n"
    ));
    story.room.write("plain", "a\n");
    story.room.write("edited", "b\n");
    story.room.commit("to mend");
    let told = story.asks(1, &["--fix"]);
    assert_eq!(told["fixed"]["applied"], json!(["plain"]), "{told}");
    story.asks(1, &["--staged", "--stage", "pre-push"]);
    story.asks(129, &["--fix", "HEAD"]);
}

/// A reviewer who vetoes whatever it is asked about.
const CRITIC: &str = r#"asked=$(cat)
of() { printf '%s\n' "$asked" | sed -n "s/^$1: //p" | head -1; }
veto() {
    printf '{"nonce":"%s","tree":"%s","verdict":"changes","summary":"no",' "$(of nonce)" "$(of tree)"
    printf '"findings":[{"path":"README","line":1,"severity":"error","message":"why"}]}'
}
echo '{"event":"started","session":"s"}'
printf '{"event":"message","text":"%s"}\n' "$(veto | sed 's/"/\\"/g')"
echo '{"event":"ended","good":true}'"#;

/// Facts alone, of a task and of a change that is not shown whole; a reviewer who vetoes, and one who says nothing.
fn reviewers(story: &mut Story) {
    story.room.user_config("[policies.line-length]\nmax = 4\n");
    story.room.run("git-task", &["add", "look", "--goal", "x"]).succeeds();
    let path = story.room.run("git-task", &["worktree", "add", "look"]).succeeds().text().to_owned();
    story.room.write_in(Path::new(&path), "long", &"long\n".repeat(200));
    story.room.commit_in(Path::new(&path), "look");
    story.asks(1, &["task/look"]);
    let told = story.asks(1, &["review", "--agent", "none", "--max-size", "100", "look"]);
    assert_eq!((&told["review"], &told["facts"]["task"]["slug"]), (&Value::Null, &json!("look")), "{told}");
    story.room.script("bin/critic", CRITIC);
    story.room.script("bin/mute", "cat > /dev/null");
    let critic = story.room.path().join("bin/critic").display().to_string();
    let mute = story.room.path().join("bin/mute").display().to_string();
    story.room.user_config(&format!(
        "[agents.critic]\ncommand = [\"{critic}\", \"{{model}}\"]\nprompt = \"stdin\"\nformat = \"events\"\n\
         [agents.mute]\ncommand = [\"{mute}\"]\nprompt = \"stdin\"\nformat = \"events\"\n"
    ));
    let told = story.asks(1, &["review", "--agent", "critic", "--model", "m"]);
    assert_eq!((told["verdict"].as_str(), told["summary"].as_str()), (Some("fail"), Some("no")), "{told}");
    story.asks(1, &["show"]);
    let told = story.asks(128, &["review", "--agent", "mute"]);
    assert_eq!(told["review"]["status"], "broken", "{told}");
    story.asks(128, &["review", "nowhere"]);
}

/// What is noted on a history, goes to a remote and comes back, and what is forgotten.
fn several_clones(story: &mut Story) {
    story.asks(0, &["log"]);
    story.asks(0, &["log", "-m", "1", "HEAD~1..HEAD"]);
    story.asks(128, &["log", "nowhere"]);
    story.asks(128, &["sync"]);
    let bare = story.room.path().join("bare.git").display().to_string();
    story.room.git(&["init", "-q", "--bare", &bare]);
    story.room.git(&["remote", "add", "origin", &bare]);
    story.asks(0, &["sync", "-n"]);
    let told = story.asks(0, &["sync"]);
    assert_eq!(told["pushed"], true, "{told}");
    story.asks(0, &["gc", "-n", "--older-than", "0s"]);
    let told = story.asks(0, &["gc", "--older-than", "0s"]);
    assert!(told["dropped"].as_u64() > Some(0), "{told}");
}

/// Policies that pass, fail and are skipped.
fn policies(story: &mut Story) {
    story.room.user_config("[policies.line-length]\nmax = 4\n[policies.diff-size]\nmax-lines = 1\n");
    story.asks(0, &["policy", "list"]);
    story.asks(0, &["policy", "explain", "line-length"]);
    story.asks(129, &["policy", "explain", "nonsense"]);
    story.asks(1, &["policy", "check"]);
    story.asks(1, &["policy", "check", "HEAD^{tree}"]);
    story.asks(0, &["policy", "check", "--rule", "policy-change", "--staged"]);
    story.asks(128, &["policy", "check", "--rule", "todo"]);
    story.room.user_config("");
}

/// Files that git had to make, for each reason; a submodule; content that is moved aside.
fn every_reason(story: &mut Story) {
    let room = &story.room;
    for name in ["differs", "marked", "modified", "converted", "below/attributes"] {
        room.write(name, "old\n");
    }
    room.write(".gitattributes", "converted text eol=crlf\n");
    let old = room.commit("old");
    room.write("differs", "new\n");
    room.write("below/.gitattributes", "* -text\n");
    let allow = ["-c", "protocol.file.allow=always"];
    let module = room.path().join("module");
    let (from, to) = (room.repo(), module.to_str().unwrap().to_owned());
    room.git(&["clone", "-q", from.to_str().unwrap(), &to]);
    room.git(&[&allow[..], &["submodule", "--quiet", "add", &to, "module"]].concat());
    room.commit("new");
    room.git(&["update-index", "--assume-unchanged", "marked"]);
    room.write("modified", "by somebody\n");
    let (older, newer, clone) = (room.path().join("older"), room.path().join("newer"), room.path().join("clone"));
    room.git(&["worktree", "add", "-q", "--detach", "--no-checkout", older.to_str().unwrap(), &old]);
    room.git(&["worktree", "add", "-q", "--detach", "--no-checkout", newer.to_str().unwrap()]);
    room.git(&["clone", "-q", "--no-checkout", "--no-hardlinks", from.to_str().unwrap(), clone.to_str().unwrap()]);
    room.git_in(&clone, &["remote", "remove", "origin"]);
    story.asks_in(&older, 0, &["--from", from.to_str().unwrap()], "");
    story.asks_in(&newer, 0, &["--from", from.to_str().unwrap()], "");
    story.asks_in(&clone, 0, &[], "");
    story.room.write_in(&older, "differs", "staged\n");
    story.room.git_in(&older, &["add", "differs"]);
    story.asks_in(&older, 128, &[], "");
    story.asks_in(&older, 0, &["--force"], "");
}

/// Its own values, a step, one that fails; and what it proposes.
fn steps_and_proposals(story: &mut Story) {
    story.room.trusted_config("[hydrate]\nafter = [\"true\"]\nenv = [\"PORT={port}\"]\n");
    let other = story.room.path().join("other");
    story.room.git(&["worktree", "add", "-q", "--no-checkout", other.to_str().unwrap()]);
    story.asks_in(&other, 0, &["-n"], "");
    story.asks_in(&other, 0, &["--relink"], "");
    story.room.trusted_config("[hydrate]\nafter = [\"false\"]\n");
    let third = story.room.path().join("third");
    story.room.git(&["worktree", "add", "-q", "--no-checkout", third.to_str().unwrap()]);
    story.asks_in(&third, 128, &[], "");
    story.room.write(".gitignore", "cache\n.env\n");
    story.room.write(".env", "A=1\n");
    let proposed = story.room.run("git-hydrate", &["--json", "--suggest"]).succeeds().json();
    story.fits("git-hydrate-suggest", &proposed, "git-hydrate --suggest");
}

#[test]
fn git_hydrate_answers_as_its_schema_says() {
    let mut story = Story::of("git-hydrate");
    let tree = story.room.path().join("tree");
    story.room.write(".gitignore", "cache\n");
    story.room.write(".worktreeinclude", "cache\n");
    story.room.write("cache/x", "x");
    std::os::unix::net::UnixListener::bind(story.room.repo().join("cache/socket")).unwrap();
    story.room.commit("rules");
    story.room.git(&["worktree", "add", "-q", "--no-checkout", tree.to_str().unwrap()]);
    story.asks_in(&tree, 0, &["-n"], "");
    let filled = story.asks_in(&tree, 0, &[], "");
    assert_eq!(filled["skipped"].as_array().unwrap().len(), 1, "{filled}");
    story.asks_in(&tree, 0, &[], "");
    story.asks_in(&story.room.home(), 128, &[], "");
    story.asks_in(&tree, 129, &["--nonsense"], "");
    every_reason(&mut story);
    steps_and_proposals(&mut story);
    let cost = story.room.run("git-hydrate", &["--json", "--stats"]).succeeds().json();
    story.fits("git-hydrate-stats", &cost, "git-hydrate --stats");
    story.asks(129, &["--stats", "-n"]);
    story.ends(&["git-hydrate-suggest", "git-hydrate-stats"]);
}

/// What an agent of the suite's own says in its first run, and that it can be asked to go on.
const TALKER: &str = r#"#!/bin/sh
event() { printf '{"event":%s}\n' "$1"; }
tokens() { event '"usage","scope":"'"$1"'","input":9,"cached":4,"output":2,"cost":0.5'; }
event '"started","session":"s-1","model":"m"'
event '"message","text":"::milestone:: half"'
event '"tool","id":"t","kind":"command","phase":"begin","text":"make"'
event '"tool","id":"t","kind":"command","phase":"end","ok":false,"exit":2,"text":"make"'
event '"file","path":"out","change":"add"'
event '"error","kind":"network","status":502,"retry":true,"text":"once more"'
tokens step; tokens session
echo nobody knows this
head -c 40000 /dev/zero | tr '\0' x | sed 's/.*/{"event":"message","text":"&"}/'; echo
echo x > out
[ "$1" = m ] && event '"message","text":"::wait:: until=time:1ms timeout=1s"' && event '"ended","good":true' && exit
event '"ended","good":true,"text":"done"'
"#;

/// An agent whose words are read, what it left, how it goes on, and what else is known of agents.
fn talk(story: &mut Story) {
    story.asks(0, &["launch", "--share", "--name", "talk", "--agent", "talker", "--role", "worker", "--prompt", "x"]);
    story.asks(0, &["wait", "talk", "--timeout", "30s"]);
    story.asks(128, &["resume", "main"]);
    story.asks(0, &["resume", "-n", "talk"]);
    story.asks(0, &["resume", "--share", "talk"]);
    let job = story.asks(0, &["wait", "talk", "--timeout", "30s"])["jobs"][0].clone();
    assert_eq!((&job["session_asked"], &job["resumes"]), (&json!("s-1"), &json!("talk#1")), "{job}");
    let left = story.asks(0, &["show", "talk#1"]);
    assert_eq!(left["message"], "done");
    events(story, "talk#1");
    story.asks(0, &["ask", "--agent", "talker", "--prompt", "x"]);
    story.room.write_in(&story.room.home(), "schema.json", "{\"type\":\"object\"}");
    let schema = story.room.home().join("schema.json").display().to_string();
    let answer = story.asks(1, &["ask", "--agent", "talker", "--prompt", "x", "--schema", &schema]);
    assert_eq!((&answer["answer"], &answer["error"]["kind"]), (&json!("done"), &json!("no-answer")));
    story.asks(128, &["ask", "--agent", "nobody", "--prompt", "x"]);
    story.asks(0, &["show", "one"]);
    story.asks(0, &["status", "talk"]);
    story.asks(0, &["list"]);
    story.asks(0, &["agents", "--probe"]);
    story.asks(0, &["prompt", "one"]);
    story.asks(128, &["prompt", "nobody"]);
}

/// A job that waits for everything that can be waited for.
fn waits(story: &mut Story) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let conditions = ["--after", "talk#1", "--when-file", "README", "--when-port", &port, "--delay", "1ms"];
    story.asks(0, &[&["launch", "--share", "--name", "waits"], &conditions[..], &["--", "true"]].concat());
    story.asks(0, &["wait", "waits", "--timeout", "30s"]);
    story.asks(0, &["status", "waits"]);
    story.asks(0, &["list"]);
    events(story, "waits");
}

fn events(story: &mut Story, job: &str) {
    for line in story.room.run("git-worker", &["logs", "--jsonl", job]).succeeds().stdout.lines() {
        story.fits("git-worker-event", &serde_json::from_str(line).unwrap(), line);
    }
}

/// The keys of endpoints, with a keychain that keeps one in a file, and one that keeps none.
fn keys(story: &mut Story) {
    let keychain =
        "case $1 in store) cat > \"$HOME/kept\" ;; lookup) cat \"$HOME/kept\" ;; *) rm -f \"$HOME/kept\" ;; esac";
    story.room.script("bin/secret-tool", keychain);
    story.asks_in(&story.room.repo(), 0, &["auth", "set", "--name", "models.invalid"], "fake-key");
    story.asks(0, &["auth", "status", "--name", "models.invalid"]);
    story.asks(0, &["auth", "remove", "--name", "models.invalid"]);
    story.asks(1, &["auth", "status"]);
    story.room.user_config("[api]\nkey-command = [\"true\"]\n");
    story.asks(0, &["auth", "remove"]);
    story.room.script("bin/secret-tool", "exit 1");
    story.asks_in(&story.room.repo(), 128, &["auth", "set"], "fake-key");
}

#[test]
fn git_worker_answers_as_its_schemas_say() {
    let mut story = Story::of("git-worker");
    story.room.script("talker", TALKER);
    let talker = story.room.path().join("talker").display().to_string();
    story.room.run("git-task", &["add", "one"]).succeeds();
    story.room.run("git-task", &["worktree", "add", "one"]).succeeds();
    let agents = format!(
        "[agents.echo]\ncommand = [\"sh\", \"-c\", \"echo done > file; echo $0\"]\n\
        [agents.poor]\ncommand = [\"sh\", \"-c\", \"echo quota exceeded; exit 1\"]\n[notify]\ncommand = [\"true\"]\n\
        [agents.talker]\ncommand = [\"{talker}\", \"{{model}}\"]\nresume = [\"{talker}\", \"{{session}}\", \"{{model}}\"]\n\
        format = \"events\"\nmodel = \"m\"\n[agents.git]\ncommand = [\"git\"]\n"
    );
    story.room.user_config(&agents);
    story.asks(0, &["launch", "-n", "--", "true"]);
    story.asks(0, &["launch", "one", "--agent", "echo", "--prompt", "a line\nand another"]);
    story.asks(0, &["wait", "one", "--timeout", "30s"]);
    story.asks(0, &["launch", "--timeout", "1h", "--", "sh", "-c", "echo '::milestone:: hello'; exec sleep 60"]);
    story.asks(0, &["status", "--all"]);
    story.asks(128, &["wait", "main", "--timeout", "1ms"]);
    story.asks(1, &["run", "--share", "--name", "poor", "--agent", "poor", "--prompt", "x"]);
    story.asks(1, &["wait", "poor"]);
    story.asks(128, &["launch", "--share", "--agent", "poor", "--prompt", "x"]);
    story.room.user_config(&format!("{agents}[worker]\nprices = [\"m 1 2 3\"]\n"));
    talk(&mut story);
    waits(&mut story);
    let danger = "[danger.drop]\npattern = \"drop table\"\n[danger.rm-outside]\naction = \"stop\"\n";
    story.room.user_config(&format!("{agents}{danger}[worker]\nmax-concurrency = 1\n"));
    story.asks(0, &["launch", "--share", "--name", "queued", "--", "true"]);
    story.asks(0, &["status", "--all"]);
    story.asks(0, &["list"]);
    story.asks(128, &["retry", "queued"]);
    story.asks(0, &["retry", "one", "--prompt", "and more", "-n"]);
    story.asks(0, &["retry", "one", "--prompt", "and more"]);
    story.asks(0, &["stop", "one"]);
    story.asks(0, &["stop", "queued"]);
    story.asks(1, &["wait", "queued"]);
    story.asks(0, &["stop", "--grace", "0", "main"]);
    story.asks(0, &["stop", "main"]);
    story.asks(1, &["wait", "main"]);
    events(&mut story, "main");
    story.asks(0, &["wait", "one#1", "--timeout", "30s"]);
    story.asks(0, &["logs", "main"]);
    story.asks(0, &["logs", "main", "--milestones"]);
    let tree = story.room.path().join("restored");
    story.asks(0, &["snapshots", "one#1"]);
    story.asks(0, &["restore", "one#1", "--to", tree.to_str().unwrap()]);
    story.asks(128, &["restore", "one#1@9"]);
    story.room.write("README", "changed\n");
    story.asks(0, &["launch", "--name", "kept", "--", "sh", "-c", "echo '::milestone:: x'; sleep 0.5"]);
    story.asks(0, &["wait", "kept"]);
    story.room.write("README", "changed again\n");
    story.asks(0, &["restore", "-n", "kept"]);
    story.asks(0, &["restore", "kept"]);
    story.asks(0, &["snapshots", "kept"]);
    story.asks(0, &["list"]);
    story.asks(0, &["status", "--all"]);
    story.asks(128, &["status", "nobody"]);
    story.asks(128, &["launch", "--", "no-such-program"]);
    story.asks(0, &["gc", "-n", "--keep", "0"]);
    story.asks(0, &["gc", "--keep", "0", "--snapshots"]);
    story.asks(0, &["launch", "--name", "killed", "--", "sleep", "60"]);
    let job = &story.asks(0, &["status", "killed"])["jobs"][0];
    story.room.run("sh", &["-c", &format!("kill -9 {}", job["supervisor"]["pid"])]).succeeds();
    std::fs::write(Path::new(job["folder"].as_str().unwrap()).join("foreign"), "x").unwrap();
    story.asks(0, &["gc", "--keep", "0"]);
    let told = story.asks(0, &["audit", "--since", "1h"]);
    let path = Path::new(told["unread"]["path"].as_str().unwrap()).to_owned();
    let lines = std::fs::read_to_string(&path).unwrap();
    let known = lines.lines().rfind(|line| line.contains("\"tokens\":11")).expect("what an agent used is noted");
    for line in lines.lines() {
        story.fits("git-worker-telemetry", &serde_json::from_str(line).unwrap(), "telemetry.jsonl");
    }
    let of_version = known.replace("\"agent_version\":null", "\"agent_version\":\"1.0\"");
    assert_ne!(known, of_version);
    std::fs::write(&path, format!("{lines}torn\n{known}\n{of_version}\n")).unwrap();
    story.asks(0, &["audit", "--all"]);
    keys(&mut story);
    story.ends(&["git-worker-telemetry", "git-worker-event"]);
}

/// A resolver that needs two attempts, names what it drops, and tells its tokens.
const RESOLVER: &str = "cat > /dev/null\necho '{\"event\":\"started\",\"session\":\"s\"}'\n\
    echo x >> \"$HOME/runs\"\n[ $(grep -c x \"$HOME/runs\") != 1 ] || touch stray\n\
    for f in *; do grep -q '<<<<<<<' \"$f\" && git show HEAD:README > /dev/null && printf 'both\\n' > \"$f\"; done\n\
    report='{\"summary\":\"s\",\"files\":['\n\
    for side in ours theirs; do for line in OURS THEIRS; do d=\"$d,{\\\"side\\\":\\\"$side\\\",\\\"line\\\":\\\"$line\\\",\\\"why\\\":\\\"w\\\"}\"; done; done\n\
    echo \"$report{\\\"path\\\":\\\"fought\\\",\\\"summary\\\":\\\"by hand\\\",\\\"dropped\\\":[${d#,}]}]}\" > .codex-worker/resolution.json\n\
    echo '{\"event\":\"usage\",\"input\":3,\"cached\":0,\"output\":2}'\necho '{\"event\":\"ended\",\"good\":true}'\n";

/// Conflicts that a person, a rule and an agent solve.
fn resolutions(story: &mut Story) {
    let room = &story.room;
    let config = |more: &str| {
        let path = room.script("resolver", RESOLVER);
        let agent =
            format!("[agents.fixer]\ncommand = [\"{}\"]\nprompt = \"stdin\"\nformat = \"events\"\n", path.display());
        room.user_config(&format!("[merge]\nunion = [\"list\"]\nagent = \"fixer\"\n{agent}{more}"));
    };
    config("");
    let strange: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"odd-\xff");
    for (branch, line) in [("fight", "OURS"), ("main", "THEIRS")] {
        if branch == "fight" {
            room.git(&["checkout", "-q", "-b", branch]);
        } else {
            room.git(&["checkout", "-q", branch]);
        }
        room.write("fought", &format!("{line}\n"));
        room.write("list", &format!("- {line}\n"));
        std::fs::write(room.repo().join(strange), format!("{line}\n")).unwrap();
        room.commit(line);
    }
    let place = room.path().join("fight");
    room.git(&["worktree", "add", "-q", place.to_str().unwrap(), "fight"]);
    story.asks(1, &["resolve", "fight", "-n"]);
    let told = story.asks(1, &["resolve", "fight", "--agent", "none"]);
    assert!(told["files"].to_string().contains("path_bytes"), "{told}");
    story.asks(1, &["resolve", "fight", "--status"]);
    story.asks(0, &["resolve", "fight", "--abort"]);
    story.asks(1, &["rebase", "fight", "-n"]);
    story.asks(1, &["rebase", "fight"]);
    story.asks(1, &["rebase", "fight", "--status"]);
    story.asks(0, &["rebase", "fight", "--abort"]);
    // A name that is not UTF-8 cannot be named in a report.
    for branch in ["fight", "main"] {
        let folder = if branch == "main" { story.room.repo() } else { place.clone() };
        story.room.git_in(&folder, &["rm", "-q", "--ignore-unmatch", "odd-*"]);
        story.room.commit_in(&folder, "none");
    }
    let told = story.asks(0, &["resolve", "fight"]);
    assert_eq!(told["attempts"][1]["tokens"], 5, "{told}");
    story.asks(0, &["show", "fight"]);
    story.asks(0, &["accept", "fight", "-n"]);
    story.asks(0, &["reject", "fight"]);
    let told = story.asks(1, &["resolve", "fight", "--agent", "none"]);
    story.room.write_in(Path::new(told["worktree"].as_str().unwrap()), "fought", "OURS\n");
    let told = story.asks(0, &["resolve", "fight", "--continue"]);
    assert_eq!(told["files"][0]["takes"], "ours");
    story.asks(0, &["accept", "fight"]);
    story.asks(0, &["resolve", "two", "-n"]);
    story.room.git_in(&place, &["reset", "-q", "--hard", "HEAD~1"]);
    let never = "[[checks]]\nname = \"never\"\ncommand = [\"false\"]\n";
    let path = story.room.home().join(".config/codex-agents/config.toml");
    let before = std::fs::read_to_string(&path).unwrap();
    story.room.user_config(&format!("{before}{never}"));
    story.asks(1, &["rebase", "fight", "--resolve"]);
    story.room.user_config(&before);
    story.room.write_in(&place, "fought", "not committed\n");
    let told = story.asks(0, &["rebase", "fight", "--resolve"]);
    assert_eq!(told["checkout"]["followed"], false);
    story.asks(0, &["rebase", "fight"]);
    story.asks(128, &["rebase", "fight", "--continue"]);
    story.asks(128, &["resolve", "fight", "--continue"]);
}

/// Trains and the hook, each kind of member once.
fn trains(story: &mut Story) {
    story.asks(1, &["train", "one", "two", "-n"]);
    story.asks(1, &["train", "one", "two"]);
    story.asks(1, &["train", "one", "--validate"]);
    let told = story.asks(128, &["train", "stranger", "one", "main"]);
    assert_eq!(told["train"]["ref"], "refs/agent-merge-train/main");
    let room = &story.room;
    for name in ["a", "b", "c"] {
        room.git(&["checkout", "-q", "-b", name, "main"]);
        room.write(name, name);
        room.commit(name);
    }
    room.git(&["checkout", "-q", "main"]);
    let together = "! test -e a || ! test -e b";
    room.user_config(&format!("[[checks]]\nname = \"both\"\ncommand = [\"sh\", \"-c\", \"{together}\"]\n"));
    let told = story.asks(1, &["train", "a", "b", "c", "--validate", "--explain"]);
    assert_eq!((&told["members"][1]["breaks_with"], &told["members"][2]["state"]), (&"a".into(), &"behind".into()));
    story.asks(1, &["train", "a", "b", "c", "--validate", "--keep-going", "--onto", "main~0"]);
    let place = story.room.path().join("sideline");
    story.room.git(&["worktree", "add", "-q", "-b", "sideline", place.to_str().unwrap()]);
    story.room.write_in(&place, "a", "in the way\n");
    let told = story.asks(0, &["train", "a", "c", "--validate", "--land", "--onto", "sideline"]);
    assert_eq!(told["checkout"]["followed"], false);
    story.room.user_config("[[checks]]\nname = \"never\"\ncommand = [\"false\"]\n");
    let told = story.asks(1, &["train", "a", "--validate"]);
    assert_eq!(told["base"]["verdict"], "fail");
    story.asks(129, &["train", "a", "--explain"]);
    story.asks(0, &["install", "-n"]);
    story.asks(0, &["install"]);
    story.asks(0, &["install"]);
    story.asks(0, &["uninstall"]);
    story.asks(0, &["uninstall"]);
}

#[test]
fn git_agent_merge_answers_as_its_schema_says() {
    let mut story = Story::of("git-agent-merge");
    let room = &story.room;
    for (task, line) in [("one", "ONE"), ("two", "TWO")] {
        room.run("git-task", &["add", task]).succeeds();
        let path = room.run("git-task", &["worktree", "add", task]).succeeds().text().to_owned();
        let strange = std::os::unix::ffi::OsStrExt::from_bytes(b"not-\xff-utf8");
        std::fs::write(Path::new(&path).join::<&std::ffi::OsStr>(strange), line).unwrap();
        room.write_in(Path::new(&path), "README", &format!("one\n{line}\nthree\n"));
        room.commit_in(Path::new(&path), task);
        room.write_in(Path::new(&path), "more", line);
    }
    room.git(&["checkout", "-q", "--orphan", "stranger"]);
    room.commit("no common history");
    room.git(&["checkout", "-q", "-f", "main"]);
    story.asks(0, &["check", "one"]);
    story.asks(1, &["check", "--all", "--dirty"]);
    story.room.run("git-task", &["add", "zero"]).succeeds();
    story.room.run("git-task", &["edit", "two", "--depends-on", "one", "--depends-on", "zero"]).succeeds();
    story.room.run("git-task", &["add", "apart"]).succeeds();
    let told = story.asks(1, &["order", "--all", "--dirty"]);
    assert_eq!(told["order"][1]["conflicts"][0]["with"], "branch");
    // Git is asked of two that change the same, and they merge.
    story.room.git(&["branch", "like", "task/one"]);
    story.asks(0, &["check", "one", "like", "--no-cache"]);
    story.asks(128, &["order", "stranger", "one"]);
    story.asks(128, &["check", "none*"]);
    story.asks_in(&story.room.repo(), 1, &["check", "--stdin"], "main task/one\ntask/one task/two\n");
    trains(&mut story);
    let told = story.asks(128, &["check", "stranger", "one"]);
    assert_eq!(told["branches"][1]["verdict"], "could-not-tell");
    story.room.git(&["branch", "lost", "main"]);
    let blob = story.room.git(&["rev-parse", "task/one:README"]);
    std::fs::remove_file(story.room.repo().join(".git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    let told = story.asks(128, &["check", "one", "two", "--no-cache"]);
    assert_eq!(told["pairs"][0]["verdict"], "could-not-tell", "{told}");
    resolutions(&mut story);
    story.asks(128, &["check", "nonsense"]);
    story.asks(129, &["check", "--nonsense"]);
    story.asks_in(&story.room.home(), 128, &["check"], "");
    story.ends(&[]);
}
