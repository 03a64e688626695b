//! The reports that a check writes: cleared before it starts, read when it has ended.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use shared::durable;

use super::child::Ended;
use crate::checks::{Format, Report};
use crate::outputs;
use crate::verdict::{CheckStatus, bound, has_error};

/// A report is not read beyond this many bytes.
const MOST: usize = 64 << 20;

/// Removes reports of an earlier run, which would pass for those of this one.
///
/// # Errors
/// When one cannot be removed.
pub(super) fn clear(top: &Path, reports: &[Report]) -> Result<()> {
    for report in reports {
        let path = place(top, report)?;
        match fs::remove_file(&path) {
            Err(error)
                if error.kind() != std::io::ErrorKind::NotFound
                    && error.kind() != std::io::ErrorKind::NotADirectory =>
            {
                return Err(error).with_context(|| format!("cannot remove the old report '{}'", report.path));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Adds what the reports say; a pass without its report, or with one that says otherwise, is none.
pub(super) fn read(top: &Path, reports: &[Report], ended: &mut Ended) {
    if matches!(ended.status, CheckStatus::Broken | CheckStatus::TimedOut) {
        return;
    }
    for report in reports {
        let parsed = place(top, report).and_then(|path| {
            let bytes = durable::read_foreign(&path, MOST + 1)?;
            let bytes = bytes.with_context(|| format!("there is no report '{}'", report.path))?;
            ensure!(bytes.len() <= MOST, "the report '{}' is larger than 64 MiB", report.path);
            let parsed = outputs::parse(report.format, &bytes, top);
            parsed.with_context(|| format!("the report '{}' cannot be read as {}", report.path, report.format))
        });
        match parsed {
            Ok(parsed) => {
                // Nothing that ran is no evidence.
                if report.format == Format::Junit && parsed.counts.get("tests") == Some(&0) {
                    ended.spoil(CheckStatus::Fail, format!("the report '{}' has no test", report.path));
                }
                ended.findings.extend(parsed.findings);
                for (name, count) in parsed.counts {
                    let all = ended.counts.entry(name).or_insert(0);
                    *all = all.saturating_add(count);
                }
            }
            Err(error) => ended.spoil(CheckStatus::Broken, format!("{error:#}")),
        }
    }
    if has_error(&ended.findings) {
        ended.spoil(CheckStatus::Fail, "its report has errors, though it exited with 0".to_owned());
    }
    bound(&mut ended.findings, &mut ended.counts);
}

/// A link in the tree must not lead us out of it.
fn place(top: &Path, report: &Report) -> Result<PathBuf> {
    let mut path = top.to_owned();
    for part in Path::new(&report.path).components() {
        if path.symlink_metadata().is_ok_and(|facts| facts.is_symlink()) {
            bail!("'{}' leads through a link", report.path);
        }
        path.push(part);
    }
    ensure!(!path.symlink_metadata().is_ok_and(|facts| facts.is_symlink()), "'{}' is a link", report.path);
    Ok(path)
}
