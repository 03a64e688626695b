//! Other tools that put hooks in: what they generate, word by word, and the tools themselves where they can be had.

use std::fs;
use std::path::{Path, PathBuf};

use suite_tests::{Ran, skip};

use crate::install::{facts, put};
use crate::room::Room;

/// A room with a check that refuses a file `bad`, and programs of its own first on `PATH`.
struct Beside {
    room: Room,
    bin: PathBuf,
}

impl Beside {
    fn new() -> Beside {
        let room = Room::with(&[("no-bad", "! test -e bad")]);
        let bin = room.path().join("bin");
        Beside { room, bin }
    }

    /// Puts a program on `PATH` that says that the other tool ran.
    fn stand_in(&self, name: &str) {
        self.room.script(
            &format!("bin/{name}"),
            &format!("[ \"$1\" = -h ] || echo {name} >> '{}'", self.theirs().display()),
        );
    }

    fn theirs(&self) -> PathBuf {
        self.room.path().join("theirs")
    }

    fn run(&self, folder: &Path, program: &str, arguments: &[&str]) -> Ran {
        let mut command = self.room.command(program);
        let path = command.get_envs().find_map(|(name, value)| value.filter(|_| name == "PATH")).unwrap();
        let path = std::env::join_paths([self.bin.clone()].into_iter().chain(std::env::split_paths(path))).unwrap();
        command.env("PATH", path).args(arguments).current_dir(folder);
        Ran::new(format!("{program} {}", arguments.join(" ")), command.output().unwrap())
    }

    /// Goes in beside a hook, runs with it, stops a bad commit, and comes out without a trace.
    #[track_caller]
    fn lives_with(&self, worktree: &Path, hook: &Path) {
        let original = facts(hook);
        let status = self.room.git_in(worktree, &["status", "--porcelain"]);
        self.run(worktree, "git-validate", &["install"]).succeeds().says("(in the script that is there)");
        assert_eq!(self.room.git_in(worktree, &["status", "--porcelain"]), status, "no file of the project is touched");
        let (before, runs) = (self.ran(), self.room.runs());
        self.room.write_in(worktree, "new", &format!("{runs}\n"));
        self.room.git_in(worktree, &["add", "new"]);
        self.run(worktree, "git", &["commit", "-qm", "through both"]).succeeds();
        assert_eq!((self.ran(), self.room.runs()), (before + 1, runs + 1));
        self.room.write_in(worktree, "bad", "bad\n");
        self.room.git_in(worktree, &["add", "bad"]);
        self.run(worktree, "git", &["commit", "-qm", "bad"]).exits(1);
        self.room.git_in(worktree, &["rm", "-qf", "bad"]);
        self.run(worktree, "git-validate", &["uninstall"]).succeeds().says("pre-commit  removed");
        assert_eq!(facts(hook), original);
    }

    /// Counts how often the other tool ran.
    fn ran(&self) -> usize {
        fs::read_to_string(self.theirs()).unwrap_or_default().lines().count()
    }

    fn husky_script(&self) {
        let script = format!("echo husky >> '{}'\n", self.theirs().display());
        self.room.write(".husky/pre-commit", &script);
        self.room.commit("husky");
    }

    /// Installs packages with the machine's own settings; false if they cannot be had.
    fn fetched(&self, what: &str, script: &str) -> bool {
        let mut command = self.room.command("timeout");
        command.args(["120", "sh", "-ec", script]).current_dir(self.room.path()).envs(std::env::vars_os());
        let is_there = command.output().unwrap().status.success();
        if !is_there {
            skip(&format!("beside the real {what}"), "it cannot be installed here");
        }
        is_there
    }
}

/// Writes what husky generates in a worktree.
fn husky_files(worktree: &Path) -> PathBuf {
    let folder = worktree.join(".husky/_");
    put(&folder.join("h"), include_bytes!("hooks/husky-h"), 0o755);
    put(&folder.join(".gitignore"), b"*", 0o644);
    let hook = folder.join("pre-commit");
    put(&hook, include_bytes!("hooks/husky"), 0o755);
    hook
}

#[test]
fn beside_what_husky_generates() {
    let beside = Beside::new();
    beside.husky_script();
    let hook = husky_files(&beside.room.repo());
    beside.room.git(&["config", "core.hooksPath", ".husky/_"]);
    beside.lives_with(&beside.room.repo(), &hook);
    // Each worktree has hooks of its own there.
    let linked = beside.room.path().join("linked");
    beside.room.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    let of_linked = husky_files(&linked);
    beside.lives_with(&linked, &of_linked);
    assert_eq!(facts(&hook).0, include_bytes!("hooks/husky"));
}

#[test]
fn beside_what_lefthook_and_pre_commit_generate() {
    for (name, script) in
        [("lefthook", &include_bytes!("hooks/lefthook")[..]), ("pre-commit", include_bytes!("hooks/pre-commit"))]
    {
        let beside = Beside::new();
        beside.stand_in(name);
        let hook = beside.room.repo().join(".git/hooks/pre-commit");
        put(&hook, script, 0o755);
        beside.lives_with(&beside.room.repo(), &hook);
        let linked = beside.room.path().join("linked");
        beside.room.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
        beside.lives_with(&linked, &hook);
    }
}

#[test]
fn beside_the_real_husky() {
    let beside = Beside::new();
    if !beside.fetched(
        "husky",
        "npm install --prefix tools husky@9 --no-audit --no-fund --fetch-retries=0 --fetch-timeout=20000",
    ) {
        return;
    }
    beside.husky_script();
    let program = beside.room.path().join("tools/node_modules/.bin/husky");
    beside.run(&beside.room.repo(), program.to_str().unwrap(), &[]).succeeds();
    beside.lives_with(&beside.room.repo(), &beside.room.repo().join(".husky/_/pre-commit"));
}

#[test]
fn beside_the_real_lefthook() {
    let beside = Beside::new();
    if !beside.fetched(
        "lefthook",
        "npm install --prefix tools lefthook@2 --no-audit --no-fund --fetch-retries=0 --fetch-timeout=20000",
    ) {
        return;
    }
    let run = format!("echo lefthook >> '{}'", beside.theirs().display());
    beside.room.write("lefthook.yml", &format!("pre-commit:\n  commands:\n    a:\n      run: \"{run}\"\n"));
    beside.room.commit("lefthook");
    let program = beside.room.path().join("tools/node_modules/.bin/lefthook");
    beside.run(&beside.room.repo(), program.to_str().unwrap(), &["install"]).succeeds();
    beside.lives_with(&beside.room.repo(), &beside.room.repo().join(".git/hooks/pre-commit"));
}

#[test]
fn beside_the_real_pre_commit() {
    let beside = Beside::new();
    let script = "python3 -m venv tools; tools/bin/pip install -q --retries 0 --timeout 20 pre-commit";
    if !beside.fetched("pre-commit", script) {
        return;
    }
    let theirs = beside.room.script("theirs.sh", &format!("echo pre-commit >> '{}'", beside.theirs().display()));
    let hooks = format!(
        "repos:\n- repo: local\n  hooks:\n  - id: a\n    name: a\n    language: system\n    always_run: true\n    pass_filenames: false\n    entry: '{}'\n",
        theirs.display()
    );
    beside.room.write(".pre-commit-config.yaml", &hooks);
    beside.room.commit("pre-commit");
    let program = beside.room.path().join("tools/bin/pre-commit");
    beside.run(&beside.room.repo(), program.to_str().unwrap(), &["install"]).succeeds();
    beside.lives_with(&beside.room.repo(), &beside.room.repo().join(".git/hooks/pre-commit"));
}
