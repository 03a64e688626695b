//! `git validate install` and `uninstall`: beside the hooks that are there; and what a hook asks.

mod block;
mod called;
mod folder;
mod look;
mod message;
mod script;
mod settings;

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

use crate::finding::path_text;

pub(crate) use called::{HookArgs, called};
pub(crate) use look::{Trouble, look};

/// A hook that we know how to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Hook {
    /// Before a commit: the index is judged
    PreCommit,
    /// Before a push: the commits that are pushed are judged
    PrePush,
    /// When the message is written: the policies that read it judge it
    CommitMsg,
}

impl Hook {
    const ALL: [Hook; 3] = [Hook::PreCommit, Hook::PrePush, Hook::CommitMsg];

    fn name(self) -> &'static str {
        match self {
            Hook::PreCommit => "pre-commit",
            Hook::PrePush => "pre-push",
            Hook::CommitMsg => "commit-msg",
        }
    }

    /// What was there and is no shell script goes by this name.
    fn kept(self) -> String {
        format!("{}.git-validate-kept", self.name())
    }

    /// All ways in which it may call us.
    fn calls(self) -> Vec<Call> {
        let commits = match self {
            Hook::PrePush => vec![Commits::Each, Commits::Last, Commits::EachOfOld, Commits::LastOfOld],
            Hook::PreCommit | Hook::CommitMsg => vec![Commits::Each],
        };
        commits.into_iter().map(|commits| Call { hook: self, commits }).collect()
    }
}

/// Which of the commits that are pushed are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commits {
    /// Each that the remote has not.
    Each,
    /// The last of each ref.
    Last,
    /// Each, as an older version has asked for it.
    EachOfOld,
    /// The last, as an older version has asked for it.
    LastOfOld,
}

/// How a hook calls us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Call {
    hook: Hook,
    commits: Commits,
}

impl Call {
    /// The command in a script, which passes on what it needs.
    fn in_script(self) -> String {
        let name = self.hook.name();
        match (self.hook, self.commits) {
            (Hook::PreCommit, _) | (Hook::PrePush, Commits::LastOfOld) => format!("git-validate hook {name}"),
            (Hook::CommitMsg, _) | (Hook::PrePush, Commits::Each) => format!("git-validate hook {name} \"$@\""),
            (Hook::PrePush, Commits::Last) => format!("git-validate hook --tips {name} \"$@\""),
            (Hook::PrePush, Commits::EachOfOld) => format!("git-validate hook --each-commit {name} \"$@\""),
        }
    }

    /// The command in git's configuration, to which git adds the arguments.
    fn in_settings(self, scope: Scope) -> String {
        let tips = if self.commits == Commits::Last { " --tips" } else { "" };
        let only = if scope == Scope::Global { " --where-configured" } else { "" };
        format!("git-validate hook{only}{tips} {}", self.hook.name())
    }
}

/// For which repositories a hook is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Local,
    Global,
}

impl Scope {
    fn of(is_global: bool) -> Scope {
        if is_global { Scope::Global } else { Scope::Local }
    }
}

