//! What keeps the hooks from calling us.

use std::path::{Path, PathBuf};

use shared::app::Context;
use shared::failure::Failure;
use shared::hooks::{Folder, Program, Standing, settings, standing};
use shared::process;
use shared::repository::{Scope, Setting};

use super::{Hook, program};

/// One thing that keeps a hook from calling us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) kind: &'static str,
    pub(crate) place: String,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// Looks at all hooks.
///
/// # Errors
/// When there is no repository, or git cannot be asked.
pub(crate) fn look(cx: &Context) -> Result<Vec<Trouble>, Failure> {
    let (folder, program) = (Folder::find(cx)?, program());
    let mut troubles: Vec<Trouble> = path_trouble(&folder).into_iter().collect();
    let mut is_called = false;
    for hook in Hook::ALL {
        let standing = standing(&folder.path, &program, hook.name()).unwrap_or(Standing::Absent);
        is_called |= standing != Standing::Absent;
        troubles.extend(script_trouble(&folder.path.join(hook.name()), hook, standing));
        let of_settings = settings_trouble(cx, &program, hook)?;
        is_called |= of_settings.is_some();
        troubles.extend(of_settings.flatten());
    }
    let usual = cx.repository()?.common_dir().join("hooks");
    let elsewhere = Hook::ALL.into_iter().find(|hook| {
        let standing = standing(&usual, &program, hook.name()).unwrap_or(Standing::Absent);
        folder.path.canonicalize().ok() != usual.canonicalize().ok() && standing != Standing::Absent
    });
    if let (Some(hook), Some(named)) = (elsewhere, &folder.named) {
        troubles.push(Trouble {
            kind: "hook-redirected",
            place: usual.join(hook.name()).display().to_string(),
            message: format!("the hook stands where git does not look: core.hooksPath ({}) leads away", origin(named)),
            hint: "'git validate install' puts it where git looks now".to_owned(),
        });
    } else if !is_called {
        troubles.push(Trouble {
            kind: "hook-missing",
            place: folder.path.display().to_string(),
            message: "no hook calls git-validate".to_owned(),
            hint: "'git validate install' puts it into a hook, beside what is there".to_owned(),
        });
    }
    if process::find("git-validate", None).is_none() {
        troubles.push(Trouble {
            kind: "program-missing",
            place: "PATH".to_owned(),
            message: "git-validate is not on PATH, so a hook cannot call it".to_owned(),
            hint: "put the folder of the program into PATH".to_owned(),
        });
    }
    Ok(troubles)
}

fn path_trouble(folder: &Folder) -> Option<Trouble> {
    let named = folder.named.as_ref()?;
    let path = folder.path.display().to_string();
    let what = if folder.path.is_dir() {
        return (!folder.is_ours()).then(|| Trouble {
            kind: "hooks-path-outside",
            message: format!("core.hooksPath ({}) takes hooks from outside this repository", origin(named)),
            hint: "call 'git validate --staged' from the hooks there".to_owned(),
            place: path,
        });
    } else if folder.path.exists() {
        "which is no folder"
    } else {
        "which does not exist"
    };
    Some(Trouble {
        kind: "hooks-path-dead",
        message: format!("core.hooksPath ({}) leads to '{path}', {what}: git runs no hook", origin(named)),
        place: path,
        hint: "'git config --show-origin --show-scope --get-all core.hooksPath' shows who set it".to_owned(),
    })
}

fn script_trouble(path: &Path, hook: Hook, standing: Standing) -> Option<Trouble> {
    let name = hook.name();
    let (kind, message, hint) = match standing {
        Standing::Absent | Standing::Installed => return None,
        Standing::NotExecutable => (
            "hook-not-executable",
            "git does not run it: it is not executable",
            format!("'chmod +x' makes '{name}' run"),
        ),
        Standing::Altered => (
            "hook-altered",
            "our lines in it are not as they were written",
            "take them out by hand, then 'git validate install' puts them in again".to_owned(),
        ),
        Standing::Half => {
            ("hook-interrupted", "an install was interrupted", format!("'git validate install --hook {name}' ends it"))
        }
    };
    Some(Trouble { kind, place: path.display().to_string(), message: message.to_owned(), hint })
}

/// Looks at a hook in git's configuration; nothing at all if it is not there.
fn settings_trouble(cx: &Context, program: &Program, hook: Hook) -> Result<Option<Option<Trouble>>, Failure> {
    let git = cx.git_here()?.reading();
    if settings::command(&git, program, hook.name())?.is_none() {
        return Ok(None);
    }
    let place = settings::section(program, hook.name());
    let trouble = |kind, message: &str, hint: &str| {
        Some(Trouble { kind, place: place.clone(), message: message.to_owned(), hint: hint.to_owned() })
    };
    Ok(Some(if !settings::is_known(cx)? {
        trouble(
            "hook-ignored",
            "this git is too old to read hooks from its configuration",
            "'git validate install' in this repository works with every git",
        )
    } else if settings::is_off(&git, program, hook.name())? {
        trouble("hook-disabled", "it is switched off", "'git config --show-origin --get-regexp ^hook' shows where")
    } else {
        None
    }))
}

/// Where a setting stands, and whose it is.
fn origin(setting: &Setting) -> String {
    let file = setting.file.clone().unwrap_or_else(|| PathBuf::from("the command line"));
    let whose = match setting.scope {
        Scope::User => "the user's",
        Scope::Repository => "the repository's",
        Scope::Command => "of this call",
    };
    format!("{}, {whose}", file.display())
}
