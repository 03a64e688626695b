//! Answers in the forms that other programs read.

pub(crate) mod github;
pub(crate) mod junit;
pub(crate) mod markdown;
pub(crate) mod sarif;
