//! `git bo4 review`: what each variant is worth, by evidence, and which comes first.

pub(crate) mod analysis;
pub(crate) mod change;
pub(crate) mod findings;
mod judge;
mod metric;
pub(crate) mod rank;
pub(crate) mod similarity;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use gix::ObjectId;
use serde::{Deserialize, Serialize};
use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::validation::{self, Said};

use crate::record::{Run, Variant, id};
use crate::store::Store;
use crate::watch;
use findings::{Check, Metric, Place, Review, Row};

/// Validate, measure and compare the variants of a run, and rank them with reasons
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run, or the beginning of its name; the newest if not given
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::cli::complete_run))]
    run: Option<String>,
    #[command(flatten)]
    means: Means,
    /// Review anew what was reviewed already
    #[arg(short, long)]
    force: bool,
}

/// By what the variants are compared.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub(crate) struct Means {
    /// Command whose last number says how good a variant is; bo4.metric if not given
    #[arg(long, value_name = "command", conflicts_with = "no_metric")]
    metric: Option<String>,
    /// Leave the metric out
    #[arg(long)]
    no_metric: bool,
    /// Whether a higher or a lower metric is better; bo4.metric-goal if not given
    #[arg(long, value_name = "goal", value_parser = ["higher", "lower"])]
    metric_goal: Option<String>,
    /// Have an agent judge pairs of those that can win, in both orders; git-worker's own agent if none is named
    #[arg(long, value_name = "agent", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    judge: Option<String>,
    /// Leave the validation out
    #[arg(long)]
    unvalidated: bool,
}

/// Means as they are after the settings; what a review was made by is kept with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct How {
    pub(crate) metric: Option<String>,
    pub(crate) metric_timeout_ms: u64,
    pub(crate) lower_is_better: bool,
    /// The judge; empty is git-worker's own agent.
    pub(crate) judge: Option<String>,
    pub(crate) validates: bool,
}

impl Means {
    /// Returns them as words of a command line.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        for (flag, value) in [("--metric", &self.metric), ("--metric-goal", &self.metric_goal)] {
            if let Some(value) = value {
                words.extend([flag.into(), value.into()]);
            }
        }
        if let Some(judge) = &self.judge {
            words.push(if judge.is_empty() { "--judge".into() } else { format!("--judge={judge}").into() });
        }
        for (flag, is_set) in [("--no-metric", self.no_metric), ("--unvalidated", self.unvalidated)] {
            if is_set {
                words.push(flag.into());
            }
        }
        words
    }

    /// Puts together what was given and what the settings say.
    pub(crate) fn load(&self, cx: &Context) -> Result<How, Failure> {
        let config = cx.config()?;
        let metric = match (&self.metric, self.no_metric) {
            (_, true) => None,
            (Some(metric), false) => Some(metric.clone()),
            (None, false) => config.text("bo4.metric")?.filter(|metric| !metric.trim().is_empty()),
        };
        let goal = match &self.metric_goal {
            Some(goal) => Some(goal.clone()),
            None => config.text("bo4.metric-goal")?,
        };
        let timeout = config.duration("bo4.metric-timeout")?.unwrap_or_default();
        Ok(How {
            metric,
            metric_timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            lower_is_better: goal.as_deref() == Some("lower"),
            judge: self.judge.clone(),
            validates: !self.unvalidated,
        })
    }
}

impl fmt::Display for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Place { place, variant, reason } in &self.ranking {
            let place = place.map_or_else(|| "-".to_owned(), |place| place.to_string());
            writeln!(f, "{place:>2}  variant {variant}  {}", Foreign(reason))?;
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let store = Store::find(cx, args.run.as_deref())?;
    watch::catch_up(cx, &store)?;
    let how = match store.load_review() {
        // What was asked for the last time is meant again where nothing else is said.
        Ok(Some(Review { how: Some(how), .. })) if args.means == Means::default() && !args.force => {
            How { validates: true, ..how }
        }
        Ok(_) | Err(_) => args.means.load(cx)?,
    };
    let review = if args.force { make(cx, &store, &how)? } else { up_to_date(cx, &store, &how)? };
    cx.output.answer(&review)?;
    let has_winner = review.ranking.iter().any(|place| place.place == Some(1));
    Ok(if has_winner { Status::Done } else { Status::No })
}

/// Returns the review of the variants as they are, by these means.
pub(crate) fn up_to_date(cx: &Context, store: &Store, how: &How) -> Result<Review, Failure> {
    let run = store.run()?;
    match store.load_review() {
        Ok(Some(review)) if review.is_of(&run, how) => Ok(review),
        Ok(_) => make(cx, store, how),
        Err(error) => {
            cx.output.warn(format!("an old review is left aside: {error:#}"));
            make(cx, store, how)
        }
    }
}

