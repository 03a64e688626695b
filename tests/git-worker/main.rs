//! git-worker as a user runs it.
