//! The log of a repository's runs, `.codex/bo4_runs.jsonl`: one line for each, appended once and never changed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use shared::app::Context;
use shared::durable::{self, Lock};
use shared::failure::Failure;
use shared::own_folder;

use crate::record::{Backend, Run, SCHEMA};

const FOLDER: &str = ".codex";
const FILE: &str = "bo4_runs.jsonl";
const LOCK: &str = "bo4_runs.lock";

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) schema: u32,
    pub(crate) run: String,
    pub(crate) task_id: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) backend: Backend,
    pub(crate) env: Option<String>,
    pub(crate) base: String,
    pub(crate) base_commit: String,
    pub(crate) best_of: usize,
    pub(crate) lanes: Vec<String>,
    pub(crate) prompt_file: Option<PathBuf>,
    pub(crate) prompt_hash: String,
    #[serde(default)]
    pub(crate) title: String,
    pub(crate) created: Timestamp,
    #[serde(default)]
    pub(crate) previous: Option<String>,
}

impl Line {
    pub(crate) fn of(run: &Run) -> Line {
        Line {
            schema: SCHEMA,
            run: run.run.clone(),
            task_id: run.task_id.clone(),
            task: run.task.clone(),
            backend: run.backend,
            env: run.env.clone(),
            base: run.base.clone(),
            base_commit: run.base_commit.clone(),
            best_of: run.best_of,
            lanes: run.lane_words(),
            prompt_file: run.prompt_file.clone(),
            prompt_hash: run.prompt_hash.clone(),
            title: run.title.clone(),
            created: run.created,
            previous: run.previous.clone(),
        }
    }
}

/// Returns the folder of what the runs leave in the repository.
pub(crate) fn folder(cx: &Context) -> Result<PathBuf, Failure> {
    let repository = cx.repository()?;
    let above = repository.main_worktree().unwrap_or_else(|| repository.common_dir().to_owned());
    Ok(above.join(FOLDER))
}

/// Makes that folder, unseen by git; one that is a link, which a repository may bring, is refused.
pub(crate) fn make_folder(cx: &Context) -> Result<PathBuf, Failure> {
    let folder = folder(cx)?;
    own_folder::hide_as(
        cx.repository()?.common_dir(),
        &["/.codex/bo4_runs.jsonl", "/.codex/bo4_runs.lock", "/.codex/bo4/"],
    )?;
    fs::create_dir(&folder)
        .or_else(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })
        .with_context(|| format!("cannot create the folder '{}'", folder.display()))?;
    if !folder.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
        let message = format!("'{}' is no folder of this repository, so nothing is written there", folder.display());
        return Err(Failure::could_not("no-folder", message));
    }
    Ok(folder)
}

/// Refuses a log that could not be written to, before anything begins that would have to be in it.
pub(crate) fn refuse_unfit(cx: &Context) -> Result<(), Failure> {
    let folder = make_folder(cx)?;
    for path in [folder.join(FILE), folder.join(LOCK)] {
        if path.symlink_metadata().is_ok_and(|facts| !facts.is_file()) {
            let message = format!("'{}' is no file of this repository, so no run can be logged", path.display());
            return Err(Failure::could_not("no-log", message));
        }
    }
    let files = folder.join("bo4");
    if files.symlink_metadata().is_ok_and(|facts| !facts.is_dir()) {
        let message = format!("'{}' is no folder of this repository, so no run can be exported", files.display());
        return Err(Failure::could_not("no-folder", message));
    }
    let paths = [folder.clone(), folder.join(FILE)];
    if let Some(path) = paths.iter().find(|path| access(*path, Access::WRITE_OK) == Err(Errno::ACCESS)) {
        return Err(Failure::could_not("no-log", format!("'{}' may not be written to", path.display())));
    }
    Ok(())
}

/// Appends the line of a run, unless it is there: a run that was killed comes here twice.
pub(crate) fn append(cx: &Context, run: &Run) -> Result<(), Failure> {
    let folder = make_folder(cx)?;
    let path = folder.join(FILE);
    let _lock = Lock::acquire(&folder.join(LOCK), durable::PATIENCE)?;
    if read(&path)?.0.iter().any(|line| line.run == run.run) {
        return Ok(());
    }
    let line = serde_json::to_string(&Line::of(run)).context("cannot write a line of the log")?;
    Ok(durable::append_line(&path, &line)?)
}

/// Reads the log of the repository, and counts the lines that cannot be read.
pub(crate) fn load(cx: &Context) -> Result<(Vec<Line>, usize), Failure> {
    Ok(read(&folder(cx)?.join(FILE))?)
}

fn read(path: &Path) -> Result<(Vec<Line>, usize)> {
    /// More than this is no log of ours, in bytes.
    const MOST: usize = 256 << 20;
    let bytes = durable::read_foreign(path, MOST)?.unwrap_or_default();
    let (mut lines, mut broken) = (Vec::new(), 0);
    for line in BufReader::new(&bytes[..]).split(b'\n') {
        let line = line.context("cannot read the log")?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(line) => lines.push(line),
            Err(_) => broken += 1,
        }
    }
    Ok((lines, broken))
}
