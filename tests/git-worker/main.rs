//! git-worker as a user runs it.

mod cap;
mod commit;
mod crash;
mod launch;
mod list;
mod logs;
mod redact;
mod room;
mod snapshots;
mod stall;
mod status;
mod stop;
mod wait;
