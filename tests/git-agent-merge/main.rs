//! git-agent-merge as a user runs it.
