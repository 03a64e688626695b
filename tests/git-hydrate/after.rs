use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use suite_tests::{CHANGING_CALLS, Reach, Sandbox, can_kill, run_killed};

use crate::room::{bare_worktree, hydrate, is_complete};

/// A repository whose settings are trusted.
fn trusted(hydrate: &str) -> Sandbox {
    let room = Sandbox::new();
    set(&room, hydrate);
    room.commit("settings");
    room
}

fn set(room: &Sandbox, hydrate: &str) {
    room.trusted_config(&format!("[hydrate]\n{hydrate}"));
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn marker(room: &Sandbox, worktree: &Path) -> PathBuf {
    Path::new(&room.git_in(worktree, &["rev-parse", "--absolute-git-dir"])).join("hydrate.json")
}

const ENV: &str = ".codex-worker/env";

#[test]
fn steps_run_in_the_filled_worktree_with_its_own_values() {
    let room = trusted(
        "env = [\"PORT={port}\", \"NAME=the {slug}'s\", \"URL=http://localhost:{port}/{branch}\"]\n\
         after = [\"sh -c 'pwd > ../out; cat README >> ../out; echo $PORT $NAME $GIT_DIR >> ../out; cat >> ../out'\",\n\
         \"printf '%s|' {slug} {worktree} {donor} '{branch} x' ${HOME} {other}\"]\n",
    );
    let worktree = room.path().join("new");
    room.git(&["worktree", "add", "-q", "-b", "task/fix-login", "--no-checkout", worktree.to_str().unwrap()]);
    let ran = hydrate(&room, &worktree, &[]).succeeds().says("values in '.codex-worker/env'").says("2 steps after");
    let lines: Vec<String> = text(&room.path().join("out")).lines().map(str::to_owned).collect();
    let (path, repo) = (worktree.to_str().unwrap(), room.repo());
    assert_eq!(&lines[..4], [path, "one", "two", "three"]);
    let port: u16 = lines[4].split(' ').next().unwrap().parse().unwrap();
    assert!((10_000..30_000).contains(&port));
    assert_eq!(lines[4], format!("{port} the fix-login's"));
    assert_eq!(lines.len(), 5);
    let printed = format!("fix-login|{path}|{}|task/fix-login x|${{HOME}}|{{other}}|", repo.display());
    assert!(ran.stderr.contains(&printed), "{}", ran.stderr);

    let env = worktree.join(ENV);
    assert_eq!(fs::metadata(&env).unwrap().mode() & 0o777, 0o600);
    assert!(text(&env).starts_with("# Written by git hydrate"));
    let source = room.run_in(&worktree, "sh", &["-c", &format!(". ./{ENV} && echo \"$PORT+$NAME+$URL\"")]);
    source.succeeds().prints(&format!("{port}+the fix-login's+http://localhost:{port}/task/fix-login\n"));
    is_complete(&room, &worktree);
    // The next one does nothing, and another worktree has another port.
    hydrate(&room, &worktree, &[]).succeeds().says("nothing to do");
    let other = bare_worktree(&room, "other", "HEAD");
    hydrate(&room, &other, &["--json"]).succeeds();
    assert!(!text(&other.join(ENV)).contains(&port.to_string()));
}

#[test]
fn an_untrusted_repository_runs_nothing_and_fills_without_it() {
    let room = Sandbox::new();
    let canary = room.path().join("canary");
    room.write(".codex-agent/config.toml", &format!("[hydrate]\nafter = [\"touch {}\"]\n", canary.display()));
    room.commit("settings");
    let worktree = bare_worktree(&room, "new", "HEAD");
    for arguments in [&[][..], &["-n"], &["--no-ignored"]] {
        let ran = hydrate(&room, &worktree, arguments).exits(128).warns("git task trust").warns("--no-after");
        assert!(!canary.exists() && ran.stdout.is_empty());
        assert_eq!(fs::read_dir(&worktree).unwrap().count(), 1, "nothing is written");
    }
    hydrate(&room, &worktree, &["--no-after"]).succeeds();
    is_complete(&room, &worktree);
    // Filled, it is nobody's business any more.
    hydrate(&room, &worktree, &[]).succeeds().says("nothing to do");
    let second = bare_worktree(&room, "second", "HEAD");
    room.run("git-task", &["trust", "--yes"]).succeeds();
    hydrate(&room, &second, &["-n"]).succeeds().says("1 step after");
    assert!(!canary.exists());
    hydrate(&room, &second, &[]).succeeds();
    assert!(canary.exists());
    // In an environment variable the same needs trust as well.
    room.write(".codex-agent/config.toml", "[hydrate]\nenv = [\"A=1\"]\n");
    let third = bare_worktree(&room, "third", "HEAD");
    hydrate(&room, &third, &[]).exits(128).warns("hydrate.env");
}

#[test]
fn a_step_that_fails_is_named_and_the_next_run_does_them_all_again() {
    let room = trusted(
        "after = [\"sh -c 'echo first >> ../out'\", \"sh -c 'echo bad news\\\\033[2J >&2; test -e ../mended'\", \"sh -c 'echo third >> ../out'\"]\n",
    );
    let worktree = bare_worktree(&room, "new", "HEAD");
    let ran = hydrate(&room, &worktree, &["--json"]).exits(128).prints("");
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    let error = &error["error"];
    assert_eq!(error["kind"], "after-failed");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("test -e ../mended") && message.contains("exit code 1") && message.contains("bad news"));
    assert!(!message.contains('\u{1b}'));
    assert_eq!(error["details"]["steps"].as_array().unwrap().len(), 2);
    assert_eq!(room.git_in(&worktree, &["status", "--porcelain"]), "");
    // Filled: what somebody does now is left alone, and nothing but the steps runs again.
    fs::write(worktree.join("README"), "my work\n").unwrap();
    let ran = hydrate(&room, &worktree, &[]).exits(128).warns("bad news").warns("hint: ");
    assert!(!ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
    fs::write(room.path().join("mended"), "").unwrap();
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!((answer["method"].as_str(), answer["after"].as_array().map(Vec::len)), (Some("nothing"), Some(3)));
    assert_eq!(answer["after"][1]["status"], 0);
    assert_eq!(text(&room.path().join("out")), "first\nfirst\nfirst\nthird\n");
    assert_eq!(text(&worktree.join("README")), "my work\n");
    assert!(!marker(&room, &worktree).exists());
    room.git_in(&worktree, &["checkout", "README"]);
    hydrate(&room, &worktree, &[]).succeeds().says("nothing to do");
}

#[test]
fn steps_that_are_left_to_do_can_be_left_out() {
    let room = trusted("after = [\"false\", \"touch ../ran\"]\n");
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).exits(128);
    assert!(marker(&room, &worktree).exists());
    hydrate(&room, &worktree, &["-n"]).succeeds().says("2 steps after");
    hydrate(&room, &worktree, &["--no-after"]).succeeds().says("nothing to do");
    is_complete(&room, &worktree);
    assert!(!room.path().join("ran").exists());
}

