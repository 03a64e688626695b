//! `git validate install` and `uninstall`: beside the hooks that are there; and what a hook asks.

mod called;
mod look;
mod message;

use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::hooks::{self, Call, Missing, Program, Scope};

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

    /// How it calls us.
    fn call(self, commits: Commits) -> Call {
        let name = self.name();
        let in_script = match (self, commits) {
            (Hook::PreCommit, _) | (Hook::PrePush, Commits::LastOfOld) => format!("git-validate hook {name}"),
            (Hook::CommitMsg, _) | (Hook::PrePush, Commits::Each) => format!("git-validate hook {name} \"$@\""),
            (Hook::PrePush, Commits::Last) => format!("git-validate hook --tips {name} \"$@\""),
            (Hook::PrePush, Commits::EachOfOld) => format!("git-validate hook --each-commit {name} \"$@\""),
        };
        let tips = if commits == Commits::Last { " --tips" } else { "" };
        Call {
            event: name,
            in_script,
            in_settings: ["", " --where-configured"].map(|only| format!("git-validate hook{only}{tips} {name}")),
            missing: "nothing was validated",
            if_missing: Missing::Stops,
        }
    }

    /// All ways in which it may call us.
    fn calls(self) -> Vec<Call> {
        let commits = match self {
            Hook::PrePush => vec![Commits::Each, Commits::Last, Commits::EachOfOld, Commits::LastOfOld],
            Hook::PreCommit | Hook::CommitMsg => vec![Commits::Each],
        };
        commits.into_iter().map(|commits| self.call(commits)).collect()
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

/// Us, as hooks know us.
fn program() -> Program {
    Program {
        name: "git-validate",
        verb: "git validate",
        by_hand: "git validate --staged",
        when_gone: "'git validate doctor' says that ours are gone",
        calls: Hook::ALL.into_iter().flat_map(Hook::calls).collect(),
    }
}

pub(crate) fn install(cx: &Context, args: InstallArgs) -> Result<Status, Failure> {
    if args.tips && !args.hook.contains(&Hook::PrePush) {
        return Err(Failure::usage("'--tips' is about '--hook pre-push'"));
    }
    let mut calls: Vec<Call> = Vec::new();
    for hook in args.hook {
        let commits = if args.tips && hook == Hook::PrePush { Commits::Last } else { Commits::Each };
        if !calls.iter().any(|call| call.event == hook.name()) {
            calls.push(hook.call(commits));
        }
    }
    let answer = hooks::install(cx, &program(), &calls, Scope::of(args.global), args.dry_run)?;
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

pub(crate) fn uninstall(cx: &Context, args: UninstallArgs) -> Result<Status, Failure> {
    let answer = hooks::uninstall(cx, &program(), Scope::of(args.global), args.dry_run)?;
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}
