//! What it takes to start an agent: its command line, how the prompt reaches it, and how its words are read.
//!
//! A preset per known agent, with the agent's own sandbox on; `agents.<name>` in the settings
//! changes one of them, or adds another.

mod about;
mod api;
mod preset;
mod ready;
mod version;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use shared::config::Config;
use shared::failure::Failure;
use shared::process;

pub(crate) use about::About;
pub(crate) use preset::Policy;
use preset::{PRESETS, Preset, Wish};

use crate::prompt::Role;
use crate::record::PromptWay;
use crate::stream::{Format, Usage};
use crate::told::AgentRun;

/// An agent that can be started.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) command: Vec<OsString>,
    pub(crate) way: PromptWay,
    /// How its words are read; none if they are not.
    pub(crate) format: Option<Format>,
    pub(crate) model: Option<String>,
    pub(crate) policy: Policy,
    pub(crate) version: Option<String>,
    /// The session that goes on.
    pub(crate) session: Option<String>,
    resumes: Option<String>,
    role: Option<Role>,
    usage_before: Option<Usage>,
    /// What goes on with a session, {session}; none if nothing does.
    pub(crate) resume: Option<Vec<OsString>>,
    /// Environment variables that it sees beside those of every job, and with `!` those it does not.
    pub(crate) env: Vec<String>,
    /// The one of them that holds its key, which is written down nowhere.
    pub(crate) secret_env: Option<String>,
    /// The host that its model is asked at, where that is known.
    pub(crate) host: Option<String>,
}

/// What is wanted of an agent, beside its name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) model: Option<String>,
    pub(crate) policy: Option<Policy>,
    /// The session that goes on.
    pub(crate) session: Option<String>,
    /// Tokens that the session had used before.
    pub(crate) usage_before: Option<Usage>,
    /// The job that it was of.
    pub(crate) resumes: Option<String>,
    /// What the agent is there for.
    pub(crate) role: Option<Role>,
    /// What the answer is to fit.
    pub(crate) schema: Option<Shape>,
}

/// How much a JSON Schema asks of whoever is to enforce it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shape {
    /// It is none of the others.
    Any,
    /// The answer is an object.
    Object,
    /// An object that names all that it holds: what OpenAI calls strict.
    Strict,
}

impl Agent {
    /// Finds an agent by its name; `{worktree}`, `{model}` and `{session}` are filled in, the rest is not.
    ///
    /// # Errors
    /// When no preset and no setting knows it, its setting waits for trust, it is not set up, or it
    /// cannot do what is wanted.
    pub(crate) fn find(config: &Config, name: &str, worktree: &Path, wanted: &Wanted) -> Result<Agent, Failure> {
        let policy = match wanted.policy {
            Some(policy) => policy,
            None => config.text("worker.policy")?.as_deref().and_then(Policy::named).unwrap_or(Policy::WorkspaceWrite),
        };
        if let Some(model) = name.strip_prefix(crate::api::PREFIX) {
            return Agent::of_api(config, model, policy, wanted);
        }
        let settings = Settings::of(config, name).ok_or_else(|| unknown(name))?;
        let own = settings.list("command")?;
        let preset = settings.preset()?;
        if own.is_empty() && preset.is_none() {
            return Err(unknown(name));
        }
        let mut agent = Agent::new(&settings, preset, policy, wanted)?;
        let Lines { command, resume } = match preset {
            Some(preset) => agent.lines_of_preset(preset, worktree, wanted)?,
            None => settings.lines(own, wanted, agent.model.as_deref())?,
        };
        let more = settings.list("arguments")?;
        // What reads its arguments to the end has its last word last.
        let last = preset.and_then(Preset::last).map(str::to_owned);
        let whole = |words: Vec<String>| words.into_iter().chain(more.clone()).chain(last.clone());
        agent.command = agent.fill_in(whole(command), worktree, wanted.session.as_deref());
        agent.resume = resume.map(|words| agent.fill_in(whole(words), worktree, None));
        Ok(agent)
    }

