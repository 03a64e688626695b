//! git-task as a user runs it.

mod add;
mod complete;
mod config;
mod crash;
mod doctor;
mod drop;
mod edit;
mod init;
mod list;
mod log;
mod registry;
mod show;
mod status;
mod surroundings;
mod trust;
mod undo;
mod worktree;
