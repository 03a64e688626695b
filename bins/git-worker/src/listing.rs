//! Many jobs at once: from the index what has not changed, from the records the rest.
//!
//! Nothing waits for a lock here. What the index lacks is put into it on the way, if nobody else is
//! at work on it and the caller allows optional locks, as git calls them.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, Mode, OFlags};
use serde::Serialize;
use shared::durable::Lock;
use shared::slug::Slug;

use crate::index::{self, Head, Index, Line, Stamp, Store};
use crate::job::{self, Job, Jobs, names, numbers};
use crate::record::{Record, State};
use crate::{live, queue};

/// How many of those that ended are shown beside the living.
const LATELY: usize = 10;
/// More changes than this are worth a new index.
const MANY: usize = 16;

/// A job whose record cannot be read.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Broken {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) why: String,
}

/// What was read of many jobs.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) jobs: Vec<Entry>,
    pub(crate) broken: Vec<Broken>,
}

/// A job and what is known about it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) job: Job,
    pub(crate) state: State,
    /// In milliseconds, as `ended`.
    pub(crate) created: i64,
    pub(crate) ended: i64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Read(Box<Record>),
    Stored { store: Rc<Store>, line: Line },
}

impl Entry {
    /// Puts a job and its record together.
    pub(crate) fn new(job: Job, record: Record) -> Entry {
        let ended = record.ended.or(record.started).unwrap_or(record.created).as_millisecond();
        let created = record.created.as_millisecond();
        Entry { job, state: record.state, created, ended, body: Body::Read(Box::new(record)) }
    }

    fn stored(job: Job, store: &Rc<Store>, line: Line) -> Entry {
        let Line { state, created, ended, .. } = line;
        Entry { job, state, created, ended, body: Body::Stored { store: Rc::clone(store), line } }
    }

    /// Returns the record.
    pub(crate) fn record(&self) -> Result<Cow<'_, Record>> {
        match &self.body {
            Body::Read(record) => Ok(Cow::Borrowed(record)),
            Body::Stored { store, line } => {
                let read = store.record(line).and_then(|text| Record::parse(text.as_bytes()));
                Ok(Cow::Owned(read.with_context(|| format!("the index is broken at '{}'", self.job.id()))?))
            }
        }
    }

    /// Returns the record as a JSON object.
    pub(crate) fn json(&self) -> Result<String> {
        match &self.body {
            Body::Read(record) => Ok(serde_json::to_string(record)?),
            Body::Stored { store, line } => store.record(line),
        }
    }

    /// Returns what the index holds of it, if its file had this stamp when it was read.
    fn head(&self, stamp: Stamp) -> Head<'_> {
        let Entry { job, state, created, ended, .. } = self;
        let (slug, number) = (job.slug().as_str(), job.number());
        Head { slug, number, stamp, created: *created, ended: *ended, state: *state }
    }
}

impl Listing {
    /// Makes a listing of one job.
    pub(crate) fn one(job: Job, record: Record) -> Listing {
        Listing { jobs: vec![Entry::new(job, record)], broken: Vec::new() }
    }

    /// Adds a job, by reading its record.
    pub(crate) fn add(&mut self, job: Job) {
        match job.read() {
            Ok(record) => self.jobs.push(Entry::new(job, record)),
            // Removed between the looks.
            Err(_) if !job.exists() => {}
            Err(error) => self.broken.push(job.broken(&error)),
        }
    }

    fn sort(&mut self) {
        self.jobs.sort_by_key(|entry| std::cmp::Reverse((entry.created, entry.job.number())));
        self.broken.sort_by(|a, b| a.path.cmp(&b.path));
    }
}

