//! What is asked to be launched, by the command line, by a recorded job, or by a question.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use clap_complete::ArgValueCompleter;
use shared::app::Context;
use shared::failure::Failure;
use shared::slug::Slug;

use crate::agent::{Policy, Wanted};
use crate::cli;
use crate::condition::Condition;
use crate::job::{Job, Jobs, Name};
use crate::prompt::Role;
use crate::record::Record;
use crate::rules::millis;

/// What is to be launched, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct What {
    /// Task to work on, in its worktree, with its agent, title and goal
    #[arg(conflicts_with = "worktree", add = ArgValueCompleter::new(shared::app::complete_task))]
    pub(crate) task: Option<String>,
    /// Worktree to run in instead of this one
    #[arg(long, value_name = "dir", value_hint = ValueHint::DirPath)]
    pub(crate) worktree: Option<PathBuf>,
    /// Agent to start
    #[arg(long, value_name = "name", conflicts_with = "command")]
    pub(crate) agent: Option<String>,
    /// Model that the agent is to use
    #[arg(long, value_name = "name", conflicts_with = "command")]
    pub(crate) model: Option<String>,
    /// What the agent may do, by its own sandbox and approvals
    #[arg(long, value_name = "policy", conflicts_with = "command")]
    pub(crate) policy: Option<Policy>,
    /// Stop it when the agent has used more tokens, in and out; 0 is without limit
    #[arg(long, value_name = "n", conflicts_with = "command")]
    pub(crate) budget_tokens: Option<u64>,
    /// What the agent is there for: its instructions, the project's and the acceptance go before and after what is asked
    #[arg(long, value_name = "role", conflicts_with = "command")]
    pub(crate) role: Option<Role>,
    /// What else is wanted of the agent of a job that goes on.
    #[arg(skip)]
    pub(crate) wanted: Wanted,
    /// What the agent is asked, - is standard input; a task has its own
    #[arg(long, value_name = "text", conflicts_with = "prompt_file")]
    pub(crate) prompt: Option<String>,
    /// File that holds what the agent is asked; - is standard input
    #[arg(long, value_name = "file", value_hint = ValueHint::FilePath)]
    pub(crate) prompt_file: Option<PathBuf>,
    /// The prompt of a job that is launched once more.
    #[arg(skip)]
    pub(crate) prompt_bytes: Option<Vec<u8>>,
    /// What the agent is asked, read already.
    #[arg(skip)]
    pub(crate) given: Option<Vec<u8>>,
    /// Stop it after this time, such as 90s, 10m or 2h; 0 is never
    #[arg(long, value_name = "time", value_parser = cli::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Say, interrupt and stop it after this time without a sign of life, such as 10m; 0 is never
    #[arg(long, value_name = "time", value_parser = cli::duration)]
    pub(crate) stall: Option<Duration>,
    /// Stop it when it says no milestone for this time, such as 30m; 0 is never
    #[arg(long, value_name = "time", value_parser = cli::duration)]
    pub(crate) step_timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) waits: Waits,
    /// Name of the job; that of the task or branch if not given
    #[arg(long, value_name = "slug")]
    pub(crate) name: Option<Slug>,
    /// Start it before others that wait, the higher the sooner; that of the task if not given
    #[arg(long, value_name = "n", allow_negative_numbers = true)]
    pub(crate) priority: Option<i64>,
    /// Allow other live jobs in the same worktree
    #[arg(long)]
    pub(crate) share: bool,
    /// Start the agent although it is paused after an error of quota or login
    #[arg(long)]
    pub(crate) force: bool,
    /// Say what would be started and start nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Program to run and its arguments
    #[arg(last = true, value_name = "command", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

impl What {
    /// Wants more of the agent.
    pub(crate) fn with(self, wanted: Wanted) -> What {
        What { wanted, ..self }
    }

