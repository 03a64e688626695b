//! Where runs are kept: for each a folder outside the repository, for this user only.
//!
//! Readers take no lock. Who changes a run holds it; who conducts one from beginning to end holds a
//! second lock, so that two never conduct the same.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::app::Context;
use shared::durable::{self, Lock, Previous};
use shared::failure::Failure;
use shared::folders;
use shared::slug::Slug;

use crate::record::{Run, SCHEMA};
use crate::review::findings::Review;

const RECORD: &str = "run.json";
const PROMPT: &str = "prompt.md";
const REVIEW: &str = "review.json";
const OPEN: &str = "open";
/// No run has this name.
const REPLACED: &str = ".replaced";

/// The folder of one run.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// A run that nobody else changes while it is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) store: Store,
    pub(crate) run: Run,
    _lock: Lock,
}

impl Held {
    /// Writes the record.
    pub(crate) fn save(&self) -> Result<()> {
        self.store.save(RECORD, &self.run)
    }
}

/// Returns the folder of all runs of the repository.
fn all(cx: &Context) -> Result<PathBuf, Failure> {
    Ok(folders::state()?.join("bo4").join(cx.repository()?.key()))
}

/// Keeps others from looking for an open run and beginning one where there is none.
pub(crate) fn hold_beginning(cx: &Context) -> Result<Lock, Failure> {
    let folder = all(cx)?;
    durable::private_folder(&folder)?;
    Ok(Lock::acquire(&folder.join("beginning.lock"), durable::PATIENCE)?)
}

impl Store {
    /// Makes the folder of a run with its prompts, the run's own first; saved, it is a run.
    pub(crate) fn create(cx: &Context, run: Run, prompts: &[String]) -> Result<Held, Failure> {
        let store = Store { folder: all(cx)?.join(&run.run) };
        durable::private_folder(&store.folder)?;
        let lock = Lock::acquire(&store.folder.join("lock"), durable::PATIENCE)?;
        for (number, prompt) in prompts.iter().enumerate() {
            durable::replace(&store.prompt_path(number), prompt.as_bytes(), Previous::Drop)?;
        }
        Ok(Held { store, run, _lock: lock })
    }

    /// Finds a run by its name or the beginning of it; the newest if none is named.
    pub(crate) fn find(cx: &Context, name: Option<&str>) -> Result<Store, Failure> {
        let folder = all(cx)?;
        let Some(name) = name else {
            let newest = runs(cx)?.0.into_iter().max_by_key(|run| run.created);
            let run = newest
                .ok_or_else(|| Failure::could_not("no-run", "there is no run yet").hint("'git bo4 new' begins one"))?;
            return Ok(Store { folder: folder.join(run.run) });
        };
        let fitting: Vec<String> = names(&folder)?.into_iter().filter(|own| own.starts_with(name)).collect();
        let found = match &fitting[..] {
            _ if fitting.iter().any(|own| own == name) => name,
            [one] => one,
            [] => {
                let message = format!("there is no run '{}'", name.escape_debug());
                return Err(Failure::could_not("no-run", message).hint("'git bo4 list' shows them"));
            }
            [_, _, ..] => {
                let message = format!("'{}' could be {}", name.escape_debug(), fitting.join(" or "));
                return Err(Failure::could_not("ambiguous-run", message));
            }
        };
        Ok(Store { folder: folder.join(found) })
    }

    /// Holds the run, to change it.
    pub(crate) fn hold(&self) -> Result<Held, Failure> {
        let lock = Lock::acquire(&self.folder.join("lock"), durable::PATIENCE)?;
        Ok(Held { run: self.run()?, store: self.clone(), _lock: lock })
    }

    /// Takes the baton of who conducts the run from beginning to end.
    pub(crate) fn conduct(&self) -> Result<Lock, Failure> {
        let lock = Lock::try_acquire(&self.folder.join("conductor.lock"))?;
        lock.ok_or_else(|| {
            let name = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Failure::could_not("conducted", format!("run '{name}' is conducted by another 'git bo4 run'"))
                .hint(format!("'git bo4 watch {name}' shows how it goes on"))
        })
    }

