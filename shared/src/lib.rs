//! What the programs share: settings, records, outside hands, the frame of a program, and what several of them do.
//!
//! The arrows point down only: deeds (`ground` `hooks` `jobs` `landing` `quarantine` `validation`), frame (`app` `failure`
//! `output`), meaning (`config` `own_folder` `registry`), hands (`durable` `process` `repository`), words (`clock` `exit`
//! `folders` `refusal` `slug`).

pub mod ground;
pub mod hooks;
pub mod jobs;
pub mod landing;
pub mod quarantine;
pub mod validation;

pub mod app;
pub mod failure;
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