impl Jobs {
    /// Reads all jobs, the newest first.
    pub(crate) fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        for repository in self.folders()? {
            all_of(&repository, &mut listing)?;
        }
        listing.sort();
        Ok(listing)
    }

    /// Reads the jobs that have not ended, the newest first; costs nothing for those that have.
    pub(crate) fn list_live(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        for repository in self.folders()? {
            unended(&repository).into_iter().for_each(|job| listing.add(job));
        }
        listing.jobs.retain(|entry| !entry.state.is_terminal());
        listing.sort();
        Ok(listing)
    }

    /// Reads the jobs that have not ended, the newest first, then some that ended lately, the latest first.
    pub(crate) fn list_lately(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        for repository in self.folders()? {
            lately(&repository, LATELY, &mut listing)?;
        }
        listing.sort();
        let (live, mut ended): (Vec<_>, Vec<_>) =
            listing.jobs.into_iter().partition(|entry| !entry.state.is_terminal());
        ended.sort_by_key(|entry| std::cmp::Reverse(entry.ended));
        ended.truncate(LATELY);
        Ok(Listing { jobs: live.into_iter().chain(ended).collect(), broken: listing.broken })
    }

    /// Returns the job that was launched last, with its record or what is wrong with it.
    pub(crate) fn latest(&self) -> Result<Option<(Job, Result<Record>)>> {
        let mut latest: Option<(Job, Result<Record>)> = None;
        for repository in self.folders()? {
            let found = match job::latest(&repository) {
                Some(job) => {
                    let record = job.read();
                    Some((job, record))
                }
                None => scan_for_latest(&repository)?,
            };
            let created = |found: &(Job, Result<Record>)| found.1.as_ref().ok().map(|record| record.created);
            latest = [latest, found].into_iter().flatten().max_by_key(created);
        }
        Ok(latest)
    }
}

/// What the pointer cannot tell, after a crash or for jobs that are older than it.
fn scan_for_latest(repository: &Path) -> Result<Option<(Job, Result<Record>)>> {
    let mut listing = Listing::default();
    all_of(repository, &mut listing)?;
    listing.sort();
    let found = listing.jobs.into_iter().next();
    found.map(|entry| Ok((entry.job.clone(), Ok(entry.record()?.into_owned())))).transpose()
}

/// Reads all jobs of a repository and mends its index.
pub(crate) fn all_of(repository: &Path, listing: &mut Listing) -> Result<()> {
    let (index, fresh, known) = read_all(repository, listing)?;
    if !may_write() {
        return Ok(());
    }
    let dead = index.replaced + index.rest();
    let is_missing = index.store.is_missing() && !fresh.is_empty();
    if index.is_damaged || fresh.len() > MANY || dead > MANY + known.len() || is_missing {
        let _ = index::remake(repository, lines(listing, &[known, fresh].concat()));
    } else if !fresh.is_empty() {
        add_some(repository, fresh.iter().map(|(at, _)| &listing.jobs[*at]));
    }
    Ok(())
}

/// Makes the index anew without the jobs that are gone, and returns what there is; the caller holds the repository's lock.
pub(crate) fn renew(repository: &Path) -> Result<Listing> {
    let mut listing = Listing::default();
    let (_, fresh, known) = read_all(repository, &mut listing)?;
    index::remake_locked(repository, lines(&listing, &[known, fresh].concat()))?;
    listing.sort();
    Ok(listing)
}

/// Where in a listing a job that has ended stands, and the stamp of its record.
type At = (usize, Stamp);

fn lines<'a>(listing: &'a Listing, all: &[At]) -> Vec<(Head<'a>, String)> {
    let line = |(at, stamp): &At| {
        let entry = &listing.jobs[*at];
        Some((entry.head(*stamp), entry.json().ok()?))
    };
    all.iter().filter_map(line).collect()
}

/// Reads all jobs of a repository; returns what is left of the index, those that it lacks, and those that it has.
fn read_all(repository: &Path, listing: &mut Listing) -> Result<(Index, Vec<At>, Vec<At>)> {
    let (mut index, found) = look(repository)?;
    let (mut fresh, mut known) = (Vec::new(), Vec::new());
    for Found { slug, folder, numbers } in found {
        for (number, stamp) in numbers {
            let job = Job::numbered(&folder, &slug, number);
            let at = listing.jobs.len();
            let line = index.take(slug.as_str(), number);
            match (line.filter(|line| Some(line.stamp) == stamp), stamp) {
                (Some(line), _) => {
                    listing.jobs.push(Entry::stored(job, &index.store, line));
                    known.push((at, line.stamp));
                }
                (None, Some(stamp)) => {
                    listing.add(job);
                    if listing.jobs.get(at).is_some_and(|entry| entry.state.is_terminal()) {
                        fresh.push((at, stamp));
                    }
                }
                (None, None) if job.exists() => listing.add(job),
                (None, None) => {}
            }
        }
    }
    Ok((index, fresh, known))
}

