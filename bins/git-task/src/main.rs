//! git-task: what is to be done, in which order, and where.

mod add;
mod brief;
mod cli;
mod complete;
mod config;
mod doctor;
mod drop;
mod edit;
mod fields;
mod init;
mod list;
mod log;
mod modules;
mod proof;
mod show;
mod status;
mod trust;
mod undo;
mod worktree;

use std::process::ExitCode;

use shared::app::{self, Context};

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    app::run(|cli: Cli| {
        let cx = Context::open(&cli.global)?;
        match cli.command {
            Command::Init(args) => init::run(&cx, args),
            Command::Add(args) => add::run(&cx, args),
            Command::List(args) => list::run(&cx, args),
            Command::Show(args) => show::run(&cx, args),
            Command::Edit(args) => edit::run(&cx, args),
            Command::Drop(args) => drop::run(&cx, args),
            Command::Worktree(args) => worktree::run(&cx, args),
            Command::Status(args) => status::run(&cx, args),
            Command::Complete(args) => complete::run(&cx, args),
            Command::Log(args) => log::run(&cx, args),
            Command::Undo(args) => undo::run(&cx, args),
            Command::Config(args) => config::run(&cx, args),
            Command::Trust(args) => trust::run(&cx, args),
            Command::Doctor(args) => doctor::run(&cx, args),
        }
    })
}
