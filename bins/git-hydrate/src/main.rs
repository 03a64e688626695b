//! git-hydrate: fill a worktree in moments.
//!
//! Tracked files come from another worktree of the repository where it is sure that they are the
//! same, and from git itself where it is not; ignored artefacts come along where they are asked for.

mod answer;
mod attributes;
mod beneath;
mod cli;
mod cloning;
mod copy;
mod donor;
mod force;
mod foresee;
mod holes;
mod hydrate;
mod ignored;
mod index;
mod install;
mod kept;
mod lfs;
mod neighbour;
mod patterns;
mod plan;
mod progress;
mod ready;
mod relink;
mod sizes;
mod stats;
mod submodules;
mod suggest;
mod target;
mod tracked;

use std::process::ExitCode;

use shared::app;

use crate::cli::Cli;

fn main() -> ExitCode {
    app::run(|cli: Cli| match cli.stats.stats {
        true => stats::run(&cli.global, &cli.args.worktree),
        false => hydrate::run(&cli.global, cli.args),
    })
}
