//! A repository that runs something at every place where git can be made to run something.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use suite_tests::{Sandbox, skip};

use super::programs;

/// Keys of git's configuration that name a command.
const COMMANDS: &[&str] = &[
    "alias.task",
    "alias.status",
    "core.fsmonitor",
    "core.editor",
    "core.pager",
    "core.sshCommand",
    "core.gitProxy",
    "core.askPass",
    "core.alternateRefsCommand",
    "sequence.editor",
    "pager.status",
    "pager.task",
    "diff.external",
    "diff.evil.command",
    "diff.evil.textconv",
    "merge.evil.driver",
    "filter.evil.clean",
    "filter.evil.smudge",
    "filter.evil.process",
    "gpg.program",
    "gpg.ssh.program",
    "credential.helper",
    "uploadpack.packObjectsHook",
    "interactive.diffFilter",
    "difftool.evil.cmd",
    "mergetool.evil.cmd",
    "trailer.x.command",
    "trailer.x.cmd",
    "remote.origin.uploadpack",
    "remote.origin.receivepack",
    "remote.origin.vcs",
    "submodule.x.update",
    "web.browser",
    "browser.evil.cmd",
    "man.evil.cmd",
    "sendemail.toCmd",
    "receive.procReceiveRefs",
];

/// Makes the repository hostile: each command creates `canary`.
fn poison(room: &Sandbox, canary: &Path) {
    let evil = room.script("evil", &format!("echo \"$0 $*\" >> {}", canary.display()));
    let evil = evil.to_str().unwrap();
    room.write("a.txt", "text\n");
    room.write(".gitattributes", "* filter=evil merge=evil diff=evil\n");
    room.commit("attributes");
    room.git(&["branch", "other"]);
    room.write("a.txt", "text two\n");
    room.commit("two");
    for key in COMMANDS {
        room.git(&["config", key, evil]);
    }
    room.git(&["config", "commit.gpgSign", "true"]);
    room.git(&["config", "core.hooksPath", ".git/hooks"]);
    room.git(&["config", "gc.auto", "1"]);
    for hook in [
        "pre-commit",
        "post-commit",
        "commit-msg",
        "prepare-commit-msg",
        "post-checkout",
        "post-merge",
        "pre-push",
        "post-index-change",
        "reference-transaction",
        "fsmonitor-watchman",
        "pre-auto-gc",
        "post-rewrite",
        "sendemail-validate",
        "update",
        "pre-rebase",
        "applypatch-msg",
    ] {
        let path = room.repo().join(".git/hooks").join(hook);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(evil, &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let toml = format!(
        "[task]\nworktree-dir = \"/{evil}\"\n[worker]\nagent = \"evil\"\n[agents.evil]\ncommand = [\"{evil}\"]\n\
         [hydrate]\nafter = [\"{evil}\"]\n[[checks]]\nname = \"evil\"\ncommand = [\"{evil}\"]\n"
    );
    room.write(".codex-agent/config.toml", &toml);
    room.write(".env", &format!("PATH={}\nCODEX_AGENTS_WORKER_AGENT=evil\n", room.path().display()));
    fs::copy(evil, room.repo().join("git")).unwrap();
}

/// What a user could type, of every program.
fn lines() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut lines = vec![
        ("git-task", vec!["init"]),
        ("git-task", vec!["add", "one"]),
        ("git-task", vec!["list"]),
        ("git-task", vec!["show", "one"]),
        ("git-task", vec!["edit", "one", "--title", "uno"]),
        ("git-task", vec!["worktree", "add", "one"]),
        ("git-task", vec!["worktree", "list"]),
        ("git-task", vec!["worktree", "remove", "one"]),
        ("git-task", vec!["worktree", "remove", "--force", "one"]),
        ("git-task", vec!["status"]),
        ("git-task", vec!["status", "--all"]),
        ("git-task", vec!["complete", "one"]),
        ("git-task", vec!["complete", "--unvalidated", "one"]),
        ("git-task", vec!["complete", "--validate", "one"]),
        ("git-task", vec!["log"]),
        ("git-task", vec!["undo"]),
        ("git-task", vec!["config", "list"]),
        ("git-task", vec!["trust"]),
        ("git-task", vec!["trust", "--show"]),
        ("git-task", vec!["doctor"]),
        ("git-task", vec!["doctor", "--fix"]),
        ("git-task", vec!["drop", "one"]),
        ("git-hydrate", vec![]),
        ("git-hydrate", vec!["-n"]),
        ("git-hydrate", vec!["--suggest"]),
        ("git-hydrate", vec!["--relink", "--no-after"]),
        ("git-worker", vec!["launch", "--", "true"]),
        ("git-worker", vec!["launch"]),
        ("git-worker", vec!["list"]),
        ("git-worker", vec!["status", "--all"]),
        ("git-validate", vec![]),
        ("git-validate", vec!["--worktree"]),
        ("git-validate", vec!["--staged"]),
        ("git-validate", vec!["show"]),
        ("git-validate", vec!["install"]),
        ("git-validate", vec!["uninstall"]),
        ("git-agent-merge", vec!["check", "other", "--onto", "main"]),
        ("git-agent-merge", vec!["check", "other", "--onto", "main", "--dirty"]),
        ("git-agent-merge", vec!["check", "--all"]),
        ("git-agent-merge", vec!["order", "*", "--onto", "main", "--dirty"]),
        ("git-agent-merge", vec!["train", "other", "--onto", "main"]),
        ("git-agent-merge", vec!["train", "other", "--onto", "main", "--validate", "--land"]),
        ("git-agent-merge", vec!["hook", "pre-push"]),
        ("git-bo4", vec!["list"]),
        ("git-bo4", vec!["new", "-n", "--prompt", "x"]),
        ("git-bo4", vec!["new", "--prompt", "x", "--lane", "/bin/true:2"]),
        ("git-bo4", vec!["new", "--prompt", "x", "--backend", "command"]),
        ("git-bo4", vec!["run", "--prompt", "y", "--lane", "/bin/true", "--timeout", "20s"]),
        ("git-bo4", vec!["watch", "--timeout", "20s"]),
        ("git-bo4", vec!["status"]),
        ("git-bo4", vec!["show"]),
        ("git-bo4", vec!["diff"]),
        ("git-bo4", vec!["export"]),
        ("git-bo4", vec!["branch"]),
        ("git-bo4", vec!["apply", "--variant", "1"]),
        ("git-bo4", vec!["review"]),
        ("git-bo4", vec!["report"]),
        ("git-bo4", vec!["pick", "--variant", "1"]),
        ("git-bo4", vec!["graft", "--from", "1", "--onto", "main", "--paths", "a.txt"]),
        ("git-bo4", vec!["retry"]),
        ("git-bo4", vec!["gc", "--older-than", "0s"]),
    ];
    for program in ["git-task", "git-hydrate", "git-worker", "git-validate", "git-agent-merge", "git-bo4"] {
        lines.push((program, vec!["--help"]));
        lines.push((program, vec!["--version"]));
    }
    lines
}

#[test]
fn nothing_of_it_runs_until_it_is_trusted() {
    let room = Sandbox::new();
    let canary = room.path().join("canary");
    let linked = room.path().join("linked");
    room.git(&["worktree", "add", "-q", "--no-checkout", "-b", "linked", linked.to_str().unwrap()]);
    poison(&room, &canary);
    // Making it hostile ran some of it.
    let _ = fs::remove_file(&canary);
    let mut refused = 0;
    for folder in [room.repo(), linked] {
        for (program, arguments) in lines() {
            let ran = room.run_in(&folder, program, &arguments);
            let said = fs::read_to_string(&canary).unwrap_or_default();
            assert!(!canary.exists(), "`{}` in {} ran: {said}{}", ran.words, folder.display(), ran.stderr);
            assert!([0, 1, 128].contains(&ran.code), "`{}` exited {}: {}", ran.words, ran.code, ran.stderr);
            if ran.stderr.contains("git task trust") {
                assert_eq!(ran.code, 128, "{}", ran.words);
                refused += 1;
            }
        }
        for program in programs() {
            let mut command = room.command(suite_tests::program_folder().join(&program));
            command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2").args(["--", &program, "show", ""]);
            command.current_dir(&folder).output().unwrap();
            assert!(!canary.exists(), "completion of {program}");
        }
    }
    assert!(refused > 20, "only {refused} were refused");
}

#[test]
fn a_forged_commondir_borrows_no_trust() {
    let room = Sandbox::new();
    room.trusted_config("[[checks]]\nname = \"ok\"\ncommand = [\"true\"]\n");
    room.commit("settings");
    let forged = room.path().join("forged");
    fs::create_dir_all(forged.join(".git")).unwrap();
    let common = room.repo().join(".git");
    fs::write(forged.join(".git/commondir"), format!("{}\n", common.display())).unwrap();
    fs::write(forged.join(".git/gitdir"), format!("{}\n", forged.join(".git").display())).unwrap();
    fs::write(forged.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    for (program, arguments) in lines() {
        if arguments.iter().any(|argument| argument.starts_with("--help") || argument.starts_with("--version")) {
            continue;
        }
        let ran = room.run_in(&forged, program, &arguments);
        // What looks at no repository, such as the list of all jobs, may still answer.
        assert!(
            ran.code == 128 || ran.stdout.is_empty() || arguments.contains(&"--all"),
            "`{}`: {}",
            ran.words,
            ran.stdout
        );
    }
    room.run_in(&forged, "git-task", &["list"]).exits(128).warns("does not list it");
}

#[test]
fn what_git_refuses_is_refused_in_its_words() {
    let room = Sandbox::new();
    room.git(&["config", "core.repositoryformatversion", "1"]);
    room.git(&["config", "extensions.fancy", "true"]);
    room.run("git-task", &["list"]).exits(128).warns("unknown repository extension found: fancy");
    room.run("git", &["status"]).exits(128);
    let reftable = room.path().join("reftable");
    let made = room.run_in(room.path(), "git", &["init", "-q", "--ref-format=reftable", "reftable"]);
    if made.code == 0 {
        for (program, arguments) in [
            ("git-task", &["list"][..]),
            ("git-validate", &["show"]),
            ("git-agent-merge", &["check"]),
            ("git-bo4", &["list"]),
        ] {
            room.run_in(&reftable, program, arguments).exits(128).warns("reftable");
        }
    } else {
        skip("refusal of reftable", "this git cannot make one");
    }
}

#[test]
fn a_foreign_owner_is_refused_until_git_is_told() {
    let room = Sandbox::new();
    let chown = room.run("chown", &["-R", "65534:65534", room.repo().to_str().unwrap()]);
    if chown.code != 0 {
        return skip("a foreign owner", "only root can give files away");
    }
    room.run("git", &["status"]).exits(128);
    room.run("git-task", &["list"]).exits(128).warns("dubious ownership").warns("safe.directory");
    room.git_in(room.path(), &["config", "--global", "--add", "safe.directory", room.repo().to_str().unwrap()]);
    room.run("git-task", &["list"]).succeeds();
}

#[test]
fn a_git_of_the_repository_is_never_the_git_that_runs() {
    let room = Sandbox::new();
    let canary = room.path().join("canary");
    let evil = room.script("repo/git", &format!("touch {}", canary.display()));
    assert!(evil.starts_with(room.repo()));
    let path = format!(".:{}:{}", room.repo().display(), std::env::var("PATH").unwrap());
    let mut command = room.command(suite_tests::program_folder().join("git-task"));
    assert!(command.args(["add", "one"]).output().unwrap().status.success());
    let mut command = room.command(suite_tests::program_folder().join("git-task"));
    let output = command.args(["worktree", "add", "one"]).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!canary.exists());
}
