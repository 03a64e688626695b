//! git-agent-merge as a user runs it.

mod cache;
mod cases;
mod check;
mod dirty;
mod oracle;
mod order;
mod untouched;
