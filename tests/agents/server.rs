//! The scripted model server, one for all tests, and the network that only it and the agents are in.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use suite_tests::skip;

/// The server; it ends with the tests.
pub(crate) struct Server {
    pub(crate) url: String,
    /// What a command begins with to run in the server's network.
    enter: Vec<String>,
    _child: Child,
}

impl Server {
    /// Returns the server, or why there is none.
    pub(crate) fn get() -> Result<&'static Server, &'static str> {
        static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
        SERVER.get_or_init(start).as_ref().map_err(String::as_str)
    }

    /// Prepares a program in the server's network.
    pub(crate) fn words<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        self.enter.iter().map(String::as_str).chain(words.iter().copied()).collect()
    }
}

fn start() -> Result<Server, String> {
    // The one that needs no special right first; a user namespace shows the same user inside.
    let ways: [(&[&str], &[&str]); 2] = [
        (&["unshare", "-n"], &["nsenter", "--net=/proc/{pid}/ns/net", "--"]),
        (
            &["unshare", "--map-current-user", "--keep-caps", "-n"],
            &["nsenter", "--preserve-credentials", "--user=/proc/{pid}/ns/user", "--net=/proc/{pid}/ns/net", "--"],
        ),
    ];
    let way = ways.iter().find(|(unshare, _)| succeeds(&[unshare, &["true"][..]].concat()));
    if way.is_none() {
        skip("the agents' network without a way out", "no network namespace can be made here");
    }
    if !succeeds(&["python3", "-c", "import tomllib"]) {
        return Err("the scripted model server needs python 3.11".to_owned());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("agents/model-server");
    let script = folder.join("scenarios.toml").display().to_string();
    let server = folder.join("server.py").display().to_string();
    let mut words: Vec<&str> = way.map(|(unshare, _)| unshare.to_vec()).unwrap_or_default();
    words.extend(["python3", "-B", &server, "--script", &script, "--quiet", "--with-parent"]);
    words.extend(way.map(|_| "--raise-loopback"));
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("the scripted model server does not start: {e}"))?;
    let mut line = String::new();
    let mut words = BufReader::new(child.stdout.take().expect("its stdout is a pipe"));
    let _ = words.read_line(&mut line);
    let url = line.trim().strip_prefix("READY ").ok_or_else(|| format!("the model server says '{line}'"))?;
    let pid = child.id().to_string();
    let enter = way.map(|(_, enter)| enter.iter().map(|word| word.replace("{pid}", &pid)).collect());
    Ok(Server { url: url.to_owned(), enter: enter.unwrap_or_default(), _child: child })
}

fn succeeds(words: &[&str]) -> bool {
    let ran = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    ran.is_ok_and(|output| output.status.success())
}
