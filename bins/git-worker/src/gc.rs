//! `git worker gc`: remove jobs that have ended, by age and size, and never the only copy of work.
//!
//! What cannot be proven to be safe stays and is named. A job is removed under its own lock, after
//! its snapshots, so that whoever is interrupted leaves a whole job or none.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use shared::app::Context;
use shared::clock;
use shared::config::Config;
use shared::config::layer::parse_size;
use shared::durable::{self, Lock};
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process::Git;
use shared::slug::Slug;

use crate::job::{self, Job, Jobs};
use crate::listing::{self, Entry};
use crate::proof::{self, Finding, Gone, Proof};
use crate::record::State;
use crate::{cli, removal, snapshot, stop};

/// So many jobs are held at once: each takes two open files.
const AT_ONCE: usize = 64;

/// Remove the logs and records of jobs that have ended, by age and size
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove what ended longer ago than this, such as 12h or 30d
    #[arg(long, value_name = "time", value_parser = cli::duration)]
    older_than: Option<Duration>,
    /// Keep so many of those that ended last, whatever their age and size; alone, remove all others
    #[arg(long, value_name = "n")]
    keep: Option<u64>,
    /// Remove the oldest until the rest is not larger than this, such as 500MiB
    #[arg(long, value_name = "size", value_parser = size)]
    max_size: Option<u64>,
    /// Remove jobs too whose snapshots are the only copy of work, after those were moved to refs/backup/
    #[arg(long)]
    snapshots: bool,
    /// Say what would be removed and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// What counts: the options if there is one, otherwise the settings.
#[derive(Debug, Clone, Copy)]
struct Limits {
    older_than: Option<Duration>,
    max_size: Option<u64>,
    keep: u64,
    /// Whether those beyond `keep` go by that alone.
    only_keep: bool,
}

#[derive(Debug, Serialize)]
struct Removed {
    id: String,
    bytes: u64,
    snapshots: Vec<Gone>,
}

/// A job that the limits meant and that stays.
#[derive(Debug, Serialize)]
struct Kept {
    id: String,
    /// `snapshots`, `corrupt`, `foreign-file`, `busy` or `failed`.
    kind: &'static str,
    why: String,
}

/// A lost job of which something was left.
#[derive(Debug, Serialize)]
struct Ended {
    id: String,
    left_over: u64,
}

#[derive(Debug, Default, Serialize)]
struct Answer {
    removed: Vec<Removed>,
    kept: Vec<Kept>,
    ended: Vec<Ended>,
    /// Bytes of all that were removed.
    bytes: u64,
    dry_run: bool,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let git = cx.git()?;
    let limits = Limits::of(cx.config()?, &args)?;
    let key = cx.repository()?.key();
    let jobs = Jobs::of_repository(&key)?;
    let repository = jobs.folder_of(&key);
    let mut answer = Answer { dry_run: args.dry_run, ..Answer::default() };
    if repository.is_dir() {
        let _alone = match args.dry_run {
            true => None,
            false => Some(Lock::acquire(&repository.join(".gc.lock"), durable::PATIENCE)?),
        };
        collect(&git, &args, limits, &jobs, &repository, &mut answer)?;
    }
    if limits.is_none() {
        cx.output.note("no limit is set: no job is removed");
        cx.output.hint("--older-than, --keep and --max-size say what may go, or the settings worker.gc-*");
    }
    cx.output.answer(&answer)?;
    let (would, s) =
        (if args.dry_run { "would free" } else { "freed" }, if answer.removed.len() == 1 { "" } else { "s" });
    cx.output.note(format!("{would} {} bytes of {} job{s}", answer.bytes, answer.removed.len()));
    Ok(Status::Done)
}

fn collect(
    git: &Git,
    args: &Args,
    limits: Limits,
    jobs: &Jobs,
    repository: &Path,
    answer: &mut Answer,
) -> Result<(), Failure> {
    if !args.dry_run {
        finish_old(repository, answer);
        end_lost(jobs, answer)?;
        remove_unborn(repository, answer)?;
    }
    let listing = jobs.list()?;
    for broken in &listing.broken {
        answer.keep(broken.id.clone(), "corrupt", format!("its record cannot be read: {}", broken.why));
    }
    let wanted = choose(listing.jobs, limits);
    let proof = Proof::new(git.clone())?;
    for some in wanted.chunks(AT_ONCE) {
        remove_some(git, &proof, some, args, answer);
    }
    answer.bytes = answer.removed.iter().map(|removed| removed.bytes).sum();
    if !args.dry_run && !answer.removed.is_empty() {
        removal::tidy(repository);
        let _guard = Lock::acquire(&repository.join(".lock"), durable::PATIENCE)?;
        let rest = listing::renew(repository)?;
        if let Some(latest) = rest.jobs.first() {
            job::mend_latest(repository, &latest.job);
        }
    }
    Ok(())
}

