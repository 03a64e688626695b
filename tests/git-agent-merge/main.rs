//! git-agent-merge as a user runs it.

mod check;
mod dirty;
mod ended;
mod kinds;
mod oracle;
mod rebase;
mod resolve;
mod untouched;
