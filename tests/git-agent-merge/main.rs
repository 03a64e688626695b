//! git-agent-merge as a user runs it.

mod cache;
mod cases;
mod check;
mod dirty;
mod ended;
mod install;
mod kinds;
mod oracle;
mod order;
mod rebase;
mod records;
mod resolve;
mod train;
mod untouched;