impl Limits {
    fn of(config: &Config, args: &Args) -> Result<Limits> {
        if args.older_than.is_some() || args.keep.is_some() || args.max_size.is_some() {
            let only_keep = args.older_than.is_none() && args.max_size.is_none();
            let (older_than, max_size) = (args.older_than, args.max_size);
            return Ok(Limits { older_than, max_size, keep: args.keep.unwrap_or(0), only_keep });
        }
        let max_size = Some(config.size("worker.gc-max-size")?).filter(|size| *size > 0);
        let older_than = config.duration("worker.gc-older-than")?;
        Ok(Limits { older_than, max_size, keep: config.integer("worker.gc-keep")?, only_keep: false })
    }

    fn is_none(&self) -> bool {
        self.older_than.is_none() && self.max_size.is_none() && !self.only_keep
    }
}

/// Goes on with what an earlier call was killed at.
fn finish_old(repository: &Path, answer: &mut Answer) {
    for (id, done) in removal::finish(repository) {
        match done {
            Ok(bytes) => answer.removed.push(Removed { id, bytes, snapshots: Vec::new() }),
            Err(error) => answer.keep(id, "failed", format!("{error:#}")),
        }
    }
}

/// Ends whatever lost jobs left, however young they are.
fn end_lost(jobs: &Jobs, answer: &mut Answer) -> Result<()> {
    for entry in jobs.list()?.jobs.into_iter().filter(|entry| entry.state == State::Lost) {
        // Otherwise it was done before, or by somebody else; a record that cannot be read any more is named below.
        if let Ok(Some(record)) = stop::bury_lost(&entry.job) {
            answer.ended.push(Ended { id: record.id, left_over: record.left_over });
        }
    }
    Ok(())
}

/// Removes what is left of launches that broke off before there was a record.
fn remove_unborn(repository: &Path, answer: &mut Answer) -> Result<()> {
    // A launch holds this until its record is there.
    let _guard = Lock::acquire(&repository.join(".lock"), durable::PATIENCE)?;
    for slug in job::names(repository)?.iter().filter_map(|name| name.parse::<Slug>().ok()) {
        let folder = repository.join(slug.as_str());
        for number in job::numbers(&folder)? {
            let unborn = Job::numbered(&folder, &slug, number);
            if unborn.exists() {
                continue;
            }
            let Ok(Some(_lock)) = Lock::try_acquire(&unborn.path(job::LOCK)) else { continue };
            match removal::look(unborn.folder()) {
                Ok(contents) if contents.foreign.is_none() && removal::remove(&unborn).is_ok() => {
                    answer.removed.push(Removed { id: unborn.id(), bytes: contents.bytes, snapshots: Vec::new() });
                }
                Ok(_) | Err(_) => answer.keep(unborn.id(), "foreign-file", "its folder holds no record".to_owned()),
            }
        }
    }
    Ok(())
}

/// Chooses those that have ended and are beyond the limits, the oldest first.
fn choose(entries: Vec<Entry>, limits: Limits) -> Vec<Job> {
    if limits.is_none() {
        return Vec::new();
    }
    let mut ended: Vec<Entry> = entries.into_iter().filter(|entry| entry.state.is_terminal()).collect();
    ended.sort_by_key(|entry| std::cmp::Reverse((entry.ended, entry.created, entry.job.number())));
    let now = clock::now().as_millisecond();
    let age = |entry: &Entry| u128::from(now.saturating_sub(entry.ended).max(0).unsigned_abs());
    let (mut chosen, mut bytes) = (Vec::new(), 0);
    for (at, entry) in (0u64..).zip(ended) {
        let mut is_beyond = limits.only_keep || limits.older_than.is_some_and(|limit| age(&entry) > limit.as_millis());
        if let Some(most) = limits.max_size {
            bytes += removal::look(entry.job.folder()).map_or(0, |contents| contents.bytes);
            is_beyond |= bytes > most;
        }
        if is_beyond && at >= limits.keep {
            chosen.push(entry.job);
        }
    }
    chosen.reverse();
    chosen
}