    /// Makes an agent of which the command lines are not known yet.
    fn new(
        settings: &Settings<'_>,
        preset: Option<&'static Preset>,
        policy: Policy,
        wanted: &Wanted,
    ) -> Result<Agent, Failure> {
        Ok(Agent {
            name: settings.name.to_owned(),
            command: Vec::new(),
            way: if preset.is_some() { PromptWay::Stdin } else { settings.way()? },
            format: preset.map(|preset| preset.format).or(settings.format()?),
            model: wanted.model.clone().or(settings.text("model")?),
            policy,
            version: None,
            session: wanted.session.clone(),
            resumes: wanted.resumes.clone(),
            role: wanted.role,
            usage_before: wanted.usage_before,
            resume: None,
            env: settings.list("env")?,
            secret_env: None,
            host: None,
        })
    }

    /// Returns the lines of a known agent, and learns what it brings beside them.
    fn lines_of_preset(&mut self, preset: &'static Preset, worktree: &Path, wanted: &Wanted) -> Result<Lines, Failure> {
        ready::refuse_unready(preset, worktree, self.model.as_deref())?;
        let program = process::find(preset.program(), Some(worktree));
        self.version = program.and_then(|program| version::of(&program, Some(preset.package), false));
        let others = preset.env_of_others().into_iter().map(|name| format!("!{name}"));
        let own = preset.env.iter().map(|name| (*name).to_owned());
        self.env = others.chain(own).chain(std::mem::take(&mut self.env)).collect();
        let (policy, model, schema) = (self.policy, self.model.is_some(), wanted.schema);
        let line =
            |resume| preset.line(Wish { policy, resume, model, schema }).into_iter().map(str::to_owned).collect();
        Ok(Lines { command: line(wanted.session.is_some()), resume: Some(line(true)) })
    }

    /// Fills in what is known by now; without a session its place is left.
    fn fill_in(&self, words: impl Iterator<Item = String>, worktree: &Path, session: Option<&str>) -> Vec<OsString> {
        let model = OsStr::new(self.model.as_deref().unwrap_or_default());
        let words = words.map(|word| fill(word.as_ref(), "{worktree}", worktree.as_os_str()));
        let words = words.map(|word| fill(&word, "{model}", model));
        words.map(|word| session.map_or(word.clone(), |session| fill(&word, "{session}", session.as_ref()))).collect()
    }

    /// Returns what the record says of it.
    pub(crate) fn run(&self) -> AgentRun {
        AgentRun {
            role: self.role,
            resumes: self.resumes.clone(),
            resume_command: self
                .resume
                .as_ref()
                .and_then(|line| line.iter().map(|word| word.to_str().map(str::to_owned)).collect()),
            usage_before: self.usage_before,
            format: self.format,
            agent_version: self.version.clone(),
            policy: Some(self.policy),
            model_asked: self.model.clone(),
            session_asked: self.session.clone(),
            ..AgentRun::default()
        }
    }

    /// Returns what is to be said of a version that was not tried.
    pub(crate) fn doubt(&self) -> Option<String> {
        let preset = PRESETS.iter().find(|preset| Some(preset.format) == self.format)?;
        preset.doubt(self.version.as_deref()?)
    }
}

/// The command lines of an agent, in which places are left.
struct Lines {
    command: Vec<String>,
    /// What goes on with a session; none if nothing does.
    resume: Option<Vec<String>>,
}

/// The settings of one agent.
struct Settings<'a> {
    config: &'a Config,
    name: &'a str,
}

