//! What the settings say about a job: its record keeps it for the supervisor, who reads no settings.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use shared::config::Config;

use crate::budget::Budget;
use crate::guard::{self, Guard};
use crate::stall::Limits;

/// Thousandths of the time that a processor may be used by a command that does nothing.
const IDLE: u64 = 1;

/// The settings of a job that runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rules {
    /// Environment variables whose values are secret.
    pub(crate) redact: Vec<String>,
    /// Bytes of the log that are kept; 0 is all.
    pub(crate) log_cap: u64,
    /// Silence after which a job is said to have stalled; 0 is never.
    pub(crate) stall_ms: u64,
    /// From there to the interrupt; 0 is never.
    pub(crate) stall_interrupt_ms: u64,
    /// From there to the end; 0 is never.
    pub(crate) stall_stop_ms: u64,
    /// Whether the worktree is kept in snapshots.
    pub(crate) snapshot: bool,
    /// Time between two snapshots at milestones.
    pub(crate) snapshot_every_ms: u64,
    /// A larger file is in no snapshot; 0 is without limit.
    pub(crate) snapshot_max_file: u64,
    /// What the agent may use.
    pub(crate) budget: Budget,
    /// Time between two milestones; 0 is without limit.
    pub(crate) step_timeout_ms: u64,
    /// What is dangerous beyond what is built in, or otherwise handled.
    pub(crate) danger: Vec<Guard>,
    /// Whether start and end are noted for the audit.
    pub(crate) telemetry: bool,
}

impl Rules {
    /// Reads the settings.
    ///
    /// # Errors
    /// When one of them waits for trust, or is no pattern.
    pub(crate) fn of(config: &Config) -> Result<Rules> {
        let millis = |key: &str| config.duration(key).map(|span| span.map_or(0, millis));
        Ok(Rules {
            redact: config.list("worker.redact")?,
            log_cap: config.size("worker.log-cap")?,
            stall_ms: millis("worker.stall")?,
            stall_interrupt_ms: millis("worker.stall-interrupt")?,
            stall_stop_ms: millis("worker.stall-stop")?,
            snapshot: config.text("worker.snapshot")?.as_deref() != Some("never"),
            snapshot_every_ms: millis("worker.snapshot-every")?,
            snapshot_max_file: config.size("worker.snapshot-max-file")?,
            step_timeout_ms: millis("worker.step-timeout")?,
            // Of the single job, by the launch.
            budget: Budget::default(),
            danger: guard::of(config)?,
            telemetry: config.text("telemetry.store")?.as_deref() != Some("none"),
        })
    }

    /// Returns the limits of silence; none if a job may be silent for ever.
    pub(crate) fn stall(&self) -> Option<Limits> {
        let span = |ms: u64| Some(Duration::from_millis(ms)).filter(|span| !span.is_zero());
        let (interrupt, stop) = (span(self.stall_interrupt_ms), span(self.stall_stop_ms));
        Some(Limits { stall: span(self.stall_ms)?, interrupt, stop, idle_share: IDLE })
    }
}

/// Returns a span of time as records hold it.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Spells a span of time as settings do: `90s`, `10m`, `2h`, `500ms`.
pub(crate) fn spell_span(ms: u64) -> String {
    match ms {
        ms if ms % 1000 != 0 => format!("{ms}ms"),
        ms if ms % 3_600_000 == 0 && ms > 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 && ms > 0 => format!("{}m", ms / 60_000),
        ms => format!("{}s", ms / 1000),
    }
}
