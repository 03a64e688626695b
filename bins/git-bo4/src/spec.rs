//! What is asked for, checked before anything begins.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest, Sha256};
use shared::app::Context;
use shared::clock;
use shared::failure::Failure;
use shared::process;
use shared::registry::{State as TaskState, Task};
use shared::slug::Slug;

use crate::lane::{Lane, Runs};
use crate::record::{Backend, Kickoff, Phase, Run, SCHEMA, State, Variant};
use crate::store;

/// A longer prompt is refused, in bytes.
const LONGEST_PROMPT: u64 = 1 << 20;
/// More attempts are refused.
const MOST: usize = 16;
/// What the clouds allow.
const MOST_IN_CLOUD: usize = 4;
const LONGEST_TITLE: usize = 200;

/// What is asked, of whom, how often, and from where.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Spec {
    /// What is asked; - is standard input
    #[arg(long, value_name = "text", conflicts_with = "prompt_file", allow_hyphen_values = true)]
    pub(crate) prompt: Option<String>,
    /// File that holds what is asked; - is standard input
    #[arg(long, value_name = "file", value_hint = clap::ValueHint::FilePath)]
    pub(crate) prompt_file: Option<PathBuf>,
    /// Task that it is for: its title and goal are asked, its branch is what the winner becomes
    #[arg(long, value_name = "task", add = clap_complete::ArgValueCompleter::new(shared::app::complete_task))]
    pub(crate) task: Option<String>,
    /// Who makes the attempts
    #[arg(long, value_name = "backend")]
    pub(crate) backend: Option<Backend>,
    /// Environment of the cloud
    #[arg(long, value_name = "name")]
    pub(crate) env: Option<String>,
    /// What the attempts start from; the task's branch or base, or HEAD, if not given
    #[arg(long, value_name = "rev")]
    pub(crate) base: Option<String>,
    /// How many attempts; bo4.best-of, or what the lanes say, if not given
    #[arg(long, value_name = "n")]
    pub(crate) best_of: Option<usize>,
    /// Agent, or program with a / in its name, and how many attempts it makes, such as codex:2, claude@opus:1 or
    /// ./my-agent:1, with '=<file>' behind it for a prompt of its own; may be given several times
    #[arg(long, value_name = "lane")]
    pub(crate) lane: Vec<String>,
    /// Time that one local attempt has, such as 30m; 0 is without limit; bo4.timeout if not given
    #[arg(long, value_name = "time", value_parser = span)]
    pub(crate) attempt_timeout: Option<Duration>,
}

/// A run that could begin, and its prompts: its own first, then those of the lanes that have one.
#[derive(Debug)]
pub(crate) struct Meant {
    pub(crate) run: Run,
    pub(crate) prompts: Vec<String>,
}

/// Reads a time span such as `90s`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    shared::config::layer::parse_duration(text).ok_or_else(|| "not a time span such as 15m".to_owned())
}

/// Reads an age such as `30d`, or a shorter span.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 86_400;
    match text.strip_suffix('d').map(str::parse::<u64>) {
        Some(Ok(days)) => Ok(Duration::from_secs(days.saturating_mul(DAY))),
        Some(Err(_)) => Err("not an age such as 30d".to_owned()),
        None => span(text).map_err(|_| "not an age such as 30d".to_owned()),
    }
}

impl Spec {
    /// Reads what is asked where no task is named.
    pub(crate) fn text(&self) -> Result<String, Failure> {
        Ok(self.prompt(None)?.0)
    }

    /// Says whether anything is asked for.
    pub(crate) fn is_given(&self) -> bool {
        self.prompt.is_some() || self.prompt_file.is_some() || self.task.is_some()
    }

