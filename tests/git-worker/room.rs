//! The room of a test with jobs: whatever still runs at its end is stopped.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use suite_tests::{Ran, Sandbox};

/// A sandbox in which no job outlives the test.
pub(crate) struct Room(Sandbox);

impl Deref for Room {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.0
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let listed = self.worker(&["list", "--all", "--live", "--json"]);
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap_or_default();
        for job in listed["jobs"].as_array().into_iter().flatten() {
            let folder = job["repo"]["path"].as_str().unwrap_or(".").to_owned();
            let id = job["id"].as_str().unwrap_or_default().to_owned();
            self.worker(&["-C", &folder, "stop", "--grace", "0", &id]);
        }
    }
}

impl Room {
    pub(crate) fn new() -> Room {
        Room(Sandbox::new())
    }

    /// Runs git-worker in the repository.
    pub(crate) fn worker(&self, arguments: &[&str]) -> Ran {
        self.run("git-worker", arguments)
    }

    /// Launches a shell script under a name and returns the job's id.
    #[track_caller]
    pub(crate) fn sh(&self, name: &str, script: &str) -> String {
        self.worker(&["launch", "--share", "--name", name, "--", "sh", "-c", script]).succeeds().text().to_owned()
    }

    /// Returns the state of a job as JSON.
    #[track_caller]
    pub(crate) fn job(&self, id: &str) -> Value {
        self.worker(&["status", id, "--json"]).succeeds().json()["jobs"][0].clone()
    }

    /// Returns the folder of a job.
    #[track_caller]
    pub(crate) fn folder(&self, id: &str) -> PathBuf {
        PathBuf::from(self.job(id)["folder"].as_str().expect("a job has a folder"))
    }

    /// Waits for a job's end, at most half a minute, and returns it as JSON.
    #[track_caller]
    pub(crate) fn ended(&self, id: &str) -> Value {
        let ran = self.worker(&["wait", "--timeout", "30s", "--json", id]);
        assert!(ran.code < 2, "{}", ran.stderr);
        ran.json()["jobs"][0].clone()
    }

    /// Returns a worktree with a task of this slug, as the registry holds it.
    pub(crate) fn task(&self, slug: &str) -> PathBuf {
        let worktree = self.path().join(format!("trees/{slug}"));
        let branch = format!("task/{slug}");
        self.git(&["worktree", "add", "-q", "-b", &branch, worktree.to_str().expect("a temporary folder is UTF-8")]);
        let launched = self.worker(&["launch", "-n", "--json", "--", "true"]).succeeds();
        assert!(launched.stdout.contains("true"));
        let probe = self.sh("probe", "true");
        let repo = self.ended(&probe)["repo"].clone();
        let task = serde_json::json!({
            "id": format!("id{slug}"), "slug": slug, "repo": repo, "title": "Mend the  gate", "goal": "It squeaks.",
            "status": "active", "branch": format!("refs/heads/{branch}"), "worktree": worktree,
            "created": "2026-03-01T09:30:00Z", "updated": "2026-03-01T09:30:00Z",
        });
        let tasks = serde_json::json!({ "schema": 1, "generation": 1, "tasks": [task] });
        self.write_in(&self.data(), "tasks.json", &tasks.to_string());
        worktree
    }
}

/// Waits until something holds, at most 20 s.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Counts living processes whose command line holds a word.
pub(crate) fn count(word: &str) -> usize {
    let pids = fs::read_dir("/proc").expect("there is /proc").flatten().filter(|entry| {
        let is = |part: &str| fs::read(entry.path().join(part)).unwrap_or_default();
        let stat = String::from_utf8_lossy(&is("stat")).into_owned();
        let dead = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
        entry.file_name().to_string_lossy().parse::<u32>().is_ok()
            && !dead
            && String::from_utf8_lossy(&is("cmdline")).contains(word)
    });
    pids.count()
}

/// Sends a signal as the shell's kill does.
pub(crate) fn kill(room: &Sandbox, signal: &str, pid: &Value) {
    room.run("kill", &[signal, &pid.to_string()]).succeeds();
}

/// Returns the process id of the parent of one.
pub(crate) fn parent(pid: &Value) -> Value {
    let stat = text(Path::new(&format!("/proc/{pid}/stat")));
    let parent = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    parent.map_or(Value::Null, Value::from)
}

/// Kills a supervisor and before it its heir, so that what is left below it lives on.
pub(crate) fn kill_with_heir(room: &Sandbox, supervisor: &Value) {
    kill(room, "-9", &parent(supervisor));
    kill(room, "-9", supervisor);
}

/// Returns a span of sleep that no other test uses, to find the process by.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("600.{}{:03}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Reads a file as text; empty if there is none.
pub(crate) fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
