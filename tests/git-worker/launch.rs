//! `git worker launch`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use suite_tests::Ran;

use crate::room::{Room, count, text, unique, until};

#[test]
fn a_launch_returns_at_once_and_the_job_runs() {
    let room = Room::new();
    let begin = Instant::now();
    room.worker(&["launch", "--", "sleep", "60"]).succeeds().prints("main#1\n");
    assert!(begin.elapsed() < Duration::from_secs(5));
    let job = room.job("main");
    assert_eq!((job["state"].as_str(), job["terminal"].as_bool()), (Some("running"), Some(false)));
    assert_eq!(job["branch"], "refs/heads/main");
    assert!(job["child"]["pid"].is_u64() && job["supervisor"]["boot"].is_string());
}

#[test]
fn a_program_that_does_not_exist_is_named_and_leaves_no_job() {
    let room = Room::new();
    room.worker(&["launch", "--", "no-such-program"]).exits(128).warns("no-such-program").prints("");
    room.worker(&["launch", "--", "./neither"]).exits(128).warns("neither");
    room.worker(&["list"]).succeeds().prints("");
}

#[test]
fn a_worktree_that_is_not_filled_is_filled_first() {
    let room = Room::new();
    let path = room.path().join("new");
    room.git(&["worktree", "add", "-q", "-b", "new", "--no-checkout", path.to_str().unwrap()]);
    let arguments = ["launch", "--worktree", path.to_str().unwrap(), "--", "cat", "README"];
    room.worker(&arguments).succeeds().prints("new#1\n").warns("filling");
    room.worker(&["wait", "new"]).succeeds();
    room.worker(&["logs", "new"]).succeeds().prints("one\ntwo\nthree\n");
    assert_eq!(room.git_in(&path, &["status", "--porcelain"]), "");
}

#[test]
fn a_worktree_that_cannot_be_filled_gets_no_job() {
    let room = Room::new();
    let path = room.path().join("new");
    room.git(&["worktree", "add", "-q", "-b", "new", "--no-checkout", path.to_str().unwrap()]);
    fs::write(path.join("README"), "mine\n").unwrap();
    let arguments = ["launch", "--worktree", path.to_str().unwrap(), "--", "true"];
    room.worker(&arguments).exits(128).warns("is not filled").warns("differ from HEAD");
    room.worker(&["list"]).succeeds().prints("");
    assert_eq!(fs::read_to_string(path.join("README")).unwrap(), "mine\n");
}

#[test]
fn a_program_that_cannot_start_is_a_failed_job() {
    let room = Room::new();
    room.write("junk", "\u{1}\u{2}");
    fs::set_permissions(room.repo().join("junk"), fs::Permissions::from_mode(0o755)).unwrap();
    room.worker(&["launch", "--", "./junk"]).exits(128).warns("'./junk'");
    assert_eq!(room.job("main")["state"], "failed");
    room.worker(&["launch", "--", "true"]).succeeds().prints("main#2\n");
}

#[test]
fn a_failure_as_json_names_its_kind() {
    let room = Room::new();
    let ran = room.worker(&["--json", "launch", "--", "no-such-program"]).exits(128);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "no-program");
}

#[test]
fn a_dry_run_starts_nothing() {
    let room = Room::new();
    room.worker(&["launch", "-n", "--", "touch", "trace"]).succeeds().says("would start main");
    assert!(!room.state().join("jobs").exists() && !room.repo().join("trace").exists());
}

#[test]
fn a_missing_worktree_is_refused() {
    let room = Room::new();
    room.worker(&["launch", "--worktree", "gone", "--", "true"]).exits(128).warns("gone");
    room.run_in(room.path(), "git-worker", &["launch", "--", "true"]).exits(128).warns("not a git repository");
}

#[test]
fn a_busy_worktree_is_refused_unless_shared() {
    let room = Room::new();
    room.worker(&["launch", "--", "sleep", "60"]).succeeds();
    room.worker(&["launch", "--", "true"]).exits(128).warns("main#1").warns("--share");
    room.worker(&["launch", "--share", "--", "true"]).succeeds().prints("main#2\n");
    room.worker(&["stop", "--grace", "0", "main#1"]).succeeds();
    room.ended("main#2");
    room.worker(&["launch", "--", "true"]).succeeds().prints("main#3\n");
}

