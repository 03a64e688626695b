//! git-hydrate as a user runs it.
