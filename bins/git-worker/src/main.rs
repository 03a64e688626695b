//! git-worker: run agents and other commands in the background, inside limits.

mod agent;
mod agents;
mod announced;
mod api;
mod ask;
mod audit;
mod auth;
mod begin;
mod budget;
mod cause;
mod cli;
mod commit;
mod complaint;
mod condition;
mod danger;
mod empty;
mod event;
mod fill;
mod gc;
mod given;
mod guard;
mod heir;
mod index;
mod job;
mod keeper;
mod last;
mod launch;
mod link;
mod list;
mod listing;
mod live;
mod logs;
mod mirror;
mod names;
mod network;
mod notify;
mod output;
mod pause;
mod peril;
mod place;
mod plan;
mod prepare;
mod prompt;
mod prompt_show;
mod proof;
mod pulse;
mod queue;
mod record;
mod redact;
mod removal;
mod restore;
mod resume;
mod retry;
mod rules;
mod run;
mod secrets;
mod shell;
mod show;
mod shown;
mod signals;
mod snapshot;
mod snapshots;
mod spawn;
mod stall;
mod status;
mod stop;
mod stream;
mod supervise;
mod tape;
mod telemetry;
mod times;
mod tokens;
mod told;
mod tree;
mod unseen;
mod wait;
mod waiting;
mod watch;
mod watched;
mod what;

use std::process::ExitCode;

use shared::app::{self, Context};

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    // Before anything else: the supervisor and its heir stay small and read nothing but their job.
    if heir::is_asked_for() {
        return heir::run().into();
    }
    if supervise::is_asked_for() {
        return supervise::run().into();
    }
    if snapshot::is_asked_for() {
        return snapshot::run().into();
    }
    if api::is_asked_for() {
        return api::run().into();
    }
    if queue::is_asked_for() {
        return queue::run().into();
    }
    if prepare::is_asked_for() {
        return prepare::run().into();
    }
    app::run(|cli: Cli| {
        let cx = Context::open(&cli.global)?;
        match cli.command {
            Command::Launch(args) => launch::run(cx, &cli.global, args),
            Command::Run(args) => run::run(cx, &cli.global, args),
            Command::Retry(args) => retry::run(cx, &cli.global, args),
            Command::Resume(args) => resume::run(cx, &cli.global, args),
            Command::Ask(args) => ask::run(cx, &cli.global, args),
            Command::Status(args) => status::run(&cx, args),
            Command::List(args) => list::run(&cx, args),
            Command::Logs(args) => logs::run(&cx, args),
            Command::Show(args) => show::run(&cx, args),
            Command::Agents(args) => agents::run(&cx, args),
            Command::Auth(args) => auth::run(&cx, args),
            Command::Prompt(args) => prompt_show::run(&cx, args),
            Command::Wait(args) => wait::run(&cx, args),
            Command::Stop(args) => stop::run(&cx, args),
            Command::Snapshots(args) => snapshots::run(&cx, args),
            Command::Restore(args) => restore::run(&cx, args),
            Command::Gc(args) => gc::run(&cx, args),
            Command::Audit(args) => audit::run(&cx, args),
        }
    })
}
