//! Jobs on disk: their folders, their names, and whether they live.
//!
//! `<state>/jobs/<repository>/<slug>/<n>/`. A job lives while its lock is held; readers take no
//! lock for longer than a question and write nothing.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use shared::app::Context;
use shared::durable;
use shared::failure::Failure;
use shared::folders;
use shared::refusal::Refusal;
use shared::slug::Slug;

use crate::link;
use crate::listing::Broken;
use crate::queue;
use crate::record::{Record, State};

/// All jobs of this user, or those of one repository.
#[derive(Debug)]
pub(crate) struct Jobs {
    root: PathBuf,
    repository: Option<String>,
}

/// One job, not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    folder: PathBuf,
    slug: Slug,
    number: u32,
}

/// The name of a job: `slug#n`, or `slug` for its latest.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    slug: Slug,
    number: Option<u32>,
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Name, String> {
        let (slug, number) = match text.rsplit_once('#') {
            Some((slug, number)) => {
                let number = number.parse().ok().filter(|n| *n > 0);
                (slug, Some(number.ok_or_else(|| format!("'{}' is no job: <slug>#<number>", text.escape_debug()))?))
            }
            None => (text, None),
        };
        Ok(Name { slug: slug.parse().map_err(|e: shared::slug::NotASlug| e.to_string())?, number })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            Some(number) => write!(f, "{}#{number}", self.slug),
            None => self.slug.fmt(f),
        }
    }
}

impl Jobs {
    /// Returns the jobs of all repositories.
    pub(crate) fn of_user() -> Result<Jobs> {
        Ok(Jobs { root: folders::state()?.join("jobs"), repository: None })
    }

    /// Returns the jobs of one repository.
    pub(crate) fn of_repository(key: &str) -> Result<Jobs> {
        Ok(Jobs { repository: Some(key.to_owned()), ..Jobs::of_user()? })
    }

    /// Returns the jobs of the repository that the command runs in; of all if it runs in none.
    pub(crate) fn here(cx: &Context) -> Result<Jobs, Failure> {
        match cx.find_repository()? {
            Some(repository) => Ok(Jobs::of_repository(&repository.key())?),
            None => Ok(Jobs::of_user()?),
        }
    }

    /// Starts jobs that wait, if there are places for them.
    pub(crate) fn go_on(&self) {
        queue::go_on(&self.root);
    }

    /// Returns the folder of one repository's jobs.
    pub(crate) fn folder_of(&self, repository: &str) -> PathBuf {
        self.root.join(repository)
    }

    /// Finds the job of this name.
    ///
    /// # Errors
    /// A refusal when there is none, or several repositories have one.
    pub(crate) fn find(&self, name: &Name) -> Result<Job> {
        let mut found = Vec::new();
        for repository in self.repositories()? {
            let folder = self.root.join(&repository).join(name.slug.as_str());
            let number = match name.number {
                Some(number) => Some(number),
                None => last_of(&folder, &name.slug)?,
            };
            let job = number.map(|number| Job::numbered(&folder, &name.slug, number));
            found.extend(job.filter(Job::exists).map(|job| (repository, job)));
        }
        match found.len() {
            0 => bail!(Refusal::new("no-job", format!("no job '{name}'")).hint("'git worker list' shows the jobs")),
            1 => Ok(found.remove(0).1),
            _ => {
                let keys: Vec<String> = found.into_iter().map(|(repository, _)| repository).collect();
                let message = format!("'{name}' is a job of several repositories: {}", keys.join(", "));
                bail!(Refusal::new("ambiguous", message).hint("run it in one of them, or with -C"))
            }
        }
    }

    /// Returns the folders of the repositories.
    pub(crate) fn folders(&self) -> Result<Vec<PathBuf>> {
        Ok(self.repositories()?.into_iter().map(|repository| self.root.join(repository)).collect())
    }

    fn repositories(&self) -> Result<Vec<String>> {
        match &self.repository {
            Some(key) => Ok(vec![key.clone()]),
            None => names(&self.root),
        }
    }
}