impl<'a> Settings<'a> {
    /// Returns the settings of an agent; none for a name that no agent can have.
    fn of(config: &'a Config, name: &'a str) -> Option<Settings<'a>> {
        // It becomes part of a key: it may not reach into another one.
        (!name.is_empty() && !name.contains('.')).then_some(Settings { config, name })
    }

    fn key(&self, key: &str) -> String {
        format!("agents.{}.{key}", self.name)
    }

    fn text(&self, key: &str) -> Result<Option<String>, Failure> {
        Ok(self.config.text(&self.key(key))?)
    }

    fn list(&self, key: &str) -> Result<Vec<String>, Failure> {
        Ok(self.config.list(&self.key(key))?)
    }

    /// The known agent that it is, if it has no command of its own.
    fn preset(&self) -> Result<Option<&'static Preset>, Failure> {
        if !self.list("command")?.is_empty() {
            return Ok(None);
        }
        let preset = self.text("preset")?;
        Ok(Preset::named(preset.as_deref().unwrap_or(self.name)))
    }

    fn format(&self) -> Result<Option<Format>, Failure> {
        Ok(self.text("format")?.as_deref().and_then(Format::named))
    }

    fn way(&self) -> Result<PromptWay, Failure> {
        Ok(match self.text("prompt")?.as_deref() {
            Some("stdin") => PromptWay::Stdin,
            Some("file") => PromptWay::File,
            Some(_) | None => PromptWay::Argument,
        })
    }

    /// The lines of an agent that only the settings know.
    fn lines(&self, own: Vec<String>, wanted: &Wanted, model: Option<&str>) -> Result<Lines, Failure> {
        let resume = self.list("resume")?;
        let line = if wanted.session.is_some() { resume.clone() } else { own };
        if line.is_empty() {
            let message = format!("the agent '{}' cannot go on with a session", self.name);
            let hint = format!("'{}' in the settings is the command that does", self.key("resume"));
            return Err(Failure::could_not("no-resume", message).hint(hint));
        }
        if model.is_some() && !line.iter().any(|word| word.contains("{model}")) {
            let message = format!("the command of the agent '{}' has no place for a model", self.name);
            return Err(Failure::could_not("no-model", message).hint("{model} in its command is that place"));
        }
        Ok(Lines { command: line, resume: Some(resume).filter(|words| !words.is_empty()) })
    }
}

fn unknown(name: &str) -> Failure {
    let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    let hint =
        format!("known are {} and api:<model>; 'agents.<name>.command' in the settings adds one", names.join(", "));
    Failure::could_not("no-agent", format!("no agent '{}'", name.escape_debug())).hint(hint)
}

/// Puts the prompt into an agent's command line; no shell sees it.
pub(crate) fn with_prompt(
    command: Vec<OsString>,
    way: PromptWay,
    prompt: &OsStr,
    file: &Path,
    (schema, schema_file): (&OsStr, &Path),
) -> Vec<OsString> {
    let named = command.iter().any(|word| word.to_string_lossy().contains("{prompt}"));
    // The path first: a prompt may well say "{prompt-file}".
    let command = command.into_iter().map(|word| fill(&word, "{prompt-file}", file.as_os_str()));
    let command = command.map(|word| fill(&word, "{schema-file}", schema_file.as_os_str()));
    let command = command.map(|word| fill(&word, "{schema}", schema));
    let mut command: Vec<OsString> = command.map(|word| fill(&word, "{prompt}", prompt)).collect();
    if way == PromptWay::Argument && !named {
        command.push(prompt.to_owned());
    }
    command
}

fn fill(word: &OsStr, place: &str, value: &OsStr) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let (mut rest, place) = (word.as_bytes(), place.as_bytes());
    let mut filled = Vec::with_capacity(rest.len());
    while let Some(at) = rest.windows(place.len()).position(|window| window == place) {
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(value.as_bytes());
        rest = &rest[at + place.len()..];
    }
    filled.extend_from_slice(rest);
    OsString::from_vec(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(command: &[&str], way: PromptWay) -> Vec<String> {
        let command = command.iter().map(OsString::from).collect();
        let done = with_prompt(
            command,
            way,
            OsStr::new("say {prompt-file} $HOME"),
            Path::new("/p q"),
            (OsStr::new("{}"), Path::new("/s")),
        );
        done.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn a_prompt_is_one_argument_whatever_it_says() {
        assert_eq!(filled(&["a", "-x"], PromptWay::Argument), ["a", "-x", "say {prompt-file} $HOME"]);
        assert_eq!(filled(&["a", "p={prompt}", "z"], PromptWay::Argument), ["a", "p=say {prompt-file} $HOME", "z"]);
        assert_eq!(filled(&["a", "{prompt-file}"], PromptWay::File), ["a", "/p q"]);
        assert_eq!(filled(&["a"], PromptWay::Stdin), ["a"]);
    }
}
