//! The room of one agent: a fresh home with the least configuration, and a fresh repository.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use suite_tests::{Ran, Sandbox, program_folder, skip};

use crate::agent::{self, Agent};
use crate::server::Server;

/// The key that each agent is logged in with; short of what is taken for a secret by its shape.
const KEY: &str = "fake-key";

/// A sandbox with an agent in it; no job outlives the test.
pub(crate) struct Room {
    sandbox: Sandbox,
    pub(crate) agent: Agent,
    server: &'static Server,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Deref for Room {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let listed = self.worker(&["list", "--live", "--json"]);
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap_or_default();
        for job in listed["jobs"].as_array().into_iter().flatten() {
            self.worker(&["stop", "--grace", "0", job["id"].as_str().unwrap_or_default()]);
        }
    }
}

impl Room {
    /// Makes a room; none if the agent is not installed, which is then skipped.
    pub(crate) fn new(agent: Agent) -> Option<Room> {
        if !agent.is_here() {
            let why = "tests/run could not install it, which takes npm, node 20 and its registry";
            skip(&format!("{} {}", agent.name(), agent.version()), why);
            return None;
        }
        let server = match Server::get() {
            Ok(server) => server,
            Err(why) => {
                skip("the real agents", why);
                return None;
            }
        };
        let sandbox = Sandbox::new();
        agent.set_up(&sandbox, &server.url);
        Some(Room { sandbox, agent, server, environment: agent.environment(&server.url, KEY) })
    }

    /// Returns where the server listens.
    pub(crate) fn url(&self) -> &str {
        &self.server.url
    }

    /// Prepares a program with the room's environment, in the network where only the server is.
    pub(crate) fn program(&self, words: &[&str]) -> Command {
        let words = self.server.words(words);
        let mut command = self.sandbox.command(words[0]);
        let mut path = agent::folder().into_os_string();
        path.push(":");
        path.push(program_folder());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command.args(&words[1..]).env("PATH", path);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// Runs a program in the repository; its input is a pipe that stays open.
    pub(crate) fn runs(&self, words: &[&str]) -> Ran {
        let mut program = self.program(words);
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap_or_else(|e| panic!("cannot start {words:?}: {e}"));
        let open = child.stdin.take();
        let output = child.wait_with_output().expect("a child can be waited for");
        drop(open);
        Ran::new(words.join(" "), output)
    }

    /// Runs git-worker.
    pub(crate) fn worker(&self, arguments: &[&str]) -> Ran {
        self.runs(&[&["git-worker"], arguments].concat())
    }

    /// Launches the agent in a scenario, under its name, and returns the job's id.
    #[track_caller]
    pub(crate) fn launch(&self, scenario: &str, more: &[&str]) -> String {
        let prompt = format!("[scenario:{scenario}] Do the task.");
        let base = ["launch", "--share", "--force", "--policy", "full-access", "--agent", self.agent.name()];
        let name = ["--name", scenario, "--prompt", &prompt];
        self.worker(&[&base[..], &name, more].concat()).succeeds().text().to_owned()
    }

    /// Returns the state of a job as JSON.
    #[track_caller]
    pub(crate) fn job(&self, id: &str) -> Value {
        self.worker(&["status", id, "--json"]).succeeds().json()["jobs"][0].clone()
    }

    /// Waits for a job's end, at most three minutes, and returns it as JSON.
    #[track_caller]
    pub(crate) fn ended(&self, id: &str) -> Value {
        let ran = self.worker(&["wait", "--timeout", "180s", "--json", id]);
        assert!(ran.code < 2, "{}: {} has not ended: {}\n{}", self.agent.name(), id, ran.stderr, self.tale(id));
        ran.json()["jobs"][0].clone()
    }

    /// Returns what a job printed last, for messages.
    pub(crate) fn tale(&self, id: &str) -> String {
        let text = self.worker(&["logs", "--raw", id]).stdout;
        text.chars().skip(text.chars().count().saturating_sub(2000)).collect()
    }

    /// Returns what `git` sees as changed in the repository, our own folder left out.
    pub(crate) fn changed(&self) -> Vec<String> {
        let listed = self.git(&["status", "--porcelain", "--untracked-files=all"]);
        listed.lines().map(|line| line[3..].to_owned()).collect()
    }

    /// Expects that a job ended in a state, and returns it.
    #[track_caller]
    pub(crate) fn ends(&self, id: &str, state: &str) -> Value {
        let job = self.ended(id);
        let told = format!("{}\n{job:#}\n{}", self.agent.name(), self.tale(id));
        assert_eq!(job["state"], state, "{told}");
        job
    }
}

/// Returns a text of a job.
pub(crate) fn text<'a>(job: &'a Value, key: &str) -> &'a str {
    job[key].as_str().unwrap_or_default()
}

/// Returns the last words of a job as they are on disk.
pub(crate) fn message(job: &Value) -> String {
    let path = Path::new(text(job, "folder")).join("message.md");
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Returns the events of a job.
pub(crate) fn events(job: &Value) -> Vec<Value> {
    let text = fs::read_to_string(Path::new(text(job, "folder")).join("events.jsonl")).expect("a job has events");
    text.lines().map(|line| serde_json::from_str(line).expect("an event is JSON")).collect()
}

/// Lists the living processes that carry a job's mark.
pub(crate) fn marked(job: &Value) -> Vec<PathBuf> {
    let mark = format!("GIT_WORKER_JOB={}/{}/{}", text(&job["repo"], "key"), text(job, "slug"), job["number"]);
    let all = fs::read_dir("/proc").expect("there is /proc").flatten().map(|entry| entry.path());
    let carries = |path: &PathBuf| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())
    };
    all.filter(|path| path.join("environ").exists() && carries(path)).collect()
}

/// Waits until something holds, at most a minute.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
