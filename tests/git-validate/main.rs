//! git-validate as a user runs it.

mod checks;
mod crash;
mod doctor;
mod fix;
mod global;
mod init;
mod install;
mod keys;
mod kill;
mod neighbours;
mod note;
mod outputs;
mod policy;
mod policy_change;
mod policy_code;
mod policy_hostile;
mod report;
mod review;
mod room;
mod run;
mod show;
mod slot;
mod subject;
mod sync;
mod trust;
mod untouched;
