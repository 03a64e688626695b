//! The user's own files that git's settings name.

use std::path::PathBuf;

use shared::folders;
use shared::repository::Setting;

/// Finds the file that a setting names, or the usual one in the user's folder for git.
pub(crate) fn of(settings: &[Setting], key: &str, usual: &str) -> PathBuf {
    match settings.iter().rev().find(|setting| setting.key == key) {
        Some(setting) => expand(&setting.value),
        None => folders::xdg("XDG_CONFIG_HOME", ".config").unwrap_or_default().join("git").join(usual),
    }
}

/// Git writes the home folder as `~`.
pub(crate) fn expand(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}