    /// Checks what is asked for; nothing is begun.
    pub(crate) fn check(&self, cx: &Context) -> Result<Meant, Failure> {
        let task = self.task(cx)?;
        let (prompt, prompt_file) = self.prompt(task.as_ref())?;
        let title = title(&prompt);
        let backend = self.backend.unwrap_or(Backend::Local);
        let mut lanes = self.lanes(cx, backend, task.as_ref())?;
        let mut prompts = vec![prompt];
        for lane in &mut lanes {
            if let Some(file) = &lane.prompt {
                prompts.push(read_prompt(file)?);
                lane.prompt = Some(absolute(file)?);
            }
        }
        self.refuse_unfit(backend, &lanes)?;
        let (base, base_commit) = self.base(cx, task.as_ref())?;
        let timeout = match self.attempt_timeout {
            Some(timeout) => timeout,
            None => cx.config()?.duration("bo4.timeout")?.unwrap_or_default(),
        };
        let slug = task.as_ref().map(|task| task.slug.clone()).or_else(|| Slug::from_text(&title));
        let best_of = lanes.iter().map(|lane| lane.count).sum();
        // Who makes the attempts elsewhere is not ours to say.
        lanes.retain(|_| backend == Backend::Local);
        let run = Run {
            schema: SCHEMA,
            run: store::new_name(cx, slug.as_ref())?,
            title,
            task: task.map(|task| task.slug.to_string()),
            backend,
            env: self.env.clone(),
            base,
            base_commit,
            best_of,
            variants: if backend == Backend::Local { variants(&lanes) } else { Vec::new() },
            lanes,
            prompt_hash: hash(prompts.join("\0").as_bytes()),
            prompt_file,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            created: clock::now(),
            previous: None,
            round: 0,
            kickoff: Kickoff::NotBegun,
            task_id: None,
            logged: false,
            phase: Phase::Pending,
            reason: None,
            picked: None,
        };
        Ok(Meant { run, prompts })
    }

    fn task(&self, cx: &Context) -> Result<Option<Task>, Failure> {
        let Some(name) = &self.task else { return Ok(None) };
        let tasks = cx.registry()?.load()?;
        let task = tasks.task(&cx.repository()?.key(), name)?.clone();
        if matches!(task.status, TaskState::Done | TaskState::Dropped) {
            return Err(Failure::could_not("closed-task", format!("task '{}' is {}", task.slug, task.status)));
        }
        Ok(Some(task))
    }

    fn prompt(&self, task: Option<&Task>) -> Result<(String, Option<PathBuf>), Failure> {
        let (text, file) = match (&self.prompt, &self.prompt_file, task) {
            (Some(text), _, _) if text == "-" => (read_prompt(Path::new("-"))?, None),
            (Some(text), _, _) => (text.clone(), None),
            (None, Some(file), _) if file.as_os_str() == "-" => (read_prompt(file)?, None),
            (None, Some(file), _) => (read_prompt(file)?, Some(absolute(file)?)),
            (None, None, Some(task)) => (format!("{}\n\n{}", task.title, task.goal).trim_end().to_owned() + "\n", None),
            (None, None, None) => {
                let message = "nothing is asked: give '--prompt', '--prompt-file' or '--task'";
                return Err(Failure::usage(message));
            }
        };
        if text.trim().is_empty() {
            return Err(Failure::usage("what is asked is empty"));
        }
        refuse_nul(&text)?;
        Ok((text, file))
    }

    fn lanes(&self, cx: &Context, backend: Backend, task: Option<&Task>) -> Result<Vec<Lane>, Failure> {
        let config = cx.config()?;
        let texts = match (&self.lane[..], backend) {
            ([], Backend::Local) if self.best_of.is_none() => config.list("bo4.lanes")?,
            (given, _) => given.to_vec(),
        };
        let lanes: Result<Vec<Lane>, String> = texts.iter().map(|text| text.parse()).collect();
        let mut lanes = lanes.map_err(Failure::usage)?;
        for lane in &mut lanes {
            if let Runs::Program(path) = &mut lane.runs {
                let found = absolute(path)?;
                if !process::is_executable(&found) {
                    return Err(Failure::usage(format!("'{}' is no program that can be started", path.display())));
                }
                *path = found;
            }
        }
        if lanes.is_empty() {
            let default = usize::try_from(config.integer("bo4.best-of")?).unwrap_or(usize::MAX);
            let agent = task.and_then(|task| task.agent.clone());
            let count = self.best_of.unwrap_or(default);
            return Ok(vec![Lane { runs: Runs::Agent(agent), model: None, count, prompt: None }]);
        }
        let sum: usize = lanes.iter().map(|lane| lane.count).sum();
        match (self.best_of, &mut lanes[..]) {
            (None, _) => {}
            (Some(wanted), _) if wanted == sum => {}
            (Some(wanted), [lane]) if lane.count == 1 => lane.count = wanted,
            (Some(wanted), _) => {
                let message = format!("'--best-of {wanted}' does not fit the lanes, which make {sum} attempts");
                return Err(Failure::usage(message));
            }
        }
        Ok(lanes)
    }

