//! `git worker launch`: start a command or an agent, and return as soon as it runs.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueHint;
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use shared::app::{Context, Global};
use shared::config::Config;
use shared::exit::Status;
use shared::failure::Failure;
use shared::process;
use shared::registry::{Repo, Task};
use shared::repository::Repository;
use shared::slug::Slug;

use crate::agent::{Agent, Policy, Wanted};
use crate::begin::{self, Supervisor};
use crate::budget::Budget;
use crate::cli;
use crate::condition::Condition;
use crate::fill;
use crate::job::{Jobs, Name};
use crate::names;
use crate::network;
use crate::notify::Notify;
use crate::pause::{self, Signs};
use crate::place::Place;
use crate::prompt::{self, Occasion, Role};
use crate::record::{Finish, Folders, Record, State};
use crate::rules::{Rules, millis};
use crate::run::{self, Signals};
use crate::secrets::Secrets;

/// Start an agent or a command in the background and return as soon as it runs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,
    /// Stay in the foreground, show what it prints and wait for its end, as run does
    #[arg(long)]
    foreground: bool,
}

/// What is to be launched, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct What {
    /// Task to work on, in its worktree, with its agent, title and goal
    #[arg(conflicts_with = "worktree", add = ArgValueCompleter::new(shared::app::complete_task))]
    task: Option<String>,
    /// Worktree to run in instead of this one
    #[arg(long, value_name = "dir", value_hint = ValueHint::DirPath)]
    worktree: Option<PathBuf>,
    /// Agent to start
    #[arg(long, value_name = "name", conflicts_with = "command")]
    agent: Option<String>,
    /// Model that the agent is to use
    #[arg(long, value_name = "name", conflicts_with = "command")]
    model: Option<String>,
    /// What the agent may do, by its own sandbox and approvals
    #[arg(long, value_name = "policy", conflicts_with = "command")]
    policy: Option<Policy>,
    /// Stop it when the agent has used more tokens, in and out; 0 is without limit
    #[arg(long, value_name = "n", conflicts_with = "command")]
    budget_tokens: Option<u64>,
    /// What the agent is there for: its instructions, the project's and the acceptance go before and after what is asked
    #[arg(long, value_name = "role", conflicts_with = "command")]
    role: Option<Role>,
    /// What else is wanted of the agent of a job that goes on.
    #[arg(skip)]
    wanted: Wanted,
    /// What the agent is asked, - is standard input; a task has its own
    #[arg(long, value_name = "text", conflicts_with = "prompt_file")]
    prompt: Option<String>,
    /// File that holds what the agent is asked; - is standard input
    #[arg(long, value_name = "file", value_hint = ValueHint::FilePath)]
    prompt_file: Option<PathBuf>,
    /// The prompt of a job that is launched once more.
    #[arg(skip)]
    prompt_bytes: Option<Vec<u8>>,
    /// What the agent is asked, read already.
    #[arg(skip)]
    given: Option<Vec<u8>>,
    /// Stop it after this time, such as 90s, 10m or 2h; 0 is never
    #[arg(long, value_name = "time", value_parser = cli::duration)]
    timeout: Option<Duration>,
    /// Say, interrupt and stop it after this time without a sign of life, such as 10m; 0 is never
    #[arg(long, value_name = "time", value_parser = cli::duration)]
    stall: Option<Duration>,
    /// Stop it when it says no milestone for this time, such as 30m; 0 is never
    #[arg(long, value_name = "time", value_parser = cli::duration)]
    step_timeout: Option<Duration>,
    #[command(flatten)]
    waits: Waits,
    /// Name of the job; that of the task or branch if not given
    #[arg(long, value_name = "slug")]
    name: Option<Slug>,
    /// Start it before others that wait, the higher the sooner; that of the task if not given
    #[arg(long, value_name = "n", allow_negative_numbers = true)]
    priority: Option<i64>,
    /// Allow other live jobs in the same worktree
    #[arg(long)]
    share: bool,
    /// Start the agent although it is paused after an error of quota or login
    #[arg(long)]
    force: bool,
    /// Say what would be started and start nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Program to run and its arguments
    #[arg(last = true, value_name = "command", value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

impl What {
    /// Wants more of the agent.
    pub(crate) fn with(self, wanted: Wanted) -> What {
        What { wanted, ..self }
    }

