//! Conflicts that rules, scripted agents and people resolve, and what is offered of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use suite_tests::{Ran, Sandbox, program_folder};

/// Branch `topic` and `main` conflict in `code` and `list`; `other` does not conflict.
pub(crate) fn room() -> Sandbox {
    let room = Sandbox::new();
    room.write("code", "fn one() {\n    start();\n    work(a);\n    end();\n}\n");
    room.write("list", "# Changes\n\n- first\n");
    room.write("other", "other\n");
    room.commit("files");
    room.git(&["checkout", "-q", "-b", "topic"]);
    room.write("code", "fn one() {\n    start();\n    work(a, b);\n    log(b);\n    end();\n}\n");
    room.write("list", "# Changes\n\n- topic\n- first\n");
    room.commit("topic works with b");
    room.git(&["checkout", "-q", "main"]);
    room.write("code", "fn one() {\n    start();\n    work(a, c);\n    check(c);\n    end();\n}\n");
    room.write("list", "# Changes\n\n- main\n- first\n");
    room.commit("main works with c");
    room
}

/// An agent that runs this script in the worktree, with the prompt in `$HOME/asked`.
pub(crate) fn agent(room: &Sandbox, script: &str) {
    let body = format!(
        "cat > \"$HOME/asked\"\necho x >> \"$HOME/runs\"\necho '{{\"event\":\"started\",\"session\":\"s\"}}'\n\
         run=$(grep -c x \"$HOME/runs\")\n{script}\n\
         echo '{{\"event\":\"message\",\"text\":\"done\"}}'\necho '{{\"event\":\"ended\",\"good\":true}}'\n"
    );
    let path = room.script("fixer", &body);
    room.user_config(&format!(
        "[merge]\nunion = [\"list\"]\nagent = \"fixer\"\n[agents.fixer]\ncommand = [\"{}\"]\nprompt = \"stdin\"\nformat = \"events\"\n",
        path.display()
    ));
}

const GOOD: &str =
    "printf 'fn one() {\\n    start();\\n    work(a, b, c);\\n    log(b);\\n    check(c);\\n    end();\\n}\\n' > code";

pub(crate) fn resolve(room: &Sandbox, more: &[&str]) -> Ran {
    room.run("git-agent-merge", &[&["resolve", "topic", "--json"], more].concat())
}

/// Everything that is the user's: files, index, refs but for ours, and what git says of the worktree.
pub(crate) fn users(room: &Sandbox) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let git = |words: &[&str]| room.git(words).into_bytes();
    all.insert(
        "refs".into(),
        git(&["for-each-ref", "refs/heads", "refs/tags", "refs/stash", "--format=%(refname) %(objectname)"]),
    );
    all.insert("status".into(), git(&["status", "--porcelain"]));
    all.insert("head".into(), git(&["rev-parse", "HEAD"]));
    for name in ["index", "HEAD", "config", "MERGE_HEAD", "MERGE_RR"] {
        all.insert(name.into(), fs::read(room.repo().join(".git").join(name)).unwrap_or_default());
    }
    for entry in fs::read_dir(room.repo()).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        all.insert(format!("file {}", entry.file_name().to_string_lossy()), fs::read(entry.path()).unwrap());
    }
    let memory = room.repo().join(".git/rr-cache");
    let count = fs::read_dir(memory).map(|entries| entries.count()).unwrap_or(0);
    all.insert("rr-cache".into(), count.to_string().into_bytes());
    all
}

pub(crate) fn file<'a>(answer: &'a Value, path: &str) -> &'a Value {
    answer["files"].as_array().unwrap().iter().find(|file| file["path"] == path).unwrap()
}

fn worktree(answer: &Value) -> PathBuf {
    PathBuf::from(answer["worktree"].as_str().unwrap())
}

fn has_worktrees(room: &Sandbox) -> usize {
    room.git(&["worktree", "list", "--porcelain"]).matches("worktree ").count()
}

