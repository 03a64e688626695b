//! Programs outside: git through its one door, the suite's own programs, trees of processes.

mod bounded;
mod commits;
mod git;
mod program;
mod tree;

pub use bounded::{Caught, catch_within, run_within};
pub use commits::{commit_tree, copy_commit};
pub use git::{Done, Git, Hooks, LOCAL_ENVIRONMENT};
pub use program::{Told, command, find, find_trusted, is_executable, keep_out, scrub, suite_program, told};
pub use tree::{Identity, boot_id, descendants, end, in_group, marked};