impl Review {
    /// Says whether it is about these commits and was made by these means, and nothing was left open.
    fn is_of(&self, run: &Run, how: &How) -> bool {
        let commits: Vec<Option<&str>> = run.variants.iter().map(|variant| variant.commit.as_deref()).collect();
        let own: Vec<Option<&str>> = self.rows.iter().map(|row| row.commit.as_deref()).collect();
        commits == own && self.how.as_ref() == Some(how) && !self.rows.iter().any(|row| row.verdict == "not-validated")
    }
}

fn make(cx: &Context, store: &Store, how: &How) -> Result<Review, Failure> {
    let run = store.run()?;
    if !run.variants.iter().any(|variant| variant.commit.is_some()) {
        let message = format!("run '{}' has no variant to review: it is {}", run.run, run.phase);
        let failure = Failure::could_not("no-variants", message);
        return Err(match run.phase.is_over() {
            true => {
                failure.hint(format!("'git bo4 status {}' says why; 'git bo4 retry {}' asks again", run.run, run.run))
            }
            false => failure.hint(format!("'git bo4 watch {}' waits for them", run.run)),
        });
    }
    let base = id(&run.base_commit)?;
    let base_tree = cx.repository()?.tree_of(base)?;
    let (mut rows, mut trees, mut lines) = (Vec::new(), BTreeMap::new(), Vec::new());
    for variant in &run.variants {
        cx.output.note(format!("reviewing variant {}", variant.number));
        let Some(commit) = variant.commit.as_deref().map(id).transpose()? else {
            rows.push(nothing(variant));
            continue;
        };
        let tree = cx.repository()?.tree_of(commit)?;
        trees.insert(variant.number, tree.to_string());
        let files = change::load(&cx.git()?.reading(), base, commit)?;
        let mut row = nothing(variant);
        let (size, risks) = analysis::study(&files);
        (row.size, row.risks) = (Some(size), risks);
        if tree != base_tree && variant.state.is_over() {
            validate(cx, how, base, tree, &mut row)?;
            row.metric = metric::of(cx, store, &run, variant, commit, how)?;
        }
        // Those that changed nothing have that in common and no more.
        if tree != base_tree {
            lines.push((variant.number, tree.to_string(), similarity::Lines::of(&files)));
        }
        rows.push(row);
    }
    let similar = similarity::pairs(&lines);
    let mut review = Review {
        run: run.run.clone(),
        base_commit: run.base_commit.clone(),
        time: clock::now(),
        metric: how.metric.clone(),
        lower_is_better: how.lower_is_better,
        judged: how.judge.is_some(),
        how: Some(how.clone()),
        ranking: rank::rank(&run, &rows, &similar, &[], how.lower_is_better, &trees),
        rows,
        similar,
        duels: Vec::new(),
    };
    if let Some(judge) = &how.judge {
        review.duels = judge::hold(cx, store, &run, &review, judge)?;
        review.ranking = rank::rank(&run, &review.rows, &review.similar, &review.duels, how.lower_is_better, &trees);
    }
    store.save_review(&review)?;
    Ok(review)
}

fn nothing(variant: &Variant) -> Row {
    Row {
        number: variant.number,
        commit: variant.commit.clone(),
        verdict: "nothing".to_owned(),
        checks: Vec::new(),
        metric: Metric::None,
        size: None,
        risks: Vec::new(),
        problem: variant.problem.clone().or_else(|| variant.reason.clone()),
    }
}

fn validate(cx: &Context, how: &How, base: ObjectId, tree: ObjectId, row: &mut Row) -> Result<(), Failure> {
    if !how.validates {
        row.verdict = "not-validated".to_owned();
        row.problem = Some("the validation was left out".to_owned());
        return Ok(());
    }
    match validation::ask(cx, base, tree) {
        Ok(Said::NoChecks) => row.verdict = "no-checks".to_owned(),
        Ok(Said::Verdict { verdict, checks }) => {
            row.verdict = verdict;
            row.checks = checks.into_iter().map(check).collect();
        }
        // One variant that cannot be judged must not keep the others from it.
        Err(failure) => {
            row.verdict = "not-validated".to_owned();
            row.problem = Some(failure.message().to_owned());
        }
    }
    Ok(())
}

fn check(row: validation::CheckRow) -> Check {
    let tail = if row.status == "pass" { String::new() } else { row.tail };
    Check { name: row.name, status: row.status, seconds: row.seconds, tail }
}

/// Returns the time that the metric has; none is no limit.
pub(crate) fn metric_timeout(how: &How) -> Duration {
    match how.metric_timeout_ms {
        0 => Duration::from_secs(u64::from(u32::MAX)),
        limit => Duration::from_millis(limit),
    }
}
