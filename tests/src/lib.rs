//! The room that a test works in: its own home, repository and programs.

mod ran;
mod sandbox;

pub use ran::Ran;
pub use sandbox::{Sandbox, program_folder, skip};
