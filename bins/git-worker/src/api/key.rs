//! The key of an endpoint: from the environment, a command, or the keychain; never from a file of ours.

use std::io;
use std::time::Duration;

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
    process::scrub(&mut command).args(arguments).current_dir("/");
    let input = input.map(|text| text.as_bytes().to_vec());
    let done = process::run_within(&mut command, input, MOST, PATIENCE).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => "did not end in time".to_owned(),
        _ => format!("cannot be started: {error}"),
    });
    match done? {
        (status, printed) if status.success() => {
            String::from_utf8(printed).map_err(|_| "did not print text".to_owned())
        }
        (status, _) => Err(format!("failed ({status})")),
    }
}
