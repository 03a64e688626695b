//! Where the user's files are, by the XDG rules (or the system's own elsewhere).

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use directories::BaseDirs;

const OWN: &str = "codex-agents";

/// Returns the folder of the user's settings.
///
/// # Errors
/// When the user has no home folder.
pub fn config() -> Result<PathBuf> {
    Ok(base()?.config_dir().join(OWN))
}

/// Returns the folder of the task registry.
///
/// # Errors
/// When the user has no home folder.
pub fn data() -> Result<PathBuf> {
    Ok(base()?.data_dir().join(OWN))
}

/// Returns the folder of jobs and trust.
///
/// # Errors
/// When the user has no home folder.
pub fn state() -> Result<PathBuf> {
    let base = base()?;
    Ok(base.state_dir().unwrap_or_else(|| base.data_local_dir()).join(OWN))
}

/// Returns the folder of what can be made again.
///
/// # Errors
/// When the user has no home folder.
pub fn cache() -> Result<PathBuf> {
    Ok(base()?.cache_dir().join(OWN))
}

/// Returns a folder that another program keeps by the XDG rules: that of the variable, or the one below the home folder.
pub fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(below_home)))
}

fn base() -> Result<BaseDirs> {
    let base = BaseDirs::new().context("there is no home folder: set HOME")?;
    // From a relative one each folder would get tasks of its own.
    ensure!(base.home_dir().is_absolute(), "HOME is '{}', which is no absolute path", base.home_dir().display());
    Ok(base)
}
