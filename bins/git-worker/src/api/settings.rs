//! The settings of an endpoint: where a model is asked, and how.

use serde::{Deserialize, Serialize};
use shared::config::Config;
use shared::failure::Failure;
use ureq::http::Uri;

use crate::agent::Shape;
use crate::rules::millis;

/// The dialect of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    OpenaiChat,
    OpenaiResponses,
    Anthropic,
}

/// Where a model is asked; it stands in the job's command line, and holds no key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Endpoint {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) model: String,
    /// Variable of the environment that holds the key.
    pub(crate) key_env: String,
    /// Whether the settings name that variable.
    pub(crate) key_env_set: bool,
    /// Program and arguments that print the key.
    pub(crate) key_command: Vec<String>,
    pub(crate) timeout_ms: u64,
    /// 0 is what the server usually allows.
    pub(crate) max_tokens: u64,
    /// Further tries after the first.
    pub(crate) retries: u64,
    /// What the answer is to fit, where the endpoint is told.
    pub(crate) schema: Option<Shape>,
}

impl Endpoint {
    /// Reads the settings for a model.
    ///
    /// # Errors
    /// When they wait for trust, or the address is none that a key may be sent to.
    pub(crate) fn of(config: &Config, model: &str, schema: Option<Shape>) -> Result<Endpoint, Failure> {
        let kind = match config.text("api.kind")?.as_deref() {
            Some("openai-responses") => Kind::OpenaiResponses,
            Some("anthropic") => Kind::Anthropic,
            Some(_) | None => Kind::OpenaiChat,
        };
        let (url, env) = match kind {
            Kind::OpenaiChat | Kind::OpenaiResponses => ("https://api.openai.com/v1", "OPENAI_API_KEY"),
            Kind::Anthropic => ("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
        };
        let url = config.text("api.url")?.unwrap_or_else(|| url.to_owned());
        let key_env = config.text("api.key-env")?;
        let endpoint = Endpoint {
            kind,
            url: url.trim_end_matches('/').to_owned(),
            model: model.to_owned(),
            key_env_set: key_env.is_some(),
            key_env: key_env.unwrap_or_else(|| env.to_owned()),
            key_command: config.list("api.key-command")?,
            timeout_ms: config.duration("api.timeout")?.map_or(0, millis),
            max_tokens: config.integer("api.max-tokens")?,
            retries: config.integer("api.retries")?,
            schema: schema.filter(|_| config.boolean("api.schema").unwrap_or(true)),
        };
        endpoint.refuse_unfit()?;
        Ok(endpoint)
    }

    /// A key goes to nobody else, and not over an open line.
    fn refuse_unfit(&self) -> Result<(), Failure> {
        let bad = |why: &str| Failure::could_not("bad-url", format!("'api.url' {why}"));
        let uri: Uri = self.url.parse().map_err(|_| bad("is no URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(bad("is no URL of http or https"));
        };
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(bad("holds a name, password or query, which would be written down")
                .hint("'api.key-env' names the variable with the key"));
        }
        match scheme {
            "https" => Ok(()),
            "http" if self.is_loopback() => Ok(()),
            "http" => Err(bad("is not https, and the prompt and the key would be read on the way")),
            _ => Err(bad("is no URL of http or https")),
        }
    }

    /// Returns the host that is asked.
    pub(crate) fn host(&self) -> String {
        let uri = self.url.parse::<Uri>().ok();
        uri.and_then(|uri| Some(uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase())).unwrap_or_default()
    }

    /// Says whether this host is asked.
    pub(crate) fn is_of(&self, host: &str) -> bool {
        self.host() == host
    }

    /// Says whether nothing leaves this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.host())
    }
}

/// Says whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
