//! The key of an endpoint: from the environment, a command, or the keychain; never from a file of ours.

use std::io::Read;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use shared::process;

use super::problem::Problem;
use super::{Endpoint, keychain};
use crate::stream::ErrorKind;

/// Who prints no key in this time has none.
const PATIENCE: Duration = Duration::from_secs(30);
/// No key is longer.
const MOST: u64 = 16 * 1024;

/// Finds the key; none where a server of this machine asks for none.
///
/// # Errors
/// When there is none, or what should give it fails.
pub(super) fn find(endpoint: &Endpoint) -> Result<Option<String>, Problem> {
    let auth = |text: String| Problem::new(ErrorKind::Auth, text);
    let set = std::env::var(&endpoint.key_env).ok().filter(|key| !key.trim().is_empty());
    if let Some(key) = set.filter(|_| endpoint.key_env_set || endpoint.key_command.is_empty()) {
        return checked(&key).map(Some);
    }
    if endpoint.key_env_set {
        return Err(auth(format!("there is no key: the variable '{}' is not set", endpoint.key_env)));
    }
    if let Some((program, arguments)) = endpoint.key_command.split_first() {
        let printed = print(program, arguments, None).map_err(|why| auth(format!("'api.key-command' {why}")))?;
        return checked(&printed).map(Some);
    }
    match keychain::read(&endpoint.host()) {
        Ok(Some(key)) => checked(&key).map(Some),
        _ if endpoint.is_loopback() => Ok(None),
        Ok(None) | Err(_) => Err(auth(format!(
            "there is no key for '{}': set {}, 'api.key-env' or 'api.key-command', or 'git worker auth set' keeps one",
            endpoint.host(),
            endpoint.key_env
        ))),
    }
}

/// A key is one word of plain characters; anything else would break out of its header.
fn checked(key: &str) -> Result<String, Problem> {
    let key = key.trim();
    match !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic()) {
        true => Ok(key.to_owned()),
        false => Err(Problem::new(ErrorKind::Auth, "the key is no single word of plain characters")),
    }
}

/// Runs a program that prints a secret; what it says is never repeated.
///
/// # Errors
/// In words without anything that it said.
pub(crate) fn print(program: &str, arguments: &[String], input: Option<&str>) -> Result<String, String> {
    let path = match program.contains('/') {
        true => Some(program.into()),
        false => std::env::current_dir().ok().and_then(|here| process::find(program, Some(&here))),
    };
    let Some(path) = path else { return Err("names a program that is not on PATH".to_owned()) };
    let mut command = process::command(path);
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    process::scrub(&mut command).args(arguments).current_dir("/").stdin(stdin).stderr(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot be started: {error}"))?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        // Who does not read it says so by its end.
        let _ = std::io::Write::write_all(&mut stdin, text.as_bytes());
    }
    let stdout = child.stdout.take().ok_or("says nothing")?;
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stdout.take(MOST).read_to_string(&mut text).map(|_| text)
    });
    let began = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(10)),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("did not end in time".to_owned());
            }
        }
    };
    if !status.success() {
        return Err(format!("failed ({status})"));
    }
    let text = reader.join().map_err(|_| "cannot be read")?.map_err(|_| "did not print text")?;
    Ok(text)
}
