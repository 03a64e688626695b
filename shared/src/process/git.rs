//! The one door to git.
//!
//! A child git sees none of the repository-local environment that a hook or alias exports, runs no
//! hook, file system monitor, pager, editor or prompt, and starts no background maintenance.
//! Foreign names go in as full refs, as object ids, or after `--end-of-options`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::program;

/// The names that `git rev-parse --local-env-vars` prints, of all versions up to 2.55.
pub const LOCAL_ENVIRONMENT: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_INTERNAL_SUPER_PREFIX",
];

/// Hooks that what we ask of git could call; since 2.54 git takes them from its configuration too,
/// where no folder disarms them.
const HOOKS: &[&str] = &[
    "hook.applypatch-msg.enabled=false",
    "hook.commit-msg.enabled=false",
    "hook.post-checkout.enabled=false",
    "hook.post-commit.enabled=false",
    "hook.post-index-change.enabled=false",
    "hook.post-merge.enabled=false",
    "hook.post-rewrite.enabled=false",
    "hook.pre-commit.enabled=false",
    "hook.pre-merge-commit.enabled=false",
    "hook.pre-push.enabled=false",
    "hook.prepare-commit-msg.enabled=false",
    "hook.reference-transaction.enabled=false",
];

/// Settings that disarm what a repository's own configuration could start.
const DISARM: &[&str] = &[
    "core.fsmonitor=false",
    "core.pager=cat",
    "core.askPass=",
    "commit.gpgSign=false",
    "log.showSignature=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
];

/// Whether a child git runs the user's own hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hooks {
    /// None.
    Off,
    /// Those of the repository, because the user asked for it.
    Users,
}

/// A way to call git on one repository.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
    folder: PathBuf,
    hooks: Hooks,
    settings: Vec<String>,
    environment: BTreeMap<OsString, OsString>,
}

/// What a git that ended said.
#[derive(Debug)]
pub struct Done {
    /// Its exit code; 128 + the number if a signal ended it.
    pub code: i32,
    /// Its answer.
    pub stdout: Vec<u8>,
    /// Its narration.
    pub stderr: String,
}

impl Done {
    /// Returns the answer as text without the newline at its end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }
}

impl Git {
    /// Makes a door to the repository that git finds from `folder`.
    ///
    /// # Errors
    /// When there is no git on `PATH`.
    pub fn at(folder: &Path) -> Result<Git> {
        let program = program::find_trusted("git", Some(folder)).ok_or_else(|| anyhow!("there is no git on PATH"))?;
        Ok(Git {
            program,
            folder: folder.to_owned(),
            hooks: Hooks::Off,
            settings: Vec::new(),
            environment: BTreeMap::new(),
        })
    }

    /// Pins the repository, so that nothing in the folder can redirect git to another.
    #[must_use]
    pub fn pinned(self, git_dir: &Path, work_tree: Option<&Path>) -> Git {
        let git = self.env("GIT_DIR", git_dir);
        match work_tree {
            Some(work_tree) => git.env("GIT_WORK_TREE", work_tree),
            None => git,
        }
    }

