//! The metric: a command in a worktree that holds one variant and nothing else.

use std::os::unix::process::CommandExt;

use gix::ObjectId;
use regex::Regex;
use shared::app::Context;
use shared::failure::Failure;
use shared::ground::Ground;
use shared::process;

use super::findings::Metric;
use super::{How, metric_timeout};
use crate::record::{Run, Variant};
use crate::store::Store;

/// What is read of what it prints, in bytes.
const MOST: u64 = 4 << 20;

/// Measures a variant; a command that fails leaves it without a score.
pub(crate) fn of(
    cx: &Context,
    store: &Store,
    run: &Run,
    variant: &Variant,
    commit: ObjectId,
    how: &How,
) -> Result<Metric, Failure> {
    let Some(command) = &how.metric else { return Ok(Metric::None) };
    let path = store.folder().join(format!("metric-var{}", variant.number));
    // One that a killed review left is made anew: what ran in it may have changed it.
    if let Some(old) = Ground::find(cx, &path, store.folder())? {
        old.discard(cx)?;
    }
    let ground = Ground::make(cx, &path, commit, store.folder())?;
    let mut shell = process::command("sh");
    process::scrub(&mut shell).args(["-c", command]).current_dir(ground.path()).process_group(0);
    shell.env("BO4_RUN", &run.run).env("BO4_BASE", &run.base_commit);
    let ran = process::run_within(&mut shell, None, MOST, metric_timeout(how));
    ground.discard(cx)?;
    let unscored = |why: String| Ok(Metric::Unscored { why });
    match ran {
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => unscored("the metric did not end in time".into()),
        Err(error) => unscored(format!("the metric cannot be started: {error}")),
        Ok((status, _)) if !status.success() => unscored(format!("the metric failed: {status}")),
        Ok((_, printed)) => match last_number(&String::from_utf8_lossy(&printed)) {
            Some(value) => Ok(Metric::Scored { value }),
            None => unscored("the metric printed no number".into()),
        },
    }
}

/// Returns the last number of a text.
fn last_number(text: &str) -> Option<f64> {
    let number = Regex::new(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?").expect("it is a regular expression");
    let value: f64 = number.find_iter(text).last()?.as_str().parse().ok()?;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_counts() {
        assert_eq!(last_number("run 3\nscore: 97.5%\n"), Some(97.5));
        assert_eq!(last_number("-1e-3"), Some(-0.001));
        assert_eq!(last_number("n/a"), None);
        assert_eq!(last_number("1e999"), None);
    }
}
