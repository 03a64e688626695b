//! git-bo4: ask several times, compare with evidence, keep the best.

mod apply;
mod branch;
mod chosen;
mod cli;
mod cloud;
mod export;
mod gc;
mod graft;
mod harvest;
mod inside;
mod lane;
mod local;
mod log;
mod merged;
mod new;
mod outside;
mod patch;
mod pick;
mod record;
mod report;
mod retry;
mod review;
mod show;
mod spec;
mod status;
mod store;
mod watch;
mod whole;

use std::process::ExitCode;

use shared::app::{self, Context};

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    app::run(|cli: Cli| {
        let cx = Context::open(&cli.global)?;
        match cli.command {
            Command::Run(args) => whole::run(&cx, *args),
            Command::New(args) => new::run(&cx, args),
            Command::Watch(args) => watch::run(&cx, args),
            Command::List(args) => status::list(&cx, args),
            Command::Status(args) => status::run(&cx, args),
            Command::Show(args) => show::run(&cx, args),
            Command::Diff(args) => show::diff(&cx, args),
            Command::Export(args) => export::run(&cx, args),
            Command::Branch(args) => branch::run(&cx, args),
            Command::Apply(args) => apply::run(&cx, args),
            Command::Review(args) => review::run(&cx, args),
            Command::Report(args) => report::args::run(&cx, args),
            Command::Pick(args) => pick::run(&cx, args),
            Command::Graft(args) => graft::run(&cx, args),
            Command::Retry(args) => retry::run(&cx, args),
            Command::Gc(args) => gc::run(&cx, args),
        }
    })
}
