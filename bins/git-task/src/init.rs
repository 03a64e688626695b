//! `git task init`: a commented config file for the repository.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use shared::app::Context;
use shared::config::REPOSITORY_FILE;
use shared::config::schema::{Class, KEYS, Key, Kind};
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;

/// Make a commented .codex-agent/config.toml, unless there is one
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Say what would be made and make nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    path: PathBuf,
    created: bool,
    #[serde(skip)]
    dry_run: bool,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match (self.created, self.dry_run) {
            (false, _) => "exists",
            (true, false) => "created",
            (true, true) => "would create",
        };
        write!(f, "{words} {}", self.path.display())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let repository = cx.repository_unchecked()?;
    let Some(top) = repository.work_tree() else {
        return Err(Failure::could_not("bare", "this repository has no worktree to put a file into"));
    };
    let path = top.join(REPOSITORY_FILE);
    let created = path.symlink_metadata().is_err();
    if created && !args.dry_run {
        make(&path)?;
    }
    cx.output.answer(&Answer { path, created, dry_run: args.dry_run })?;
    Ok(Status::Done)
}

fn make(path: &std::path::Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    match std::fs::create_dir(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Failure::could_not("write", format!("cannot create '{}': {e}", folder.display())));
        }
        Ok(()) | Err(_) => {}
    }
    if folder.symlink_metadata().is_ok_and(|facts| facts.is_symlink()) {
        return Err(Failure::could_not("write", format!("'{}' is a link; it has to be a folder", folder.display())));
    }
    durable::replace_public(path, template().as_bytes(), 0o644)?;
    Ok(())
}

/// What stands above the policies.
const POLICIES: &str = "\n# A policy of git-validate is on as soon as one of its keys is set; it needs no trust.\n\
    # 'git validate policy list' shows all, 'git validate policy explain NAME' one of them.\n";

/// Every key, commented out with its built-in value.
fn template() -> String {
    let mut text = String::from(
        "# Settings of this repository for git-task and its companions.\n\
         # Keys marked [trust] count only after 'git task trust' on each machine.\n",
    );
    let mut table = "";
    for key in KEYS.iter().filter(|key| key.class != Class::User) {
        let (head, field) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        if head != table {
            if head.starts_with("policies.") && !table.starts_with("policies.") {
                text.push_str(POLICIES);
            }
            table = head;
            text.push_str(&match head.split_once(".*") {
                Some(("checks", _)) => "\n# [[checks]]\n# name = \"unit\"\n".to_owned(),
                Some((family, _)) => format!("\n# [{family}.NAME]\n"),
                None => format!("\n[{head}]\n"),
            });
        }
        let trust = if key.class == Class::Command { " [trust]" } else { "" };
        let value = if key.default.is_empty() { example(key, field) } else { key.default.to_owned() };
        text.push_str(&format!("# {field} = {value}  # {}{trust}\n", key.about));
    }
    text
}

fn example(key: &Key, field: &str) -> String {
    match (field, key.kind) {
        (_, Kind::Integer) if told(key).is_some() => told(key).unwrap_or_default().to_owned(),
        (_, Kind::Choice(_) | Kind::Size) if told(key).is_some() => format!("{:?}", told(key).unwrap_or_default()),
        ("command", _) => "[\"make\", \"test\"]".to_owned(),
        ("base", _) => "\"main\"".to_owned(),
        (_, Kind::Choice(words)) => format!("{:?}", words.first().copied().unwrap_or_default()),
        (_, Kind::Boolean) => "false".to_owned(),
        (_, Kind::Integer | Kind::Duration | Kind::Size) => "0".to_owned(),
        (_, Kind::List) => "[]".to_owned(),
        (_, Kind::Text) => "\"\"".to_owned(),
    }
}

/// The value that the words of a key name for one that is not set.
fn told(key: &Key) -> Option<&'static str> {
    let word = key.about.rsplit_once("; ")?.1.strip_suffix(" if not set")?;
    (!word.contains(' ')).then_some(word)
}

#[cfg(test)]
mod tests {
    use shared::config::layer::{Layer, from_toml};

    #[test]
    fn the_template_is_good_with_and_without_its_comments() {
        let place = std::path::Path::new("config.toml");
        assert!(from_toml(super::template().as_bytes(), Layer::Repository, place).unwrap().is_empty());
        let open: String = super::template()
            .lines()
            .map(|line| {
                line.strip_prefix("# ").filter(|rest| rest.contains(" = ") || rest.starts_with('[')).unwrap_or(line)
            })
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(from_toml(open.as_bytes(), Layer::Repository, place).unwrap().len() > 10, "{open}");
        for line in ["\nmax = 120  #", "\nmax = \"1MiB\"  #", "\nseverity = \"error\"  #", "\nstage = []  #"] {
            assert!(open.contains(line), "{line}: {open}");
        }
    }
}
