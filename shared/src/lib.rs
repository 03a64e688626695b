//! What the programs share: settings, records, outside hands and the frame of a program.
//!
//! The arrows point down only: frame (`app` `hooks` `landing` `output` `failure`), meaning (`config` `own_folder` `registry`),
//! hands (`durable` `process` `repository`), words (`slug` `clock` `exit` `folders` `refusal`).

pub mod app;
pub mod failure;
pub mod hooks;
pub mod landing;
pub mod output;

pub mod config;
pub mod own_folder;
pub mod registry;

pub mod durable;
pub mod process;
pub mod repository;

pub mod clock;
pub mod exit;
pub mod folders;
pub mod refusal;
pub mod slug;
