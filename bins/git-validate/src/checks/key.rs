//! The key of a result: the hash of all that the answer depends on beside the tree.
//!
//! The command and its settings, the bytes of the program, the variables that the check names, the
//! output of its `version` command; the base for a check that is told what has changed; and, for a
//! check that names its inputs, those alone instead of the tree.

use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest, Sha256};
use shared::app::Context;
use shared::process;

use super::tools::Tools;
use super::{Check, PassFiles};
use crate::tree::File;

/// Counts up when the same configuration begins to mean something else.
const RULES: &str = "git-validate/2";

/// How many hex digits a key has.
const DIGITS: usize = 32;

/// The time that a version command has.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(2);
/// As much of what it prints counts, in bytes.
const MOST: u64 = 64 << 10;

/// A hash over parts, each with its length.
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn new() -> Hasher {
        Hasher(Sha256::new())
    }

    pub(crate) fn add(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// Adds a list, so that where it ends is part of it.
    pub(crate) fn list<T: AsRef<[u8]>>(&mut self, parts: impl IntoIterator<Item = T>) {
        for part in parts {
            self.0.update([1]);
            self.add(part);
        }
        self.0.update([0]);
    }

    pub(crate) fn key(self) -> String {
        let mut text = hex(&self.0.finalize());
        text.truncate(DIGITS);
        text
    }
}

/// Writes bytes as hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the keys of one run are made from.
pub(crate) struct Keys<'a> {
    cx: &'a Context,
    tools: Tools,
    base: Option<gix::ObjectId>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(cx: &'a Context, base: Option<gix::ObjectId>) -> Keys<'a> {
        Keys { cx, tools: Tools::load(), base }
    }

    /// Makes the key of a check; `files` are those of the tree, asked for only by a check that names its inputs.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub(crate) fn of<'f>(&mut self, check: &Check, files: &dyn Fn() -> Result<&'f [File]>) -> Result<String> {
        let mut hasher = Hasher::new();
        let timeout = check.timeout.map(|span| span.as_millis().to_string()).unwrap_or_default();
        hasher.list([RULES, &check.name, &timeout, &format!("{:?}", check.pass_files)]);
        hasher.list(&check.command);
        hasher.list(check.files.words());
        hasher.list(check.outputs.iter().map(|report| format!("{}:{}", report.format, report.path)));
        hasher.list(check.env.iter().map(|(name, value)| format!("{name}={value}")));
        hasher.list(check.env_keys.iter().map(|name| match std::env::var_os(name) {
            Some(value) => [name.as_bytes(), b"=", value.as_encoded_bytes()].concat(),
            None => name.as_bytes().to_vec(),
        }));
        hasher.list(&check.version);
        hasher.add(self.tools.identity(&check.command[0]));
        if !check.version.is_empty() {
            hasher.add(self.version(check));
        }
        if check.pass_files == PassFiles::Changed {
            hasher.add(self.base.map(|base| base.to_string()).unwrap_or_default());
        }
        if !check.inputs.mean_all() {
            hasher.list(check.inputs.words());
            for file in files()?.iter().filter(|file| check.inputs.mean(&file.path)) {
                hasher.add(&file.path);
                hasher.add(format!("{:o} {}", file.mode.value(), file.id));
            }
        }
        Ok(hasher.key())
    }

    /// What the check's version command prints; its failure is an answer too.
    fn version(&self, check: &Check) -> Vec<u8> {
        let ask = || -> Result<Vec<u8>> {
            let program = check.version.first().context("no program")?;
            let mut command = process::command(program);
            process::scrub(&mut command).args(&check.version[1..]).stdin(Stdio::null());
            // Not in the worktree: what stands there does not count.
            command.current_dir(self.cx.repository().map_err(anyhow::Error::new)?.common_dir());
            printed(command)
        };
        ask().unwrap_or_else(|error| format!("{error:#}").into_bytes())
    }

    /// Keeps what was learned of the programs.
    pub(crate) fn save(&self) {
        self.tools.save();
    }
}

/// What a program prints that must not keep us, nor what it starts.
fn printed(mut command: Command) -> Result<Vec<u8>> {
    let mut file = tempfile::tempfile().context("cannot create a temporary file")?;
    command.stdout(file.try_clone()?).stderr(file.try_clone()?).process_group(0);
    let mut child = command.spawn()?;
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            let group = i32::try_from(child.id()).context("an odd process id")?;
            process::end(|| process::in_group(group), Duration::ZERO);
            child.wait()?;
            bail!("it did not end within {} s", PATIENCE.as_secs());
        }
        thread::sleep(LOOK);
    }
    let mut text = Vec::new();
    file.rewind()?;
    file.take(MOST).read_to_end(&mut text)?;
    Ok(text)
}
