//! git-validate as a user runs it.

mod crash;
mod install;
mod kill;
mod note;
mod policy;
mod policy_change;
mod policy_code;
mod policy_hostile;
mod room;
mod run;
mod show;
mod slot;
mod subject;
mod trust;
