//! Dangerous commands: seen among the processes of a job and in what it prints, noted, and interrupted or stopped.
//!
//! Nothing is kept from starting here; that is a sandbox's work. A process is looked at while it
//! runs. Text never leads to more than a note, whether it was printed or is a word of a command
//! line: what a shell is given may never be run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use regex_lite::Regex;
use rustix::process::Signal;
use serde_json::json;
use shared::process::{Identity, descendants};

use crate::guard::{Action, Guard, Hit, Hits};
use crate::keeper::Keeper;
use crate::peril::{self, Scene};
use crate::supervise::Held;
use crate::{job, shell, tree};

/// The time between two looks at the processes: at first, and when nothing has changed for long.
const SOON: Duration = Duration::from_millis(30);
const LATE: Duration = Duration::from_secs(1);
/// Of the time at most one part in so many is spent on looking.
const SHARE: u32 = 25;
/// While the job prints, but nothing else changes.
const BUSY: Duration = Duration::from_millis(200);
/// Who still runs this long after the interrupt is killed.
const PATIENCE: Duration = Duration::from_secs(1);
/// More than this is counted and not told.
const MOST: u32 = 200;
/// What is told of a command line.
const TEXT: usize = 300;
/// What is read of a command line.
const LINE: u64 = 64 * 1024;

/// The watch over one job's commands.
#[derive(Debug)]
pub(crate) struct Danger {
    /// Compiled when there is something to look at.
    patterns: Option<Vec<(String, Regex)>>,
    /// The processes at the last look.
    seen: BTreeMap<(i32, u64), Seen>,
    said: BTreeSet<u64>,
    struck: Vec<Struck>,
    /// When the job's own process was interrupted, and for which pattern.
    child: Option<(Instant, String)>,
    looked: Option<Instant>,
    every: Duration,
    /// Whether the history was put through a filter.
    filtered: bool,
}

#[derive(Debug, Default)]
struct Seen {
    /// Of its command line.
    hash: u64,
    /// What followed on each pattern; a shell that becomes what it was told to run may deserve more.
    found: BTreeMap<String, Action>,
}

/// A process that was interrupted.
#[derive(Debug)]
struct Struck {
    process: Identity,
    hash: u64,
    at: Instant,
}

impl Danger {
    /// Begins.
    pub(crate) fn new() -> Danger {
        let (seen, said) = (BTreeMap::new(), BTreeSet::new());
        Danger {
            patterns: None,
            seen,
            said,
            struck: Vec::new(),
            child: None,
            looked: None,
            every: SOON,
            filtered: false,
        }
    }

    /// Returns how long it is until the next look.
    pub(crate) fn until_look(&self) -> Duration {
        let every = if self.struck.is_empty() { self.every } else { self.every.min(BUSY) };
        self.looked.map_or(Duration::ZERO, |looked| every.saturating_sub(looked.elapsed()))
    }

    /// Looks at what was printed, and at the processes if it is time to; returns the pattern for which the job is to be stopped.
    pub(crate) fn look(&mut self, held: &mut Held) -> Option<String> {
        let before = held.record.dangers;
        self.listen(held);
        let stop = if self.until_look().is_zero() { self.look_around(held) } else { None };
        if held.record.dangers > before && held.record.dangers <= MOST {
            // For whoever asks while it runs; the end is recorded anyway.
            let _ = held.record.save(&held.job.path(job::RECORD));
        }
        stop
    }

    /// Returns the pattern for which the job's own process was interrupted so short a time ago that its end comes from that.
    pub(crate) fn struck_child(&self) -> Option<String> {
        let (at, name) = self.child.as_ref()?;
        (at.elapsed() <= 2 * PATIENCE).then(|| name.clone())
    }

    /// Takes the rest into account when the job has ended.
    pub(crate) fn finish(&mut self, held: &mut Held) {
        self.listen(held);
        if self.looked.is_none() {
            self.look_around(held);
        }
    }

    fn listen(&mut self, held: &mut Held) {
        let announced = held.capture.announced();
        if !announced.is_empty() {
            self.every = self.every.min(BUSY);
        }
        for text in announced {
            let scene = self.scene(held, held.record.worktree_path());
            for hit in self.in_text(held, &text, &scene) {
                let mut hash = DefaultHasher::new();
                (&hit.name, &text).hash(&mut hash);
                if self.said.len() < MOST as usize && self.said.insert(hash.finish()) {
                    tell(held, &hit, "output", &text, None);
                }
            }
        }
    }

