//! `git agent-merge install` and `uninstall`: in the pre-push hook, beside what is there.

mod push;

use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::hooks::{self, Call, Missing, PRE_PUSH, Program, Scope};

pub(crate) use push::{HookArgs, called};

/// Have each push say whether what is pushed conflicts with its base or another open task
///
/// It goes into the pre-push hook, beside what is there.
#[derive(Debug, clap::Args)]
pub(crate) struct InstallArgs {
    /// Warn of a conflict and let the push go; so if nothing is given
    #[arg(long, conflicts_with = "refuse")]
    warn: bool,
    /// Refuse a push with a conflict, or of which it cannot be told
    #[arg(long)]
    refuse: bool,
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

/// Take it out of the pre-push hook again; what was there before comes back byte for byte
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

/// What becomes of a push that conflicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Warn,
    Refuse,
}

impl Mode {
    fn call(self) -> Call {
        // Git gives the arguments of the hook to the last command, and we need none of them.
        let (flag, end, if_missing) = match self {
            Mode::Warn => ("", " || :", Missing::Passes),
            Mode::Refuse => (" --refuse", "", Missing::Stops),
        };
        let command = format!("git-agent-merge hook{flag} {PRE_PUSH}");
        Call {
            event: PRE_PUSH,
            in_script: format!("{command} \"$@\""),
            in_settings: [format!("{command}{end}"), format!("{command}{end}")],
            missing: "nobody looked for conflicts",
            if_missing,
        }
    }
}

/// Us, as hooks know us.
fn program() -> Program {
    Program {
        name: "git-agent-merge",
        verb: "git agent-merge",
        by_hand: "git-agent-merge hook pre-push",
        when_gone: "'git agent-merge install' puts ours in again",
        calls: vec![Mode::Warn.call(), Mode::Refuse.call()],
    }
}

pub(crate) fn install(cx: &Context, args: InstallArgs) -> Result<Status, Failure> {
    let mode = if args.refuse { Mode::Refuse } else { Mode::Warn };
    let answer = hooks::install(cx, &program(), &[mode.call()], Scope::of(args.global), args.dry_run)?;
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

pub(crate) fn uninstall(cx: &Context, args: UninstallArgs) -> Result<Status, Failure> {
    let answer = hooks::uninstall(cx, &program(), Scope::of(args.global), args.dry_run)?;
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}
