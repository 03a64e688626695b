//! What is known about one job, as its `job.json` holds it.
//!
//! One writer at a time: the launcher until the supervisor has started, then the supervisor, and
//! after its death whoever holds the job's lock.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::durable::{self, Previous};
use shared::output::SCHEMA;
use shared::process::{Identity, boot_id};
use shared::registry::Repo;
use shared::slug::Slug;

use crate::condition::Condition;
use crate::notify::Notify;
use crate::pause::Signs;
use crate::rules::Rules;
use crate::told::AgentRun;

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) schema: u32,
    pub(crate) id: String,
    pub(crate) repo: Repo,
    pub(crate) slug: Slug,
    pub(crate) number: u32,
    /// Id of the task that it works on.
    pub(crate) task: Option<String>,
    /// Where it runs; lossy if the path is not UTF-8.
    pub(crate) worktree: String,
    /// The path byte by byte, where the text cannot hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) worktree_bytes: Option<Vec<u8>>,
    pub(crate) branch: Option<String>,
    /// Program and arguments; the prompt is a reference in them.
    pub(crate) command: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command_bytes: Option<Vec<Vec<u8>>>,
    /// The program as it was found on `PATH`.
    pub(crate) program: Option<String>,
    pub(crate) agent: Option<String>,
    /// How the prompt reaches the agent; none without an agent.
    pub(crate) prompt: Option<PromptWay>,
    pub(crate) state: State,
    /// What counted, or counts, while it waited for a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<Queue>,
    pub(crate) reason: Option<String>,
    /// Who ended it: `user`, `job …`, `timeout`, `stall`, `danger`, `budget`, `signal`, `launch`.
    pub(crate) by: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) exit: Option<Exit>,
    /// The boot in which it was launched.
    pub(crate) boot: String,
    pub(crate) supervisor: Option<Identity>,
    pub(crate) child: Option<Identity>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) grace_ms: u64,
    pub(crate) bytes_logged: u64,
    /// Output that did not fit on the disk.
    pub(crate) bytes_dropped: u64,
    /// Processes that outlived the child and were ended.
    pub(crate) left_over: u64,
    /// What to do with the work at the end; a task's job only.
    pub(crate) finish: Option<Finish>,
    /// The commit that was made of the uncommitted work.
    pub(crate) commit: Option<String>,
    /// Why uncommitted work was left as it is.
    pub(crate) commit_problem: Option<String>,
    /// What the settings said at the launch.
    #[serde(default)]
    pub(crate) rules: Rules,
    /// Names of the environment variables that the job got.
    #[serde(default)]
    pub(crate) env_names: Vec<String>,
    /// How many secrets were taken out of its output.
    #[serde(default)]
    pub(crate) redactions: u64,
    /// Whether command, prompt or title hold a secret, and stand here without it: it cannot be repeated from here.
    #[serde(default)]
    pub(crate) request_redacted: bool,
    /// How often it showed no sign of life.
    #[serde(default)]
    pub(crate) stalls: u32,
    /// How often something dangerous was seen.
    #[serde(default)]
    pub(crate) dangers: u32,
    /// How often it, or something in it, was interrupted for that.
    #[serde(default)]
    pub(crate) interrupts: u32,
    /// Where git keeps what belongs to the worktree.
    #[serde(default)]
    pub(crate) folders: Option<Folders>,
    /// What kept the agent from its work: `quota`, `auth`.
    #[serde(default)]
    pub(crate) error_kind: Option<String>,
    /// By what that is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signs: Option<Signs>,
    /// Who is told of the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notify: Option<Notify>,
    /// What it waits for before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) waits: Vec<Condition>,
    /// What the agent told, and how it was asked.
    #[serde(flatten)]
    pub(crate) run: AgentRun,
    /// What a newer version added.
    #[serde(flatten)]
    pub(crate) unknown: Map<String, Value>,
}

