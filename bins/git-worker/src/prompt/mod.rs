//! What an agent is told: the protocol, its role, the task, how it is checked, and where it works.
//!
//! Each part knows where it comes from. What a repository adds is read from its main checkout,
//! never through a link and never from an agent's worktree.

mod role;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};
use shared::config::Config;
use shared::registry::Task;
use shared::repository::Repository;
use shared::{durable, folders};

pub(crate) use role::Role;

/// A larger file of instructions is refused.
const MOST: u64 = 256 * 1024;
/// Bytes of a token, as a rule of thumb.
const BYTES_OF_A_TOKEN: usize = 4;

/// What is said to every agent about the lines by which it can talk to us.
const PROTOCOL: &str = "\
You are run by git-worker, in the background; nobody sees a question before you have ended.
In what you say, a line of one of these forms is understood, alone on its line:
::milestone:: <what is done>     when a step is done; your work is kept as of then
::wait:: until=<condition> timeout=<time>     as your last line, to wait without working: you are called again when
    the condition holds. Conditions: file:<path>, port:<number>, job:<slug#number>, time:<span such as 10m>
";

/// A part of a prompt.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Part {
    /// `protocol`, `role`, `project`, `task`, `acceptance` or `repository`.
    pub(crate) name: &'static str,
    /// A path, `built-in`, `task` or `command line`.
    pub(crate) origin: String,
    pub(crate) text: String,
    /// Bytes by four: an estimate.
    pub(crate) tokens_estimated: usize,
}

/// What a prompt is made for.
#[derive(Debug)]
pub(crate) struct Occasion<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) config: &'a Config,
    pub(crate) role: Role,
    pub(crate) task: Option<&'a Task>,
    /// Instead of the task's own brief.
    pub(crate) brief: Option<String>,
    pub(crate) worktree: &'a Path,
    /// Whether the agent reads `AGENTS.md` by itself.
    pub(crate) reads_agents_md: bool,
}

/// What a file of a role's instructions holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RoleFile {
    instructions: String,
}

/// Puts a prompt together.
///
/// # Errors
/// When a file of instructions is broken or too large.
pub(crate) fn compose(occasion: &Occasion<'_>) -> Result<Vec<Part>> {
    let main = occasion.repository.main_worktree();
    let mut parts = vec![protocol(main.as_deref())?, role(main.as_deref(), occasion.role)?];
    if let Some(main) = main.as_deref().filter(|_| !occasion.reads_agents_md)
        && let Some(text) = read_inside(main, &["AGENTS.md"])?
    {
        parts.push(part("project", main.join("AGENTS.md").display(), text));
    }
    parts.extend(task(occasion)?);
    parts.extend(acceptance(occasion)?);
    parts.push(facts(occasion));
    Ok(parts)
}

/// Joins the parts as the agent gets them.
pub(crate) fn join(parts: &[Part]) -> String {
    let texts: Vec<&str> = parts.iter().map(|part| part.text.trim_end()).collect();
    let mut text = texts.join("\n\n");
    text.push('\n');
    text
}

fn part(name: &'static str, origin: impl ToString, text: String) -> Part {
    let tokens_estimated = text.len().div_ceil(BYTES_OF_A_TOKEN);
    Part { name, origin: origin.to_string(), text, tokens_estimated }
}

fn protocol(main: Option<&Path>) -> Result<Part> {
    let path = [".codex-agent", "protocol", "AGENTS.md"];
    let own = main.map(|main| read_inside(main, &path)).transpose()?.flatten();
    Ok(match (own, main) {
        // What the lines mean is not the repository's to change: its words come after ours.
        (Some(text), Some(main)) => {
            part("protocol", main.join(path.iter().collect::<PathBuf>()).display(), format!("{PROTOCOL}\n{text}"))
        }
        _ => part("protocol", "built-in", PROTOCOL.to_owned()),
    })
}