#[test]
fn a_good_agent_is_offered_shown_and_accepted() {
    let room = room();
    agent(&room, GOOD);
    let before = users(&room);
    let answer = resolve(&room, &[]).succeeds().json();
    assert_eq!(before, users(&room));
    assert_eq!(answer["outcome"], "proposed", "{answer}");
    assert_eq!(file(&answer, "list")["by"][0]["who"], "union");
    assert_eq!(file(&answer, "code")["by"][0]["who"], "agent");
    let dropped = file(&answer, "code")["dropped"].as_array().unwrap();
    assert!(dropped.iter().all(|line| line["how"] == "combined") && dropped.len() == 2, "{answer}");
    assert_eq!(answer["validated"], "no-checks");
    assert_eq!(has_worktrees(&room), 1, "the worktree of the attempt is gone");
    let asked = fs::read_to_string(room.home().join("asked")).unwrap();
    for words in
        ["code (content, 1 hunks open)", "topic works with b", "main works with c", "History of hunk 1 of code in ours"]
    {
        assert!(asked.contains(words), "{words}: {asked}");
    }
    room.run("git-agent-merge", &["show", "topic"]).succeeds().says("++    work(a, b, c);").says("union 1");
    room.run("git-agent-merge", &["show", "topic"]).says("git validate: there are no checks");
    room.run("git-agent-merge", &["accept", "topic", "-n"]).succeeds().says("would move topic");
    assert_eq!(before, users(&room));
    let old = room.git(&["rev-parse", "topic"]);
    let accepted = room.run("git-agent-merge", &["accept", "topic", "--json"]).succeeds().json();
    assert_eq!(room.git(&["rev-parse", "topic^1"]), old);
    assert_eq!(room.git(&["rev-parse", "topic^2"]), room.git(&["rev-parse", "main"]));
    assert_eq!(room.git(&["rev-parse", accepted["backup"].as_str().unwrap()]), old);
    assert_eq!(room.git(&["show", "topic:list"]), "# Changes\n\n- topic\n- main\n- first");
    assert!(room.git(&["notes", "--ref=agent", "show", "topic"]).contains("\"agent\":\"fixer\""));
    assert_eq!(room.git(&["for-each-ref", "refs/agent-merge", "refs/agent-merge-attempts"]), "");
    room.run("git-agent-merge", &["check", "topic"]).succeeds();
}

#[test]
fn what_cannot_be_verified_is_not_offered_and_each_failure_is_named() {
    let report = |body: &str| format!("printf '%s' '{body}' > .codex-worker/resolution.json");
    for (name, script, words) in [
        ("lazy", "git show topic:code > code".to_owned(), "takes ours, and the report does not say so"),
        (
            "drops a hunk",
            "printf 'fn one() {\\n    start();\\n    work(a, b, c);\\n    end();\\n}\\n' > code".to_owned(),
            "lacks 2 lines",
        ),
        ("edits other files", format!("{GOOD}; echo x >> other; rm list"), "changed paths that do not conflict: other"),
        ("leaves markers", "true".to_owned(), "still has 4 lines of conflict markers"),
        ("deletes", "rm code".to_owned(), "'code' deleted, and the report does not say so"),
        ("fails", "echo garbage; exit 3".to_owned(), "failed"),
        ("kills", "kill -9 $$".to_owned(), "the agent's job"),
        ("never ends", "sleep 300".to_owned(), "timed-out"),
        (
            "is not sure",
            format!("{GOOD}; {}", report("{\"confidence\":\"low\",\"summary\":\"guessed\"}")),
            "not sure of it: guessed",
        ),
        ("writes a broken report", format!("{GOOD}; {}", report("{\"files\": 3}")), "the report cannot be read"),
        ("breaks the worktree", "rm -rf .git code; git init -q .; echo x > code".to_owned(), "'code' lacks"),
    ] {
        let room = room();
        agent(&room, &script);
        let before = users(&room);
        let answer = resolve(&room, &["--attempts", "1", "--timeout", "3s"]).exits(1).json();
        assert_eq!(before, users(&room), "{name}");
        let all = format!("{} {}", answer["reason"], answer["attempts"]);
        assert!(all.contains(words), "{name}: {answer}");
        assert_eq!(answer["outcome"], "open", "{name}");
        assert!(worktree(&answer).is_dir(), "{name}: the half-done worktree is kept");
        let kept = answer["attempts"][0]["ref"].as_str().unwrap();
        room.git(&["rev-parse", "--verify", kept]);
        assert_eq!(room.git(&["for-each-ref", "refs/agent-merge"]), "", "{name}");
        room.run("git-agent-merge", &["accept", "topic"]).exits(1);
        let again = room.run("git-agent-merge", &["resolve", "topic", "--abort", "--json"]).succeeds().json();
        room.git(&["rev-parse", "--verify", again["backup"].as_str().unwrap()]);
        assert_eq!((before, has_worktrees(&room)), (users(&room), 1), "{name}");
    }
}

