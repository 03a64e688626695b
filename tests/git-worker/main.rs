//! git-worker as a user runs it.

mod commit;
mod crash;
mod index;
mod launch;
mod list;
mod logs;
mod room;
mod status;
mod stop;
mod wait;
