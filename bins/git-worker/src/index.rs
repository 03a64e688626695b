//! The jobs of a repository that have ended, a line each, so that nobody reads all records again.
//!
//! `<jobs>/<repository>/.index.jsonl`. A line is `{"crc":"…","head":{…},"record":{…}}`: the record as
//! it was when it was read, and in the head the size, time and inode that `job.json` had then.
//! `job.json` stays the truth: a line counts only while the file is the one that it was made from.
//! Of several lines about one job the last counts. It is a cache: never flushed, and made anew,
//! beside and renamed, when it is missing, damaged or mostly about jobs that are gone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use shared::durable::Lock;

use crate::job::{self, Job};
use crate::link;
use crate::record::{Record, State};

const NAME: &str = ".index.jsonl";
/// What a line begins with; eight digits and `",` follow.
const CRC: &str = "{\"crc\":\"";
const HEAD: &str = "\"head\":";
const RECORD: &str = ",\"record\":";
/// How long an end waits for the repository's lock before it is noted without.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is read at once.
const WINDOW: u64 = 64 * 1024;

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    size: u64,
    /// In nanoseconds.
    mtime: i64,
    inode: u64,
}

/// What is known of a job without a look into its record.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Head<'a> {
    pub(crate) slug: &'a str,
    pub(crate) number: u32,
    pub(crate) stamp: Stamp,
    /// In milliseconds, as `ended`.
    pub(crate) created: i64,
    pub(crate) ended: i64,
    pub(crate) state: State,
}

/// A line: what its head says, and where in the file its record is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) stamp: Stamp,
    pub(crate) created: i64,
    pub(crate) ended: i64,
    pub(crate) state: State,
    pub(crate) at: u64,
    pub(crate) length: usize,
}

/// All lines that count.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) store: Rc<Store>,
    lines: HashMap<String, HashMap<u32, Line>>,
    /// Lines that a later one replaced.
    pub(crate) replaced: usize,
    /// Whether something in it was no line.
    pub(crate) is_damaged: bool,
}

/// The open file: the records of ten thousand jobs are read when they are printed, not held.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// None if there is no index.
    file: Option<File>,
    window: RefCell<Window>,
}

#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Stamp {
    /// Takes it from what the system says about a file.
    pub(crate) fn of(facts: &fs::Metadata) -> Stamp {
        let mtime = facts.mtime().wrapping_mul(1_000_000_000).wrapping_add(facts.mtime_nsec());
        Stamp { size: facts.size(), mtime, inode: facts.ino() }
    }

    /// Takes it from what the system says about a file in an open folder; none if there is no such file.
    pub(crate) fn at(folder: impl std::os::fd::AsFd, name: &str) -> Option<Stamp> {
        let facts = rustix::fs::statat(folder, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let mtime = facts.st_mtime.wrapping_mul(1_000_000_000).wrapping_add(facts.st_mtime_nsec as i64);
        Some(Stamp { size: facts.st_size as u64, mtime, inode: facts.st_ino })
    }
}

impl Store {
    fn open(repository: &Path) -> Store {
        let file = File::open(path(repository)).ok();
        let file = file.filter(|file| file.metadata().is_ok_and(|facts| facts.is_file()));
        Store { file, window: RefCell::default() }
    }

    /// Says whether there is no index.
    pub(crate) fn is_missing(&self) -> bool {
        self.file.is_none()
    }

    /// Returns the record of a line.
    pub(crate) fn record(&self, line: &Line) -> Result<String> {
        let mut window = self.window.borrow_mut();
        let end = line.at + line.length as u64;
        if line.at < window.start || end > window.start + window.bytes.len() as u64 {
            // The newest are wanted first, and the newest are the last.
            window.start = end.saturating_sub(WINDOW.max(line.length as u64));
            let length = (end - window.start) as usize;
            window.bytes.resize(length, 0);
            let file = self.file.as_ref().context("there is no index")?;
            let start = window.start;
            file.read_exact_at(&mut window.bytes, start).context("cannot read the index")?;
        }
        let start = (line.at - window.start) as usize;
        String::from_utf8(window.bytes[start..start + line.length].to_vec()).context("the index is broken")
    }
}

impl Index {
    /// Reads the index of a repository.
    pub(crate) fn load(repository: &Path) -> Index {
        let store = Store::open(repository);
        let mut index = Index { store: Rc::default(), lines: HashMap::new(), replaced: 0, is_damaged: false };
        let mut bytes = Vec::new();
        let mut begin = 0;
        if let Some(file) = &store.file {
            let mut file = BufReader::with_capacity(WINDOW as usize, file);
            while let Ok(length @ 1..) = {
                bytes.clear();
                file.read_until(b'\n', &mut bytes)
            } {
                index.add(&bytes, begin);
                begin += length as u64;
            }
        }
        index.store = Rc::new(store);
        index
    }

    fn add(&mut self, bytes: &[u8], begin: u64) {
        let bytes = bytes.trim_ascii_end();
        let Some((head, line)) = str::from_utf8(bytes).ok().and_then(|text| parse(text, begin)) else {
            self.is_damaged |= !bytes.is_empty();
            return;
        };
        let of_slug = match self.lines.get_mut(head.slug) {
            Some(of_slug) => of_slug,
            None => self.lines.entry(head.slug.to_owned()).or_default(),
        };
        self.replaced += usize::from(of_slug.insert(head.number, line).is_some());
    }

    /// Takes out the line about a job.
    pub(crate) fn take(&mut self, slug: &str, number: u32) -> Option<Line> {
        self.lines.get_mut(slug)?.remove(&number)
    }

    /// Counts the lines that nobody took out.
    pub(crate) fn rest(&self) -> usize {
        self.lines.values().map(HashMap::len).sum()
    }
}