    fn refuse_unfit(&self, backend: Backend, lanes: &[Lane]) -> Result<(), Failure> {
        let count: usize = lanes.iter().map(|lane| lane.count).sum();
        let most = if backend == Backend::CodexCloud { MOST_IN_CLOUD } else { MOST };
        if count == 0 || count > most {
            return Err(Failure::usage(format!("1 to {most} attempts can be asked for, not {count}")));
        }
        match backend {
            Backend::Local if self.env.is_some() => {
                Err(Failure::usage("'--env' belongs to a cloud: add '--backend codex-cloud' or '--backend command'"))
            }
            Backend::CodexCloud if self.env.is_none() => {
                Err(Failure::usage("'--backend codex-cloud' needs '--env': 'codex cloud' shows the environments"))
            }
            Backend::CodexCloud | Backend::Command if !self.lane.is_empty() => {
                Err(Failure::usage("'--lane' is about attempts on this machine: take '--best-of'"))
            }
            Backend::Local | Backend::CodexCloud | Backend::Command => Ok(()),
        }
    }

    /// Returns what the attempts start from, by name and as a commit.
    fn base(&self, cx: &Context, task: Option<&Task>) -> Result<(String, String), Failure> {
        let repository = cx.repository()?;
        if let Some(base) = &self.base {
            return Ok((base.clone(), repository.commit(base)?.to_string()));
        }
        for name in task.iter().flat_map(|task| [task.branch.as_ref(), task.base.as_ref().map(|base| &base.name)]) {
            if let Some(name) = name
                && repository.tip(name)?.is_some()
            {
                return Ok((short(name).to_owned(), repository.commit(name)?.to_string()));
            }
        }
        let commit = repository.commit("HEAD").map_err(|_| {
            Failure::could_not("no-commit", "there is no commit yet that attempts could start from")
                .hint("make a first commit, or name one with '--base'")
        })?;
        let head = cx.git_here()?.reading().ask(["symbolic-ref", "--quiet", "--short", "HEAD"])?;
        Ok((if head.code == 0 { head.text() } else { commit.to_string() }, commit.to_string()))
    }
}

/// Returns the variants of the lanes, one lane after the other.
fn variants(lanes: &[Lane]) -> Vec<Variant> {
    let of = |(at, lane): (usize, &Lane)| std::iter::repeat_n((at, lane.clone()), lane.count);
    let all = lanes.iter().enumerate().flat_map(of).enumerate();
    all.map(|(at, (lane, what))| Variant {
        lane: Some(lane),
        agent: match &what.runs {
            Runs::Agent(name) => name.clone(),
            Runs::Program(path) => Some(path.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        },
        model: what.model,
        ..Variant::new(at + 1, State::Pending)
    })
    .collect()
}

fn read_prompt(file: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(LONGEST_PROMPT + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|open| open.take(LONGEST_PROMPT + 1).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read the prompt '{}'", file.display()))?;
    if bytes.len() as u64 > LONGEST_PROMPT {
        return Err(Failure::usage(format!("the prompt '{}' is longer than 1 MiB", file.display())));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("the prompt '{}' is no UTF-8 text", file.display())))?;
    refuse_nul(&text)?;
    Ok(text)
}

/// Neither a command line nor the message of a commit can hold one.
fn refuse_nul(text: &str) -> Result<(), Failure> {
    if text.contains('\0') { Err(Failure::usage("what is asked has a NUL byte in it")) } else { Ok(()) }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    Ok(path.canonicalize().with_context(|| format!("cannot find '{}'", path.display()))?)
}

/// Returns the first line of what is asked, without the signs of a heading and what is no letter.
pub(crate) fn title(prompt: &str) -> String {
    let is_plain = |c: char| !c.is_control() && c != '\u{feff}';
    let plain = |line: &str| line.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect::<String>();
    let lines = prompt.lines().map(|line| plain(line).trim().trim_start_matches(['#', ' ']).to_owned());
    let first = lines.into_iter().find(|line| !line.is_empty()).unwrap_or_else(|| "untitled".to_owned());
    first.chars().take(LONGEST_TITLE).collect()
}

/// Returns the SHA-256 of some bytes in hex digits.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn short(name: &str) -> &str {
    name.strip_prefix("refs/heads/").unwrap_or(name)
}
