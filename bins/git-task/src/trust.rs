//! `git task trust`: show what a repository wants to run, and agree to it.

use std::fmt;
use std::io::{BufRead, IsTerminal};

use serde::Serialize;
use shared::app::Context;
use shared::config::trust::{self, Request};
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

/// Show what this repository wants to run, and agree to exactly that
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Agree without being asked
    #[arg(short, long)]
    yes: bool,
    /// Only show; exit 1 if something waits for trust
    #[arg(long, conflicts_with = "yes")]
    show: bool,
    /// Take the agreement back
    #[arg(long, conflicts_with_all = ["yes", "show"])]
    revoke: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    requests: Vec<Request>,
    trusted: bool,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for request in &self.requests {
            let key =
                request.key.strip_prefix("git:").map_or_else(|| request.key.clone(), |key| format!("git config {key}"));
            writeln!(f, "{} = {}", Foreign(&key), Foreign(&request.value))?;
            writeln!(f, "    from {}", Foreign(&request.origin))?;
        }
        f.write_str(match (self.requests.is_empty(), self.trusted) {
            (true, _) => "this repository wants to run nothing",
            (false, true) => "trusted",
            (false, false) => "not trusted",
        })
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let common = cx.repository_unchecked()?.common_dir();
    // Read once: what is shown is what is agreed to, and what runs is compared with its hash.
    let config = cx.config()?;
    let requests = config.requests().to_vec();
    if args.revoke {
        trust::revoke(common)?;
        cx.output.answer(&Answer { trusted: requests.is_empty(), requests })?;
        return Ok(Status::Done);
    }
    let trusted = config.is_trusted();
    let shown = Answer { requests, trusted };
    if trusted || args.show {
        cx.output.answer(&shown)?;
        return Ok(if trusted { Status::Done } else { Status::No });
    }
    if !args.yes {
        ask(cx, &shown)?;
    }
    trust::grant(common, &shown.requests)?;
    cx.output.answer(&Answer { trusted: true, ..shown })?;
    Ok(Status::Done)
}

fn ask(cx: &Context, shown: &Answer) -> Result<(), Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::could_not("no-terminal", "there is no terminal to ask on")
            .hint("'git task trust --show' shows the commands, 'git task trust --yes' agrees to them"));
    }
    cx.output.warn(format!("these commands will run on this machine:\n{shown}\nagree? [y/N]"));
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if read.is_ok() && matches!(line.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::no("not-trusted", "not trusted; nothing is recorded"))
}