#[test]
fn the_next_attempt_is_told_what_was_wrong_and_starts_anew() {
    let room = room();
    agent(&room, &format!("if [ $run = 1 ]; then echo x >> other; rm list; touch stray; else {GOOD}; fi"));
    let answer = resolve(&room, &[]).succeeds().json();
    assert_eq!(answer["attempts"].as_array().unwrap().len(), 2);
    assert!(answer["attempts"][0]["problems"][0].as_str().unwrap().contains("other"), "{answer}");
    let asked = fs::read_to_string(room.home().join("asked")).unwrap();
    assert!(asked.contains("An earlier attempt was not accepted") && asked.contains("conflict: other"), "{asked}");
    assert_eq!(
        room.git(&["ls-tree", "--name-only", "refs/agent-merge/topic"]),
        room.git(&["ls-tree", "--name-only", "main"])
    );
}

#[test]
fn what_a_report_names_may_go() {
    let room = room();
    let report = "{\"confidence\":\"high\",\"files\":[{\"path\":\"code\",\"summary\":\"no log\",\"dropped\":[{\"side\":\"ours\",\"line\":\"log(b);\",\"why\":\"check does it\"}]}]}";
    agent(&room, &format!("{GOOD}; sed -i '/log/d' code; printf '%s' '{report}' > .codex-worker/resolution.json"));
    let answer = resolve(&room, &[]).succeeds().json();
    let named: Vec<_> =
        file(&answer, "code")["dropped"].as_array().unwrap().iter().filter(|line| line["how"] == "named").collect();
    assert_eq!((named.len(), &named[0]["text"], &named[0]["why"]), (1, &"    log(b);".into(), &"check does it".into()));
    room.run("git-agent-merge", &["show", "topic"]).says("log(b);  dropped: check does it");
}

#[test]
fn checks_judge_the_result_and_the_next_attempt_hears_of_it() {
    let room = room();
    agent(&room, &format!("{GOOD}; [ $run = 2 ] || sed -i 's/check(c)/check( c)/' code"));
    let config = fs::read_to_string(room.home().join(".config/codex-agents/config.toml")).unwrap();
    room.user_config(&format!(
        "{config}[[checks]]\nname = \"unit\"\ncommand = [\"grep\", \"-q\", \"check(c)\", \"code\"]\n"
    ));
    let answer = resolve(&room, &[]).succeeds().json();
    assert_eq!((answer["attempts"].as_array().unwrap().len(), &answer["validated"]), (2, &"pass".into()), "{answer}");
    assert!(fs::read_to_string(room.home().join("asked")).unwrap().contains("git validate says 'fail'"));
}

