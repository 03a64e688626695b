//! Agents without a program of their own: `api:<model>`, asked by this program.

use std::ffi::OsString;

use shared::config::Config;
use shared::failure::Failure;

use super::{Agent, Policy, Wanted};
use crate::api::{self, Endpoint};
use crate::begin::own_program;
use crate::record::PromptWay;
use crate::stream::Format;

/// Variables by which a command or the keychain finds the key, and the server is reached.
const ENV: &[&str] =
    &["*_PROXY", "SSL_CERT_*", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "GNUPGHOME", "PASSWORD_STORE_*"];

impl Agent {
    /// Makes the agent that asks a model over HTTP; the model's name is no key of the settings.
    ///
    /// # Errors
    /// When the settings of the endpoint are wrong or wait for trust, or a session is to go on.
    pub(super) fn of_api(config: &Config, model: &str, policy: Policy, wanted: &Wanted) -> Result<Agent, Failure> {
        let name = format!("{}{model}", api::PREFIX);
        if model.is_empty() || model.chars().any(|c| c.is_control() || c == '{' || c == '}') {
            return Err(Failure::usage(format!("'{}' names no model", name.escape_debug())));
        }
        if wanted.model.as_ref().is_some_and(|other| other != model) {
            return Err(Failure::usage(format!("the agent '{name}' names its model: leave out --model")));
        }
        if wanted.session.is_some() {
            let message = format!("the agent '{name}' cannot go on with a session");
            return Err(Failure::could_not("no-resume", message));
        }
        let endpoint = Endpoint::of(config, model, wanted.schema)?;
        let words = serde_json::to_string(&endpoint).map_err(anyhow::Error::from)?;
        let line: [OsString; 4] = [own_program().into(), api::WORD.into(), words.into(), "{schema-file}".into()];
        let own = ENV.iter().map(|name| (*name).to_owned());
        Ok(Agent {
            command: line.into(),
            way: PromptWay::Stdin,
            format: Some(Format::Events),
            model: Some(model.to_owned()),
            policy,
            version: None,
            session: None,
            resumes: wanted.resumes.clone(),
            role: wanted.role,
            usage_before: None,
            resume: None,
            env: own.chain([endpoint.key_env.clone()]).collect(),
            host: Some(endpoint.host()),
            secret_env: Some(endpoint.key_env),
            name,
        })
    }
}
