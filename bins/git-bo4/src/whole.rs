//! `git bo4 run`: the whole loop, which goes on where it was ended.

use std::ffi::OsString;
use std::fmt;

use anyhow::Context as _;
use serde::Serialize;
use shared::app::Context;
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process;

use crate::record::{Kickoff, Run};
use crate::report::Report;
use crate::report::args::page;
use crate::review::{self, How, Means};
use crate::spec::{Meant, Spec};
use crate::store::{self, Store};
use crate::watch::{self, Patience};
use crate::{branch, export, local, new, outside};

/// Begin a run, watch it, make branches, review and report; one that was interrupted goes on
///
/// The same question from the same base that 'run' has asked before and not brought to its end goes on too.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run to go on with, or the beginning of its name
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::cli::complete_run))]
    run: Option<String>,
    #[command(flatten)]
    spec: Spec,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    means: Means,
    /// Begin anew although the same question is open
    #[arg(long, conflicts_with = "run")]
    fresh: bool,
    /// Task of the backend that the run has begun, where nobody knows whether it has begun one
    #[arg(long, value_name = "id", requires = "run", conflicts_with = "again")]
    adopt: Option<String>,
    /// Ask the backend once more, where nobody knew whether it had begun, and it surely has not
    #[arg(long, requires = "run")]
    again: bool,
    /// Do all of it in a job of git-worker, and return at once
    #[arg(long)]
    background: bool,
    /// Say what would be asked and begin nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// What a run in the background answers.
#[derive(Debug, Serialize)]
struct Begun {
    run: String,
    job: String,
}

impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  is brought to its end in the background by {}", self.run, self.job)
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    // Before anything is paid for.
    let how = args.means.load(cx)?;
    let store = match (&args.run, args.spec.is_given()) {
        (Some(_), true) => return Err(Failure::usage("a run that goes on has its question already")),
        (None, false) => {
            return Err(Failure::usage("give a run to go on with, or '--prompt', '--prompt-file', '--task'"));
        }
        (Some(name), false) => Store::find(cx, Some(name))?,
        (None, true) => {
            let meant = args.spec.check(cx)?;
            if args.dry_run {
                new::refuse_unfit(cx, &meant.run)?;
                cx.output.answer(&crate::status::Answer::dry(&meant.run))?;
                return Ok(Status::Done);
            }
            begin_or_find(cx, &args, meant)?
        }
    };
    if args.dry_run {
        cx.output.answer(&crate::status::Answer::dry(&store.run()?))?;
        return Ok(Status::Done);
    }
    if args.adopt.is_some() || args.again {
        outside::settle(cx, &store, args.adopt.as_deref())?;
    }
    if args.background {
        return in_background(cx, &store, &args);
    }
    conduct(cx, &store, &args.patience, &how)
}

/// A question that is open and was asked in the same words from the same base is the one that is meant.
fn begin_or_find(cx: &Context, args: &Args, meant: Meant) -> Result<Store, Failure> {
    // Two at once would each find nothing and begin.
    let _lock = store::hold_beginning(cx)?;
    if !args.fresh {
        let is_same = |old: &Run| {
            let new = &meant.run;
            (&old.prompt_hash, &old.base_commit, &old.task, &old.env)
                == (&new.prompt_hash, &new.base_commit, &new.task, &new.env)
                && (old.backend, old.best_of, &old.lanes) == (new.backend, new.best_of, &new.lanes)
                && old.timeout_ms == new.timeout_ms
                && old.kickoff != Kickoff::Refused
        };
        let open = store::runs(cx)?.0.into_iter().filter(|run| is_same(run)).max_by_key(|run| run.created);
        if let Some(open) = open {
            let store = Store::find(cx, Some(&open.run))?;
            if store.is_conducted_to_no_end()? {
                cx.output.note(format!("goes on with {}; '--fresh' begins another", open.run));
                return Ok(store);
            }
        }
    }
    let held = new::prepare(cx, meant)?;
    // Before the record: a run that is there and not marked would never be gone on with.
    held.store.mark_conducted()?;
    held.save()?;
    Ok(held.store)
}

/// Brings a run from wherever it is to its report.
fn conduct(cx: &Context, store: &Store, patience: &Patience, how: &How) -> Result<Status, Failure> {
    let _baton = store.conduct()?;
    let mut held = store.hold()?;
    new::kickoff(cx, &mut held)?;
    drop(held);
    watch::until_over(cx, store, patience)?;
    branch::make(cx, store, false)?;
    let run = store.run()?;
    let has_work = run.variants.iter().any(|variant| variant.commit.is_some());
    let review = if has_work { Some(review::up_to_date(cx, store, how)?) } else { None };
    let folder = export::own_folder(cx, &run)?;
    for variant in &run.variants {
        // One that cannot be written as files does not keep the others from it.
        if let Err(failure) = export::one(cx, store, &run, variant, &folder) {
            cx.output.warn(format!("variant {}: {}", variant.number, Foreign(failure.message())));
        }
    }
    let answer = Report::of(&run, review.as_ref());
    let page = page(cx, store, &run, &answer)?;
    durable::replace_public(&folder.join("report.html"), page.as_bytes(), 0o644)?;
    store.end_conducting()?;
    cx.output.answer(&answer)?;
    cx.output.note(format!("the page is {}", folder.join("report.html").display()));
    let has_winner = review.is_some_and(|review| review.ranking.iter().any(|place| place.place == Some(1)));
    Ok(if has_winner { Status::Done } else { Status::No })
}

fn in_background(cx: &Context, store: &Store, args: &Args) -> Result<Status, Failure> {
    let run = store.run()?.run;
    let own = std::env::current_exe().context("cannot find this program")?;
    let mut command = local::worker(cx)?;
    command.args(["launch", "--json", "--quiet", "--share", "--name", &run]);
    if let Some(here) = cx.repository()?.main_worktree() {
        command.arg("--worktree").arg(here);
    }
    let words: Vec<OsString> = args.patience.words().into_iter().chain(args.means.words()).collect();
    command.arg("--").arg(own).args(["run", &run]).args(words);
    let output = command.output().context("cannot start git-worker")?;
    if !output.status.success() {
        return Err(Failure::could_not("launch", process::told(&output.stderr).message));
    }
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).context("git-worker names no job")?;
    let job = said["id"].as_str().unwrap_or_default().to_owned();
    cx.output.answer(&Begun { run, job })?;
    Ok(Status::Done)
}