#[test]
fn a_person_goes_on_where_it_was_left() {
    let room = room();
    let answer = resolve(&room, &["--agent", "none"]).exits(1).json();
    let place = worktree(&answer);
    assert!(room.git_in(&place, &["status"]).contains("both modified:   code"));
    room.run("git-agent-merge", &["resolve", "topic"]).exits(128).warns("--continue topic");
    room.run("git-agent-merge", &["resolve", "topic", "--status"]).exits(1).says("go on by hand in");
    room.run("git-agent-merge", &["resolve", "topic", "--continue"]).exits(1).says("4 lines of conflict markers");
    room.write_in(&place, "code", "fn one() {\n    work(a, b, c);\n}\n");
    room.write_in(&place, "list", "# Changes\n");
    room.write_in(&place, "other", "changed on purpose\n");
    // Whether it is committed or not makes no difference.
    room.git_in(&place, &["commit", "-qam", "by hand"]);
    let answer = resolve(&room, &["--continue"]).succeeds().json();
    assert_eq!(file(&answer, "code")["by"][0]["who"], "person");
    assert!(file(&answer, "code")["dropped"].to_string().contains("log(b);"), "{answer}");
    assert_eq!(room.git(&["show", "refs/agent-merge/topic:other"]), "changed on purpose");
    room.run("git-agent-merge", &["reject", "topic"]).succeeds().says("refs/backup/topic/");
    assert_eq!(room.git(&["for-each-ref", "refs/agent-merge"]), "");
    room.run("git-agent-merge", &["reject", "topic"]).exits(1);
}

#[test]
fn a_proposal_is_refused_when_its_branch_has_moved() {
    let room = room();
    agent(&room, GOOD);
    resolve(&room, &[]).succeeds();
    resolve(&room, &[]).succeeds();
    assert_eq!(fs::read_to_string(room.home().join("runs")).unwrap(), "x\n", "shown again, not done again");
    room.git(&["branch", "-f", "topic", "topic~1"]);
    room.run("git-agent-merge", &["accept", "topic"]).exits(128).warns("has moved");
    assert!(room.git(&["for-each-ref", "refs/agent-merge"]).contains("refs/agent-merge/topic"));
    // What no longer conflicts needs no proposal, and the old one is kept.
    resolve(&room, &[]).succeeds();
    assert!(room.git(&["for-each-ref", "refs/backup"]).contains("refs/backup/topic/"));
}

#[test]
fn limits_end_it_before_an_agent_is_asked() {
    let room = room();
    agent(&room, GOOD);
    room.write("list", "# Other\n\n- main\n");
    room.commit("list conflicts beyond a union");
    let answer = resolve(&room, &["--max-files", "1"]).exits(1).json();
    assert!(answer["reason"].as_str().unwrap().contains("2 conflicted files"), "{answer}");
    assert!(!room.home().join("runs").exists());
    room.run("git-agent-merge", &["resolve", "topic", "--abort"]).succeeds();
    let answer = resolve(&room, &["--max-hunks", "1"]).exits(1).json();
    assert!(answer["reason"].as_str().unwrap().contains("2 conflicted hunks"), "{answer}");
}

#[test]
fn a_dry_run_says_what_the_rules_solve_and_leaves_nothing() {
    let room = room();
    agent(&room, GOOD);
    let content = || -> usize { fs_count(&room.repo()) + fs_count(&room.home()) };
    let before = (users(&room), content());
    let answer = resolve(&room, &["-n"]).exits(1).json();
    assert_eq!((&answer["outcome"], &file(&answer, "code")["open"]), (&"preview".into(), &1.into()));
    assert_eq!(before, (users(&room), content()));
}

fn fs_count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| if entry.file_type().unwrap().is_dir() { fs_count(&entry.path()) } else { 1 }).sum()
}

#[test]
fn rules_can_be_turned_off_and_wrong_settings_are_named() {
    let room = room();
    agent(&room, GOOD);
    let answer = resolve(&room, &["-n", "--no-rule", "union"]).exits(1).json();
    assert_eq!(file(&answer, "list")["open"], 1);
    room.user_config("[merge]\nrules = [\"identical\", \"magic\"]\n");
    resolve(&room, &["-n"]).exits(128).warns("magic");
    room.user_config("[merge.generated.lock]\npaths = [\"lock\"]\n");
    resolve(&room, &["-n"]).exits(128).warns("merge.generated.lock.command");
    room.user_config("");
    room.run("git-agent-merge", &["resolve", "main~1"]).exits(128).warns("is no branch");
    room.run("git-agent-merge", &["resolve", "top*"]).exits(129).warns("name one");
    room.run("git-agent-merge", &["resolve", "main"]).succeeds().says("without a conflict");
}

