//! The settings of git's configuration, and where each stands.

use std::path::PathBuf;

use gix::bstr::{BString, ByteSlice};
use gix::config::Source;

use super::Repository;

/// Where a setting of git's configuration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The system's or the user's own files.
    User,
    /// The repository's own files: never trusted unasked.
    Repository,
    /// `git -c`, `GIT_CONFIG_COUNT` and the like.
    Command,
}

/// One setting of git's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key without its section: `task.merge` for `codex-agents.task.merge`.
    pub key: String,
    /// The value; `true` where git's file has none.
    pub value: String,
    /// Where it stands.
    pub scope: Scope,
    /// The file it stands in, if any.
    pub file: Option<PathBuf>,
}

impl Repository {
    /// Lists the settings of one section of git's configuration, weakest first.
    pub fn settings(&self, section: &str) -> Vec<Setting> {
        settings_of(self.gix.config_snapshot().plumbing(), section)
    }

    /// Lists the commands in the repository's own git configuration that no option of git can disarm.
    pub fn commands_in_config(&self) -> Vec<Setting> {
        let config = self.gix.config_snapshot();
        let own = |name: &str| -> Vec<Setting> {
            let all = settings_of(config.plumbing(), name);
            all.into_iter()
                .filter(|setting| setting.scope == Scope::Repository && !setting.value.is_empty())
                .map(|setting| Setting { key: format!("{name}.{}", setting.key), ..setting })
                .collect()
        };
        let last = |setting: &Setting| setting.key.rsplit('.').next().unwrap_or_default().to_owned();
        let mut found = own("filter");
        found.retain(|s| matches!(last(s).as_str(), "clean" | "smudge" | "process"));
        found.extend(own("merge").into_iter().filter(|s| last(s) == "driver"));
        // Since git 2.54; what our own 'git validate install' writes there is ours.
        let is_ours = |s: &Setting| {
            s.value.starts_with("git-validate hook ") && !s.value.contains([';', '&', '|', '$', '`', '\n'])
        };
        found.extend(own("hook").into_iter().filter(|s| last(s) == "command" && !is_ours(s)));
        let promisor = own("remote").iter().any(|s| last(s) == "promisor");
        if promisor || own("extensions").iter().any(|s| last(s) == "partialclone") {
            // A missing object makes git fetch by itself, by whatever command stands here.
            found.extend(own("remote").into_iter().filter(|s| matches!(last(s).as_str(), "uploadpack" | "vcs")));
            found.extend(own("core").into_iter().filter(|s| matches!(last(s).as_str(), "sshcommand" | "gitproxy")));
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found
    }
}

/// Lists the settings of one section of the user's own git configuration, outside a repository.
pub fn user_settings(section: &str) -> Vec<Setting> {
    let mut all = gix::config::File::from_globals().map(|file| settings_of(&file, section)).unwrap_or_default();
    for setting in command_line_settings() {
        let text = setting.to_string();
        let (key, value) = text.split_once('=').unwrap_or((&text, "true"));
        if let Some(key) = key.strip_prefix(section).and_then(|key| key.strip_prefix('.')) {
            all.push(Setting { key: key.to_owned(), value: value.to_owned(), scope: Scope::Command, file: None });
        }
    }
    all
}

fn settings_of(config: &gix::config::File, section: &str) -> Vec<Setting> {
    let mut all = Vec::new();
    for part in config.sections_by_name(section).into_iter().flatten() {
        let scope = match part.meta().source {
            Source::Local | Source::Worktree => Scope::Repository,
            Source::Env | Source::Cli | Source::Api | Source::EnvOverride => Scope::Command,
            Source::GitInstallation | Source::System | Source::Git | Source::User => Scope::User,
        };
        let prefix =
            part.header().subsection_name().map(|name| format!("{}.", name.to_str_lossy())).unwrap_or_default();
        let mut names: Vec<String> = part.value_names().collect();
        names.dedup();
        for name in names {
            let values = part.body().values(&name);
            let values = if values.is_empty() { vec![BString::from("true")] } else { values };
            for value in values {
                all.push(Setting {
                    key: format!("{prefix}{}", name.to_ascii_lowercase()),
                    value: value.to_string(),
                    scope,
                    file: part.meta().path.clone(),
                });
            }
        }
    }
    all
}

/// gix reads `GIT_CONFIG_COUNT` by itself, but not what `git -c` passes on.
pub(super) fn command_line_settings() -> Vec<BString> {
    let parameters = git_config_env::ConfigParameters::new();
    parameters
        .iter()
        .map(|(key, value)| match value {
            Some(value) => BString::from(format!("{key}={value}")),
            None => BString::from(key.into_owned()),
        })
        .collect()
}