/// The jobs of one slug, and the stamps of their records.
struct Found {
    slug: Slug,
    folder: PathBuf,
    numbers: Vec<(u32, Option<Stamp>)>,
}

/// Reads the index, and beside that looks at all records from outside.
fn look(repository: &Path) -> Result<(Index, Vec<Found>)> {
    let slugs: Vec<Slug> = names(repository)?.iter().filter_map(|name| name.parse().ok()).collect();
    let stamps = |slugs: &[Slug]| slugs.iter().map(|slug| stamps(repository, slug)).collect::<Result<Vec<Found>>>();
    let share = slugs.len().div_ceil(thread::available_parallelism().map_or(1, usize::from).min(4)).max(16);
    thread::scope(|scope| {
        let parts: Vec<_> = slugs.chunks(share).map(|part| scope.spawn(move || stamps(part))).collect();
        let index = Index::load(repository);
        let mut found = Vec::new();
        for part in parts {
            found.extend(part.join().unwrap_or_else(|_| bail!("cannot list '{}'", repository.display()))?);
        }
        Ok((index, found))
    })
}

fn stamps(repository: &Path, slug: &Slug) -> Result<Found> {
    let folder = repository.join(slug.as_str());
    let numbers = numbers(&folder)?;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let open = rustix::fs::openat(CWD, &folder, flags, Mode::empty());
    let stamp = |number: &u32| Stamp::at(open.as_ref().ok()?, &format!("{number}/{}", job::RECORD));
    let numbers = numbers.into_iter().map(|number| (number, stamp(&number))).collect();
    Ok(Found { slug: slug.clone(), folder, numbers })
}

/// Adds what a crash kept from the index.
fn add_some<'a>(repository: &Path, entries: impl Iterator<Item = &'a Entry>) {
    let Ok(Some(_lock)) = Lock::try_acquire(&repository.join(".lock")) else { return };
    for entry in entries {
        if let Ok(record) = entry.record() {
            index::add_locked(repository, &entry.job, &record);
        }
    }
}

/// Reads what lives in a repository, and about so many that ended lately.
pub(crate) fn lately(repository: &Path, count: usize, listing: &mut Listing) -> Result<()> {
    let mut tail = index::tail(repository, count);
    if tail.is_damaged {
        let mut all = Listing::default();
        all_of(repository, &mut all)?;
        tail = index::tail(repository, count);
        if tail.is_damaged {
            // It cannot be mended here.
            listing.jobs.append(&mut all.jobs);
            listing.broken.append(&mut all.broken);
            return Ok(());
        }
    }
    let noted = unended(repository);
    for ((slug, number), line) in &tail.lines {
        let Ok(slug) = slug.parse::<Slug>() else { continue };
        let job = Job::numbered(&repository.join(slug.as_str()), &slug, *number);
        if noted.contains(&job) {
            continue;
        }
        let stamp = fs::symlink_metadata(job.path(job::RECORD)).ok().map(|facts| Stamp::of(&facts));
        if stamp == Some(line.stamp) {
            listing.jobs.push(Entry::stored(job, &tail.store, *line));
        } else if job.exists() {
            listing.add(job);
        }
    }
    noted.into_iter().for_each(|job| listing.add(job));
    Ok(())
}

/// Lists the jobs that are noted as living or waiting, some of which may have ended.
pub(crate) fn unended(repository: &Path) -> Vec<Job> {
    let mut jobs = live::noted(repository);
    // One that is being started is noted in both.
    jobs.extend(queue::entries_of(repository));
    jobs.sort_by(|a, b| a.folder().cmp(b.folder()));
    jobs.dedup();
    jobs.retain(Job::exists);
    jobs
}

/// git's own word for "look, but touch nothing that you need not".
fn may_write() -> bool {
    std::env::var_os("GIT_OPTIONAL_LOCKS").is_none_or(|value| value != "0")
}
