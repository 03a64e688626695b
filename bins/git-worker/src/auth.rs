//! `git worker auth`: the key of an endpoint in the keychain of the operating system.

use std::fmt;
use std::io::{BufRead, IsTerminal};
use std::os::fd::AsFd;

use anyhow::Context as _;
use clap::Subcommand;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;

use crate::api::{Endpoint, keychain};

/// Keep the key of an endpoint in the keychain of the operating system
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Set(Set),
    Status(Show),
    Remove(Remove),
}

/// Keep a key, which is read from standard input
#[derive(Debug, clap::Args)]
struct Set {
    #[command(flatten)]
    name: Name,
}

/// Say where the key of an endpoint comes from; exit 1 if there is none
#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    name: Name,
}

/// Forget a key
#[derive(Debug, clap::Args)]
struct Remove {
    #[command(flatten)]
    name: Name,
}

#[derive(Debug, clap::Args)]
struct Name {
    /// Name of the key: the host of the endpoint; that of api.url if not given
    #[arg(long, value_name = "host")]
    name: Option<String>,
}

/// Where a key comes from; never the key.
#[derive(Debug, Serialize)]
struct Answer {
    name: String,
    /// Program of the keychain; none if there is none here.
    keychain: Option<&'static str>,
    /// Whether a key of this name is in it.
    kept: bool,
    /// `environment`, `command` or `keychain`: what counts for a job; none if there is no key.
    source: Option<&'static str>,
    /// The variable that is looked at.
    variable: String,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    match args.what {
        What::Set(set) => {
            let name = set.name.of(cx)?;
            // Before it is asked for: nobody types a key in vain.
            let program = keychain::program();
            program.ok_or_else(|| no_keychain("there is no keychain here".to_owned()))?;
            let secret = ask(cx, &name)?;
            keychain::write(&name, &secret).map_err(no_keychain)?;
            show(cx, name).map(|_| Status::Done)
        }
        What::Status(status) => show(cx, status.name.of(cx)?),
        What::Remove(remove) => {
            let name = remove.name.of(cx)?;
            keychain::remove(&name).map_err(no_keychain)?;
            show(cx, name).map(|_| Status::Done)
        }
    }
}

impl Name {
    fn of(self, cx: &Context) -> Result<String, Failure> {
        let Some(name) = self.name else { return Ok(Endpoint::of(cx.config()?, "any", None)?.host()) };
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        match !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
            true => Ok(name.to_ascii_lowercase()),
            false => Err(Failure::usage(format!("'{}' is no name of a host", name.escape_debug()))),
        }
    }
}

fn no_keychain(why: String) -> Failure {
    let hint = "'secret-tool' of libsecret is the keychain's program on Linux; without one 'api.key-env' or \
                'api.key-command' gives the key, which is never kept in a file";
    Failure::could_not("no-keychain", why).hint(hint)
}

fn show(cx: &Context, name: String) -> Result<Status, Failure> {
    let endpoint = Endpoint::of(cx.config()?, "any", None)?;
    let program = keychain::program();
    let kept = program.is_some() && keychain::read(&name).is_ok_and(|key| key.is_some());
    let set = std::env::var_os(&endpoint.key_env).is_some_and(|value| !value.is_empty());
    let of_endpoint = name == endpoint.host();
    let source = match () {
        () if of_endpoint && set && (endpoint.key_env_set || endpoint.key_command.is_empty()) => Some("environment"),
        () if of_endpoint && endpoint.key_env_set => None,
        () if of_endpoint && !endpoint.key_command.is_empty() => Some("command"),
        () => kept.then_some("keychain"),
    };
    cx.output.answer(&Answer { name, keychain: program, kept, source, variable: endpoint.key_env })?;
    Ok(if source.is_some() { Status::Done } else { Status::No })
}

/// Reads a key from standard input; a terminal does not show it.
fn ask(cx: &Context, name: &str) -> Result<String, Failure> {
    let stdin = std::io::stdin();
    let _hidden = if stdin.is_terminal() {
        cx.output.note(format!("key for '{name}', which is not shown:"));
        Hidden::new()
    } else {
        None
    };
    let mut line = String::new();
    stdin.lock().read_line(&mut line).context("cannot read the key")?;
    let key = line.trim();
    match !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic()) {
        true => Ok(key.to_owned()),
        false => Err(Failure::usage("the key is no single word of plain characters")),
    }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> Option<Hidden> {
        let stdin = std::io::stdin();
        let before = tcgetattr(stdin.as_fd()).ok()?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin.as_fd(), OptionalActions::Flush, &modes).ok()?;
        Some(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Flush, &self.0);
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keychain = match (self.keychain, self.kept) {
            (None, _) => "no keychain here",
            (Some(_), true) => "a key in the keychain",
            (Some(_), false) => "no key in the keychain",
        };
        let source = match self.source {
            Some("environment") => format!("the key comes from {}", self.variable),
            Some(source) => format!("the key comes from the {source}"),
            None => "there is no key".to_owned(),
        };
        write!(f, "{}  {source}  ({keychain})", self.name)
    }
}
