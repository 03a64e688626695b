//! git-worker as a user runs it.

mod commit;
mod corrupt;
mod crash;
mod index;
mod launch;
mod list;
mod logs;
mod pause;
mod queue;
mod retry;
mod room;
mod run;
mod status;
mod stop;
mod unseen;
mod wait;
