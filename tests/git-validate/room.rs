//! The room of a test with checks, and what is seen of the user's in it.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use suite_tests::{Ran, Sandbox};

/// What is the user's: each file with its mode, time and a hash of its content.
pub(crate) type Users = BTreeMap<PathBuf, (u32, i64, i64, u64)>;

/// A sandbox whose checks write down that they ran.
pub(crate) struct Room(Sandbox);

impl Deref for Room {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.0
    }
}

impl Room {
    /// Makes a room without checks.
    pub(crate) fn new() -> Room {
        Room(Sandbox::new())
    }

    /// Makes a room with checks of these names and shell scripts, trusted and committed.
    pub(crate) fn with(checks: &[(&str, &str)]) -> Room {
        let room = Room::new();
        room.write(".gitignore", "/build/\n");
        room.configure(checks, "");
        room.commit("settings");
        room
    }

    /// Sets the checks, and what else is given as TOML, and agrees to them.
    pub(crate) fn configure(&self, checks: &[(&str, &str)], more: &str) {
        let mut toml = more.to_owned();
        for (name, script) in checks {
            let script = format!("echo \"$GIT_VALIDATE_CHECK\" >> '{}'; {script}", self.ran().display());
            let command = serde_json::to_string(&["sh", "-c", &script]).unwrap();
            let name = serde_json::to_string(name).unwrap();
            toml.push_str(&format!("\n[[checks]]\nname = {name}\ncommand = {command}\n"));
        }
        self.trusted_config(&toml);
    }

    fn ran(&self) -> PathBuf {
        self.path().join("ran")
    }

    /// Returns how often checks have run so far.
    pub(crate) fn runs(&self) -> usize {
        fs::read_to_string(self.ran()).unwrap_or_default().lines().count()
    }

    /// Runs git-validate in the repository.
    pub(crate) fn validate(&self, arguments: &[&str]) -> Ran {
        self.run("git-validate", arguments)
    }

    /// Starts git-validate and does not wait for it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let program = suite_tests::program_folder().join("git-validate");
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Waits for a started program.
    pub(crate) fn end(&self, child: Child) -> Ran {
        Ran::new("git-validate".into(), child.wait_with_output().unwrap())
    }

    /// Returns the verdict that is noted on a revision.
    pub(crate) fn verdict(&self, revision: &str) -> String {
        self.validate(&["show", "--json", revision]).json()["verdict"].as_str().unwrap().to_owned()
    }

    /// Returns one check of an answer.
    pub(crate) fn check(answer: &Value, name: &str) -> Value {
        let checks = answer["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no '{name}' in {answer}")).clone()
    }

    /// Returns the folder of the first slot.
    pub(crate) fn slot(&self) -> PathBuf {
        let pools = self.home().join(".cache/codex-agents/validate");
        let mut pools = fs::read_dir(pools).unwrap().map(|entry| entry.unwrap().path());
        pools.find(|path| path.is_dir()).unwrap().join("0")
    }

    /// Returns all that is the user's: worktree, index, refs, stash, configuration; not the objects, not our notes.
    pub(crate) fn users(&self) -> Users {
        let mut all = BTreeMap::new();
        collect(&self.repo(), &mut all);
        all.retain(|path, _| {
            let path = path.to_string_lossy();
            !path.contains("/.git/objects") && !path.contains("notes")
        });
        all
    }

    /// Expects that nothing of the user's has changed.
    #[track_caller]
    pub(crate) fn is_untouched(&self, before: &Users, what: &str) {
        let after = self.users();
        let differ = |path: &&PathBuf| before.get(*path) != after.get(*path);
        let changed: Vec<&PathBuf> = before.keys().chain(after.keys()).filter(differ).collect();
        assert!(changed.is_empty(), "{what}: {changed:?}");
    }
}

fn collect(folder: &Path, all: &mut Users) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let facts = path.symlink_metadata().unwrap();
        if facts.is_dir() {
            collect(&path, all);
        } else {
            let content = if facts.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap_or_default()
            };
            let mut hasher = DefaultHasher::new();
            content.hash(&mut hasher);
            all.insert(path, (facts.permissions().mode(), facts.mtime(), facts.mtime_nsec(), hasher.finish()));
        }
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says whether the process whose id is in a file still runs.
pub(crate) fn is_alive(file: &Path) -> bool {
    let pid = fs::read_to_string(file).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.rsplit(')').next().unwrap().trim_start().starts_with(['Z', 'X'])
}
