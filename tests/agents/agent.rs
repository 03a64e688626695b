//! The agents, and the least that each needs to run against the scripted server.

use std::path::PathBuf;

use suite_tests::{Sandbox, program_folder};

/// A real agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agent {
    Codex,
    Claude,
    Gemini,
    Opencode,
}

/// How often an agent asks again after a fault; opencode has no such setting.
const RETRIES: u32 = 2;

/// A test for each agent: `mod <name>` with one function an agent.
macro_rules! each_agent {
    ($($behaviour:ident),+ $(,)?) => {
        $(mod $behaviour {
            use crate::agent::Agent;

            #[test]
            fn codex() {
                super::$behaviour(Agent::Codex);
            }

            #[test]
            fn claude() {
                super::$behaviour(Agent::Claude);
            }

            #[test]
            fn gemini() {
                super::$behaviour(Agent::Gemini);
            }

            #[test]
            fn opencode() {
                super::$behaviour(Agent::Opencode);
            }
        })+
    };
}
pub(crate) use each_agent;

impl Agent {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Agent::Codex => "codex",
            Agent::Claude => "claude",
            Agent::Gemini => "gemini",
            Agent::Opencode => "opencode",
        }
    }

    /// The version that `tests/run` installs.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Agent::Codex => "0.169.0",
            Agent::Claude => "2.1.197",
            Agent::Gemini => "0.61.0",
            Agent::Opencode => "1.18.33",
        }
    }

    /// Says whether it is installed.
    pub(crate) fn is_here(self) -> bool {
        folder().join(self.name()).exists()
    }

    /// Writes the least configuration with which it talks to the server.
    pub(crate) fn set_up(self, room: &Sandbox, url: &str) {
        match self {
            Agent::Codex => room.write_in(&room.home(), ".codex/config.toml", &codex(url)),
            // All that it needs is in the environment.
            Agent::Claude => {}
            Agent::Gemini => room.write_in(&room.home(), ".gemini/settings.json", &gemini()),
            Agent::Opencode => room.write_in(&room.home(), ".config/opencode/opencode.json", &opencode(url)),
        }
    }

    /// The variables that it needs, with the key with which it is logged in.
    pub(crate) fn environment(self, url: &str, key: &str) -> Vec<(&'static str, String)> {
        let own = |pairs: &[(&'static str, &str)]| pairs.iter().map(|(name, value)| (*name, (*value).into())).collect();
        match self {
            Agent::Codex => own(&[("OPENAI_API_KEY", key)]),
            Agent::Claude => own(&[
                ("ANTHROPIC_BASE_URL", url),
                ("ANTHROPIC_API_KEY", key),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
                ("CLAUDE_CODE_MAX_RETRIES", &RETRIES.to_string()),
                ("DISABLE_AUTOUPDATER", "1"),
                ("DISABLE_TELEMETRY", "1"),
                ("DISABLE_ERROR_REPORTING", "1"),
                // Or it refuses to do as it likes as root.
                ("IS_SANDBOX", "1"),
            ]),
            Agent::Gemini => own(&[("GOOGLE_GEMINI_BASE_URL", url), ("GEMINI_API_KEY", key)]),
            Agent::Opencode => own(&[
                ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
                ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
                ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
                ("OPENCODE_DISABLE_DEFAULT_PLUGINS", "1"),
            ]),
        }
    }
}

/// Returns the folder of the agents' programs.
pub(crate) fn folder() -> PathBuf {
    program_folder().parent().map(|target| target.join("agents/node_modules/.bin")).unwrap_or_default()
}

fn codex(url: &str) -> String {
    format!(
        "model = \"gpt-5.5\"\nmodel_provider = \"scripted\"\ncheck_for_update_on_startup = false\n\
         [model_providers.scripted]\nname = \"Scripted\"\nbase_url = \"{url}/v1\"\nenv_key = \"OPENAI_API_KEY\"\n\
         wire_api = \"responses\"\nrequest_max_retries = {RETRIES}\nstream_max_retries = {RETRIES}\n\
         stream_idle_timeout_ms = 20000\n[analytics]\nenabled = false\n"
    )
}

fn gemini() -> String {
    let attempts = RETRIES + 1;
    serde_json::json!({
        "security": { "auth": { "selectedType": "gemini-api-key" } },
        "privacy": { "usageStatisticsEnabled": false },
        "telemetry": { "enabled": false },
        "general": {
            "enableAutoUpdate": false, "enableAutoUpdateNotification": false, "maxAttempts": attempts,
        },
    })
    .to_string()
}

fn opencode(url: &str) -> String {
    let models = serde_json::json!({ "m": { "name": "Scripted", "limit": { "context": 200_000, "output": 8192 } } });
    serde_json::json!({
        "autoupdate": false,
        "share": "disabled",
        "model": "scripted/m",
        "small_model": "scripted/m",
        "enabled_providers": ["scripted"],
        "provider": {
            "scripted": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Scripted",
                "options": { "baseURL": format!("{url}/v1"), "apiKey": "fake-key" },
                "models": models,
            },
        },
    })
    .to_string()
}
