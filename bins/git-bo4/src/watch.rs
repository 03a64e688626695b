//! `git bo4 watch`: waits until every variant of a run has ended.

use std::ffi::OsString;
use std::thread;
use std::time::{Duration, Instant};

use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

use crate::record::{Backend, Kickoff, Phase, Run, State};
use crate::status::Answer;
use crate::store::{Held, Store};
use crate::{harvest, local, new, outside, spec};

/// The longest pause after errors, as a multiple of the interval.
const LONGEST_BACK_OFF: u32 = 16;

/// Wait until every variant has ended; exit 0 if there is something to choose from, 1 if not
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run, or the beginning of its name; the newest if not given
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::cli::complete_run))]
    run: Option<String>,
    #[command(flatten)]
    patience: Patience,
}

/// How long is waited, and how often looked.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Patience {
    /// Time between two looks; bo4.interval if not given
    #[arg(long, value_name = "time", value_parser = spec::span)]
    interval: Option<Duration>,
    /// Wait no longer than this, such as 30m; exit 128 then
    #[arg(long, value_name = "time", value_parser = spec::span)]
    timeout: Option<Duration>,
}

impl Patience {
    /// Returns it as words of a command line.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let pairs = [("--interval", self.interval), ("--timeout", self.timeout)];
        let words =
            pairs.into_iter().filter_map(|(flag, span)| Some([flag.into(), format!("{}ms", span?.as_millis()).into()]));
        words.flatten().collect()
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let store = Store::find(cx, args.run.as_deref())?;
    let run = until_over(cx, &store, &args.patience)?;
    cx.output.answer(&Answer::of(&run))?;
    Ok(if run.phase == Phase::Ready { Status::Done } else { Status::No })
}

/// Looks again and again until the run is over.
pub(crate) fn until_over(cx: &Context, store: &Store, patience: &Patience) -> Result<Run, Failure> {
    let interval = match patience.interval {
        Some(interval) => interval,
        None => cx.config()?.duration("bo4.interval")?.unwrap_or(Duration::from_secs(60)),
    };
    let interval = interval.max(Duration::from_millis(100));
    let end = patience.timeout.filter(|most| !most.is_zero()).map(|most| Instant::now() + most);
    let mut told = Vec::new();
    let mut failures = 0;
    loop {
        let pause = match look(cx, store) {
            Ok(run) => {
                failures = 0;
                tell(cx, &run, &mut told);
                if run.phase.is_over() {
                    return Ok(run);
                }
                interval
            }
            Err(failure) if failure.kind() == outside::FOR_NOW => {
                failures += 1;
                let pause = interval * 2_u32.saturating_pow(failures - 1).min(LONGEST_BACK_OFF);
                let seconds = pause.as_secs_f32();
                cx.output.warn(format!("{}; the next look is in {seconds:.0} s", Foreign(failure.message())));
                pause
            }
            Err(failure) => return Err(failure),
        };
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            let run = store.run()?;
            let message = format!("run '{}' is {} still", run.run, run.phase);
            return Err(Failure::could_not("timeout", message)
                .hint(format!("it goes on; 'git bo4 watch {}' waits again", run.run)));
        }
        let pause = left.map_or(pause, |left| pause.min(left));
        match store.run()? {
            // Who ends is told by its job, so that nobody has to look.
            run if run.backend == Backend::Local => local::wait(cx, &run, pause)?,
            _ => thread::sleep(pause),
        }
    }
}

/// Says what has changed since it was last said.
fn tell(cx: &Context, run: &Run, told: &mut Vec<(usize, State)>) {
    for variant in &run.variants {
        let now = (variant.number, variant.state);
        if told.contains(&now) {
            continue;
        }
        told.retain(|(number, _)| *number != variant.number);
        told.push(now);
        let words = variant.problem.as_ref().or(variant.reason.as_ref());
        let words = words.map(|words| format!(": {}", Foreign(words))).unwrap_or_default();
        cx.output.note(format!("variant {} is {}{words}", variant.number, variant.state));
    }
}

/// Looks once: completes a kickoff that was ended, takes over what is new, and harvests what has ended.
pub(crate) fn look(cx: &Context, store: &Store) -> Result<Run, Failure> {
    let run = store.run()?;
    if run.phase.is_over() && (run.logged || run.kickoff == Kickoff::Refused) {
        return Ok(run);
    }
    // A look at a far place may take its time, and nobody has to wait for it.
    let seen = match run.backend {
        Backend::Local => None,
        Backend::CodexCloud | Backend::Command => outside::look(cx, store, &run)?,
    };
    let mut held = store.hold()?;
    new::kickoff(cx, &mut held)?;
    match seen {
        Some(seen) => outside::take(cx, &mut held, seen)?,
        None if held.run.backend == Backend::Local => local::see(cx, &mut held.run)?,
        None => {}
    }
    harvest::all(cx, &mut held)?;
    settle(&mut held)?;
    Ok(held.run)
}

/// Takes over what has ended on this machine, so that nobody has to watch first; what is far away is left to who watches.
pub(crate) fn catch_up(cx: &Context, store: &Store) -> Result<(), Failure> {
    let run = store.run()?;
    if run.backend == Backend::Local && !run.phase.is_over() {
        look(cx, store)?;
    }
    Ok(())
}

/// Says that a run is over when all its variants are.
fn settle(held: &mut Held) -> Result<(), Failure> {
    let run = &mut held.run;
    let is_over = run.variants.iter().all(|variant| variant.state.is_over());
    let is_whole = run.backend == Backend::Local || run.phase.is_over();
    if is_over && is_whole && !run.variants.is_empty() {
        let is_good = |variant: &crate::record::Variant| variant.state == State::Completed && variant.commit.is_some();
        let has_good = run.variants.iter().any(is_good);
        run.phase = if has_good { Phase::Ready } else { Phase::Error };
        if !has_good && run.reason.is_none() {
            run.reason = Some("no attempt came to a good end".to_owned());
        }
    }
    Ok(held.save()?)
}
