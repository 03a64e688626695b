//! A home, a repository and the programs, all below one temporary folder.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Ran;

/// Returns the folder of the programs as they were built beside this test.
pub fn program_folder() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    own.parent().and_then(Path::parent).expect("a test lies in <target>/<profile>/deps").to_owned()
}

/// Says that a test, or a part of it, is skipped and why; `tests/run` counts these lines.
pub fn skip(what: &str, why: &str) {
    use std::io::Write;
    // Past the harness, which keeps the output of a test that passes to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED {what}: {why}");
    if let Some(path) = std::env::var_os("SUITE_SKIPS") {
        let line = format!("{what}: {why}\n");
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of skips can be written");
    }
}

/// The room of one test; it goes when it is dropped.
#[derive(Debug)]
pub struct Sandbox {
    folder: TempDir,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// Makes a room with a repository of one commit on `main`.
    pub fn new() -> Sandbox {
        let room = Sandbox::empty();
        room.git(&["init", "-q", "-b", "main", room.repo().to_str().expect("a temporary folder is UTF-8")]);
        room.write("README", "one\ntwo\nthree\n");
        room.commit("first");
        room
    }

    /// Makes a room with a home, and an empty folder where the repository would be.
    pub fn empty() -> Sandbox {
        let folder = tempfile::Builder::new().prefix("suite-").tempdir().expect("there is a temporary folder");
        let room = Sandbox { folder };
        fs::create_dir_all(room.home().join(".config")).expect("a home can be made");
        fs::create_dir_all(room.repo()).expect("a folder can be made");
        let identity = "[user]\n\tname = A Tester\n\temail = tester@example.com\n[init]\n\tdefaultBranch = main\n";
        fs::write(room.home().join(".gitconfig"), identity).expect("a file can be written");
        room
    }

    /// Returns the folder of the room.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the home of the room's user.
    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// Returns the main worktree.
    pub fn repo(&self) -> PathBuf {
        self.path().join("repo")
    }

    /// Returns the folder of the registry.
    pub fn data(&self) -> PathBuf {
        self.home().join(".local/share/codex-agents")
    }

    /// Returns the folder of jobs and trust.
    pub fn state(&self) -> PathBuf {
        self.home().join(".local/state/codex-agents")
    }

    /// Prepares a program with the room's environment and nothing else of ours, in the repository.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut path = std::ffi::OsString::from(program_folder());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path).env("HOME", self.home()).env("LC_ALL", "C.UTF-8").env("TERM", "dumb");
        command.env("USER", "tester").current_dir(self.repo());
        // Rust stays where it is installed, though the home is another.
        let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        for (name, usual) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            command.env(name, std::env::var_os(name).unwrap_or_else(|| home.join(usual).into_os_string()));
        }
        if let Some(folder) = std::env::var_os("TMPDIR") {
            command.env("TMPDIR", folder);
        }
        command
    }

    /// Runs one of the programs in the repository.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        self.run_in(&self.repo(), program, arguments)
    }

    /// Runs one of the programs in a folder.
    pub fn run_in(&self, folder: &Path, program: &str, arguments: &[&str]) -> Ran {
        let known = program_folder().join(program);
        let path = if known.exists() { known } else { PathBuf::from(program) };
        let output = self.command(path).args(arguments).current_dir(folder).output();
        let words = format!("{program} {}", arguments.join(" "));
        Ran::new(words.clone(), output.unwrap_or_else(|e| panic!("cannot start `{words}`: {e}")))
    }

    /// Runs git in the repository and returns its answer; it must succeed.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.repo(), arguments)
    }

    /// Runs git in a folder and returns its answer; it must succeed.
    #[track_caller]
    pub fn git_in(&self, folder: &Path, arguments: &[&str]) -> String {
        self.run_in(folder, "git", arguments).succeeds().text().to_owned()
    }

    /// Writes a file of the repository, and its folders.
    pub fn write(&self, path: &str, content: &str) {
        self.write_in(&self.repo(), path, content);
    }

    /// Writes a file below a folder, and its folders.
    pub fn write_in(&self, folder: &Path, path: &str, content: &str) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder can be made");
        fs::write(&path, content).expect("a file can be written");
    }

    /// Writes an executable script below the room and returns its path.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        self.write_in(self.path(), name, &format!("#!/bin/sh\n{body}\n"));
        let path = self.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
        path
    }

    /// Commits all that is in the repository and returns the commit.
    #[track_caller]
    pub fn commit(&self, message: &str) -> String {
        self.commit_in(&self.repo(), message)
    }

    /// Commits all that is in a worktree and returns the commit.
    #[track_caller]
    pub fn commit_in(&self, worktree: &Path, message: &str) -> String {
        self.git_in(worktree, &["add", "-A"]);
        self.git_in(worktree, &["commit", "-q", "--allow-empty", "-m", message]);
        self.git_in(worktree, &["rev-parse", "HEAD"])
    }

    /// Writes the user's settings.
    pub fn user_config(&self, toml: &str) {
        self.write_in(&self.home(), ".config/codex-agents/config.toml", toml);
    }

    /// Writes the repository's settings and agrees to them.
    pub fn trusted_config(&self, toml: &str) {
        self.write(".codex-agent/config.toml", toml);
        self.run("git-task", &["trust", "--yes"]).succeeds();
    }
}
