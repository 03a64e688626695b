//! git-agent-merge as a user runs it.

mod check;
mod dirty;
mod install;
mod oracle;
mod rebase;
mod resolve;
mod train;
mod untouched;
