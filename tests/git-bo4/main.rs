//! git-bo4 as it is built.

mod apply;
mod attempts;
mod circumstances;
mod cloud;
mod gc;
mod hostile;
mod killed;
mod local;
mod log;
mod odd;
mod patches;
mod pick;
mod room;