impl Job {
    /// Makes the folder of a new job: the next number of its slug, taken by nobody else.
    pub(crate) fn create(repository: &Path, slug: &Slug) -> Result<Job> {
        let folder = repository.join(slug.as_str());
        durable::private_folder(&folder)?;
        let mut number = match next_of(&folder) {
            Some(number) => number,
            None => numbers(&folder)?.last().map_or(1, |last| last + 1),
        };
        loop {
            let job = Job::numbered(&folder, slug, number);
            match make_private(&job.folder) {
                Ok(()) => {
                    // Without it the folder is read again.
                    let _ = link::replace(&folder.join(NEXT), Path::new(&(number + 1).to_string()));
                    return Ok(job);
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(e).with_context(|| format!("cannot create '{}'", job.folder.display())),
            }
        }
    }

    /// Returns the job of this number in the folder of its slug.
    pub(crate) fn numbered(folder: &Path, slug: &Slug, number: u32) -> Job {
        Job { folder: folder.join(number.to_string()), slug: slug.clone(), number }
    }

    /// Returns the job whose folder this is.
    pub(crate) fn at(folder: &Path) -> Option<Job> {
        let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
        let number = name(folder)?.parse().ok()?;
        Some(Job { slug: name(folder.parent()?)?.parse().ok()?, number, folder: folder.to_owned() })
    }

    /// Returns its name: `<slug>#<n>`.
    pub(crate) fn id(&self) -> String {
        format!("{}#{}", self.slug, self.number)
    }

    /// Returns the folder of its repository's jobs.
    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.ancestors().nth(2).unwrap_or(&self.folder).to_owned()
    }

    /// Returns the folder of all jobs.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.ancestors().nth(3).unwrap_or(&self.folder).to_owned()
    }

    /// Returns its slug.
    pub(crate) fn slug(&self) -> &Slug {
        &self.slug
    }

    /// Returns its number among those of its slug.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Returns its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of one of its files.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Sees to it that its number is not given again once it is gone; the caller holds the repository's lock.
    pub(crate) fn keep_number(&self) -> Result<()> {
        let folder = self.folder.parent().unwrap_or(&self.folder);
        if next_of(folder).is_some_and(|next| next > self.number) {
            return Ok(());
        }
        let last = numbers(folder)?.last().map_or(self.number, |last| self.number.max(*last));
        let keep = || link::replace(&folder.join(NEXT), Path::new(&(last + 1).to_string()));
        keep().and_then(|()| durable::sync_folder(folder)).context("cannot keep the number of the job")
    }

    /// Says whether a process of ours watches over it.
    pub(crate) fn is_live(&self) -> Result<bool> {
        durable::is_locked(&self.path(LOCK))
    }

    /// Says whether its end is still to come: it lives, or waits for a place.
    pub(crate) fn is_unended(&self) -> Result<bool> {
        // Twice, because one that waited may have been started between the looks.
        let waits = || self.load().is_ok_and(|record| record.state == State::Queued);
        Ok(self.is_live()? || waits() || self.is_live()?)
    }

    /// Reads its record as it stands on disk.
    pub(crate) fn load(&self) -> Result<Record> {
        let record = self.load_from(RECORD)?;
        if record.state != State::Starting {
            return Ok(record);
        }
        match self.load_from(RUNNING) {
            Ok(running) => Ok(running),
            // Not there yet, or already part of the record.
            Err(_) => self.load_from(RECORD),
        }
    }

    fn load_from(&self, file: &str) -> Result<Record> {
        let path = self.path(file);
        let Some(bytes) = durable::read(&path)? else { bail!("'{}' is missing", path.display()) };
        let record = Record::parse(&bytes).with_context(|| format!("'{}' is broken", path.display()))?;
        if record.slug != self.slug || record.number != self.number {
            bail!("'{}' is broken: it is the record of '{}#{}'", path.display(), record.slug, record.number);
        }
        Ok(record)
    }

    /// Reads its record with its true state: without an end and without a supervisor it is lost.
    pub(crate) fn read(&self) -> Result<Record> {
        let record = self.load()?;
        if record.state.is_terminal() || record.state == State::Queued || self.is_live()? {
            return Ok(record);
        }
        // The end may have been written between the two looks.
        let mut record = self.load()?;
        if !record.state.is_terminal() {
            record.reason = Some(record.loss().to_owned());
            record.state = State::Lost;
        }
        Ok(record)
    }

    /// Names the job as one whose record cannot be read.
    pub(crate) fn broken(&self, error: &anyhow::Error) -> Broken {
        Broken { id: self.id(), path: self.path(RECORD).display().to_string(), why: format!("{error:#}") }
    }

    /// Says whether it is one: a launch that never came to its record left none; a log with content and no record is a broken one.
    pub(crate) fn exists(&self) -> bool {
        self.path(RECORD).symlink_metadata().is_ok() || self.path(LOG).metadata().is_ok_and(|facts| facts.len() > 0)
    }
}

