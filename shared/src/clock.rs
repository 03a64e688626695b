//! The time, so that a test can set it.

use jiff::{Timestamp, Unit};

/// The environment variable that stops the clock at a time such as `2026-03-01T09:30:00Z`, for tests.
pub const VARIABLE: &str = "CODEX_AGENTS_CLOCK";

/// Returns the time in UTC, to the millisecond.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> Timestamp {
    let stopped = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
    let now = stopped.unwrap_or_else(Timestamp::now);
    now.round(Unit::Millisecond).unwrap_or(now)
}

/// Returns a time as a ref component or file name can carry it: `20260301T093000.123Z`.
pub fn stamp(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%S.%3fZ").to_string()
}

/// Returns how long ago a time was, in words as short as `3m` or `2d`.
pub fn age(time: Timestamp) -> String {
    let seconds = now().as_second().saturating_sub(time.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_a_good_ref_component() {
        let time: Timestamp = "2026-03-01T09:30:00.5Z".parse().unwrap();
        assert_eq!(stamp(time), "20260301T093000.500Z");
    }
}
