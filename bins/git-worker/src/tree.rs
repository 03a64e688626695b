//! The processes of a job: all below its supervisor, and all that carry its mark.
//!
//! A job may launch jobs. They are their own: whatever lies below another job's supervisor stays.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use shared::process::{Identity, descendants, marked};

use crate::{live, supervise};

/// Lists the living processes below a supervisor, without a helper of its own and the jobs that they launched.
pub(crate) fn below(supervisor: i32, helper: Option<i32>, jobs: &Path) -> Vec<Identity> {
    let all = descendants(supervisor);
    let mut spared: BTreeSet<i32> = helper.into_iter().collect();
    spared.extend(helper.into_iter().flat_map(descendants).map(|below| below.pid));
    for process in &all {
        if !spared.contains(&process.pid) && supervises(process, jobs) {
            spared.insert(process.pid);
            spared.extend(descendants(process.pid).iter().map(|below| below.pid));
        }
    }
    all.into_iter().filter(|process| !spared.contains(&process.pid)).collect()
}

/// Lists the living processes that carry a job's mark.
pub(crate) fn carrying(marker: &str) -> Vec<Identity> {
    marked(&format!("GIT_WORKER_JOB={marker}"))
}

/// Says whether a process is the supervisor of another live job: by its record, not by its own word.
fn supervises(process: &Identity, jobs: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{}/cmdline", process.pid)) else { return false };
    let mut words = line.split(|b| *b == 0).skip(1);
    if words.next() != Some(supervise::WORD.as_bytes()) {
        return false;
    }
    live::everywhere(jobs).iter().any(|job| {
        // One that is just starting has no name yet.
        job.load().is_ok_and(|record| record.supervisor.is_none_or(|named| named == *process))
    })
}