    /// Returns the program that is started.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Starts git in another folder, such as one that is thrown away with what its merge drivers leave there.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Git {
        folder.clone_into(&mut self.folder);
        self
    }

    /// Takes no optional lock: for git started to read.
    #[must_use]
    pub fn reading(self) -> Git {
        self.env("GIT_OPTIONAL_LOCKS", "0")
    }

    /// Sets a variable of git's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl AsRef<OsStr>) -> Git {
        self.environment.insert(name.into(), value.as_ref().to_owned());
        self
    }

    /// Adds a setting as `git -c <setting>` does.
    #[must_use]
    pub fn setting(mut self, setting: impl Into<String>) -> Git {
        self.settings.push(setting.into());
        self
    }

    /// Chooses whether the user's own hooks run.
    #[must_use]
    pub fn hooks(mut self, hooks: Hooks) -> Git {
        self.hooks = hooks;
        self
    }

    /// Returns the command for these arguments, to start in a way that `run` does not offer.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = program::command(&self.program);
        program::scrub(&mut command);
        command.current_dir(&self.folder);
        if self.hooks == Hooks::Off {
            command.args(["-c", "core.hooksPath=/dev/null"]);
            for setting in HOOKS {
                command.args(["-c", setting]);
            }
        }
        for setting in DISARM {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        for (name, value) in
            [("GIT_TERMINAL_PROMPT", "0"), ("GIT_PAGER", "cat"), ("GIT_EDITOR", ":"), ("GIT_SEQUENCE_EDITOR", ":")]
        {
            command.env(name, value);
        }
        command.envs(&self.environment).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs git and returns how it ended, whatever its exit code.
    ///
    /// # Errors
    /// When git cannot be started.
    pub fn ask<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Done> {
        let mut command = self.command(arguments);
        let output = command.output().with_context(|| format!("cannot start '{}'", self.program.display()))?;
        Ok(done(output))
    }

    /// Runs git and returns its answer.
    ///
    /// # Errors
    /// When git cannot be started or exits with another code than 0; then its own words are the reason.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Done> {
        let arguments: Vec<OsString> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        checked(self.ask(&arguments)?, &arguments)
    }

    /// Runs git like [`Git::run`] with `input` on its standard input.
    ///
    /// # Errors
    /// As [`Git::run`].
    pub fn feed<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, input: &[u8]) -> Result<Done> {
        let arguments: Vec<OsString> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        checked(self.ask_with(&arguments, input)?, &arguments)
    }

    /// Runs git like [`Git::ask`] with `input` on its standard input.
    ///
    /// # Errors
    /// When git cannot be started.
    pub fn ask_with<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, input: &[u8]) -> Result<Done> {
        self.ask_bounded(arguments, input, &[])
    }

    /// Runs git like [`Git::ask_with`], and bounds what it may take before it gets to see the input.
    ///
    /// # Errors
    /// When git cannot be started or bounded.
    pub fn ask_bounded<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &[u8],
        bounds: &[(Resource, u64)],
    ) -> Result<Done> {
        let mut child = self.start(arguments)?;
        for (resource, most) in bounds {
            bound(&mut child, *resource, *most)?;
        }
        let mut stdin = child.stdin.take().context("git has no standard input")?;
        let output = thread::scope(|scope| {
            // Beside the reading, so that neither waits for the other's full pipe.
            scope.spawn(move || match stdin.write_all(input) {
                // Git may know its answer before it has read everything.
                Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e),
                Ok(()) | Err(_) => Ok(()),
            });
            child.wait_with_output()
        });
        Ok(done(output.context("cannot read git's answer")?))
    }

    /// Starts git with its three streams as pipes, for a conversation.
    ///
    /// # Errors
    /// When git cannot be started.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Child> {
        self.command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start '{}'", self.program.display()))
    }

    /// Returns git's version as numbers, such as `(2, 47)`.
    ///
    /// # Errors
    /// When git cannot be started or says something else.
    pub fn version(&self) -> Result<(u32, u32)> {
        let text = self.run(["--version"])?.text();
        let mut numbers = text.trim_start_matches("git version ").split('.').map(|n| n.parse().ok());
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(major), Some(minor)) => Ok((major, minor)),
            _ => bail!("git says its version is '{text}'"),
        }
    }
}

fn bound(child: &mut Child, resource: Resource, most: u64) -> Result<()> {
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    let done = prlimit(Some(Pid::from_child(child)), resource, limit).map(drop);
    if done.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    done.context("cannot bound what git may take")
}

fn done(output: Output) -> Done {
    use std::os::unix::process::ExitStatusExt;
    let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
    Done { code, stdout: output.stdout, stderr: String::from_utf8_lossy(&output.stderr).trim_end().to_owned() }
}

fn checked(done: Done, arguments: &[OsString]) -> Result<Done> {
    if done.code == 0 {
        return Ok(done);
    }
    let verb = arguments.first().map(|a| a.to_string_lossy().into_owned()).unwrap_or_default();
    if done.stderr.is_empty() {
        bail!("'git {verb}' ended with exit code {}", done.code);
    }
    let words = done.stderr.trim_start_matches("fatal: ").trim_start_matches("error: ");
    bail!("'git {verb}': {words}")
}
