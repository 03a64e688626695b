//! git-worker as a user runs it.

mod commit;
mod crash;
mod index;
mod launch;
mod list;
mod logs;
mod pause;
mod queue;
mod room;
mod run;
mod status;
mod stop;
mod unseen;
mod wait;