/// The last lines of an index, read from its end.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) store: Rc<Store>,
    /// The newest first, one a job.
    pub(crate) lines: Vec<((String, u32), Line)>,
    /// Whether there is no index, or something in this part of it is no line.
    pub(crate) is_damaged: bool,
}

/// Reads the last lines, about `count` jobs at most.
pub(crate) fn tail(repository: &Path, count: usize) -> Tail {
    let store = Store::open(repository);
    let mut tail = Tail { store: Rc::default(), lines: Vec::new(), is_damaged: store.is_missing() };
    let mut length = WINDOW;
    while let Some((start, bytes)) = read_end(&store, length) {
        tail.read(start, &bytes, count);
        if tail.lines.len() >= count || start == 0 {
            break;
        }
        length *= 8;
    }
    tail.store = Rc::new(store);
    tail
}

fn read_end(store: &Store, length: u64) -> Option<(u64, Vec<u8>)> {
    let file = store.file.as_ref()?;
    let size = file.metadata().ok()?.len();
    let start = size.saturating_sub(length);
    let mut bytes = vec![0; (size - start) as usize];
    file.read_exact_at(&mut bytes, start).ok()?;
    Some((start, bytes))
}

impl Tail {
    /// Takes the lines of the file's end, which starts at `start`.
    fn read(&mut self, start: u64, bytes: &[u8], count: usize) {
        self.lines.clear();
        let mut end = bytes.len();
        while end > 0 && self.lines.len() < count {
            let body = bytes[..end].trim_ascii_end();
            let begin = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            if begin == 0 && start > 0 {
                break;
            }
            match str::from_utf8(&body[begin..]).ok().and_then(|text| parse(text, start + begin as u64)) {
                Some((head, line)) => {
                    let job = (head.slug.to_owned(), head.number);
                    if !self.lines.iter().any(|(known, _)| *known == job) {
                        self.lines.push((job, line));
                    }
                }
                None => self.is_damaged |= begin < body.len(),
            }
            end = begin;
        }
    }
}

/// Notes the end of a job, under the repository's lock if it can be had.
pub(crate) fn add(repository: &Path, job: &Job, record: &Record) {
    let _lock = Lock::acquire(&repository.join(".lock"), PATIENCE);
    add_locked(repository, job, record);
}

/// Notes the end of a job; the caller holds the repository's lock. What cannot be noted is found by a look at the records.
pub(crate) fn add_locked(repository: &Path, job: &Job, record: &Record) {
    let append = || -> Result<()> {
        let stamp = Stamp::of(&fs::symlink_metadata(job.path(job::RECORD))?);
        let mut line = String::from("\n");
        line.push_str(&render(&Head::of(record, stamp), &serde_json::to_string(record)?)?);
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32).open(path(repository))?;
        // A line that a crash tore is ended first.
        let is_torn = file.seek(SeekFrom::End(-1)).is_ok() && {
            let mut last = [0];
            file.read_exact(&mut last).is_ok() && last != *b"\n"
        };
        file.write_all(&line.as_bytes()[usize::from(!is_torn)..])?;
        Ok(())
    };
    let _ = append();
}

/// Makes the index anew of the given heads and records, the first to end first, unless somebody is at work on it.
pub(crate) fn remake(repository: &Path, entries: Vec<(Head<'_>, String)>) -> Result<()> {
    let Some(_lock) = Lock::try_acquire(&repository.join(".lock"))? else { return Ok(()) };
    remake_locked(repository, entries)
}

/// Makes the index anew; the caller holds the repository's lock.
pub(crate) fn remake_locked(repository: &Path, mut entries: Vec<(Head<'_>, String)>) -> Result<()> {
    entries.sort_by_key(|(head, _)| (head.ended, head.number));
    let beside = repository.join(format!("{NAME}.new"));
    link::remove(&beside)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let mut text = String::new();
    for (head, record) in &entries {
        text.push_str(&render(head, record)?);
    }
    file.write_all(text.as_bytes())?;
    fs::rename(&beside, path(repository)).context("cannot rename the index")
}

impl Head<'_> {
    /// Sums up a record that was read while its file had this stamp.
    pub(crate) fn of(record: &Record, stamp: Stamp) -> Head<'_> {
        Head {
            slug: record.slug.as_str(),
            number: record.number,
            stamp,
            created: record.created.as_millisecond(),
            ended: record.ended.or(record.started).unwrap_or(record.created).as_millisecond(),
            state: record.state,
        }
    }
}

fn path(repository: &Path) -> PathBuf {
    repository.join(NAME)
}

fn render(head: &Head<'_>, record: &str) -> Result<String> {
    let rest = format!("{HEAD}{}{RECORD}{record}}}", serde_json::to_string(head)?);
    Ok(format!("{CRC}{:08x}\",{rest}\n", crc32fast::hash(rest.as_bytes())))
}

/// Reads a line that begins at `begin` of the text; none if it is not whole.
fn parse(line: &str, begin: u64) -> Option<(Head<'_>, Line)> {
    let (crc, rest) = line.strip_prefix(CRC)?.split_at_checked(8)?;
    let rest = rest.strip_prefix("\",")?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(rest.as_bytes()) {
        return None;
    }
    let head = rest.strip_prefix(HEAD)?;
    // No text of the head can hold these words: a slug is plain.
    let end = head.find(RECORD)?;
    let start = line.len() - head.len() + end + RECORD.len();
    let head: Head<'_> = serde_json::from_str(&head[..end]).ok()?;
    let Head { stamp, created, ended, state, .. } = head;
    let (at, length) = (begin + start as u64, line.len() - 1 - start);
    Some((head, Line { stamp, created, ended, state, at, length }))
}
