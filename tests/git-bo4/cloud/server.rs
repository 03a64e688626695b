//! The scripted cloud of one test, and the network that only it and what talks to it are in.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use suite_tests::skip;

/// How a network namespace is made and entered; the first needs no user namespace.
const WAYS: [(&[&str], &[&str]); 2] = [
    (&["unshare", "-n"], &["nsenter", "--net=/proc/{pid}/ns/net", "--"]),
    (
        &["unshare", "--map-current-user", "--keep-caps", "-n"],
        &["nsenter", "--preserve-credentials", "--user=/proc/{pid}/ns/user", "--net=/proc/{pid}/ns/net", "--"],
    ),
];

/// The cloud; it ends with the test.
pub(crate) struct Server {
    pub(crate) url: String,
    /// What a command begins with to run in its network.
    enter: Vec<String>,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts one with the scenarios and these faults, whose script goes below `folder`.
    pub(crate) fn start(folder: &Path, faults: &str) -> Result<Server, String> {
        static PYTHON: OnceLock<bool> = OnceLock::new();
        if !PYTHON.get_or_init(|| succeeds(&["python3", "-c", "import tomllib"])) {
            return Err("the scripted cloud needs python 3.11".to_owned());
        }
        let scenarios = fs::read_to_string(tests().join("git-bo4/cloud/scenarios.toml")).expect("there are scenarios");
        let script = folder.join("cloud.toml");
        fs::write(&script, format!("{scenarios}\n{faults}")).expect("a script can be written");
        let script = script.display().to_string();
        let server = tests().join("agents/model-server/server.py").display().to_string();
        let way = way();
        let mut words: Vec<&str> = way.map(|(unshare, _)| unshare.to_vec()).unwrap_or_default();
        words.extend(["python3", "-B", &server, "--cloud", &script, "--quiet", "--with-parent"]);
        words.extend(way.map(|_| "--raise-loopback"));
        let mut command = Command::new(words[0]);
        let child = command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| format!("the scripted cloud does not start: {e}"))?;
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().expect("its stdout is a pipe")).read_line(&mut line);
        let pid = child.id().to_string();
        let enter = way.map(|(_, enter)| enter.iter().map(|word| word.replace("{pid}", &pid)).collect());
        let url = line.trim().strip_prefix("READY ").unwrap_or_default().to_owned();
        let server = Server { url, enter: enter.unwrap_or_default(), child };
        if server.url.is_empty() { Err(format!("the scripted cloud says '{line}'")) } else { Ok(server) }
    }

    /// Prepares a program in the server's network.
    pub(crate) fn words<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        self.enter.iter().map(String::as_str).chain(words.iter().copied()).collect()
    }
}

fn way() -> Option<(&'static [&'static str], &'static [&'static str])> {
    static WAY: OnceLock<Option<usize>> = OnceLock::new();
    let place = WAY.get_or_init(|| {
        let place = WAYS.iter().position(|(unshare, _)| succeeds(&[unshare, &["true"][..]].concat()));
        if place.is_none() {
            skip("the cloud's network without a way out", "no network namespace can be made here");
        }
        place
    });
    place.map(|place| WAYS[place])
}

/// Returns the folder of the tests.
pub(crate) fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn succeeds(words: &[&str]) -> bool {
    let ran = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    ran.is_ok_and(|output| output.status.success())
}
