//! Processes by identity, and whole trees of them.
//!
//! A process id alone names nobody: it is recycled. An identity is the id, the start time and the
//! boot; a signal goes through a pidfd whose identity was checked after it was opened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// One process of one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process id, for display.
    pub pid: i32,
    /// When it started, in clock ticks after boot (`/proc/PID/stat`, field 22).
    pub start: u64,
    /// The boot it belongs to (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
}

impl Identity {
    /// Returns the identity of the process that has this id now.
    pub fn of(pid: i32) -> Option<Identity> {
        Some(Identity { pid, start: stat(pid)?.start, boot: boot_id().to_owned() })
    }

    /// Returns the identity of this process.
    pub fn own() -> Option<Identity> {
        Identity::of(rustix::process::getpid().as_raw_nonzero().get())
    }

    /// Says whether this very process still runs; a zombie does not.
    pub fn is_alive(&self) -> bool {
        self.boot == boot_id() && stat(self.pid).is_some_and(|now| now.start == self.start && !now.is_dead())
    }

    /// Signals this very process and nobody else; false if it is gone.
    pub fn signal(&self, signal: Signal) -> bool {
        let Some(pid) = Pid::from_raw(self.pid) else { return false };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
        // The handle is fixed to whoever had the id when it was opened; only now the check means something.
        self.is_alive() && pidfd_send_signal(handle, signal).is_ok()
    }
}

/// Returns the id of the present boot; empty where the system does not tell.
pub fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned())
}

/// Lists the living processes below `root`, itself not included.
pub fn descendants(root: i32) -> Vec<Identity> {
    let mut children: BTreeMap<i32, Vec<(i32, Stat)>> = BTreeMap::new();
    for pid in all_pids() {
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push((pid, stat));
        }
    }
    let mut found = Vec::new();
    let mut queue = vec![root];
    let mut seen = BTreeSet::from([root]);
    while let Some(parent) = queue.pop() {
        for (pid, stat) in children.get(&parent).into_iter().flatten() {
            if seen.insert(*pid) {
                queue.push(*pid);
                if !stat.is_dead() {
                    found.push(Identity { pid: *pid, start: stat.start, boot: boot_id().to_owned() });
                }
            }
        }
    }
    found
}

/// Lists the living processes that carry `NAME=value` in the environment they started with.
pub fn marked(marker: &str) -> Vec<Identity> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    all_pids()
        .filter(|pid| *pid != own)
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|b| *b == 0).any(|entry| entry == marker.as_bytes()))
        })
        .filter_map(Identity::of)
        .filter(Identity::is_alive)
        .collect()
}

/// Lists the living processes of a process group.
pub fn in_group(group: i32) -> Vec<Identity> {
    let member =
        |pid: i32| stat(pid).filter(|stat| stat.group == group && !stat.is_dead()).map(|stat| (pid, stat.start));
    let members = all_pids().filter_map(member);
    members.map(|(pid, start)| Identity { pid, start, boot: boot_id().to_owned() }).collect()
}

/// Ends all `members`: TERM, a grace, then KILL until nobody is left; returns who was left after 5 s of that.
///
/// `members` is asked again each time, because a tree grows while it is cut.
pub fn end(members: impl Fn() -> Vec<Identity>, grace: Duration) -> Vec<Identity> {
    let begin = Instant::now();
    let mut asked: BTreeSet<(i32, u64)> = BTreeSet::new();
    while begin.elapsed() < grace {
        let living = members();
        if living.is_empty() {
            return living;
        }
        for process in &living {
            // Once each: a second TERM can cut short an orderly end.
            if asked.insert((process.pid, process.start)) {
                process.signal(Signal::TERM);
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let living = members();
        if living.is_empty() || Instant::now() > end {
            return living;
        }
        for process in &living {
            process.signal(Signal::KILL);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

struct Stat {
    state: u8,
    parent: i32,
    group: i32,
    start: u64,
}

impl Stat {
    fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// Reads `/proc/PID/stat`; the name in brackets may hold anything, so the fields count from its last bracket.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let start = fields.nth(16)?.parse().ok()?;
    Some(Stat { state, parent, group, start })
}

fn all_pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_a_forged_one_is_not() {
        let own = Identity::own().unwrap();
        assert!(own.is_alive());
        assert!(!Identity { start: own.start + 1, ..own.clone() }.is_alive());
        assert!(!Identity { boot: "another".into(), ..own }.is_alive());
    }

    #[test]
    fn a_tree_is_ended_to_the_last() {
        let mut child = super::super::command("sh").args(["-c", "trap '' TERM; sleep 60 & sleep 60"]).spawn().unwrap();
        let root = child.id() as i32;
        let tree = || descendants(rustix::process::getpid().as_raw_nonzero().get());
        while tree().len() < 3 {
            thread::sleep(Duration::from_millis(5));
        }
        let members = || tree().into_iter().filter(|p| p.pid >= root).collect();
        assert!(end(members, Duration::from_millis(50)).is_empty());
        child.wait().unwrap();
    }
}
