//! git-validate as a user runs it.
