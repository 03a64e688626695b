//! `git validate install` and `uninstall`: beside the hooks that are there; and what a hook asks.

mod block;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use shared::app::Context;
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process::Hooks;

use crate::checks::Stage;
use crate::gate::Choice;
use crate::run;
use crate::subject::From;
use block::Taken;

/// A hook that we know how to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Hook {
    /// Before a commit: the index is judged
    PreCommit,
    /// Before a push: exactly the commits that are pushed are judged
    PrePush,
}

impl Hook {
    const ALL: [Hook; 2] = [Hook::PreCommit, Hook::PrePush];

    fn name(self) -> &'static str {
        match self {
            Hook::PreCommit => "pre-commit",
            Hook::PrePush => "pre-push",
        }
    }

    /// What was there and is no shell script goes by this name.
    fn kept(self) -> String {
        format!("{}.git-validate-kept", self.name())
    }
}

/// Put the validation into a hook of this repository, beside what is there
#[derive(Debug, clap::Args)]
pub(crate) struct InstallArgs {
    /// Which hook; may be given several times
    #[arg(long, value_name = "hook", default_value = "pre-commit")]
    hook: Vec<Hook>,
    /// Say what would change and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Take the validation out of the hooks again; what was there before comes back byte for byte
#[derive(Debug, clap::Args)]
pub(crate) struct UninstallArgs {
    /// Say what would change and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Judge what a hook is called for
#[derive(Debug, clap::Args)]
pub(crate) struct HookArgs {
    /// The hook that calls
    hook: Hook,
}

#[derive(Debug, Serialize)]
struct Answer {
    hooks: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    hook: &'static str,
    path: PathBuf,
    /// What was done: installed, present, removed, absent.
    action: &'static str,
    /// How it stands beside another hook: alone, in-script, before.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<&'static str>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.hooks {
            write!(f, "{}  {}  {}", row.hook, row.action, Foreign(&row.path.display().to_string()))?;
            match row.beside {
                Some("in-script") => writeln!(f, "  (in the script that is there)")?,
                Some("before") => writeln!(f, "  (before the hook that is there)")?,
                Some(_) | None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

pub(crate) fn install(cx: &Context, args: InstallArgs) -> Result<Status, Failure> {
    let folder = folder(cx)?;
    let mut hooks = Vec::new();
    for hook in args.hook {
        hooks.push(install_one(&folder, hook, args.dry_run)?);
    }
    cx.output.answer(&Answer { hooks })?;
    Ok(Status::Done)
}

fn install_one(folder: &Path, hook: Hook, dry_run: bool) -> Result<Row, Failure> {
    let path = folder.join(hook.name());
    let row = |action, beside| Row { hook: hook.name(), path: path.clone(), action, beside };
    let kept = folder.join(hook.kept());
    let there = read(&path)?;
    if there.as_ref().is_some_and(|there| block::is_in(&there.content)) {
        return Ok(row("present", None));
    }
    if !dry_run {
        fs::create_dir_all(folder).with_context(|| format!("cannot create '{}'", folder.display()))?;
    }
    match there {
        // An interrupted install has kept the old one and not yet written ours.
        None if kept.symlink_metadata().is_ok() => {
            write(&path, &block::alone(hook.name(), Some(&hook.kept())), 0o755, dry_run)?;
            Ok(row("installed", Some("before")))
        }
        None => {
            write(&path, &block::alone(hook.name(), None), 0o755, dry_run)?;
            Ok(row("installed", Some("alone")))
        }
        Some(there) if there.is_ours_to_change() && block::is_shell_script(&there.content) => {
            write(&path, &block::put_in(&there.content, hook.name()), there.mode, dry_run)?;
            Ok(row("installed", Some("in-script")))
        }
        Some(_) => {
            if kept.symlink_metadata().is_ok() {
                return Err(Failure::could_not("exists", format!("'{}' is in the way", kept.display())));
            }
            if !dry_run {
                fs::rename(&path, &kept).with_context(|| format!("cannot rename '{}'", path.display()))?;
            }
            write(&path, &block::alone(hook.name(), Some(&hook.kept())), 0o755, dry_run)?;
            Ok(row("installed", Some("before")))
        }
    }
}

pub(crate) fn uninstall(cx: &Context, args: UninstallArgs) -> Result<Status, Failure> {
    let folder = folder(cx)?;
    let mut hooks = Vec::new();
    for hook in Hook::ALL {
        hooks.push(uninstall_one(&folder, hook, args.dry_run)?);
    }
    cx.output.answer(&Answer { hooks })?;
    Ok(Status::Done)
}

fn uninstall_one(folder: &Path, hook: Hook, dry_run: bool) -> Result<Row, Failure> {
    let path = folder.join(hook.name());
    let kept = folder.join(hook.kept());
    let row = |action| Row { hook: hook.name(), path: path.clone(), action, beside: None };
    let there = read(&path)?;
    let is_chain = there.as_ref().is_some_and(|there| there.content == block::alone(hook.name(), Some(&hook.kept())));
    // An interrupted install may have kept the old one and not yet written ours.
    if kept.symlink_metadata().is_ok() && (is_chain || there.is_none()) {
        if !dry_run {
            fs::rename(&kept, &path).with_context(|| format!("cannot rename '{}'", kept.display()))?;
        }
        return Ok(row("removed"));
    }
    let Some(there) = there else { return Ok(row("absent")) };
    match block::take_out(&there.content, hook.name()) {
        Taken::Nothing if block::is_in(&there.content) => {
            Err(Failure::could_not("changed", format!("our lines in '{}' were changed by hand", path.display()))
                .hint("take them out by hand, from '# >>> git-validate >>>' to '# <<< git-validate <<<'"))
        }
        Taken::Nothing => Ok(row("absent")),
        Taken::All => {
            if !dry_run {
                fs::remove_file(&path).with_context(|| format!("cannot remove '{}'", path.display()))?;
            }
            Ok(row("removed"))
        }
        Taken::Rest(rest) => {
            write(&path, &rest, there.mode, dry_run)?;
            Ok(row("removed"))
        }
    }
}

struct There {
    content: Vec<u8>,
    mode: u32,
    is_link: bool,
}

impl There {
    /// What a link leads to may be a file of the project; what git does not run is not to begin to run.
    fn is_ours_to_change(&self) -> bool {
        !self.is_link && self.mode & 0o111 != 0
    }
}

fn read(path: &Path) -> Result<Option<There>, Failure> {
    let is_link = path.symlink_metadata().is_ok_and(|facts| facts.is_symlink());
    let Some(content) = durable::read(path)? else {
        // A link that leads nowhere is a hook that git does not run, and still somebody's.
        return Ok(is_link.then(|| There { content: Vec::new(), mode: 0, is_link }));
    };
    let facts = fs::metadata(path).with_context(|| format!("cannot look at '{}'", path.display()))?;
    Ok(Some(There { content, mode: facts.permissions().mode() & 0o7777, is_link }))
}

fn write(path: &Path, content: &[u8], mode: u32, dry_run: bool) -> Result<(), Failure> {
    if !dry_run {
        durable::replace_public(path, content, mode)?;
        // The mode of a new file is cut by the umask; a hook gets back what it had.
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, mode).with_context(|| format!("cannot set the mode of '{}'", path.display()))?;
    }
    Ok(())
}

/// Finds the folder that git takes hooks from; one outside the repository is not ours to change.
fn folder(cx: &Context) -> Result<PathBuf, Failure> {
    let repository = cx.repository()?;
    let git = cx.git()?.hooks(Hooks::Users);
    let said = git.run(["rev-parse", "--git-path", "hooks"])?.text();
    let configured = repository.settings("core").into_iter().any(|setting| setting.key == "hookspath");
    // A relative path counts from the top of the worktree in which git runs.
    let start =
        if configured { repository.work_tree().unwrap_or(repository.common_dir()) } else { repository.common_dir() };
    let folder = start.join(said);
    let real = folder.canonicalize().unwrap_or_else(|_| folder.clone());
    let inside = |root: Option<&Path>| root.is_some_and(|root| real.starts_with(root));
    let main = repository.main_worktree();
    if inside(Some(repository.common_dir())) || inside(repository.work_tree()) || inside(main.as_deref()) {
        return Ok(folder);
    }
    Err(Failure::could_not(
        "hooks-path",
        format!("core.hooksPath leads outside this repository, to '{}'", folder.display()),
    )
    .hint(
        "'git config --show-origin core.hooksPath' shows who set it; call 'git validate --staged' from the hooks there",
    ))
}

/// Judges what a hook is called for.
pub(crate) fn called(cx: &Context, args: HookArgs) -> Result<Status, Failure> {
    match args.hook {
        Hook::PreCommit => run::run(cx, run::Args::of(From::staged(), Choice::of(Stage::PreCommit))),
        Hook::PrePush => {
            for id in pushed()? {
                if cx.repository()?.tree(&id).is_err() {
                    // A tag may name a file, which no check can judge.
                    cx.output.note(format!("{id} is no commit; not validated"));
                    continue;
                }
                let status = run::run(cx, run::Args::of(From::rev(&id), Choice::of(Stage::PrePush)))?;
                if status != Status::Done {
                    return Ok(status);
                }
            }
            Ok(Status::Done)
        }
    }
}

/// Reads what is pushed: `<local ref> <local id> <remote ref> <remote id>`; deletions push nothing, notes are no work.
fn pushed() -> Result<BTreeSet<String>, Failure> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).context("cannot read which commits are pushed")?;
    let text = String::from_utf8_lossy(&text);
    let mut ids = BTreeSet::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (Some(id), Some(remote)) = (words.get(1), words.get(2)) else { continue };
        if id.bytes().any(|byte| byte != b'0') && !remote.starts_with("refs/notes/") {
            ids.insert((*id).to_owned());
        }
    }
    Ok(ids)
}
