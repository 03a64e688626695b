//! Work without a network: where the settings allow none, what would use it is not started.
//!
//! That is the model of an agent, which the prompt goes to; what commands of an agent reach is
//! for a sandbox to say.

use std::path::PathBuf;

use serde_json::json;
use shared::config::Config;
use shared::durable;
use shared::failure::Failure;
use ureq::http::Uri;

use crate::agent::Agent;
use crate::api;
use crate::stream::Format;

/// More of a file of settings is not looked at.
const MOST: usize = 1024 * 1024;

/// Refuses an agent whose model is on the network, if `network.mode` is `none` and the host is not allowed.
///
/// # Errors
/// Of kind `air-gap`; it names the host.
pub(crate) fn refuse(config: &Config, agent: &Agent, env_names: &[String]) -> Result<(), Failure> {
    if config.text("network.mode")?.as_deref() != Some("none") {
        return Ok(());
    }
    let Some(host) = agent.host.clone().or_else(|| host_of(agent, env_names)) else { return Ok(()) };
    if api::is_loopback(&host)
        || config.list("network.allow")?.iter().any(|allowed| allowed.eq_ignore_ascii_case(&host))
    {
        return Ok(());
    }
    let message = format!("the agent '{}' would ask '{host}', and 'network.mode' is none", agent.name);
    let hint = "a model on this machine is asked all the same; 'network.allow' names hosts that may be reached";
    let details = json!({ "agent": agent.name, "host": host });
    Err(Failure::could_not("air-gap", message).hint(hint).details(details))
}

/// Returns the host that a known agent asks, as far as its settings tell; none for a program that nobody knows.
fn host_of(agent: &Agent, env_names: &[String]) -> Option<String> {
    // What the agent does not see does not lead it anywhere.
    let seen = |name: &str| {
        let seen = env_names.iter().any(|known| known == name);
        std::env::var(name).ok().filter(|value| seen && !value.is_empty())
    };
    let host = |url: Option<String>, usual: &str| match url {
        Some(url) => host_in(&url).unwrap_or(url),
        None => usual.to_owned(),
    };
    Some(match agent.format? {
        Format::Claude => host(seen("ANTHROPIC_BASE_URL"), "api.anthropic.com"),
        Format::Gemini => host(seen("GOOGLE_GEMINI_BASE_URL"), "generativelanguage.googleapis.com"),
        Format::Codex => host(codex_url(seen("CODEX_HOME"), seen("HOME")), "api.openai.com"),
        // Which of its providers is asked only it knows.
        Format::Opencode => "opencode.ai".to_owned(),
        Format::Events => return None,
    })
}

fn host_in(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase())
}

/// The address of codex's provider, by its `config.toml`.
fn codex_url(home: Option<String>, user: Option<String>) -> Option<String> {
    let folder = home.map(PathBuf::from).or_else(|| Some(PathBuf::from(user?).join(".codex")))?;
    let bytes = durable::read_foreign(&folder.join("config.toml"), MOST).ok()??;
    let config: toml::Table = toml::from_str(str::from_utf8(&bytes).ok()?).ok()?;
    let provider = config.get("model_provider")?.as_str()?;
    config.get("model_providers")?.get(provider)?.get("base_url")?.as_str().map(str::to_owned)
}