/// The instructions of a role: the repository's, else the user's, else our own.
fn role(main: Option<&Path>, role: Role) -> Result<Part> {
    let name = format!("{role}.toml");
    if let Some(main) = main {
        let path = [".codex-agent", "agents", &name];
        if let Some(text) = read_inside(main, &path)? {
            let origin = main.join(path.iter().collect::<PathBuf>());
            return Ok(part("role", origin.display(), instructions(&text, &origin)?));
        }
    }
    let own = folders::config()?.join("agents").join(&name);
    if let Some(bytes) = durable::read(&own)? {
        let text = String::from_utf8(bytes).with_context(|| format!("'{}' is not UTF-8", own.display()))?;
        return Ok(part("role", own.display(), instructions(&text, &own)?));
    }
    Ok(part("role", "built-in", role.instructions().to_owned()))
}

fn instructions(text: &str, path: &Path) -> Result<String> {
    let file: RoleFile = toml::from_str(text).with_context(|| format!("'{}' is broken", path.display()))?;
    Ok(file.instructions)
}

fn task(occasion: &Occasion<'_>) -> Result<Option<Part>> {
    if let Some(brief) = &occasion.brief {
        return Ok(Some(part("task", "command line", brief.clone())));
    }
    let Some(task) = occasion.task else { return Ok(None) };
    let path = occasion.repository.common_dir().join(format!("codex-agents/briefs/{}.md", task.slug));
    if let Some(bytes) = durable::read(&path)?.filter(|bytes| !bytes.trim_ascii().is_empty()) {
        return Ok(Some(part("task", path.display(), String::from_utf8_lossy(&bytes).into_owned())));
    }
    let goal = if task.goal.is_empty() { String::new() } else { format!("\n\n{}", task.goal) };
    Ok(Some(part("task", "task", format!("{}{goal}", task.title))))
}

/// How it is checked, and what it may touch.
fn acceptance(occasion: &Occasion<'_>) -> Result<Option<Part>> {
    let all = occasion.config.names("checks")?;
    let own = occasion.task.map(|task| task.checks.clone()).filter(|checks| !checks.is_empty());
    let mut text = String::new();
    for check in own.unwrap_or(all) {
        let command = occasion.config.list(&format!("checks.{check}.command")).unwrap_or_default();
        text.push_str(&format!("- the check '{check}' passes: {}\n", command.join(" ")));
    }
    let touches = occasion.task.map(|task| task.touches.as_slice()).unwrap_or_default();
    if !touches.is_empty() {
        text.push_str(&format!("- it changes only: {}\n", touches.join(", ")));
    }
    Ok((!text.is_empty()).then(|| part("acceptance", "settings", format!("It is done when\n{text}"))))
}

fn facts(occasion: &Occasion<'_>) -> Part {
    let mut text = format!("Repository: {}\nFolder: {}\n", occasion.repository.name(), occasion.worktree.display());
    if let Some(task) = occasion.task {
        let branch = task.branch.as_deref().map(|name| name.strip_prefix("refs/heads/").unwrap_or(name));
        text.extend(branch.map(|branch| format!("Branch: {branch}\n")));
    }
    part("repository", "repository", text)
}

/// Reads a file below a folder, through no link; none if there is none.
fn read_inside(folder: &Path, path: &[&str]) -> Result<Option<String>> {
    let named = || folder.join(path.iter().collect::<PathBuf>()).display().to_string();
    let root = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut place = match openat(CWD, folder, root, Mode::empty()) {
        Ok(place) => place,
        Err(_) => return Ok(None),
    };
    for (n, name) in path.iter().enumerate() {
        let kind = if n + 1 < path.len() { OFlags::DIRECTORY } else { OFlags::NONBLOCK };
        let flags = kind | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        place = match openat(&place, *name, flags, Mode::empty()) {
            Ok(place) => place,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(e) => bail!("cannot read '{}': {}", named(), std::io::Error::from(e)),
        };
    }
    let file = File::from(place);
    let facts = file.metadata()?;
    if !facts.is_file() || facts.len() > MOST {
        bail!("'{}' is no plain file of at most {MOST} bytes", named());
    }
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}