#[test]
fn launches_at_the_same_time_get_numbers_of_their_own() {
    let room = Room::new();
    let ids: Vec<Ran> = std::thread::scope(|scope| {
        let launch = || room.worker(&["launch", "--share", "--", "true"]);
        let all: Vec<_> = (0..8).map(|_| scope.spawn(launch)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut ids: Vec<String> = ids.into_iter().map(|ran| ran.succeeds().text().to_owned()).collect();
    ids.sort();
    let expected: Vec<String> = (1..=8).map(|n| format!("main#{n}")).collect();
    assert_eq!(ids, expected);
}

#[test]
fn only_one_of_many_launches_gets_an_unshared_worktree() {
    let room = Room::new();
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(|| room.worker(&["launch", "--", "sleep", "60"]).code)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
}

#[test]
fn the_job_holds_nothing_of_the_callers() {
    let room = Room::new();
    // The pipe ends only when nobody holds it; an inherited descriptor 7 would hold it too.
    let script = "{ git-worker launch -- sleep 60; } 7>&1 | cat; echo done";
    let begin = Instant::now();
    let ran = room.run("sh", &["-c", script]).succeeds();
    assert_eq!(ran.stdout, "main#1\ndone\n");
    assert!(begin.elapsed() < Duration::from_secs(20));
    room.run("sh", &["-c", "git-worker launch --share -- sleep 60 >&- 2>&- <&-"]);
    until("the job runs", || room.job("main#2")["state"] == "running");
}

#[test]
fn the_job_survives_the_terminal_it_was_launched_from() {
    let room = Room::new();
    if room.run("sh", &["-c", "command -v script"]).code != 0 {
        return suite_tests::skip("the end of a terminal", "there is no script(1)");
    }
    room.run("script", &["-qec", "git-worker launch -- sleep 60", "/dev/null"]).succeeds();
    let job = room.job("main");
    assert_eq!(job["state"], "running");
    let stat = text(std::path::Path::new(&format!("/proc/{}/stat", job["child"]["pid"])));
    let terminal = stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(4).unwrap().to_owned();
    assert_eq!(terminal, "0", "the child has no terminal");
}

#[test]
fn what_a_hook_exports_does_not_reach_the_job() {
    let room = Room::new();
    let mut command = room.command("git-worker");
    command.args(["launch", "--", "sh", "-c", "echo dir=$GIT_DIR index=$GIT_INDEX_FILE; git rev-parse HEAD"]);
    command.env("GIT_DIR", ".git").env("GIT_INDEX_FILE", "/nowhere/index");
    Ran::new("launch in a hook".into(), command.output().unwrap()).succeeds();
    assert_eq!(room.ended("main")["state"], "completed");
    let head = room.git(&["rev-parse", "HEAD"]);
    room.worker(&["logs"]).succeeds().prints(&format!("dir= index=\n{head}\n"));
}

#[test]
fn the_link_to_the_log_is_not_seen_by_git() {
    let room = Room::new();
    room.write(".git/info/exclude", "mine");
    let id = room.sh("a", "echo hello");
    room.ended(&id);
    assert_eq!(text(&room.repo().join(".codex-worker/log.txt")), "hello\n");
    assert_eq!(room.git(&["status", "--porcelain"]), "");
    let id = room.sh("a", "echo again");
    room.ended(&id);
    assert_eq!(text(&room.repo().join(".git/info/exclude")), "mine\n/.codex-worker/\n");
    assert_eq!(text(&room.repo().join(".codex-worker/log.txt")), "again\n");
}

#[test]
fn a_planted_link_is_not_followed() {
    let room = Room::new();
    let victim = room.path().join("victim");
    fs::create_dir(&victim).unwrap();
    std::os::unix::fs::symlink(&victim, room.repo().join(".codex-worker")).unwrap();
    room.worker(&["launch", "--", "true"]).succeeds().warns(".codex-worker");
    room.ended("main");
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    fs::remove_file(room.repo().join(".codex-worker")).unwrap();
    room.write(".codex-worker/log.txt", "mine");
    room.worker(&["launch", "--", "true"]).succeeds().warns("not ours");
    assert_eq!(text(&room.repo().join(".codex-worker/log.txt")), "mine");
}

#[test]
fn odd_names_of_branches_make_slugs() {
    let room = Room::new();
    for (branch, id) in [("feat/Größe_3", "feat-gr-e-3#1"), ("🎉", "repo#1"), ("x.lock.y", "x-lock-y#1")] {
        room.git(&["checkout", "-q", "-b", branch]);
        room.worker(&["launch", "--share", "--", "true"]).succeeds().prints(&format!("{id}\n"));
    }
    room.worker(&["launch", "--name", "../x", "--", "true"]).exits(129);
}

#[test]
fn an_agent_of_the_settings_gets_the_prompt_its_way() {
    let room = Room::new();
    let show = room.script("show", "printf '%s|' \"$@\"; cat; printf '|%s' \"$GIT_WORKER_JOB\"");
    let show = show.to_str().unwrap();
    room.user_config(&format!(
        "[agents.arg]\ncommand = [\"{show}\", \"a b\"]\n[agents.mid]\ncommand = [\"{show}\", \"p={{prompt}}\", \"-z\"]\n\
         [agents.in]\ncommand = [\"{show}\", \"{{worktree}}\"]\nprompt = \"stdin\"\n\
         [agents.file]\ncommand = [\"cat\", \"{{prompt-file}}\"]\nprompt = \"file\"\n"
    ));
    let repo = room.repo().canonicalize().unwrap();
    for (agent, expected) in [
        ("arg", "a b|do $HOME; x||".to_owned()),
        ("mid", "p=do $HOME; x|-z||".to_owned()),
        ("in", format!("{}|do $HOME; x|", repo.display())),
        ("file", "do $HOME; x".to_owned()),
    ] {
        room.worker(&["launch", "--name", agent, "--agent", agent, "--prompt", "do $HOME; x"]).succeeds();
        assert_eq!(room.ended(agent)["state"], "completed");
        let said = room.worker(&["logs", agent]).succeeds().stdout;
        assert!(said.starts_with(&expected), "{agent}: {said} instead of {expected}");
        let record = text(&room.folder(agent).join("job.json"));
        assert!(!record.contains("do $HOME"), "the prompt is stored once: {record}");
    }
    room.worker(&["launch", "--agent", "arg"]).exits(129).warns("--prompt");
    room.worker(&["launch", "--agent", "nobody", "--prompt", "x"]).exits(128).warns("nobody");
    room.worker(&["launch"]).exits(129).warns("nothing to run");
}

#[test]
fn known_agents_need_no_settings() {
    let room = Room::new();
    let samples = ["codex-0.169.0", "claude-2.1.197", "gemini-0.61.0", "opencode-1.18.33"];
    room.worker(&["launch", "--agent", "codex", "--prompt", "x"]).exits(128).warns("not logged in");
    room.worker(&["launch", "--agent", "opencode", "--prompt", "x"]).exits(128).warns("no provider");
    for sample in samples {
        let agent = sample.split('-').next().unwrap();
        let dir = room.path().join("agents");
        let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("agents/samples/{sample}.jsonl"));
        let script = format!("#!/bin/sh\necho {agent} \"$@\" >&2\ncat >&2\ncat '{}'\n", sample.display());
        room.write_in(&dir, agent, &script);
        fs::set_permissions(dir.join(agent), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = room.command("git-worker");
        let path = format!("{}:{}:/usr/bin:/bin", dir.display(), suite_tests::program_folder().display());
        command.args(["launch", "--name", agent, "--agent", agent, "--prompt", "the task"]).env("PATH", path);
        command.env("OPENAI_API_KEY", "a-key-of-openai").env("OPENCODE_CONFIG_CONTENT", "{}");
        Ran::new(agent.into(), command.output().unwrap()).succeeds();
        let job = room.ended(agent);
        assert_eq!((&job["state"], &job["unparsed"]), (&"completed".into(), &0.into()), "{job}");
        assert_eq!(job["usage"]["cached"], 1000, "{job}");
        room.worker(&["logs", "--raw", agent]).succeeds().says(agent).says("the task");
        let said = room.worker(&["logs", agent]).succeeds().says("All done: hello.txt and second.txt.\n").stdout;
        assert!(said.contains("$ ") && !said.contains('{'), "{said}");
        room.worker(&["show", "--message", agent]).succeeds().prints("All done: hello.txt and second.txt.");
    }
    let codex = "exec --json --skip-git-repo-check --disable plugins -c sandbox_mode=\"workspace-write\" -\n";
    room.worker(&["logs", "--raw", "codex"]).says(codex);
}

#[test]
fn an_untrusted_repository_starts_no_agent_of_its_own() {
    let room = Room::new();
    room.write(".codex-agent/config.toml", "[agents.evil]\ncommand = [\"touch\", \"canary\"]\n");
    room.worker(&["launch", "--agent", "evil", "--prompt", "x"]).exits(128).warns("trust");
    room.git(&["config", "filter.x.clean", "touch canary"]);
    room.worker(&["launch", "--", "true"]).exits(128).warns("filter.x.clean");
    room.worker(&["list"]).succeeds().prints("");
    assert!(!room.repo().join("canary").exists());
}

#[test]
fn a_job_that_launches_a_job_does_not_take_it_along() {
    let room = Room::new();
    let mark = unique();
    let id = room.sh("outer", &format!("git-worker launch --share --name inner -- sleep {mark}"));
    assert_eq!(room.ended(&id)["state"], "completed");
    assert_eq!(room.job("inner")["state"], "running");
    assert_eq!(count(&mark), 1);
}

#[test]
fn files_of_a_job_are_for_the_user_alone() {
    let room = Room::new();
    room.worker(&["launch", "--prompt", "secret", "--", "true"]).succeeds();
    room.ended("main");
    let folder = room.folder("main");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    assert_eq!(text(&folder.join("prompt.md")), "secret");
}
