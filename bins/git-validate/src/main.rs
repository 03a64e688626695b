//! git-validate: say whether a tree is good, and why.

mod checks;
mod cli;
mod hooks;
mod note;
mod run;
mod show;
mod subject;
mod verdict;

use std::process::ExitCode;

use shared::app::{self, Context};

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    app::run(|cli: Cli| {
        let cx = Context::open(&cli.global)?;
        match cli.command {
            None => run::run(&cx, cli.run),
            Some(Command::Show(args)) => show::run(&cx, args),
            Some(Command::Install(args)) => hooks::install(&cx, args),
            Some(Command::Uninstall(args)) => hooks::uninstall(&cx, args),
            Some(Command::Hook(args)) => hooks::called(&cx, args),
        }
    })
}
