//! Which run and which of its variants a command is about.

use shared::app::Context;
use shared::failure::Failure;
use shared::output::Foreign;

use crate::record::{Run, State, Variant};
use crate::store::Store;
use crate::watch;

/// A run and some of its variants.
#[derive(Debug, clap::Args)]
pub(crate) struct Chosen {
    /// Run, or the beginning of its name; the newest if not given
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::cli::complete_run))]
    run: Option<String>,
    /// Only this variant; may be given several times
    #[arg(long, value_name = "n", conflicts_with = "all")]
    variant: Vec<usize>,
    /// All variants, as without '--variant'
    #[arg(long)]
    all: bool,
}

impl Chosen {
    /// Finds them.
    pub(crate) fn find(&self, cx: &Context) -> Result<(Store, Run), Failure> {
        let store = Store::find(cx, self.run.as_deref())?;
        watch::catch_up(cx, &store)?;
        let run = store.run()?;
        for number in &self.variant {
            run.variant(*number)?;
        }
        Ok((store, run))
    }

    /// Says whether a variant was named.
    pub(crate) fn is_named(&self) -> bool {
        !self.variant.is_empty()
    }

    pub(crate) fn variants<'a>(&'a self, run: &'a Run) -> impl Iterator<Item = &'a Variant> {
        run.variants.iter().filter(|variant| self.variant.is_empty() || self.variant.contains(&variant.number))
    }
}

/// The only variant that a command is about.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Run, or the beginning of its name; the newest if not given
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::cli::complete_run))]
    pub(crate) run: Option<String>,
    /// Variant whose changes are brought
    #[arg(long, value_name = "n")]
    pub(crate) variant: usize,
}

/// Warns of a variant that failed, or of which the review says that it cannot win.
pub(crate) fn warn(cx: &Context, store: &Store, run: &Run, number: usize) -> Result<(), Failure> {
    let variant = run.variant(number)?;
    if variant.state != State::Completed {
        let why = variant.reason.as_deref().map(|why| format!(": {}", Foreign(why))).unwrap_or_default();
        cx.output.warn(format!("variant {number} is {}{why}", variant.state));
        return Ok(());
    }
    let review = store.load_review()?;
    let place = review.and_then(|review| review.ranking.into_iter().find(|place| place.variant == number));
    if let Some(place) = place.filter(|place| place.place.is_none()) {
        cx.output.warn(format!("the review says of variant {number}: {}", Foreign(&place.reason)));
    }
    Ok(())
}

/// Returns the commit of a variant.
///
/// # Errors
/// When it has none, with the reason.
pub(crate) fn commit(run: &Run, number: usize) -> Result<gix::ObjectId, Failure> {
    let variant = run.variant(number)?;
    if let Some(commit) = &variant.commit {
        return Ok(crate::record::id(commit)?);
    }
    let why = variant.problem.clone().or_else(|| variant.reason.clone());
    let why = why.unwrap_or_else(|| format!("it is {}", variant.state));
    Err(Failure::could_not("no-commit", format!("variant {number} of '{}' has nothing to take: {why}", run.run)))
}
