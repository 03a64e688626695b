//! Signs of life in a tree of processes: CPU time, writing, and who comes and goes.
//!
//! The kernel counts them for each process and adds those of a child that was waited for to its
//! parent's, so that nothing is missed between two looks. Writing is whatever goes out by a write
//! to a file, pipe or socket, and every page of a file that is made dirty; the content of the
//! worktree need not be walked for it. Writes of eight bytes each are how event loops wake
//! themselves, and no sign.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use shared::process::Identity;

/// What the kernel has counted for one process and the children that it waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    ticks: u64,
    written: u64,
    writes: u64,
    dirtied: u64,
}

/// The counts of a tree at a moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulse {
    of: BTreeMap<(i32, u64), Counts>,
}

impl Pulse {
    /// Takes the counts of these processes; those that are gone are left out.
    pub(crate) fn of(processes: &[Identity]) -> Pulse {
        let counts = processes.iter().filter_map(|process| Some(((process.pid, process.start), counts(process)?)));
        Pulse { of: counts.collect() }
    }

    /// Says whether a later pulse shows life: more than a tick of CPU time and more than so many thousandths
    /// of the time, or writing.
    pub(crate) fn shows_life(&self, later: &Pulse, passed: Duration, share: u64) -> bool {
        let mut sum = Counts::default();
        for (who, now) in &later.of {
            let before = self.of.get(who).copied().unwrap_or_default();
            sum.ticks += now.ticks.saturating_sub(before.ticks);
            sum.written += now.written.saturating_sub(before.written);
            sum.writes += now.writes.saturating_sub(before.writes);
            sum.dirtied += now.dirtied.saturating_sub(before.dirtied);
        }
        let ticks = passed.as_millis() as u64 * rustix::param::clock_ticks_per_second() / 1000;
        let least = (ticks * share / 1000).max(1);
        sum.ticks > least || sum.dirtied > 0 || sum.written > 8 * sum.writes || sum.written % 8 != 0
    }
}

/// Reads what the kernel counts; none if the process is gone or its number has another owner.
fn counts(process: &Identity) -> Option<Counts> {
    let folder = format!("/proc/{}", process.pid);
    let stat = fs::read(Path::new(&folder).join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // From the state on: the name in brackets may hold anything.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    if number(19)? != process.start {
        return None;
    }
    let ticks = (11..15).filter_map(number).sum();
    // Not readable for a process that guards itself; its CPU time still is.
    let io = fs::read_to_string(Path::new(&folder).join("io")).unwrap_or_default();
    let of = |name: &str| {
        let value = io.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    Some(Counts { ticks, written: of("wchar"), writes: of("syscw"), dirtied: of("write_bytes") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(ticks: u64, written: u64, writes: u64, dirtied: u64) -> Pulse {
        Pulse { of: BTreeMap::from([((1, 1), Counts { ticks, written, writes, dirtied })]) }
    }

    #[test]
    fn work_is_life_and_waking_up_is_not() {
        let before = pulse(10, 100, 1, 0);
        let lives = |later: Pulse| before.shows_life(&later, Duration::from_secs(10), 1);
        assert!(!lives(pulse(11, 100, 1, 0)), "a tick is none");
        assert!(lives(pulse(12, 100, 1, 0)) && lives(pulse(10, 101, 2, 0)) && lives(pulse(10, 100, 1, 4096)));
        assert!(!lives(pulse(10, 124, 4, 0)), "an event loop that turns");
        assert!(!before.shows_life(&pulse(20, 100, 1, 0), Duration::from_secs(1000), 1), "a tick now and then is none");
        assert!(!before.shows_life(&pulse(30, 100, 1, 0), Duration::from_secs(10), 20), "an agent that waits");
        assert!(before.shows_life(&pulse(31, 100, 1, 0), Duration::from_secs(10), 20));
        assert!(Pulse::default().shows_life(&before, Duration::ZERO, 1), "whoever is new has worked");
    }

    #[test]
    fn the_kernel_counts() {
        let own = Identity::own().unwrap();
        let before = Pulse::of(std::slice::from_ref(&own));
        assert_eq!(before.of.len(), 1);
        let path = std::env::temp_dir().join(format!("git-worker-pulse-{}", std::process::id()));
        shared::durable::append_line(&path, "alive").unwrap();
        fs::remove_file(path).unwrap();
        assert!(before.shows_life(&Pulse::of(&[own]), Duration::ZERO, 1));
    }
}