/// The record of a job.
pub(crate) const RECORD: &str = "job.json";
/// The record of a job that runs, until it has replaced that of its launch on disk.
///
/// The launch is acknowledged once its own record is on disk and the child runs; this one is
/// flushed later, and a crash of the machine in between may leave it empty without harm.
pub(crate) const RUNNING: &str = ".running.json";
/// What it printed.
pub(crate) const LOG: &str = "output.log";
/// When it printed what.
pub(crate) const TIMES: &str = "times";
/// What happened to it, a line each.
pub(crate) const EVENTS: &str = "events.jsonl";
/// What its agent was asked.
pub(crate) const PROMPT: &str = "prompt.md";
/// The last words of its agent.
pub(crate) const MESSAGE: &str = "message.md";
/// What its agent is told when it goes on after a wait.
pub(crate) const MORE: &str = "more.md";
/// The JSON Schema that the answer of its agent is to fit.
pub(crate) const SCHEMA_FILE: &str = "schema.json";
/// Held while it lives.
pub(crate) const LOCK: &str = "lock";
/// Who asked for its end.
pub(crate) const STOP: &str = "stop.json";

/// Every file that a job's folder may hold, beside the pieces of its log and what a crash left half written.
pub(crate) const FILES: [&str; 18] = [
    RECORD,
    BESIDE,
    RUNNING,
    LOG,
    TIMES,
    EVENTS,
    PROMPT,
    MESSAGE,
    MORE,
    SCHEMA_FILE,
    LOCK,
    STOP,
    crate::last::SPARE,
    crate::snapshot::LOCK,
    crate::snapshot::INDEX,
    "snapshot.index.lock",
    crate::restore::INDEX,
    "restore.index.lock",
];

/// What is renamed to be the record.
pub(crate) const BESIDE: &str = ".job.json.new";

/// In the folder of a slug: a link whose target is the next number. A link is never half written.
const NEXT: &str = ".next";
/// In the folder of a repository: a link to the folder of the job that was launched last.
const LATEST: &str = ".latest";

/// Notes that a job is the one that was launched last; the caller holds the repository's lock.
pub(crate) fn note_latest(repository: &Path, job: &Job) {
    // Without it all are looked at.
    let _ = link::replace(&repository.join(LATEST), &Path::new(job.slug.as_str()).join(job.number.to_string()));
}

/// Lets the pointer lead to this job if it leads to one that is gone; the caller holds the repository's lock.
pub(crate) fn mend_latest(repository: &Path, job: &Job) {
    if latest(repository).is_none() {
        note_latest(repository, job);
    }
}

/// Returns the job of a repository that was launched last; none if the records must be asked.
pub(crate) fn latest(repository: &Path) -> Option<Job> {
    let target = fs::read_link(repository.join(LATEST)).ok()?;
    Job::at(&repository.join(target)).filter(Job::exists)
}

fn next_of(folder: &Path) -> Option<u32> {
    let target = fs::read_link(folder.join(NEXT)).ok()?;
    target.to_str()?.parse().ok().filter(|n| (1..MOST).contains(n))
}

/// Finds the highest number of a slug: beside the next one, or by a look at all.
fn last_of(folder: &Path, slug: &Slug) -> Result<Option<u32>> {
    let exists = |number: &u32| Job::numbered(folder, slug, *number).exists();
    let Some(next) = next_of(folder) else { return Ok(numbers(folder)?.into_iter().rev().find(exists)) };
    // A crash may have left it one too low; a removed job may have been the last.
    let last = (next..MOST).take_while(exists).last();
    let near = || (1..next).rev().take(64).find(exists);
    match last.or_else(near) {
        Some(number) => Ok(Some(number)),
        None => Ok(numbers(folder)?.into_iter().rev().find(exists)),
    }
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(folder)
}

/// No job has a higher number.
const MOST: u32 = 1_000_000_000;

/// Lists the numbered entries of a folder, the lowest first.
pub(crate) fn numbers(folder: &Path) -> Result<Vec<u32>> {
    let plain = |name: &String| name.parse::<u32>().ok().filter(|n| (1..MOST).contains(n) && n.to_string() == *name);
    let mut all: Vec<u32> = names(folder)?.iter().filter_map(plain).collect();
    all.sort_unstable();
    Ok(all)
}

/// Lists the entries of a folder that may be ours; none if there is no folder.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot list '{}'", folder.display())),
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    Ok(names)
}
