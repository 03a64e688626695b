//! `git validate init`: proposes checks for what is in the repository.

mod detect;
mod node;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use shared::app::Context;
use shared::config::REPOSITORY_FILE;
use shared::config::layer::{self, Layer};
use shared::durable::{self, Lock};
use shared::exit::Status;
use shared::failure::Failure;
use shared::folders;

/// More than settings may have.
const MOST: usize = 2 << 20;

/// Propose checks for what is in this repository; nothing is set unless asked
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Add them to the settings of the repository, .codex-agent/config.toml
    #[arg(long)]
    write: bool,
    /// Say what would change and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// One check that is proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Proposal {
    name: String,
    /// Program and arguments, or else a script.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<String>,
    /// Whether nothing else may run beside it.
    serial: bool,
    /// The file that speaks for it.
    because: String,
}

impl Proposal {
    fn command(name: &str, because: &str, command: &[&str]) -> Proposal {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Proposal { name: name.to_owned(), command, shell: None, serial: false, because: because.to_owned() }
    }

    fn shell(name: &str, because: &str, script: &str) -> Proposal {
        Proposal { shell: Some(script.to_owned()), ..Proposal::command(name, because, &[]) }
    }

    fn to_toml(&self) -> String {
        let text = |text: &str| toml::Value::from(text).to_string();
        let mut entry = format!("# {}\n[[checks]]\nname = {}\n", self.because, text(&self.name));
        match &self.shell {
            Some(script) => entry.push_str(&format!("shell = {}\n", text(script))),
            None => {
                let words: Vec<String> = self.command.iter().map(|word| text(word)).collect();
                entry.push_str(&format!("command = [{}]\n", words.join(", ")));
            }
        }
        if self.serial {
            entry.push_str("serial = true\n");
        }
        entry
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    /// The file of the settings.
    file: PathBuf,
    written: bool,
    checks: Vec<Proposal>,
}

impl Answer {
    fn to_toml(&self) -> String {
        self.checks.iter().map(Proposal::to_toml).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_toml())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let repository = cx.repository_unchecked()?;
    let (Some(top), Some(main)) = (repository.work_tree(), repository.main_worktree()) else {
        return Err(Failure::could_not("bare", "a bare repository has no files to propose checks for"));
    };
    let mut answer = Answer { file: main.join(REPOSITORY_FILE), written: false, checks: detect::all(top) };
    if answer.checks.is_empty() {
        cx.output.note("nothing was found here that a check is known for; 'man git-validate' shows how one is written");
    } else if args.write {
        write(&answer, args.dry_run)?;
        answer.written = !args.dry_run;
    }
    cx.output.answer(&answer)?;
    if answer.written {
        cx.output.note(format!("written to '{}'; they count once 'git task trust' is answered", answer.file.display()));
    } else if !answer.checks.is_empty() {
        cx.output.note(match args.write {
            true => format!("would be written to '{}'", answer.file.display()),
            false => "nothing is written; '--write' adds them to the settings".to_owned(),
        });
    }
    Ok(Status::Done)
}

/// Adds the checks at the end of the settings, which stay as they are.
fn write(answer: &Answer, dry_run: bool) -> Result<(), Failure> {
    let path = &answer.file;
    let folder = path.parent().unwrap_or(path);
    if folder.symlink_metadata().is_ok_and(|facts| facts.is_symlink()) {
        return Err(Failure::could_not("write", format!("'{}' is a link; it has to be a folder", folder.display())));
    }
    let _lock = if dry_run { None } else { Some(lock()?) };
    let before = durable::read_foreign(path, MOST)?.unwrap_or_default();
    let entries = layer::from_toml(&before, Layer::Repository, path)?;
    let is_there = |check: &&Proposal| {
        let prefix = format!("checks.{}.", check.name);
        entries.iter().any(|entry| entry.key.starts_with(&prefix))
    };
    let there: Vec<&str> = answer.checks.iter().filter(is_there).map(|check| check.name.as_str()).collect();
    if !there.is_empty() {
        let words = format!("'{}' has checks of these names already: {}", path.display(), there.join(", "));
        return Err(Failure::could_not("exists", words)
            .hint("'git validate init' without '--write' shows what it proposes; add what is missing by hand"));
    }
    let after = joined(&before, &answer.to_toml());
    // Nothing is written that could not be read afterwards.
    layer::from_toml(&after, Layer::Repository, path)
        .with_context(|| format!("the checks cannot be added at the end of '{}'", path.display()))?;
    if !dry_run {
        make(folder)?;
        durable::replace_public(path, &after, 0o644)?;
    }
    Ok(())
}

fn lock() -> Result<Lock, Failure> {
    let folder = folders::state()?;
    durable::private_folder(&folder)?;
    Ok(Lock::acquire(&folder.join("config.lock"), durable::PATIENCE)?)
}

fn joined(before: &[u8], more: &str) -> Vec<u8> {
    let gap = match before {
        [] => "",
        before if before.ends_with(b"\n\n") => "",
        before if before.ends_with(b"\n") => "\n",
        _ => "\n\n",
    };
    [before, gap.as_bytes(), more.as_bytes()].concat()
}

fn make(folder: &Path) -> Result<(), Failure> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Failure::could_not("write", format!("cannot create '{}': {error}", folder.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proposed_is_good_settings() {
        let checks = vec![
            Proposal::command("a", "Makefile", &["make", "a\"b\\"]),
            Proposal { serial: true, ..Proposal::shell("b", "package.json", "x || exit\ny \"$1\"") },
        ];
        let text = Answer { file: PathBuf::new(), written: false, checks }.to_toml();
        let entries = layer::from_toml(text.as_bytes(), Layer::Repository, Path::new("config.toml")).unwrap();
        let keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["checks.a.command", "checks.b.shell", "checks.b.serial"]);
    }

    #[test]
    fn there_is_a_line_between() {
        assert_eq!(joined(b"", "x"), b"x");
        assert_eq!(joined(b"a = 1", "x"), b"a = 1\n\nx");
        assert_eq!(joined(b"a = 1\n", "x"), b"a = 1\n\nx");
    }
}
