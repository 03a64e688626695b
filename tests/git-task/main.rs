//! git-task as a user runs it.