/// What is needed of a job that waits for a place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Queue {
    /// The higher, the sooner.
    pub(crate) priority: i64,
    /// How many jobs of its repository may live; 0 is no limit.
    #[serde(default)]
    pub(crate) repo_limit: u64,
    /// Whether it may start though its agent is paused.
    #[serde(default)]
    pub(crate) force: bool,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// It waits for a place.
    Queued,
    Starting,
    Running,
    Stopping,
    Completed,
    Failed,
    Stopped,
    TimedOut,
    /// Ended, because it did nothing for too long.
    Stalled,
    /// Ended, because it had used up what it was allowed to.
    OverBudget,
    Lost,
}

impl State {
    /// Says whether nothing follows.
    pub(crate) fn is_terminal(self) -> bool {
        match self {
            State::Queued | State::Starting | State::Running | State::Stopping => false,
            State::Completed
            | State::Failed
            | State::Stopped
            | State::TimedOut
            | State::Stalled
            | State::OverBudget
            | State::Lost => true,
        }
    }

    /// Returns the word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Starting => "starting",
            State::Running => "running",
            State::Stopping => "stopping",
            State::Completed => "completed",
            State::Failed => "failed",
            State::Stopped => "stopped",
            State::TimedOut => "timed-out",
            State::Stalled => "stalled",
            State::OverBudget => "over-budget",
            State::Lost => "lost",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How the child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// How the prompt reaches an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PromptWay {
    /// As `{prompt}` in the arguments, or the last one.
    Argument,
    /// On standard input.
    Stdin,
    /// As a path, in `{prompt-file}`.
    File,
}

/// What the end of a task's job needs to commit its work, without asking the worktree where it belongs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Finish {
    pub(crate) git_dir: PathBuf,
    pub(crate) common_dir: PathBuf,
    /// Full name of the task's branch.
    pub(crate) branch: String,
    pub(crate) title: String,
    /// The commit that the branch was at.
    pub(crate) head: Option<String>,
    /// Whether uncommitted work becomes a commit.
    pub(crate) commit: bool,
}

/// The git folders of a job's worktree, known without asking the worktree.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Folders {
    pub(crate) git_dir: PathBuf,
    pub(crate) common_dir: PathBuf,
    /// The commit that its branch was at when the job was launched.
    pub(crate) head: Option<String>,
}

impl Record {
    /// Returns the path of the worktree as the system spells it.
    pub(crate) fn worktree_path(&self) -> PathBuf {
        match &self.worktree_bytes {
            Some(bytes) => PathBuf::from(OsString::from_vec(bytes.clone())),
            None => PathBuf::from(&self.worktree),
        }
    }

    /// Returns program and arguments as the system spells them.
    pub(crate) fn command_line(&self) -> Vec<OsString> {
        match &self.command_bytes {
            Some(all) => all.iter().map(|bytes| OsString::from_vec(bytes.clone())).collect(),
            None => self.command.iter().map(OsString::from).collect(),
        }
    }

    /// Returns the value of `GIT_WORKER_JOB`, by which the job's processes are known.
    pub(crate) fn marker(&self) -> String {
        format!("{}/{}/{}", self.repo.key, self.slug, self.number)
    }

    /// Returns why a job without supervisor and without an end is lost.
    pub(crate) fn loss(&self) -> &'static str {
        let boot = self.supervisor.as_ref().map_or(&self.boot, |supervisor| &supervisor.boot);
        if boot == boot_id() { "supervisor" } else { "boot" }
    }

    /// Writes the record durably.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        durable::replace(path, &self.to_bytes()?, Previous::Drop)
    }

    /// Returns the record as the file holds it.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it is broken or of a newer version; the caller names the path.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Record> {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let Schema { schema } = serde_json::from_slice(bytes)?;
        if schema > SCHEMA {
            bail!("it has schema {schema}, this program knows {SCHEMA}");
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// Splits a path or argument into its text and, where the text is lossy, its bytes.
pub(crate) fn spell(words: &OsStr) -> (String, Option<Vec<u8>>) {
    match words.to_str() {
        Some(text) => (text.to_owned(), None),
        None => (words.to_string_lossy().into_owned(), Some(words.as_bytes().to_vec())),
    }
}