#[test]
fn what_cannot_be_understood_is_refused_before_the_first_file() {
    let room = Sandbox::new();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let long = "env = [\"A=it's $1\"]";
    for bad in ["after = [\"\"]", "after = [\"sh -c 'x\"]", "env = [\"no value\"]", "env = [\"A-B=1\"]"] {
        set(&room, bad);
        hydrate(&room, &worktree, &[]).exits(128).warns("hydrate.");
        assert_eq!(fs::read_dir(&worktree).unwrap().count(), 1, "{bad}");
    }
    set(&room, long);
    hydrate(&room, &worktree, &[]).exits(128).warns("cannot be written so that every reader");
    set(&room, "after = [\"no-such-program-here\"]");
    let other = bare_worktree(&room, "other", "HEAD");
    hydrate(&room, &other, &[]).exits(128).warns("cannot start the step 'no-such-program-here'");
}

#[test]
fn a_file_that_is_not_ours_is_left_and_one_of_the_donors_is_written_anew() {
    let room = Sandbox::new();
    room.write(".gitignore", "/local/\n.codex-worker/\n");
    room.write(".worktreeinclude", "local/\n.codex-worker/\n");
    room.commit("rules");
    room.write("local/env", "MINE=1\n");
    set(&room, "env = [\"WHERE={worktree}\"]\nenv-file = \"local/env\"\n");
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!((answer["env_file"].is_null(), answer["skipped"][0]["path"].as_str()), (true, Some("local/env")));
    assert_eq!(text(&worktree.join("local/env")), "MINE=1\n");
    // The donor's own, which came along.
    set(&room, "env = [\"WHERE={worktree}\"]\n");
    let first = bare_worktree(&room, "first", "HEAD");
    hydrate(&room, &first, &[]).succeeds();
    let second = bare_worktree(&room, "second", "HEAD");
    hydrate(&room, &second, &["--from", first.to_str().unwrap()]).succeeds();
    assert!(text(&second.join(ENV)).ends_with(&format!("WHERE={}\n", second.display())));
    assert!(text(&first.join(ENV)).ends_with(&format!("WHERE={}\n", first.display())));
}

