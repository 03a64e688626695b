//! `git bo4 retry`: the next round of a run, linked to the last.

use std::path::PathBuf;

use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;
use shared::slug::Slug;

use crate::new;
use crate::record::{Kickoff, Phase, Run, State, Variant};
use crate::spec::{Meant, Spec, hash};
use crate::status::Answer;
use crate::store::{self, Store};

/// Begin the next round of a run: the same, but for what is given anew
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run, or the beginning of its name; the newest if not given
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::cli::complete_run))]
    run: Option<String>,
    /// What is asked this time; - is standard input
    #[arg(long, value_name = "text", conflicts_with = "prompt_file", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// File that holds what is asked this time; - is standard input
    #[arg(long, value_name = "file", value_hint = clap::ValueHint::FilePath)]
    prompt_file: Option<PathBuf>,
    /// Environment of the cloud
    #[arg(long, value_name = "name")]
    env: Option<String>,
    /// What the attempts start from; the same commit as the last time if not given
    #[arg(long, value_name = "rev")]
    base: Option<String>,
    /// Say what would be asked and begin nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let store = Store::find(cx, args.run.as_deref())?;
    let last = store.run()?;
    let meant = next(cx, &store, &last, &args)?;
    if args.dry_run {
        new::refuse_unfit(cx, &meant.run)?;
        cx.output.answer(&Answer::dry(&meant.run))?;
        return Ok(Status::Done);
    }
    let held = new::begin(cx, meant)?;
    cx.output.answer(&Answer::of(&held.run))?;
    Ok(if held.run.phase == Phase::Error { Status::No } else { Status::Done })
}

fn next(cx: &Context, store: &Store, last: &Run, args: &Args) -> Result<Meant, Failure> {
    let prompt = match (&args.prompt, &args.prompt_file) {
        (None, None) => store.prompt()?,
        (prompt, prompt_file) => {
            Spec { prompt: prompt.clone(), prompt_file: prompt_file.clone(), ..Spec::default() }.text()?
        }
    };
    let mut prompts = vec![prompt];
    let own = last.lanes.iter().filter(|lane| lane.prompt.is_some()).count();
    for number in 1..=own {
        prompts.push(store.lane_prompt(number)?);
    }
    let slug = last.task.as_ref().and_then(|task| task.parse::<Slug>().ok()).or_else(|| Slug::from_text(&last.title));
    let mut run = last.clone();
    run.run = store::new_name(cx, slug.as_ref())?;
    run.title = crate::spec::title(&prompts[0]);
    run.prompt_hash = hash(prompts.join("\0").as_bytes());
    run.prompt_file = args.prompt_file.as_ref().and_then(|file| file.canonicalize().ok());
    if let Some(env) = &args.env {
        run.env = Some(env.clone());
    }
    if let Some(base) = &args.base {
        run.base.clone_from(base);
        run.base_commit = cx.repository()?.commit(base)?.to_string();
    }
    run.variants = last.variants.iter().filter(|variant| variant.lane.is_some()).map(anew).collect();
    run.created = clock::now();
    run.previous = Some(last.run.clone());
    run.round = last.round + 1;
    run.kickoff = Kickoff::NotBegun;
    run.phase = Phase::Pending;
    (run.task_id, run.reason, run.picked, run.logged) = (None, None, None, false);
    Ok(Meant { run, prompts })
}

/// The same attempt, not begun.
fn anew(variant: &Variant) -> Variant {
    Variant {
        lane: variant.lane,
        agent: variant.agent.clone(),
        model: variant.model.clone(),
        ..Variant::new(variant.number, State::Pending)
    }
}
