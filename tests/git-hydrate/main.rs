//! git-hydrate as a user runs it.

mod answer;
mod attributes;
mod donor;
mod fill;
mod hostile;
mod ignored;
mod interrupted;
mod refuse;
mod room;
