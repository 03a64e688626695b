//! What is to be started, decided before anything is written: place, program, prompt and rules of a job.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use shared::app::Context;
use shared::config::Config;
use shared::failure::Failure;
use shared::process;
use shared::registry::{Repo, Task};
use shared::repository::Repository;
use shared::slug::Slug;

use crate::agent::{Agent, Wanted};
use crate::budget::Budget;
use crate::condition::Condition;
use crate::job::Jobs;
use crate::names;
use crate::network;
use crate::notify::Notify;
use crate::pause::{self, Signs};
use crate::place::Place;
use crate::prompt::{self, Occasion, Role};
use crate::record::{Finish, Folders};
use crate::rules::{Rules, millis};
use crate::secrets::Secrets;
use crate::what::What;

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
    let about = Occasion {
        repository,
        config,
        role: args.role.unwrap_or(Role::Worker),
        task: task.as_ref(),
        brief: None,
        worktree: &place.worktree,
        reads_agents_md: agent.as_ref().is_some_and(|agent| Agent::reads_agents_md(config, &agent.name)),
    };
    let prompt = match (args.prompt_bytes, args.given) {
        (Some(prompt), _) => Some(prompt),
        (None, Some(given)) => prompt(about, args.role.is_some(), Some(given))?,
        (None, None) => prompt(about, args.role.is_some(), given_prompt(args.prompt, args.prompt_file.as_deref())?)?,
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
    rules.stall_ms = args.stall.map_or(rules.stall_ms, millis);
    rules.step_timeout_ms = args.step_timeout.map_or(rules.step_timeout_ms, millis);
    if let Some(agent) = &agent {
        // A key is none the less one for its name.
        rules.redact.extend(agent.secret_env.clone());
        let key = repository.key();
        let task = task.as_ref().map(|task| (key.as_str(), task.id.as_str()));
        rules.budget = Budget::of(config, args.budget_tokens, task)?;
    }
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