#[test]
fn a_lockfile_is_made_anew_and_never_merged_as_text() {
    let room = room();
    agent(&room, GOOD);
    for (branch, line) in [("topic", "topic 1\n"), ("main", "main 1\n")] {
        room.git(&["checkout", "-q", branch]);
        room.write("app.lock", line);
        room.commit("lock");
    }
    let config = fs::read_to_string(room.home().join(".config/codex-agents/config.toml")).unwrap();
    let rule = "[merge.generated.lock]\npaths = [\"*.lock\"]\ncommand = [\"sh\", \"-c\", \"cat code list | sort > app.lock\"]\n";
    room.user_config(&format!("{config}{rule}"));
    let answer = resolve(&room, &[]).succeeds().json();
    assert_eq!(file(&answer, "app.lock")["by"][0]["who"], "generated");
    let lock = room.git(&["show", "refs/agent-merge/topic:app.lock"]);
    assert!(lock.contains("work(a, b, c)") && lock.contains("- main"), "{lock}");
    room.run("git-agent-merge", &["reject", "topic"]).succeeds();
    room.user_config(&format!("{config}{}", rule.replace("cat code", "exit 3; cat code")));
    let answer = resolve(&room, &["--attempts", "1"]).exits(1).json();
    assert!(answer["reason"].as_str().unwrap().contains("merge.generated.lock"), "{answer}");
}

#[test]
fn what_git_remembers_counts_only_if_it_is_asked_for() {
    let room = room();
    agent(&room, "exit 1");
    room.git(&["config", "rerere.enabled", "true"]);
    room.git(&["checkout", "-q", "topic"]);
    room.run("git", &["merge", "main"]).exits(1);
    room.write("code", "remembered\n");
    room.write("list", "# Changes\n");
    room.git(&["commit", "-qam", "by hand"]);
    room.git(&["reset", "-q", "--hard", "HEAD~1"]);
    room.git(&["checkout", "-q", "main"]);
    let before = users(&room);
    let answer = resolve(&room, &["-n"]).exits(1).json();
    assert_eq!(file(&answer, "code")["open"], 1, "not used");
    let answer = resolve(&room, &["-n", "--rerere"]).succeeds().json();
    assert_eq!(file(&answer, "code")["by"][0]["who"], "rerere", "{answer}");
    let answer = resolve(&room, &["--rerere"]).succeeds().json();
    assert_eq!(room.git(&["show", "refs/agent-merge/topic:code"]), "remembered");
    assert!(file(&answer, "code")["dropped"].as_array().unwrap().len() >= 4, "what it drops is named: {answer}");
    assert_eq!(before, users(&room));
    // A repository cannot turn it on.
    room.git(&["config", "--unset", "rerere.enabled"]);
    room.write(".codex-agent/config.toml", "[merge]\nrerere = true\n");
    let answer = room.run("git-agent-merge", &["resolve", "topic", "-n", "--json", "--onto", "main"]);
    assert!(answer.stderr.contains("may be set by the user only"), "{}", answer.stderr);
}

#[test]
fn a_merge_by_structure_is_taken_only_if_it_drops_nothing() {
    let room = room();
    let merged = "fn one() {\\n    start();\\n    work(a, b, c);\\n    log(b);\\n    check(c);\\n    end();\\n}\\n";
    for (content, by) in [(merged.to_owned(), "structural"), (merged.replace("    log(b);\\n", ""), "none")] {
        room.script("bin/mergiraf", &format!("while [ \"$1\" != -o ]; do shift; done\nprintf '{content}' > \"$2\"\n"));
        let path = room.path().join("bin");
        let answer = room
            .command(program_folder().join("git-agent-merge"))
            .args(["resolve", "topic", "-n", "--json"])
            .env("PATH", format!("{}:{}", path.display(), std::env::var("PATH").unwrap()))
            .current_dir(room.repo())
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
        let code = file(&answer, "code");
        assert_eq!(code["by"].get(0).map_or("none", |by| by["who"].as_str().unwrap()), by, "{answer}");
        assert_eq!(code["remarks"].as_array().unwrap().len(), usize::from(by == "none"), "{answer}");
    }
}

