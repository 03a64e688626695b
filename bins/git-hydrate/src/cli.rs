//! What can be asked.

use clap::Parser;
use shared::app::Global;

use crate::hydrate::Args;
use crate::stats;

/// Fill a worktree in moments
///
/// Fills a worktree that 'git worktree add --no-checkout' made: tracked files from another worktree
/// of the repository where they are the same there, from git where not, and the ignored artefacts
/// that '.worktreeinclude' or 'hydrate.include' names.
#[derive(Debug, Parser)]
#[command(name = "git-hydrate", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(flatten)]
    pub(crate) args: Args,
    #[command(flatten)]
    pub(crate) stats: stats::Args,
}