/// Put the validation into hooks, beside what is there
#[derive(Debug, clap::Args)]
pub(crate) struct InstallArgs {
    /// Which hooks; a list with commas, or given several times
    #[arg(long, value_name = "hook", default_value = "pre-commit", value_delimiter = ',')]
    hook: Vec<Hook>,
    /// Before a push judge the last commit of each ref only, not each that the remote has not
    #[arg(long)]
    tips: bool,
    /// Put it in for this repository and all its worktrees; so if nothing is given
    #[arg(long, conflicts_with = "global")]
    local: bool,
    /// Put it in for all repositories of this user, in git's configuration (git 2.54 or newer)
    #[arg(long)]
    global: bool,
    /// Say what would change and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Take the validation out of the hooks again; what was there before comes back byte for byte
#[derive(Debug, clap::Args)]
pub(crate) struct UninstallArgs {
    /// Take it out of this repository; so if nothing is given
    #[arg(long, conflicts_with = "global")]
    local: bool,
    /// Take it out of git's configuration of this user
    #[arg(long)]
    global: bool,
    /// Say what would change and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    hooks: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    hook: &'static str,
    #[serde(serialize_with = "as_text")]
    path: PathBuf,
    /// What was done: installed, present, removed, absent.
    action: &'static str,
    /// How it stands beside another hook.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<Beside>,
}

/// How our hook stands beside another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Beside {
    /// There is no other.
    Alone,
    /// Our lines stand in its script.
    InScript,
    /// Ours runs first, and then the other.
    Before,
    /// Git's configuration names ours; the other stays as it is.
    InConfig,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.hooks {
            write!(f, "{}  {}  {}", row.hook, row.action, Foreign(&row.path.display().to_string()))?;
            match row.beside {
                Some(Beside::InScript) => writeln!(f, "  (in the script that is there)")?,
                Some(Beside::Before) => writeln!(f, "  (before the hook that is there)")?,
                Some(Beside::InConfig) => writeln!(f, "  (in git's configuration)")?,
                Some(Beside::Alone) | None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

pub(crate) fn install(cx: &Context, args: InstallArgs) -> Result<Status, Failure> {
    if args.tips && !args.hook.contains(&Hook::PrePush) {
        return Err(Failure::usage("'--tips' is about '--hook pre-push'"));
    }
    let mut calls: Vec<Call> = Vec::new();
    for hook in args.hook {
        let commits = if args.tips && hook == Hook::PrePush { Commits::Last } else { Commits::Each };
        if !calls.iter().any(|call| call.hook == hook) {
            calls.push(Call { hook, commits });
        }
    }
    let hooks = match Scope::of(args.global) {
        Scope::Global => settings::install_global(cx, &calls, args.dry_run)?,
        Scope::Local => install_local(cx, &calls, args.dry_run)?,
    };
    cx.output.answer(&Answer { hooks })?;
    Ok(Status::Done)
}

/// Into the folder that git takes hooks from; where that is not ours to change, into the configuration, if git reads it.
fn install_local(cx: &Context, calls: &[Call], dry_run: bool) -> Result<Vec<Row>, Failure> {
    let folder = folder::Folder::find(cx)?;
    let mut in_settings = Vec::new();
    // What is refused is refused before anything is done.
    for call in calls {
        let refused = folder.refuse_foreign(cx, call.hook);
        in_settings.push(refused.is_err());
        if refused.is_err() && !settings::is_known(cx)? {
            refused?;
        }
    }
    let mut hooks = Vec::new();
    for (call, in_settings) in calls.iter().zip(in_settings) {
        hooks.push(match in_settings {
            true => settings::install_one(cx, *call, dry_run)?,
            false => script::install(&folder, *call, dry_run)?,
        });
    }
    if hooks.iter().any(|row| row.action == "installed" && row.beside != Some(Beside::InConfig)) {
        folder.say_who_else_writes_it(cx);
    }
    Ok(hooks)
}

pub(crate) fn uninstall(cx: &Context, args: UninstallArgs) -> Result<Status, Failure> {
    let mut hooks = settings::uninstall(cx, Scope::of(args.global), args.dry_run)?;
    if !args.global {
        let folder = folder::Folder::find(cx)?;
        for (row, hook) in hooks.iter_mut().zip(Hook::ALL) {
            let of_script = if folder.is_ours() { Some(script::uninstall(&folder, hook, args.dry_run)?) } else { None };
            // Where it was is what counts; where it was in neither, the folder is told.
            if let Some(of_script) =
                of_script.filter(|of_script| of_script.action == "removed" || row.action == "absent")
            {
                *row = of_script;
            }
        }
    }
    cx.output.answer(&Answer { hooks })?;
    Ok(Status::Done)
}

fn as_text<S: serde::Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path_text(path.as_os_str().as_encoded_bytes()))
}
