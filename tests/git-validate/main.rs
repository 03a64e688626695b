//! git-validate as a user runs it.

mod crash;
mod doctor;
mod global;
mod init;
mod install;
mod kill;
mod neighbours;
mod note;
mod outputs;
mod report;
mod room;
mod run;
mod show;
mod slot;
mod subject;
mod trust;