#[test]
fn nothing_outside_is_written_whatever_the_path_of_the_file() {
    let room = Sandbox::new();
    fs::create_dir(room.path().join("outside")).unwrap();
    symlink("../outside", room.repo().join("escape")).unwrap();
    symlink("../outside/env", room.repo().join("link")).unwrap();
    room.commit("links");
    fs::write(room.repo().join(".git/info/exclude"), "escape\nlink\nenv\n").unwrap();
    for (n, path) in ["../outside/env", "/tmp/git-hydrate-env", "escape/env", "link", ".git/env", "a/../env", "README"]
        .iter()
        .enumerate()
    {
        set(&room, &format!("env = [\"A=1\"]\nenv-file = \"{path}\"\n"));
        let worktree = bare_worktree(&room, &format!("w{n}"), "HEAD");
        let ran = hydrate(&room, &worktree, &["--json"]);
        assert!(ran.code == 128 || ran.json()["skipped"][0]["path"] == **path, "{path}: {} {}", ran.stdout, ran.stderr);
        assert_eq!(fs::read_dir(room.path().join("outside")).unwrap().count(), 0, "{path}");
    }
    assert!(!Path::new("/tmp/git-hydrate-env").exists());
}

/// Starts a run and waits until its step has written `path`.
fn begin(room: &Sandbox, worktree: &Path, path: &Path) -> Child {
    let program = suite_tests::program_folder().join("git-hydrate");
    let mut command = room.command(program);
    let child = command.current_dir(worktree).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| path.exists());
    child
}

fn until(condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "waited too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(room: &Sandbox, child: &Child, name: &str) {
    room.run("kill", &[&format!("-{name}"), &child.id().to_string()]).succeeds();
}

fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn an_interruption_ends_the_step_and_all_that_it_started() {
    let room = trusted("after = [\"sh -c 'sleep 1000 & echo $! > ../pid.tmp; mv ../pid.tmp ../pid; wait'\"]\n");
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let pid = room.path().join("pid");
        let worktree = bare_worktree(&room, name, "HEAD");
        let mut child = begin(&room, &worktree, &pid);
        signal(&room, &child, name);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(!is_alive(&text(&pid)));
        assert!(marker(&room, &worktree).exists());
        fs::remove_file(&pid).unwrap();
    }
}

#[test]
fn a_run_that_was_killed_during_a_step_is_completed_by_the_next() {
    let room =
        trusted("after = [\"sh -c 'echo $$ > ../pid.tmp; mv ../pid.tmp ../pid; test -e ../go || sleep 1000'\"]\n");
    let worktree = bare_worktree(&room, "new", "HEAD");
    let pid = room.path().join("pid");
    let mut child = begin(&room, &worktree, &pid);
    child.kill().unwrap();
    child.wait().unwrap();
    let orphan = text(&pid);
    assert!(is_alive(&orphan));
    fs::write(room.path().join("go"), "").unwrap();
    hydrate(&room, &worktree, &[]).succeeds();
    assert!(!is_alive(&orphan), "what the killed run started would work against the next");
    is_complete(&room, &worktree);
}

#[test]
fn killed_at_any_call_the_next_run_gets_there() {
    let room = trusted("env = [\"PORT={port}\"]\nafter = [\"sh -c 'echo ran >> ../out'\"]\n");
    if !can_kill(&room, "killing a run with a step at its calls") {
        return;
    }
    let program = suite_tests::program_folder().join("git-hydrate");
    for call in CHANGING_CALLS {
        let step = if *call == "openat" { 17 } else { 1 };
        for n in (1..).step_by(step) {
            let _ = fs::remove_file(room.path().join("out"));
            let worktree = bare_worktree(&room, &format!("{}-{n}", call.split(',').next().unwrap()), "HEAD");
            let ran = run_killed(&room, &worktree, Reach::Alone, call, n, &["-f", program.to_str().unwrap()]);
            if ran.code != 0 {
                hydrate(&room, &worktree, &[]).succeeds();
            }
            assert!(text(&worktree.join(ENV)).contains("PORT="), "{call} {n}");
            assert!(text(&room.path().join("out")).starts_with("ran\n"), "{call} {n}");
            is_complete(&room, &worktree);
            if ran.code == 0 {
                break;
            }
        }
    }
}

#[test]
fn a_step_that_leaves_somebody_running_is_not_waited_for() {
    let room = trusted("after = [\"sh -c 'sleep 1000 & echo $! > ../pid'\"]\n");
    let worktree = bare_worktree(&room, "new", "HEAD");
    let begin = Instant::now();
    hydrate(&room, &worktree, &[]).succeeds();
    assert!(begin.elapsed() < Duration::from_secs(10));
    let pid = text(&room.path().join("pid"));
    assert!(is_alive(&pid));
    room.run("kill", &[pid.trim()]).succeeds();
}
