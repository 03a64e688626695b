//! Agents that do harm when they are started without a login: refused before they start.
//!
//! opencode without a provider sends the task to a service of its own, unasked; codex without a
//! login asks again and again without an end. Both read files of the user that can be looked at.

use std::env;
use std::path::{Path, PathBuf};

use shared::failure::Failure;
use shared::{durable, folders};

use super::preset::Preset;

/// More of a file is not looked at.
const MOST: usize = 1024 * 1024;

/// Refuses an agent that is not set up.
///
/// # Errors
/// When it has no provider or login; the hint says how it gets one.
pub(crate) fn refuse_unready(preset: &Preset, worktree: &Path, model: Option<&str>) -> Result<(), Failure> {
    let refusal = match preset.name {
        "opencode" if !opencode_has_provider(worktree, model) => {
            let message = "opencode has no provider: it would send the task to opencode.ai";
            (message, "'opencode auth login' sets one, or 'provider' and 'model' in its opencode.json")
        }
        "codex" if !codex_has_login() => {
            ("codex is not logged in, and would ask without end", "'codex login' logs it in, or OPENAI_API_KEY")
        }
        _ => return Ok(()),
    };
    Err(Failure::could_not("agent-not-ready", refusal.0).hint(refusal.1))
}

fn opencode_has_provider(worktree: &Path, model: Option<&str>) -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    if model.is_some_and(|model| model.contains('/')) || set("OPENCODE_CONFIG_CONTENT") {
        return true;
    }
    let config = folders::xdg("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("opencode"));
    let named = ["opencode.json", "opencode.jsonc", "config.json"];
    let of = |folder: &Path| named.map(|name| folder.join(name));
    let files = config.iter().flat_map(|folder| of(folder)).chain(of(worktree));
    let mut files = files.chain(env::var_os("OPENCODE_CONFIG").map(PathBuf::from));
    let auth = folders::xdg("XDG_DATA_HOME", ".local/share").map(|folder| folder.join("opencode/auth.json"));
    files.any(|file| says(&file, &["\"provider\"", "\"model\""])) || auth.is_some_and(|file| says(&file, &["\"type\""]))
}

fn codex_has_login() -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let home = env::var_os("CODEX_HOME").map(PathBuf::from).or_else(|| folders::xdg("CODEX_HOME", ".codex"));
    let has = |name: &str, words: &[&str]| home.as_ref().is_some_and(|home| says(&home.join(name), words));
    set("OPENAI_API_KEY") || set("CODEX_API_KEY") || has("auth.json", &["{"]) || has("config.toml", &["model_provider"])
}

fn says(file: &Path, words: &[&str]) -> bool {
    let bytes = durable::read_foreign(file, MOST).ok().flatten().unwrap_or_default();
    words.iter().any(|word| memchr::memmem::find(&bytes, word.as_bytes()).is_some())
}
