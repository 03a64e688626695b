//! What makes a filled worktree ready to work in: its own values in an env file, and the steps after.
//!
//! What is to run is read, and refused, before the first file of the worktree is written. From then
//! on until the last step has succeeded the worktree's marker says `after`; a run that finds it so
//! does all of this again and nothing else.

mod env_file;
mod step;
mod words;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use shared::app::Context;
use shared::clock;
use shared::durable::{self, Previous};
use shared::failure::Failure;

use crate::answer::{Answer, Skipped};
use crate::beneath::Root;
use crate::target::{MARKER, Target};
use words::{Line, Values, Variable};

pub(crate) use step::Step;

/// What is to be done, as it is configured.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    after: Vec<Line>,
    env: Vec<Variable>,
    env_file: String,
}

/// The marker file in the state `after`; the rest of it is what an older program needs to go on.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    schema: u32,
    state: String,
    tree: String,
    donor: Option<PathBuf>,
    started: String,
}

const AFTER: &str = "after";

/// Says whether the worktree is filled and only this is left; then it returns the donor it was filled from.
pub(crate) fn pending(target: &Target) -> Result<Option<Option<PathBuf>>> {
    let Some(bytes) = durable::read(&target.file(MARKER))? else { return Ok(None) };
    let marker = serde_json::from_slice::<Marker>(&bytes).ok().filter(|marker| marker.state == AFTER);
    Ok(marker.map(|marker| marker.donor))
}

impl Ready {
    /// Reads what is configured.
    ///
    /// # Errors
    /// When it waits for trust, or cannot be understood.
    pub(crate) fn load(cx: &Context) -> Result<Ready, Failure> {
        let config = cx.config()?;
        let lists = config.list("hydrate.after").and_then(|after| Ok((after, config.list("hydrate.env")?)));
        let (after, env) = lists.map_err(|error| {
            let failure = Failure::from(error);
            let hint = failure.way_on().map(|hint| format!("{hint}; '--no-after' fills without it"));
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
        let after = after.iter().map(|line| Line::parse(line)).collect::<Result<_>>()?;
        let env = env.iter().map(|line| Variable::parse(line)).collect::<Result<_>>()?;
        let env_file = config.text("hydrate.env-file")?.unwrap_or_default();
        Ok(Ready { after, env, env_file })
    }

    /// Says whether nothing is configured.
    pub(crate) fn is_empty(&self) -> bool {
        self.after.is_empty() && self.env.is_empty()
    }

    /// Says durably that the worktree is filled and only this is left; nothing if there is nothing to do.
    pub(crate) fn mark(&self, target: &Target, donor: Option<&Path>) -> Result<()> {
        if self.is_empty() {
            return target.unmark();
        }
        let marker = Marker {
            schema: 1,
            state: AFTER.into(),
            tree: target.tree.map(|tree| tree.to_string()).unwrap_or_default(),
            donor: donor.map(Path::to_owned),
            started: clock::now().to_string(),
        };
        durable::replace(&target.file(MARKER), &serde_json::to_vec(&marker)?, Previous::Drop)
    }

    /// Says what would be done.
    pub(crate) fn foresee(
        &self,
        cx: &Context,
        target: &Target,
        donor: Option<&Path>,
        answer: &mut Answer,
    ) -> Result<()> {
        let values = Values::of(cx, target, donor)?;
        if !self.env.is_empty() {
            answer.env_file = Some(self.env_file.clone());
        }
        answer.after = self.after.iter().map(|line| Step::foreseen(&line.filled(&values))).collect();
        Ok(())
    }

    /// Does it all, and takes the marker away at the end.
    ///
    /// # Errors
    /// When a step fails; the marker stays.
    pub(crate) fn apply(
        &self,
        cx: &Context,
        target: &Target,
        donor: Option<&Path>,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        if self.is_empty() {
            return Ok(());
        }
        let values = Values::of(cx, target, donor)?;
        let env = self.env.iter().map(|variable| Ok((variable.name.clone(), variable.filled(&values)?)));
        let env: Vec<(String, OsString)> = env.collect::<Result<_>>()?;
        if !env.is_empty() {
            match env_file::write(cx, target, &self.env_file, &env)? {
                None => answer.env_file = Some(self.env_file.clone()),
                Some(reason) => answer.skipped.push(Skipped::new(self.env_file.as_bytes(), reason)),
            }
        }
        let lines = self.after.iter().map(|line| line.filled(&values)).collect::<Vec<_>>();
        step::run(cx, target, &lines, &env, &mut answer.after)?;
        Ok(target.unmark()?)
    }
}

/// Opens the worktree, so that nothing leaves it.
fn open_root(target: &Target) -> Result<Root> {
    let path = &target.worktree.path;
    Root::open(path).with_context(|| format!("cannot open '{}'", path.display()))
}
