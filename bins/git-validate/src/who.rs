//! Who runs the checks, and where.

/// Returns `<user>@<host>`.
pub(crate) fn am_i() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let user = user.unwrap_or_else(|| rustix::process::geteuid().as_raw().to_string());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}")
}
