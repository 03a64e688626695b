//! What is known of an agent without starting it.

use std::path::Path;

use serde::Serialize;
use shared::config::Config;
use shared::failure::Failure;
use shared::process;

use super::preset::{PRESETS, Preset};
use super::{Agent, Settings, ready, version};

/// An agent, and what it can do.
#[derive(Debug, Serialize)]
pub(crate) struct About {
    pub(crate) name: String,
    /// The known agent that it is, or is another name for.
    pub(crate) preset: Option<&'static str>,
    /// Path of its program; none if it is not installed.
    pub(crate) program: Option<String>,
    pub(crate) version: Option<String>,
    /// Whether this version was tried; none where none was.
    pub(crate) tried: Option<bool>,
    /// Whether a session can go on.
    pub(crate) resume: bool,
    /// Whether its program sees to it that an answer fits a schema.
    pub(crate) schema: bool,
    /// Whether what it prints becomes events.
    pub(crate) events: bool,
    /// Why it would not be started.
    pub(crate) problem: Option<String>,
}

impl Agent {
    /// Lists the known agents and those of the settings; with `probe` their versions are asked anew.
    ///
    /// # Errors
    /// When settings of agents wait for trust.
    pub(crate) fn all(config: &Config, probe: bool) -> Result<Vec<About>, Failure> {
        let mut names: Vec<String> = PRESETS.iter().map(|preset| preset.name.to_owned()).collect();
        let more = config.names("agents")?;
        names.extend(more.into_iter().filter(|name| Preset::named(name).is_none()));
        names.iter().filter_map(|name| Settings::of(config, name)).map(|settings| about(&settings, probe)).collect()
    }

    /// Says whether an agent reads the `AGENTS.md` of a repository by itself.
    pub(crate) fn reads_agents_md(config: &Config, name: &str) -> bool {
        let preset = Settings::of(config, name).map(|settings| settings.preset());
        preset.and_then(Result::ok).flatten().is_some_and(|preset| preset.reads_agents_md)
    }

    /// Says whether a session of this agent can go on.
    ///
    /// # Errors
    /// When its settings wait for trust.
    pub(crate) fn can_resume(config: &Config, name: &str) -> Result<bool, Failure> {
        let Some(settings) = Settings::of(config, name) else { return Ok(false) };
        Ok(settings.preset()?.is_some() || !settings.list("resume")?.is_empty())
    }
}

fn about(settings: &Settings<'_>, probe: bool) -> Result<About, Failure> {
    let (preset, own) = (settings.preset()?, settings.list("command")?);
    let word = own.first().map(String::as_str).or(preset.map(Preset::program)).unwrap_or_default();
    let program = match word.contains('/') {
        true => Some(word.into()).filter(|path: &std::path::PathBuf| path.exists()),
        false => process::find(word, None),
    };
    let version = match (&program, preset) {
        (Some(program), Some(preset)) => version::of(program, Some(preset.package), probe),
        // What nobody knows is not started to be asked, unless that is wanted.
        (Some(program), None) if probe => version::of(program, None, true),
        _ => None,
    };
    let model = settings.text("model")?;
    let unready = preset.and_then(|preset| ready::refuse_unready(preset, Path::new("/"), model.as_deref()).err());
    Ok(About {
        name: settings.name.to_owned(),
        preset: preset.map(|preset| preset.name),
        program: program.map(|path| path.display().to_string()),
        tried: preset.zip(version.as_ref()).map(|(preset, version)| preset.is_tried(version)),
        version,
        resume: preset.is_some() || !settings.list("resume")?.is_empty(),
        schema: preset.is_some_and(|preset| !preset.schema.is_empty()),
        events: preset.is_some() || settings.format()?.is_some(),
        problem: unready.map(|failure| failure.to_string()),
    })
}
