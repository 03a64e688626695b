//! git-hydrate as a user runs it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test writes plain files, and fails by panicking")]

mod after;
mod answer;
mod attributes;
mod clone;
mod donor;
mod equal;
mod fill;
mod force;
mod hostile;
mod ignored;
mod interrupted;
mod lfs;
mod links;
mod mode;
mod outside;
mod ready;
mod refuse;
mod relink;
mod room;
mod shared;
mod stats;
mod submodules;
mod suggest;
mod trouble;
mod unsteady;