/// A job that may go as far as its folder tells, and that nobody else touches now.
struct Held<'a> {
    job: &'a Job,
    bytes: u64,
    /// Its own, and that of its snapshots; none if nothing is to be changed.
    _locks: Option<(Lock, Lock)>,
}

fn remove_some(git: &Git, proof: &Proof, jobs: &[Job], args: &Args, answer: &mut Answer) {
    let held: Vec<Held<'_>> = jobs.iter().filter_map(|job| hold(job, args.dry_run, answer)).collect();
    let findings = proof.find(&held.iter().map(|held| held.job).collect::<Vec<_>>());
    for (held, finding) in held.into_iter().zip(findings) {
        let id = held.job.id();
        let snapshots = match finding {
            Finding::Elsewhere(all) => all,
            Finding::Only { all, .. } if args.snapshots => {
                all.into_iter().map(|gone| with_backup(held.job, gone)).collect()
            }
            Finding::Only { named, .. } => {
                let why = format!("what no branch, tag or backup holds is in {}", named.join(", "));
                answer.keep(id, "snapshots", why);
                continue;
            }
            Finding::Unknown(why) => {
                answer.keep(id, "snapshots", format!("its snapshots cannot be looked at: {why}"));
                continue;
            }
        };
        if !args.dry_run
            && let Err(error) = remove(git, held.job, &snapshots)
        {
            answer.keep(id, "failed", format!("{error:#}"));
            continue;
        }
        answer.removed.push(Removed { id, bytes: held.bytes, snapshots });
    }
}

/// Takes a job, so that nobody works on it, and looks into its folder; none if it has to stay.
fn hold<'a>(job: &'a Job, dry_run: bool, answer: &mut Answer) -> Option<Held<'a>> {
    // None if somebody else has it.
    let take = |name: &str| -> Result<Option<Option<Lock>>> {
        match dry_run {
            true => Ok((!durable::is_locked(&job.path(name))?).then_some(None)),
            false => Ok(Lock::try_acquire(&job.path(name))?.map(Some)),
        }
    };
    let held = || -> Result<Result<Held<'a>, (&'static str, String)>> {
        let busy = |what: &str| Ok(Err(("busy", what.to_owned())));
        let Some(own) = take(job::LOCK)? else { return busy("its supervisor is still at work") };
        let Some(snapshots) = take(snapshot::LOCK)? else { return busy("a snapshot of it is being taken") };
        if !job.read()?.state.is_terminal() {
            return busy("it has not ended");
        }
        let contents = removal::look(job.folder())?;
        if let Some(foreign) = contents.foreign {
            return Ok(Err(("foreign-file", format!("'{}' is not of git-worker", foreign.display()))));
        }
        Ok(Ok(Held { job, bytes: contents.bytes, _locks: own.zip(snapshots) }))
    };
    match held() {
        Ok(Ok(held)) => return Some(held),
        Ok(Err((kind, why))) => answer.keep(job.id(), kind, why),
        Err(error) => answer.keep(job.id(), "failed", format!("{error:#}")),
    }
    None
}

fn with_backup(job: &Job, gone: Gone) -> Gone {
    let number = gone.name.rsplit('/').next().unwrap_or_default();
    let backup = format!("refs/backup/{}/{}/{number}", job.slug(), job.number());
    Gone { backup: Some(backup), ..gone }
}

/// Removes a job that is held: first its snapshots, so that a crash leaves no snapshot without its job.
fn remove(git: &Git, job: &Job, snapshots: &[Gone]) -> Result<()> {
    proof::remove(git, snapshots)?;
    let _guard = Lock::acquire(&job.repository().join(".lock"), durable::PATIENCE)?;
    removal::remove(job)
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| "a size such as 64MiB or 500kB".to_owned())
}

impl Answer {
    fn keep(&mut self, id: String, kind: &'static str, why: String) {
        self.kept.push(Kept { id, kind, why });
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Ended { id, left_over } in &self.ended {
            writeln!(f, "ended    {id}  (lost; {left_over} processes were left)")?;
        }
        let remove = if self.dry_run { "would remove" } else { "removed " };
        for Removed { id, bytes, snapshots } in &self.removed {
            writeln!(f, "{remove} {}  ({bytes} bytes)", Foreign(id))?;
            for Gone { name, backup, .. } in snapshots {
                match backup {
                    Some(backup) => writeln!(f, "         {name} -> {backup}")?,
                    None => writeln!(f, "         {name}")?,
                }
            }
        }
        self.kept.iter().try_for_each(|Kept { id, why, .. }| writeln!(f, "kept     {}  {}", Foreign(id), Foreign(why)))
    }
}