    /// Returns what launches a recorded job once more, with this prompt.
    pub(crate) fn again(record: &Record, prompt: Option<Vec<u8>>, asked: &Again) -> What {
        What {
            task: record.task.clone(),
            worktree: record.task.is_none().then(|| record.worktree_path()),
            agent: record.agent.clone(),
            model: record.run.model_asked.clone(),
            policy: record.run.policy,
            // What is left by now is reckoned anew.
            budget_tokens: None,
            role: record.run.role,
            wanted: Wanted::default(),
            prompt: None,
            prompt_file: None,
            prompt_bytes: prompt,
            given: None,
            // One that had no limit gets none, whatever the settings say by now.
            timeout: Some(record.timeout_ms.map_or(Duration::ZERO, Duration::from_millis)),
            stall: Some(Duration::from_millis(record.rules.stall_ms)),
            step_timeout: Some(Duration::from_millis(record.rules.step_timeout_ms)),
            waits: Waits::default(),
            name: Some(record.slug.clone()),
            priority: record.queue.as_ref().map(|queue| queue.priority),
            share: asked.share,
            force: asked.force,
            dry_run: asked.dry_run,
            command: if record.agent.is_some() { Vec::new() } else { record.command_line() },
        }
    }
}

/// Which job is launched once more, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Again {
    /// Job, as slug#number, or slug for its latest
    #[arg(value_name = "job", add = ArgValueCompleter::new(cli::complete_job))]
    job: Name,
    /// Allow other live jobs in the same worktree
    #[arg(long)]
    share: bool,
    /// Start the agent although it is paused after an error of quota or login
    #[arg(long)]
    force: bool,
    /// Say what would be started and start nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

impl Again {
    /// Finds the job.
    pub(crate) fn find(&self, cx: &Context) -> Result<Job, Failure> {
        Ok(Jobs::here(cx)?.find(&self.job)?)
    }
}

/// Reads the record of a job that is to be launched once more.
///
/// # Errors
/// When it has not ended.
pub(crate) fn read_ended(job: &Job) -> Result<Record, Failure> {
    let record = job.read()?;
    if record.state.is_terminal() {
        return Ok(record);
    }
    let message = format!("job '{}' has not ended: it is {}", job.id(), record.state);
    Err(Failure::could_not("live-job", message).hint("'git worker wait' waits for its end"))
}

/// What a question to an agent needs.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) task: Option<String>,
    pub(crate) worktree: Option<PathBuf>,
    pub(crate) agent: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) role: Option<Role>,
    pub(crate) budget_tokens: Option<u64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) force: bool,
    pub(crate) name: Option<Slug>,
    pub(crate) wanted: Wanted,
    /// What is asked, to which a role adds its part.
    pub(crate) given: Option<Vec<u8>>,
    /// The whole prompt as it is.
    pub(crate) prompt: Option<Vec<u8>>,
}

impl From<Question> for What {
    /// It may be asked wherever others work, since it changes nothing.
    fn from(question: Question) -> What {
        What {
            task: question.task,
            worktree: question.worktree,
            agent: question.agent,
            model: question.model,
            policy: Some(Policy::ReadOnly),
            budget_tokens: question.budget_tokens,
            role: question.role,
            wanted: question.wanted,
            prompt: None,
            prompt_file: None,
            prompt_bytes: question.prompt,
            given: question.given,
            timeout: question.timeout,
            stall: None,
            step_timeout: None,
            waits: Waits::default(),
            name: question.name,
            priority: None,
            share: true,
            force: question.force,
            dry_run: false,
            command: Vec::new(),
        }
    }
}

/// What a job waits for before it starts; all of it has to come true.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Waits {
    /// Start it when this job has ended
    #[arg(long, value_name = "job", add = ArgValueCompleter::new(cli::complete_job))]
    after: Vec<Name>,
    /// Start it when there is something at this path, seen from the worktree
    #[arg(long, value_name = "path")]
    when_file: Vec<String>,
    /// Start it when somebody listens on this port of this machine
    #[arg(long, value_name = "port")]
    when_port: Vec<u16>,
    /// Start it after this time
    #[arg(long, value_name = "time", value_parser = cli::duration)]
    delay: Option<Duration>,
}

impl Waits {
    /// Returns them; the jobs among them are found now.
    pub(crate) fn conditions(self, jobs: &Jobs) -> Result<Vec<Condition>, Failure> {
        let mut all = Vec::new();
        for name in &self.after {
            all.push(Condition::Job(jobs.find(name)?.id()));
        }
        all.extend(self.when_file.into_iter().map(Condition::File));
        all.extend(self.when_port.into_iter().map(Condition::Port));
        all.extend(self.delay.map(|delay| Condition::Time(millis(delay))));
        Ok(all)
    }
}
