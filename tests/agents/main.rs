//! The real agents, through the built git-worker, against a scripted model server on loopback.
//!
//! `tests/run` installs them; an agent that cannot be had is skipped by name. All of them run in a
//! network namespace of their own where there is one, so that nothing reaches out.
//! `SUITE_WHOLE_MATRIX=1` runs every fault with every agent, `SUITE_ROUNDS=20` the stops so often.

mod agent;
mod api;
mod ask;
mod attempts;
mod confined;
mod faults;
mod hangs;
mod hostile;
mod plain;
mod resolves;
mod room;
mod server;
mod sessions;
mod stops;
mod together;
