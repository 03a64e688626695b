//! git-worker as a user runs it.

mod agents;
mod ask;
mod audit;
mod cap;
mod commit;
mod corrupt;
mod crash;
mod danger;
mod gc;
mod heir;
mod index;
mod launch;
mod list;
mod logs;
mod pause;
mod queue;
mod redact;
mod retry;
mod room;
mod run;
mod snapshots;
mod stall;
mod status;
mod stop;
mod unseen;
mod wait;