    fn look_around(&mut self, held: &mut Held) -> Option<String> {
        let begin = Instant::now();
        if self.looked.replace(begin).is_none() {
            // It may have ended already, and has nobody below it yet.
            let words: Vec<String> = held.record.command_line().iter().map(|w| w.to_string_lossy().into()).collect();
            return held.record.child.clone().and_then(|child| self.judge(held, &child, &words, 0));
        }
        let mut stop = None;
        let mut seen = BTreeMap::new();
        let mut changed = false;
        for Found { process, line, hash, parent } in around(held) {
            let old = self.seen.get(&key(&process)).map(|seen| seen.hash);
            changed |= old != Some(hash);
            // One that was just forked has the command line of its parent until it runs its own.
            if old != Some(hash) && parent != hash {
                stop = stop.or(self.judge(held, &process, &words(&line), hash));
            }
            self.seen.entry(key(&process)).or_default().hash = hash;
            seen.insert(key(&process), hash);
        }
        self.seen.retain(|who, _| seen.contains_key(who) || held.record.child.as_ref().map(key) == Some(*who));
        self.every = if changed { SOON } else { (self.every * 2).min(LATE) };
        // A large tree is looked at less often, so that this stays next to nothing.
        self.every = self.every.max((begin.elapsed() * SHARE).min(LATE));
        self.struck.retain(|struck| !struck.is_over(seen.get(&key(&struck.process))));
        stop
    }

    /// Looks at the command line of one process and does what follows.
    fn judge(&mut self, held: &mut Held, process: &Identity, words: &[String], hash: u64) -> Option<String> {
        let cwd = fs::read_link(format!("/proc/{}/cwd", process.pid)).unwrap_or_else(|_| held.record.worktree_path());
        let scene = self.scene(held, cwd);
        let hits = self.in_words(held, words, &scene);
        let seen = self.seen.entry(key(process)).or_default();
        seen.hash = hash;
        let worse = |hit: &Hit| seen.found.insert(hit.name.clone(), hit.action).is_none_or(|old| old < hit.action);
        let fresh: Vec<Hit> = hits.into_iter().filter(worse).collect();
        let mut stop = None;
        for hit in fresh {
            tell(held, &hit, "process", &words.join(" "), Some(process.pid));
            match hit.action {
                Action::Never | Action::Note => {}
                Action::Interrupt | Action::Stop => {
                    if held.record.child.as_ref() == Some(process) {
                        self.child = Some((Instant::now(), hit.name.clone()));
                    }
                    held.record.interrupts += u32::from(self.strike(process, hash));
                }
            }
            if hit.action == Action::Stop {
                stop = stop.or(Some(hit.name));
            }
        }
        stop
    }

    /// Interrupts a process with all below it, once; says whether it did.
    fn strike(&mut self, process: &Identity, hash: u64) -> bool {
        if self.struck.iter().any(|struck| struck.process == *process && struck.hash == hash) {
            return false;
        }
        for process in descendants(process.pid).iter().chain([process]) {
            process.signal(Signal::INT);
        }
        self.struck.push(Struck { process: process.clone(), hash, at: Instant::now() });
        true
    }

    /// Returns what fits a command line; what fits only a text in it is mild.
    fn in_words(&mut self, held: &Held, words: &[String], scene: &Scene) -> Vec<Hit> {
        let plain = shell::plain(words);
        self.filtered |= peril::filters_history(plain);
        let mut hits = Hits::new(&held.record.rules.danger);
        peril::of(plain, scene).into_iter().for_each(|peril| hits.add(peril.name, peril.mild));
        // What its program is given to run, or was told, in one word.
        let is_text = |word: &String| word.contains(char::is_whitespace);
        if let Some(script) = shell::script(plain) {
            hits.add_text(&script, scene);
        }
        let named = words.iter().map(|word| if is_text(word) { "''" } else { word }).collect::<Vec<_>>().join(" ");
        for (name, pattern) in self.patterns(held) {
            if pattern.is_match(&named) {
                hits.add(name, false);
            } else if words.iter().any(is_text) && pattern.is_match(&words.join(" ")) {
                hits.add(name, true);
            }
        }
        hits.all
    }

