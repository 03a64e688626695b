//! The processes of a job: all below its supervisor, and all that carry its mark.
//!
//! A job may launch jobs. They are their own: whatever lies below another job's supervisor stays.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use shared::process::{Identity, descendants, marked};

use crate::record::Record;
use crate::{heir, live, supervise};

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

/// Lists the children of a process as the kernel keeps them, without a look at all others; none where it does not.
pub(crate) fn children(pid: i32) -> Option<Vec<i32>> {
    let task = format!("/proc/{pid}/task");
    let of = |thread: &str| fs::read_to_string(format!("{task}/{thread}/children")).ok();
    let mut text = of(&pid.to_string())?;
    // Each thread has its own. Listing a folder takes memory that stays: only where there is more than one.
    if fs::symlink_metadata(&task).ok()?.nlink() > 3 {
        let threads = fs::read_dir(&task).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        text = threads.filter_map(|thread| of(&thread)).collect::<Vec<_>>().join(" ");
    }
    Some(text.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect())
}

/// Says whether a command line may be that of another job's supervisor, or of its heir.
pub(crate) fn may_supervise(line: &[u8]) -> bool {
    [supervise::WORD, heir::WORD].iter().any(|word| asks_for(line, word))
}

/// Says whether a process was started as this program with one of its hidden words; that is its own word.
pub(crate) fn was_asked_for(pid: i32, word: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| asks_for(&line, word))
}

fn asks_for(line: &[u8], word: &str) -> bool {
    line.split(|b| *b == 0).nth(1) == Some(word.as_bytes())
}

/// Says whether a process is the supervisor of another live job, or its heir: by the job's record, not by its own word.
pub(crate) fn supervises(process: &Identity, jobs: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{}/cmdline", process.pid)) else { return false };
    if !may_supervise(&line) {
        return false;
    }
    let own = descendants(process.pid);
    // One that is just starting has no name yet.
    let named = |record: Record| record.supervisor.is_none_or(|named| named == *process || own.contains(&named));
    live::everywhere(jobs).iter().any(|job| job.load().is_ok_and(named))
}
