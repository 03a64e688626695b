//! What it takes to start an agent: its command line and how the prompt reaches it.
//!
//! A preset per known agent, with the agent's own sandbox on; `agents.<name>.command` for any
//! other, or instead of a preset.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use shared::config::Config;
use shared::failure::Failure;

use crate::record::PromptWay;

/// An agent that can be started.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) command: Vec<OsString>,
    pub(crate) way: PromptWay,
}

/// The agents that need no setting; all read the prompt on standard input.
const PRESETS: &[(&str, &[&str])] = &[
    ("codex", &["codex", "exec", "--json", "--skip-git-repo-check", "--sandbox", "workspace-write", "-"]),
    ("claude", &["claude", "-p", "--output-format", "stream-json", "--verbose", "--permission-mode", "acceptEdits"]),
    ("gemini", &["gemini", "-o", "stream-json", "--skip-trust", "--approval-mode", "auto_edit"]),
    ("opencode", &["opencode", "run", "--format", "json"]),
];

impl Agent {
    /// Finds an agent by its name; `{worktree}` is filled in, the prompt is not.
    ///
    /// # Errors
    /// When no preset and no setting knows it, or its setting waits for trust.
    pub(crate) fn find(config: &Config, name: &str, worktree: &Path) -> Result<Agent, Failure> {
        let unknown = || {
            let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
            let hint = format!("known are {}; 'agents.<name>.command' in the settings adds one", names.join(", "));
            Failure::could_not("no-agent", format!("no agent '{}'", name.escape_debug())).hint(hint)
        };
        // The name becomes part of a key: it may not reach into another one.
        if name.is_empty() || name.contains('.') {
            return Err(unknown());
        }
        let own = config.list(&format!("agents.{name}.command"))?;
        if !own.is_empty() {
            let way = match config.text(&format!("agents.{name}.prompt"))?.as_deref() {
                Some("stdin") => PromptWay::Stdin,
                Some("file") => PromptWay::File,
                Some(_) | None => PromptWay::Argument,
            };
            let command = own.iter().map(|word| fill(word.as_ref(), "{worktree}", worktree.as_os_str())).collect();
            return Ok(Agent { name: name.to_owned(), command, way });
        }
        let (_, command) = PRESETS.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
        let command = command.iter().map(OsString::from).collect();
        Ok(Agent { name: name.to_owned(), command, way: PromptWay::Stdin })
    }
}

/// Puts the prompt into an agent's command line; no shell sees it.
pub(crate) fn with_prompt(command: Vec<OsString>, way: PromptWay, prompt: &OsStr, file: &Path) -> Vec<OsString> {
    let named = command.iter().any(|word| word.to_string_lossy().contains("{prompt}"));
    // The path first: a prompt may well say "{prompt-file}".
    let command = command.into_iter().map(|word| fill(&word, "{prompt-file}", file.as_os_str()));
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
        let done = with_prompt(command, way, OsStr::new("say {prompt-file} $HOME"), Path::new("/p q"));
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