    /// Returns what launches a recorded job once more, with this prompt.
    pub(crate) fn again(record: &Record, prompt: Option<Vec<u8>>, share: bool, force: bool, dry_run: bool) -> What {
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
            share,
            force,
            dry_run,
            command: if record.agent.is_some() { Vec::new() } else { record.command_line() },
        }
    }
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
struct Waits {
    /// Start it when this job has ended
    #[arg(long, value_name = "job")]
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
    fn conditions(self, jobs: &Jobs) -> Result<Vec<Condition>, Failure> {
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

/// What is to be started.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) repo: Repo,
    pub(crate) common_dir: PathBuf,
    pub(crate) slug: Slug,
    pub(crate) task: Option<String>,
    pub(crate) place: Place,
    /// The program's path as it was found, where text can hold it.
    pub(crate) program: Option<String>,
    pub(crate) command: Vec<OsString>,
    pub(crate) agent: Option<Agent>,
    pub(crate) prompt: Option<Vec<u8>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) finish: Option<Finish>,
    pub(crate) share: bool,
    pub(crate) rules: Rules,
    pub(crate) folders: Option<Folders>,
    /// Names of the environment variables that the job gets.
    pub(crate) env_names: Vec<String>,
    /// What must not be written down.
    pub(crate) secrets: Secrets,
    pub(crate) priority: i64,
    /// How many jobs of the user may live; 0 is no limit.
    pub(crate) limit: u64,
    /// How many of the repository.
    pub(crate) repo_limit: u64,
    /// Whether a paused agent may start.
    pub(crate) force: bool,
    pub(crate) signs: Option<Signs>,
    pub(crate) notify: Option<Notify>,
    /// What it waits for before it starts.
    pub(crate) waits: Vec<Condition>,
    /// What the answer is to fit.
    pub(crate) schema: Option<Vec<u8>>,
}

impl Plan {
    /// Returns the prompt as it may be written down.
    pub(crate) fn clean_prompt(&self) -> Option<Vec<u8>> {
        self.prompt.as_ref().map(|prompt| self.secrets.clean(prompt).0)
    }
}

#[derive(Debug, Serialize)]
struct Launched {
    /// None in a dry run: numbers are given at the start.
    id: Option<String>,
    slug: Slug,
    worktree: String,
    branch: Option<String>,
    agent: Option<String>,
    command: Vec<String>,
    log: Option<String>,
    /// Running or queued; none in a dry run.
    state: Option<State>,
    dry_run: bool,
}

pub(crate) fn run(cx: Context, global: &Global, args: Args) -> Result<Status, Failure> {
    launch(cx, global, args.what, args.foreground)
}

/// Starts what is asked for, and in the foreground waits for its end.
pub(crate) fn launch(cx: Context, global: &Global, args: What, foreground: bool) -> Result<Status, Failure> {
    let signals = foreground.then(Signals::listen).transpose().context("cannot listen for signals")?;
    // Before the planning, so that it gets ready meanwhile.
    let supervisor = if args.dry_run { None } else { Some(Supervisor::start()?) };
    let (cx, args) = move_to_worktree(cx, global, args)?;
    let plan = plan(&cx, args)?;
    let start = |supervisor: Supervisor| {
        fill::fill(&cx, &plan.place)?;
        begin::begin(&cx, &plan, supervisor)
    };
    let begun = supervisor.map(start).transpose()?;
    let state = begun.as_ref().map(|begun| begun.state);
    let job = begun.map(|begun| begun.job);
    if let Some(job) = job.as_ref().filter(|_| state == Some(State::Queued)) {
        cx.output.note(format!("'{}' waits for a place: as many jobs live as may", job.id()));
    }
    if let (Some(job), Some(signals)) = (&job, &signals) {
        return run::accompany(&cx, job, signals);
    }
    cx.output.answer(&Launched {
        id: job.as_ref().map(crate::job::Job::id),
        slug: plan.slug.clone(),
        worktree: plan.place.worktree.display().to_string(),
        branch: plan.place.branch.clone(),
        agent: plan.agent.as_ref().map(|agent| agent.name.clone()),
        command: plan.command.iter().map(|word| plan.secrets.clean_word(word).to_string_lossy().into_owned()).collect(),
        log: job.as_ref().map(|job| job.path(crate::job::LOG).display().to_string()),
        state,
        dry_run: job.is_none(),
    })?;
    Ok(Status::Done)
}

/// A worktree that is named may be of another repository; what a hook says in `GIT_DIR` still counts.
pub(crate) fn move_to_worktree(cx: Context, global: &Global, mut args: What) -> Result<(Context, What), Failure> {
    let Some(worktree) = &args.worktree else { return Ok((cx, args)) };
    if std::env::var_os("GIT_DIR").is_some() {
        return Ok((cx, args));
    }
    let worktree = cx.folder().join(worktree);
    if let Some(file) = args.prompt_file.as_mut().filter(|file| file.as_os_str() != "-") {
        *file = cx.folder().join(&*file);
    }
    if !worktree.is_dir() {
        return Err(Failure::could_not("no-worktree", format!("there is no worktree '{}'", worktree.display())));
    }
    let cx = Context::open(&Global { directory: vec![worktree.clone()], ..global.clone() })?;
    args.worktree = Some(worktree);
    Ok((cx, args))
}

