//! The keychain of the operating system, through its own program: `secret-tool` or `security`.
//!
//! There is no other place for a key: where there is no keychain, that is said.

use shared::process;

use super::key;

/// Under which all keys stand.
const SERVICE: &str = "git-worker";

/// Returns the program of the keychain; none if there is none here.
pub(crate) fn program() -> Option<&'static str> {
    let name = if cfg!(target_os = "macos") { "security" } else { "secret-tool" };
    process::find(name, None).map(|_| name)
}

/// Reads a key; none if there is none of this name.
///
/// # Errors
/// When there is no keychain.
pub(crate) fn read(name: &str) -> Result<Option<String>, String> {
    let program = needed()?;
    let words = match program {
        "security" => vec!["find-generic-password", "-w", "-s", SERVICE, "-a", name],
        _ => vec!["lookup", "service", SERVICE, "name", name],
    };
    let found = key::print(program, &owned(&words), None);
    Ok(found.ok().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty()))
}

/// Keeps a key, which goes through a pipe.
///
/// # Errors
/// When there is no keychain, or it does not take the key.
pub(crate) fn write(name: &str, secret: &str) -> Result<(), String> {
    let program = needed()?;
    let label = format!("--label=git-worker {name}");
    let done = match program {
        // Its commands on standard input, so that no argument holds the key.
        "security" => {
            let line = format!("add-generic-password -U -s {SERVICE} -a {name} -w {secret}\n");
            key::print(program, &owned(&["-i"]), Some(&line))
        }
        _ => key::print(program, &owned(&["store", &label, "service", SERVICE, "name", name]), Some(secret)),
    };
    done.map_err(|why| format!("'{program}' {why}"))?;
    match read(name)? {
        Some(kept) if kept == secret => Ok(()),
        Some(_) | None => Err(format!("'{program}' did not keep the key")),
    }
}

/// Forgets a key.
///
/// # Errors
/// When there is no keychain.
pub(crate) fn remove(name: &str) -> Result<(), String> {
    let program = needed()?;
    let words = match program {
        "security" => vec!["delete-generic-password", "-s", SERVICE, "-a", name],
        _ => vec!["clear", "service", SERVICE, "name", name],
    };
    key::print(program, &owned(&words), None).map(drop).map_err(|why| format!("'{program}' {why}"))
}

fn needed() -> Result<&'static str, String> {
    program().ok_or_else(|| "there is no keychain here: 'secret-tool' (libsecret) is not on PATH".to_owned())
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