#[test]
fn a_link_that_becomes_a_folder_is_no_hindrance() {
    let room = room();
    agent(&room, GOOD);
    room.write("real/file", "x\n");
    std::os::unix::fs::symlink("real", room.repo().join("link")).unwrap();
    room.commit("a link");
    room.git(&["checkout", "-q", "topic"]);
    room.git(&["merge", "-q", "-X", "ours", "--no-edit", "main~1"]);
    room.write("real/file", "x\n");
    room.write("link/file", "y\n");
    room.write("code", "fn one() {\n    topic();\n}\n");
    room.commit("a folder");
    room.git(&["checkout", "-q", "main"]);
    room.write("code", "fn one() {\n    main();\n}\n");
    room.git(&["rm", "-q", "link"]);
    room.write("link/file", "y\n");
    room.commit("a folder here too");
    let answer = resolve(&room, &["--agent", "none"]).exits(1).json();
    assert!(worktree(&answer).join("link/file").exists(), "{answer}");
}

#[test]
fn the_agent_hears_of_the_tasks_of_both_sides() {
    let room = Sandbox::new();
    agent(&room, "exit 1");
    for (task, goal) in [("first", "count from one"), ("second", "count from zero")] {
        room.run("git-task", &["add", task, "--goal", goal]).succeeds();
        let place = room.run("git-task", &["worktree", "add", task]).succeeds().text().to_owned();
        room.write_in(Path::new(&place), "README", &format!("one\n{task}\nthree\n"));
        room.commit_in(Path::new(&place), task);
    }
    room.run("git-task", &["complete", "first", "--unvalidated"]).succeeds();
    room.run("git-agent-merge", &["resolve", "second", "--attempts", "1"]).exits(1);
    let asked = fs::read_to_string(room.home().join("asked")).unwrap();
    for words in
        ["The task of ours: second\ncount from zero", "Task 'first', which theirs has merged: first\ncount from one"]
    {
        assert!(asked.contains(words), "{words}: {asked}");
    }
    room.run("git-agent-merge", &["resolve", "second", "--abort"]).succeeds();
}

#[test]
fn a_command_that_the_agent_puts_into_gits_configuration_does_not_run() {
    let room = room();
    let main = room.repo();
    let git = format!("git -C '{}'", main.display());
    agent(
        &room,
        &format!(
            "{GOOD}; echo '* filter=mine' > .gitattributes; {git} config filter.mine.clean 'touch $HOME/ran; cat'"
        ),
    );
    room.run("git-agent-merge", &["resolve", "topic"]).exits(128).warns("filter.mine.clean");
    room.run("git-agent-merge", &["resolve", "topic", "--abort"]).exits(128).warns("filter.mine.clean");
    assert!(!room.home().join("ran").exists());
    room.git(&["config", "--unset", "filter.mine.clean"]);
    room.run("git-agent-merge", &["resolve", "topic", "--abort"]).succeeds();
}

#[test]
fn without_an_agent_it_says_so_and_tries_no_further() {
    let room = room();
    for (more, words) in [(&[][..], "worker.agent"), (&["--agent", "nobody"], "nobody")] {
        let answer = resolve(&room, more).exits(1).json();
        let reason = answer["reason"].as_str().unwrap();
        assert!(reason.starts_with("no agent could be asked: ") && reason.contains(words), "{answer}");
        assert_eq!((&answer["outcome"], answer["attempts"].as_array().unwrap().len()), (&"open".into(), 0));
        assert!(file(&answer, "code")["by"].as_array().unwrap().is_empty(), "{answer}");
        room.run("git-agent-merge", &["resolve", "topic", "--abort"]).succeeds();
    }
}