/// Decides what is to be started, and where.
///
/// # Errors
/// When something of it is missing or not allowed.
pub(crate) fn plan(cx: &Context, args: What) -> Result<Plan, Failure> {
    let repository = cx.repository()?;
    let config = cx.config()?;
    let task = find_task(cx, repository, args.task.as_deref())?;
    let place = match (&task, &args.worktree) {
        (Some(task), _) => Place::of_task(repository, task)?,
        (None, Some(folder)) => Place::holding(repository, folder)?,
        (None, None) => Place::here(repository)?,
    };
    if !place.worktree.is_dir() {
        let message = format!("there is no worktree '{}'", place.worktree.display());
        return Err(Failure::could_not("no-worktree", message));
    }
    let wanted = Wanted { model: args.model, policy: args.policy, role: args.role, ..args.wanted };
    let asked = Asked { agent: args.agent, wanted, command: args.command };
    let (command, agent) = command(config, asked, task.as_ref(), &place.worktree)?;
    let prompt = match args.prompt_bytes {
        Some(prompt) => Some(prompt),
        None => {
            let given = match args.given {
                Some(given) => Some(given),
                None => given_prompt(args.prompt, args.prompt_file.as_deref())?,
            };
            let name = agent.as_ref().map(|agent| agent.name.as_str());
            let occasion = Occasion {
                repository,
                config,
                role: args.role.unwrap_or(Role::Worker),
                task: task.as_ref(),
                brief: None,
                worktree: &place.worktree,
                reads_agents_md: name.is_some_and(|name| Agent::reads_agents_md(config, name)),
            };
            prompt(occasion, args.role.is_some(), given)?
        }
    };
    if let (Some(agent), None) = (&agent, &prompt) {
        return Err(Failure::usage(format!("the agent '{}' needs --prompt or --prompt-file", agent.name)));
    }
    if let Some(agent) = agent.as_ref().filter(|_| !args.force) {
        pause::refuse(&Jobs::of_user()?.folder_of(""), &agent.name)?;
    }
    if let Some(doubt) = agent.as_ref().and_then(Agent::doubt) {
        cx.output.warn(doubt);
    }
    let signs = agent.as_ref().map(|agent| Signs::of(config, &agent.name)).transpose()?;
    let own_env = agent.iter().flat_map(|agent| agent.env.clone());
    let env: Vec<String> = config.list("worker.env")?.into_iter().chain(own_env).collect();
    let env_names = names::of_environment(&env);
    if let Some(agent) = &agent {
        network::refuse(config, agent, &env_names)?;
    }
    let program = find_program(&command[0], &place.worktree, agent.is_some())?;
    let timeout = match args.timeout {
        Some(timeout) => Some(timeout).filter(|timeout| !timeout.is_zero()),
        None => config.duration("worker.timeout")?,
    };
    let mut rules = Rules::of(config)?;
    // A key is none the less one for its name.
    rules.redact.extend(agent.iter().filter_map(|agent| agent.secret_env.clone()));
    rules.stall_ms = args.stall.map_or(rules.stall_ms, millis);
    if agent.is_some() {
        let key = repository.key();
        let task = task.as_ref().map(|task| (key.as_str(), task.id.as_str()));
        rules.budget = Budget::of(config, args.budget_tokens, task)?;
    }
    rules.step_timeout_ms = args.step_timeout.map_or(rules.step_timeout_ms, millis);
    Ok(Plan {
        secrets: Secrets::of_environment(&rules.redact),
        rules,
        folders: folders(repository, &place)?,
        env_names,
        repo: repo(repository),
        common_dir: repository.common_dir().to_owned(),
        slug: args.name.or_else(|| task.as_ref().map(|task| task.slug.clone())).unwrap_or_else(|| place.slug()),
        finish: finish(config, repository, task.as_ref(), &place)?,
        priority: args.priority.or_else(|| task.as_ref().map(|task| task.priority)).unwrap_or_default(),
        limit: config.integer("worker.max-concurrency")?,
        repo_limit: config.integer("worker.max-concurrency-repo")?,
        task: task.map(|task| task.id),
        place,
        program,
        command,
        agent,
        prompt,
        timeout,
        grace: config.duration("worker.grace")?.unwrap_or_default(),
        share: args.share,
        force: args.force,
        signs,
        notify: Notify::of(config)?,
        waits: args.waits.conditions(&Jobs::of_repository(&repository.key())?)?,
        schema: None,
    })
}

fn find_task(cx: &Context, repository: &Repository, name: Option<&str>) -> Result<Option<Task>, Failure> {
    let Some(name) = name else { return Ok(None) };
    let tasks = cx.registry()?.load()?;
    Ok(Some(tasks.task(&repository.key(), name)?.clone()))
}

