//! A room with a scripted cloud and a `codex` that reaches it.

use std::ops::Deref;
use std::path::PathBuf;

use serde_json::Value;
use suite_tests::{Ran, Sandbox, program_folder, skip};

use super::server::{Server, tests};

/// The version of the Codex CLI that `tests/run` installs; newer ones talk to their own cloud alone.
const VERSION: &str = "0.150.0";

/// Which Codex CLI is on `PATH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The real one.
    Published,
    /// A stand-in: no program that speaks it is published.
    Headless,
}

/// A sandbox with a cloud.
pub(crate) struct Room {
    sandbox: Sandbox,
    server: Server,
    dialect: Dialect,
}

impl Deref for Room {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Room {
    /// Makes a room whose cloud has these faults; none if what it takes is not there, which is then skipped.
    pub(crate) fn new(dialect: Dialect, faults: &str) -> Option<Room> {
        if dialect == Dialect::Published && !installed().join("codex").exists() {
            let why = "tests/run could not install it, which takes npm, node and its registry";
            skip(&format!("codex {VERSION} and its cloud"), why);
            return None;
        }
        let sandbox = Sandbox::new();
        let server = match Server::start(sandbox.path(), faults) {
            Ok(server) => server,
            Err(why) => {
                skip("the cloud", &why);
                return None;
            }
        };
        let stand_in = tests().join("git-bo4/cloud/headless.py");
        sandbox.script("headless/codex", &format!("exec python3 -B '{}' \"$@\"", stand_in.display()));
        // How long it waits for what an ended task lacks.
        sandbox.user_config("[bo4]\nsettle = \"2s\"\n");
        let room = Room { sandbox, server, dialect };
        let sign_in = tests().join("agents/model-server/cloud.py").display().to_string();
        room.runs(&["python3", "-B", &sign_in, "--fake-auth", &room.codex_home().display().to_string()]).succeeds();
        Some(room)
    }

    fn codex_home(&self) -> PathBuf {
        self.home().join(".codex")
    }

    /// Runs a program in the repository, in the network where only the cloud is.
    pub(crate) fn runs(&self, words: &[&str]) -> Ran {
        let words = self.server.words(words);
        let codex = match self.dialect {
            Dialect::Published => installed(),
            Dialect::Headless => self.path().join("headless"),
        };
        let mut path = codex.into_os_string();
        path.push(":");
        path.push(program_folder());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = self.sandbox.command(words[0]);
        command.args(&words[1..]).env("PATH", path).env("CODEX_HOME", self.codex_home());
        command.env("CODEX_CLOUD_TASKS_BASE_URL", format!("{}/backend-api", self.server.url));
        let output = command.output().unwrap_or_else(|e| panic!("cannot start {words:?}: {e}"));
        Ran::new(words.join(" "), output)
    }

    /// Runs git-bo4.
    pub(crate) fn bo4(&self, arguments: &[&str]) -> Ran {
        self.runs(&[&["git-bo4"], arguments].concat())
    }

    /// Kicks a run off.
    pub(crate) fn kickoff(&self, prompt: &str, best_of: &str) -> Ran {
        let environment = ["--backend", "codex-cloud", "--env", "env-fake-1"];
        self.bo4(&[&["new"], &environment[..], &["--best-of", best_of, "--prompt", prompt, "--json"]].concat())
    }

    /// Kicks a run off and returns its name.
    #[track_caller]
    pub(crate) fn begin(&self, prompt: &str, best_of: &str) -> String {
        let answer = self.kickoff(prompt, best_of).succeeds().json();
        assert!(answer["task_id"].as_str().is_some_and(|id| id.starts_with("task_e_")), "{answer:#}");
        answer["run"].as_str().expect("a run has a name").to_owned()
    }

    /// Watches a run, a look a second, for so long at most.
    pub(crate) fn watch(&self, run: &str, timeout: &str) -> Ran {
        self.bo4(&["watch", run, "--interval", "1s", "--timeout", timeout, "--json"])
    }

    /// Returns a run as JSON.
    #[track_caller]
    pub(crate) fn run_of(&self, run: &str) -> Value {
        self.bo4(&["status", run, "--json"]).succeeds().json()
    }

    /// Returns the kickoffs that the cloud took.
    #[track_caller]
    pub(crate) fn kickoffs(&self) -> Vec<Value> {
        let script = "import urllib.request, sys; print(urllib.request.urlopen(sys.argv[1]).read().decode())";
        let said = self.runs(&["python3", "-c", script, &format!("{}/__cloud", self.server.url)]).succeeds();
        let said: Value = serde_json::from_str(&said.stdout).expect("the cloud answers in JSON");
        said["posts"].as_array().expect("it lists the kickoffs").clone()
    }
}

/// Returns the folder of the real one.
fn installed() -> PathBuf {
    program_folder().parent().map(|target| target.join("agents-cloud/node_modules/.bin")).unwrap_or_default()
}

/// Returns the variant of this number.
#[track_caller]
pub(crate) fn variant(run: &Value, number: u64) -> &Value {
    let all = run["variants"].as_array().unwrap_or_else(|| panic!("no variants: {run:#}"));
    all.iter().find(|variant| variant["number"] == number).unwrap_or_else(|| panic!("no variant {number}: {run:#}"))
}

/// Returns the states of all variants, by number.
pub(crate) fn states(run: &Value) -> Vec<String> {
    let all = run["variants"].as_array().cloned().unwrap_or_default();
    let mut all: Vec<(u64, String)> = all
        .iter()
        .map(|variant| (variant["number"].as_u64().unwrap_or_default(), text(&variant["state"]).to_owned()))
        .collect();
    all.sort();
    all.into_iter().map(|(_, state)| state).collect()
}

/// Returns a text.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
