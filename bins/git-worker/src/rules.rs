//! What the settings say about a job: its record keeps it for the supervisor, who reads no settings.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use shared::config::Config;

/// The settings of a job that runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rules {
    /// Environment variables whose values are secret.
    pub(crate) redact: Vec<String>,
    /// Bytes of the log that are kept; 0 is all.
    pub(crate) log_cap: u64,
}

impl Rules {
    /// Reads the settings.
    ///
    /// # Errors
    /// When one of them waits for trust.
    pub(crate) fn of(config: &Config) -> Result<Rules> {
        Ok(Rules { redact: config.list("worker.redact")?, log_cap: config.size("worker.log-cap")? })
    }
}
