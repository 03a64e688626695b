//! git-validate: say whether a tree is good, and why.

mod checks;
mod cli;
mod doctor;
mod finding;
mod gate;
mod gc;
mod hooks;
mod init;
mod journal;
mod log;
mod note;
mod outputs;
mod policy;
mod render;
mod report;
mod review;
mod run;
mod show;
mod sign;
mod stat;
mod subject;
mod sync;
mod tree;
mod user_file;
mod verdict;
mod who;

use std::process::ExitCode;

use shared::app::{self, Context};
use shared::failure::Failure;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    app::run(|cli: Cli| {
        let cx = Context::open(&cli.global)?;
        if cli.command.is_some() && cli.run.is_given() {
            return Err(Failure::usage(
                "what to run cannot be given together with a subcommand; a revision of that name goes after '--'",
            ));
        }
        match cli.command {
            None => run::run(&cx, cli.run),
            Some(Command::Show(args)) => show::run(&cx, args),
            Some(Command::Review(args)) => review::run(&cx, args),
            Some(Command::Log(args)) => log::run(&cx, args),
            Some(Command::Sync(args)) => sync::run(&cx, args),
            Some(Command::Gc(args)) => gc::run(&cx, args),
            Some(Command::Policy(args)) => policy::list::run(&cx, args),
            Some(Command::Install(args)) => hooks::install(&cx, args),
            Some(Command::Uninstall(args)) => hooks::uninstall(&cx, args),
            Some(Command::Doctor(args)) => doctor::run(&cx, args),
            Some(Command::Init(args)) => init::run(&cx, args),
            Some(Command::Hook(args)) => hooks::called(&cx, args),
        }
    })
}