    fn in_text(&mut self, held: &Held, text: &str, scene: &Scene) -> Vec<Hit> {
        let mut hits = Hits::new(&held.record.rules.danger);
        hits.add_text(text, scene);
        for (name, pattern) in self.patterns(held) {
            if pattern.is_match(text) {
                hits.add(name, true);
            }
        }
        hits.all
    }

    fn patterns(&mut self, held: &Held) -> &[(String, Regex)] {
        let guards = held.record.rules.danger.iter();
        let compile = |guard: &Guard| Some((guard.name.clone(), Regex::new(guard.pattern.as_ref()?).ok()?));
        self.patterns.get_or_insert_with(|| guards.filter_map(compile).collect())
    }

    fn scene(&self, held: &Held, cwd: PathBuf) -> Scene {
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        Scene { worktree: held.record.worktree_path(), home, cwd, filtered: self.filtered }
    }
}

impl Struck {
    /// Says whether nothing is left to do: it is gone, runs something else, or is killed now.
    fn is_over(&self, now: Option<&u64>) -> bool {
        let same = now.is_some_and(|hash| *hash == self.hash || self.hash == 0);
        if same && self.at.elapsed() >= PATIENCE {
            for process in descendants(self.process.pid).iter().chain([&self.process]) {
                process.signal(Signal::KILL);
            }
        }
        !same
    }
}

/// Counts it and writes the event.
fn tell(held: &mut Held, hit: &Hit, place: &str, text: &str, pid: Option<i32>) {
    held.record.dangers += 1;
    if held.record.dangers <= MOST {
        // First without secrets, then shorter: half a secret is not known as one.
        let text: String = held.secrets.clean_text(text).chars().take(TEXT).collect();
        let what = json!({ "pattern": hit.name, "where": place, "text": text, "pid": pid, "action": hit.action });
        held.events.add("danger", what);
    }
}

/// A process of the job.
struct Found {
    process: Identity,
    line: Vec<u8>,
    /// Of its command line, and of its parent's.
    hash: u64,
    parent: u64,
}

/// Lists the processes of the job with their command lines, without those of a helper and of jobs that it launched.
fn around(held: &Held) -> Vec<Found> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let jobs = held.job.root();
    let helper = held.keeper.as_ref().and_then(Keeper::process);
    let find = |process: Identity, parent| {
        let line = read(&process)?;
        let mut hash = DefaultHasher::new();
        line.hash(&mut hash);
        Some(Found { process, line, hash: hash.finish(), parent })
    };
    let Some(children) = tree::children(own) else {
        return tree::below(own, helper, &jobs).into_iter().filter_map(|process| find(process, 0)).collect();
    };
    let mut all = Vec::new();
    let mut known = BTreeSet::from([own]);
    known.extend(helper);
    let mut queue: Vec<(i32, u64)> = children.into_iter().map(|pid| (pid, 0)).collect();
    while let Some((pid, parent)) = queue.pop() {
        let process = known.insert(pid).then(|| Identity::of(pid)).flatten();
        let Some(found) = process.and_then(|process| find(process, parent)) else { continue };
        if !tree::may_supervise(&found.line) || !tree::supervises(&found.process, &jobs) {
            queue.extend(tree::children(pid).into_iter().flatten().map(|child| (child, found.hash)));
            all.push(found);
        }
    }
    all
}

/// Reads the command line of a process; none if it is gone.
fn read(process: &Identity) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    fs::File::open(Path::new("/proc").join(process.pid.to_string()).join("cmdline"))
        .and_then(|file| file.take(LINE).read_to_end(&mut line))
        .ok()?;
    Some(line)
}

fn words(line: &[u8]) -> Vec<String> {
    let end = line.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let words: Vec<String> =
        line[..end].split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    match words.as_slice() {
        // A program that has named itself anew.
        [title] => title.split_ascii_whitespace().map(str::to_owned).collect(),
        _ => words,
    }
}

fn key(process: &Identity) -> (i32, u64) {
    (process.pid, process.start)
}