    /// Reads the record.
    pub(crate) fn run(&self) -> Result<Run, Failure> {
        let path = self.folder.join(RECORD);
        let run = read_record(&path)?;
        run.ok_or_else(|| Failure::could_not("no-run", format!("there is no record '{}'", path.display())))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns where a prompt is kept: 0 is the run's own, the others are those of its lanes.
    pub(crate) fn prompt_path(&self, number: usize) -> PathBuf {
        match number {
            0 => self.folder.join(PROMPT),
            lane => self.folder.join(format!("prompt-lane{lane}.md")),
        }
    }

    /// Reads what is asked.
    pub(crate) fn prompt(&self) -> Result<String> {
        let bytes = durable::read(&self.prompt_path(0))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads the prompt of a lane that has its own, from 1.
    pub(crate) fn lane_prompt(&self, number: usize) -> Result<String> {
        let bytes = durable::read(&self.prompt_path(number))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Marks a run as one that 'git bo4 run' brings to its end.
    pub(crate) fn mark_conducted(&self) -> Result<()> {
        durable::replace(&self.folder.join(OPEN), b"", Previous::Drop)
    }

    /// Says whether 'git bo4 run' has begun it and not brought it to its end.
    pub(crate) fn is_conducted_to_no_end(&self) -> Result<bool> {
        Ok(self.folder.join(OPEN).try_exists()?)
    }

    /// Takes the mark away.
    pub(crate) fn end_conducting(&self) -> Result<()> {
        match fs::remove_file(self.folder.join(OPEN)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("cannot end a run"),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Returns where the diff of a variant is kept that came from outside.
    pub(crate) fn diff_path(&self, number: usize) -> PathBuf {
        self.folder.join(format!("var{number}.diff"))
    }

    /// Reads a document beside the record; none if there is none.
    pub(crate) fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.folder.join(name);
        let Some(bytes) = durable::read(&path)? else { return Ok(None) };
        Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("'{}' is broken", path.display()))?))
    }

    /// Writes a document beside the record.
    pub(crate) fn save(&self, name: &str, document: &impl Serialize) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(document)?;
        bytes.push(b'\n');
        durable::replace(&self.folder.join(name), &bytes, Previous::Drop)
    }

    pub(crate) fn load_review(&self) -> Result<Option<Review>> {
        self.load(REVIEW)
    }

    pub(crate) fn save_review(&self, review: &Review) -> Result<()> {
        self.save(REVIEW, review)
    }

    /// Removes the folder; what it says has to be kept elsewhere or not to count any more.
    ///
    /// What agents had put in the place of something of ours is theirs, and is kept beside the runs: the folder of it
    /// is returned.
    #[expect(
        clippy::disallowed_methods,
        reason = "the folder is ours alone, and its variants are files in the repository"
    )]
    pub(crate) fn remove(self) -> Result<Option<PathBuf>> {
        let failed = || format!("cannot remove '{}'", self.folder.display());
        let name = self.folder.file_name().unwrap_or_default();
        let kept = self.folder.with_file_name(REPLACED).join(name);
        let mut has_kept = false;
        for entry in fs::read_dir(&self.folder).with_context(failed)?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b"replaced-") {
                durable::private_folder(&kept)?;
                fs::rename(entry.path(), kept.join(entry.file_name())).with_context(failed)?;
                has_kept = true;
            }
        }
        fs::remove_dir_all(&self.folder).with_context(failed)?;
        Ok(has_kept.then_some(kept))
    }
}

fn read_record(path: &Path) -> Result<Option<Run>, Failure> {
    let Some(bytes) = durable::read(path)? else { return Ok(None) };
    let broken = |why: String| Failure::could_not("broken-run", format!("'{}' is broken: {why}", path.display()));
    #[derive(serde::Deserialize)]
    struct Schema {
        schema: u32,
    }
    let Schema { schema } = serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
    if schema > SCHEMA {
        let message = format!("'{}' has schema {schema}, this program knows {SCHEMA}", path.display());
        return Err(Failure::could_not("newer-run", message).hint("install the newer version of the programs"));
    }
    Ok(Some(serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot list '{}'", folder.display())),
    };
    let own = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(own.filter(|name| name.parse::<Slug>().is_ok()).collect())
}

/// Reads all runs of the repository, and names the records that cannot be read.
pub(crate) fn runs(cx: &Context) -> Result<(Vec<Run>, Vec<String>), Failure> {
    let folder = all(cx)?;
    let (mut runs, mut broken) = (Vec::new(), Vec::new());
    for name in names(&folder)? {
        match read_record(&folder.join(&name).join(RECORD)) {
            Ok(run) => runs.extend(run),
            Err(failure) => broken.push(failure.message().to_owned()),
        }
    }
    Ok((runs, broken))
}

/// Returns a name that no run has: the task's, or the first words of what is asked, and a few letters.
pub(crate) fn new_name(cx: &Context, wanted: Option<&Slug>) -> Result<String, Failure> {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    const LONGEST: usize = 24;
    let mut head = wanted.map_or_else(|| "run".to_owned(), ToString::to_string);
    if head.len() > LONGEST {
        head.truncate(head[..LONGEST].rfind('-').filter(|at| *at > 0).unwrap_or(LONGEST));
    }
    loop {
        let mut random = [0_u8; 4];
        getrandom(&mut random, GetRandomFlags::empty()).context("the system gives no random numbers")?;
        let tail: String = random.iter().map(|byte| char::from(DIGITS[usize::from(byte % 32)])).collect();
        let name = format!("{}-{tail}", head.trim_end_matches('-'));
        if !all(cx)?.join(&name).exists() {
            return Ok(name);
        }
    }
}
