//! The room that a test works in: its own home, repository and programs.

mod kill;
mod ran;
mod sandbox;

pub use kill::{CHANGING_CALLS, Reach, can_kill, run_killed};
pub use ran::Ran;
pub use sandbox::{Sandbox, program_folder, skip};
