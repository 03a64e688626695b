//! `git bo4 new`: begins a run and returns at once.

use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;

use crate::record::{Backend, Kickoff, Phase, Run};
use crate::spec::{Meant, Spec};
use crate::status::Answer;
use crate::store::{Held, Store};
use crate::{local, log, outside};

/// Begin a run and return at once
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: Spec,
    /// Say what would be asked and begin nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let meant = args.spec.check(cx)?;
    if args.dry_run {
        refuse_unfit(cx, &meant.run)?;
        cx.output.answer(&Answer::dry(&meant.run))?;
        return Ok(Status::Done);
    }
    let held = begin(cx, meant)?;
    cx.output.answer(&Answer::of(&held.run))?;
    Ok(if held.run.phase == Phase::Error { Status::No } else { Status::Done })
}

/// Asks who is to make the attempts whether that can begin; nothing is begun.
pub(crate) fn refuse_unfit(cx: &Context, run: &Run) -> Result<(), Failure> {
    for name in ["GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"] {
        // What the attempts make becomes commits, and by then they have been paid for.
        if cx.git()?.reading().ask(["var", name])?.code != 0 {
            let message = "git knows no user.name and user.email to commit the variants as";
            return Err(Failure::could_not("no-name", message).hint("'git config --global user.name' sets it"));
        }
    }
    match run.backend {
        Backend::Local => local::refuse_unfit(cx, run),
        Backend::CodexCloud | Backend::Command => outside::refuse_unfit(cx, run),
    }
}

/// Begins a run: its record first, then the backend, then the line in the log.
pub(crate) fn begin(cx: &Context, meant: Meant) -> Result<Held, Failure> {
    let mut held = prepare(cx, meant)?;
    held.save()?;
    kickoff(cx, &mut held)?;
    Ok(held)
}

/// Makes a run that can begin; its record is for the caller to save.
pub(crate) fn prepare(cx: &Context, meant: Meant) -> Result<Held, Failure> {
    refuse_unfit(cx, &meant.run)?;
    log::refuse_unfit(cx)?;
    Store::create(cx, meant.run, &meant.prompts)
}

/// Brings a run to where its backend works, as far as it is not there yet.
pub(crate) fn kickoff(cx: &Context, held: &mut Held) -> Result<(), Failure> {
    match (held.run.kickoff, held.run.backend) {
        (Kickoff::Done, _) => {}
        (Kickoff::Refused, _) => return Err(outside::refused(&held.run)),
        (Kickoff::NotBegun | Kickoff::Begun, Backend::Local) => local::kickoff(cx, held)?,
        (Kickoff::NotBegun, Backend::CodexCloud | Backend::Command) => outside::kickoff(cx, held)?,
        (Kickoff::Begun, Backend::CodexCloud | Backend::Command) => {
            return Err(outside::uncertain(cx, &held.run));
        }
    }
    if !held.run.logged {
        log::append(cx, &held.run)?;
        held.run.logged = true;
        held.save()?;
    }
    Ok(())
}