/// What the command line says is to be run.
struct Asked {
    agent: Option<String>,
    wanted: Wanted,
    command: Vec<OsString>,
}

type Chosen = (Vec<OsString>, Option<Agent>);

fn command(config: &Config, asked: Asked, task: Option<&Task>, worktree: &Path) -> Result<Chosen, Failure> {
    if !asked.command.is_empty() {
        return Ok((asked.command, None));
    }
    let name = match asked.agent.or_else(|| task.and_then(|task| task.agent.clone())) {
        Some(name) => Some(name),
        None => config.text("worker.agent")?,
    };
    let Some(name) = name else {
        let hint = "give a command after --, an agent with --agent, or set 'worker.agent'";
        return Err(Failure::usage("there is nothing to run").hint(hint));
    };
    let agent = Agent::find(config, &name, worktree, &asked.wanted)?;
    Ok((agent.command.clone(), Some(agent)))
}

/// Reads what the command line asks.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn given_prompt(text: Option<String>, file: Option<&Path>) -> Result<Option<Vec<u8>>, Failure> {
    let file = if text.as_deref() == Some("-") { Some(Path::new("-")) } else { file };
    if let Some(text) = text.filter(|text| text != "-") {
        return Ok(Some(text.into_bytes()));
    }
    let Some(file) = file else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        false => fs::read(file),
    };
    Ok(Some(read.with_context(|| format!("cannot read the prompt '{}'", file.display()))?))
}

/// The prompt: what is given as it is, or with what the role and the task add to it.
fn prompt(mut occasion: Occasion<'_>, has_role: bool, given: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Failure> {
    match given {
        Some(given) if !has_role => return Ok(Some(given)),
        Some(given) => occasion.brief = Some(String::from_utf8_lossy(&given).into_owned()),
        None if occasion.task.is_none() => return Ok(None),
        None => {}
    }
    Ok(Some(prompt::join(&prompt::compose(&occasion)?).into_bytes()))
}

/// Finds the program before anything is written, so that a typing error leaves no trace.
fn find_program(name: &OsStr, worktree: &Path, is_agent: bool) -> Result<Option<String>, Failure> {
    use std::os::unix::ffi::OsStrExt;
    if name.as_bytes().contains(&b'/') {
        // A path is seen from the worktree, in which the program starts.
        let path = worktree.join(name);
        return match fs::metadata(&path) {
            Ok(facts) if facts.is_dir() => {
                Err(Failure::could_not("no-program", format!("'{}' is a folder, not a program", path.display())))
            }
            Ok(_) => Ok(path.to_str().map(str::to_owned)),
            Err(e) => Err(Failure::could_not("no-program", format!("cannot start '{}': {e}", path.display()))),
        };
    }
    // Nobody chose an agent's file by typing its name: the worktree may not provide it.
    let found = process::find(&name.to_string_lossy(), is_agent.then_some(worktree));
    match found {
        Some(path) => Ok(path.to_str().map(str::to_owned)),
        None => {
            let name = name.to_string_lossy();
            let message = format!("cannot start '{}': there is no such program on PATH", name.escape_debug());
            Err(Failure::could_not("no-program", message))
        }
    }
}

fn repo(repository: &Repository) -> Repo {
    let path = repository.main_worktree().unwrap_or_else(|| repository.common_dir().to_owned());
    Repo { key: repository.key(), path: path.display().to_string(), unknown: serde_json::Map::new() }
}

/// Where git keeps what belongs to the worktree; none where text cannot hold the paths.
fn folders(repository: &Repository, place: &Place) -> Result<Option<Folders>, Failure> {
    let (git_dir, common_dir) = (place.git_dir.clone(), repository.common_dir().to_owned());
    if git_dir.to_str().is_none() || common_dir.to_str().is_none() {
        return Ok(None);
    }
    let head = place.branch.as_deref().map(|branch| repository.tip(branch)).transpose()?.flatten();
    Ok(Some(Folders { git_dir, common_dir, head: head.map(|id| id.to_string()) }))
}

/// A task's job in the task's own worktree, on the task's own branch, may commit at its end.
fn finish(
    config: &Config,
    repository: &Repository,
    task: Option<&Task>,
    place: &Place,
) -> Result<Option<Finish>, Failure> {
    let Some((task, branch)) = task.and_then(|task| Some((task, task.branch.clone()?))) else { return Ok(None) };
    Ok(Some(Finish {
        git_dir: place.git_dir.clone(),
        common_dir: repository.common_dir().to_owned(),
        head: repository.tip(&branch)?.map(|id| id.to_string()),
        branch,
        title: task.title.clone(),
        commit: config.text("worker.commit")?.as_deref() != Some("never"),
    }))
}

impl fmt::Display for Launched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => f.write_str(id),
            None => write!(f, "would start {} in {}: {}", self.slug, self.worktree, self.command.join(" ")),
        }
    }
}
