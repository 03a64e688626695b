//! git-agent-merge: say what merges, before anyone merges it.

mod accept;
mod ancestry;
mod answer;
mod batch;
mod cache;
mod check;
mod cli;
mod conflict;
mod forecast;
mod hook;
mod hunks;
mod matrix;
mod names;
mod oracle;
mod order;
mod overlap;
mod page;
mod rebase;
mod resolve;
mod rules;
mod snapshot;
mod stream;
mod train;
mod validation;

use std::process::ExitCode;

use shared::app::{self, Context};

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    app::run(|cli: Cli| {
        let cx = Context::open(&cli.global)?;
        match cli.command {
            Command::Check(args) => check::run(&cx, &args),
            Command::Order(args) => order::run(&cx, &args),
            Command::Resolve(args) => resolve::run(&cx, args),
            Command::Show(args) => accept::show(&cx, args),
            Command::Accept(args) => accept::accept(&cx, args),
            Command::Reject(args) => accept::reject(&cx, args),
            Command::Rebase(args) => rebase::run(&cx, args),
            Command::Train(args) => train::run(&cx, args),
            Command::Install(args) => hook::install(&cx, args),
            Command::Uninstall(args) => hook::uninstall(&cx, args),
            Command::Hook(args) => hook::called(&cx, args),
        }
    })
}
