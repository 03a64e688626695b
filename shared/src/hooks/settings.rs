//! Hooks in git's own configuration, which git reads from 2.54 on: beside those of the folder, whatever that is.

use std::env;
use std::path::PathBuf;

use super::{Beside, Call, Program, Row, Scope};
use crate::app::Context;
use crate::failure::Failure;
use crate::process::Git;

/// The first git that reads them.
const SINCE: (u32, u32) = (2, 54);

/// Says whether git reads hooks from its configuration.
///
/// # Errors
/// When there is no git, or it does not say its version.
pub fn is_known(cx: &Context) -> Result<bool, Failure> {
    Ok(Git::at(cx.folder())?.version()? >= SINCE)
}

/// Puts hooks into the configuration of the user.
pub(super) fn install_global(
    cx: &Context,
    program: &Program,
    calls: &[Call],
    dry_run: bool,
) -> Result<Vec<Row>, Failure> {
    let place = Place::of(cx, Scope::Global)?;
    let (major, minor) = place.git.version()?;
    if (major, minor) < SINCE {
        let words = format!("git {major}.{minor} reads no hooks from its configuration; 2.54 is the first that does");
        return Err(Failure::could_not("git-too-old", words).hint(format!(
            "'{} install' in a repository works with every git; init.templateDir and a core.hooksPath of yours are left alone",
            program.verb
        )));
    }
    calls.iter().map(|call| place.install(program, call, dry_run)).collect()
}

/// Puts one hook into the configuration of the repository.
pub(super) fn install_one(cx: &Context, program: &Program, call: &Call, dry_run: bool) -> Result<Row, Failure> {
    Place::of(cx, Scope::Local)?.install(program, call, dry_run)
}

pub(super) fn uninstall(cx: &Context, program: &Program, scope: Scope, dry_run: bool) -> Result<Vec<Row>, Failure> {
    let place = Place::of(cx, scope)?;
    program.events().into_iter().map(|event| place.uninstall(program, event, dry_run)).collect()
}

/// Finds the command of a hook in git's configuration, of whatever scope.
///
/// # Errors
/// When git cannot be started.
pub fn command(git: &Git, program: &Program, event: &str) -> Result<Option<String>, Failure> {
    let answer = git.ask(["config", "--get", &format!("{}.command", section(program, event))])?;
    Ok((answer.code == 0).then(|| answer.text()))
}

/// Says whether a hook is switched off, by its own name or for its whole event.
///
/// # Errors
/// When git cannot be started.
pub fn is_off(git: &Git, program: &Program, event: &str) -> Result<bool, Failure> {
    for name in [section(program, event), format!("hook.{event}")] {
        let answer = git.ask(["config", "--type=bool", "--get", &format!("{name}.enabled")])?;
        if answer.code == 0 && answer.text() == "false" {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A file of git's configuration.
struct Place {
    git: Git,
    scope: Scope,
    path: PathBuf,
}

impl Place {
    fn of(cx: &Context, scope: Scope) -> Result<Place, Failure> {
        match scope {
            Scope::Local => {
                let path = cx.repository()?.common_dir().join("config");
                Ok(Place { git: cx.git_here()?.reading(), scope, path })
            }
            Scope::Global => {
                // Keeps out a git that a repository may have brought.
                cx.find_repository()?;
                Ok(Place { git: Git::at(cx.folder())?, scope, path: global_file()? })
            }
        }
    }

    fn install(&self, program: &Program, call: &Call, dry_run: bool) -> Result<Row, Failure> {
        let (section, command) =
            (section(program, call.event), &call.in_settings[usize::from(self.scope == Scope::Global)]);
        let has = |key: &str, value: &str| -> Result<bool, Failure> {
            Ok(self.ask(&["--get-all", &format!("{section}.{key}")])?.as_deref() == Some(value))
        };
        let is_there = has("command", command)? && has("event", call.event)?;
        if !is_there && !dry_run {
            // The event last: without one git runs nothing, so half of it does no harm.
            self.set(&format!("{section}.command"), command)?;
            self.set(&format!("{section}.event"), call.event)?;
        }
        let (action, beside) = if is_there { ("present", None) } else { ("installed", Some(Beside::InConfig)) };
        Ok(Row { hook: call.event, path: self.path.clone(), action, beside })
    }

    fn uninstall(&self, program: &Program, event: &'static str, dry_run: bool) -> Result<Row, Failure> {
        let section = section(program, event);
        let pattern = format!("^{}\\.", section.replace('.', "\\."));
        let is_there = self.ask(&["--get-regexp", &pattern])?.is_some();
        if is_there && !dry_run {
            self.git.run(["config", self.flag(), "--remove-section", &section])?;
        }
        let action = if is_there { "removed" } else { "absent" };
        Ok(Row { hook: event, path: self.path.clone(), action, beside: None })
    }

    fn ask(&self, words: &[&str]) -> Result<Option<String>, Failure> {
        let words: Vec<&str> = ["config", self.flag()].iter().chain(words).copied().collect();
        let answer = self.git.ask(&words)?;
        Ok((answer.code == 0).then(|| answer.text()))
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Failure> {
        self.git.run(["config", self.flag(), "--replace-all", key, value])?;
        Ok(())
    }

    fn flag(&self) -> &'static str {
        match self.scope {
            Scope::Local => "--local",
            Scope::Global => "--global",
        }
    }
}

/// Returns the section of a hook in git's configuration; the name of the event itself would be ambiguous to git.
pub fn section(program: &Program, event: &str) -> String {
    format!("hook.{}-{event}", program.name)
}

/// The file that `git config --global` writes.
fn global_file() -> Result<PathBuf, Failure> {
    if let Some(named) = env::var_os("GIT_CONFIG_GLOBAL").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let no_home = || Failure::could_not("no-home", "there is no home folder: set HOME");
    let usual = env::var_os("HOME").map(PathBuf::from).ok_or_else(no_home)?.join(".gitconfig");
    let other = crate::folders::xdg("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("git/config"));
    Ok(other.filter(|other| !usual.exists() && other.exists()).unwrap_or(usual))
}
