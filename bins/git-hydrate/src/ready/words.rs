//! The words of a step or a variable: split without a shell, then filled with this worktree's values.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};
use shared::app::Context;
use shared::refusal::Refusal;
use shared::slug::Slug;

use crate::target::Target;

/// The first port that a worktree may get; the ephemeral ports of Linux begin above the last.
const FIRST_PORT: u64 = 10_000;
const PORTS: u64 = 20_000;

/// A command line, split.
#[derive(Debug)]
pub(super) struct Line {
    words: Vec<String>,
}

impl Line {
    /// Splits a line as a shell would, without doing anything else that a shell does.
    pub(super) fn parse(line: &str) -> Result<Line> {
        let wrong = |why: &str| {
            let message = format!("'hydrate.after' holds '{}', which {why}", line.escape_debug());
            Refusal::new("wrong-value", message).hint("a step that needs a shell says so: sh -c '…'")
        };
        let Ok(words) = shell_words::split(line) else { bail!(wrong("ends within a quotation")) };
        if words.first().is_none_or(String::is_empty) {
            bail!(wrong("names no command"));
        }
        if line.contains('\0') {
            bail!(wrong("holds a NUL"));
        }
        Ok(Line { words })
    }

    pub(super) fn filled(&self, values: &Values) -> Vec<OsString> {
        self.words.iter().map(|word| values.fill(word)).collect()
    }
}

/// A variable of the env file.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    value: String,
}

impl Variable {
    pub(super) fn parse(line: &str) -> Result<Variable> {
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        match line.split_once('=').filter(|(name, _)| is_name(name)) {
            Some((name, value)) => Ok(Variable { name: name.to_owned(), value: value.to_owned() }),
            None => {
                let message = format!("'hydrate.env' holds '{}', which is no NAME=value", line.escape_debug());
                bail!(Refusal::new("wrong-value", message))
            }
        }
    }

    /// Returns the value, once it is sure that it can be written for every reader of such a file.
    pub(super) fn filled(&self, values: &Values) -> Result<OsString> {
        let value = values.fill(&self.value);
        if super::env_file::quoted(value.as_bytes()).is_none() {
            let message = format!("the value of '{}' cannot be written so that every reader takes it alike", self.name);
            bail!(Refusal::new("wrong-value", message).hint(
                "it may hold single quotes, or double quotes, backslashes and '$', but not both, and no line end"
            ));
        }
        Ok(value)
    }
}

/// What the placeholders stand for in this worktree.
#[derive(Debug)]
pub(super) struct Values {
    pairs: Vec<(&'static str, OsString)>,
}

impl Values {
    pub(super) fn of(cx: &Context, target: &Target, donor: Option<&Path>) -> Result<Values> {
        let repository = cx.repository_unchecked()?;
        let branch = match repository.gix.head_name() {
            Ok(Some(name)) => name.shorten().to_string(),
            Ok(None) | Err(_) => String::new(),
        };
        let prefix = cx.config()?.text("task.branch-prefix")?.unwrap_or_default();
        let slug = slug(&branch, &prefix, &target.worktree.path);
        let port = port(repository.common_dir(), &slug);
        Ok(Values {
            pairs: vec![
                ("{slug}", slug.into()),
                ("{port}", port.to_string().into()),
                ("{worktree}", target.worktree.path.clone().into_os_string()),
                ("{donor}", donor.map(|path| path.as_os_str().to_owned()).unwrap_or_default()),
                ("{branch}", branch.into()),
            ],
        })
    }

    /// Fills a word; what is put in is not looked at again.
    fn fill(&self, word: &str) -> OsString {
        let mut out = Vec::new();
        let mut rest = word;
        while let Some(brace) = rest.find('{') {
            out.extend_from_slice(&rest.as_bytes()[..brace]);
            rest = &rest[brace..];
            match self.pairs.iter().find(|(name, _)| rest.starts_with(name)) {
                Some((name, value)) => {
                    out.extend_from_slice(value.as_bytes());
                    rest = &rest[name.len()..];
                }
                None => {
                    out.push(b'{');
                    rest = &rest[1..];
                }
            }
        }
        out.extend_from_slice(rest.as_bytes());
        OsString::from_vec(out)
    }
}

/// The branch's name without the prefix of task branches, else the folder's name.
fn slug(branch: &str, prefix: &str, folder: &Path) -> String {
    let own = branch.strip_prefix(prefix).unwrap_or(branch);
    let name = folder.file_name().unwrap_or(OsStr::new("")).to_string_lossy();
    let slug = own.parse().ok().or_else(|| Slug::from_text(own)).or_else(|| Slug::from_text(&name));
    slug.map_or_else(|| "worktree".to_owned(), String::from)
}

/// The same in every run; two of n worktrees share one with the odds of about n²/40,000.
fn port(common_dir: &Path, slug: &str) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(common_dir.as_os_str().as_bytes());
    hasher.update([0]);
    hasher.update(slug.as_bytes());
    let digest = hasher.finalize();
    let number = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    FIRST_PORT + number % PORTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_and_then_filled() {
        let values = Values { pairs: vec![("{slug}", "a {port} b".into()), ("{port}", "1".into())] };
        let words = Line::parse("run 'x y' {slug}:{port} ${HOME} {other}").unwrap().filled(&values);
        assert_eq!(words, ["run", "x y", "a {port} b:1", "${HOME}", "{other}"]);
        for bad in ["", "  ", "'' x", "'a"] {
            assert!(Line::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_variable_has_a_name_that_a_shell_takes() {
        assert!(Variable::parse("A_1=").is_ok() && Variable::parse("A=b=c").is_ok_and(|v| v.value == "b=c"));
        for bad in ["", "=x", "1A=x", "A-B=x", "A", "A B=x"] {
            assert!(Variable::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_slug_is_that_of_the_task_or_the_folder() {
        let folder = Path::new("/x/My Folder");
        assert_eq!(slug("task/fix-login", "task/", folder), "fix-login");
        assert_eq!(slug("feature/Über login", "task/", folder), "feature-ber-login");
        assert_eq!(slug("", "task/", folder), "my-folder");
        assert_eq!(slug("", "task/", Path::new("/x/é")), "worktree");
    }

    #[test]
    fn the_port_is_stable() {
        let port = |dir: &str, slug: &str| port(Path::new(dir), slug);
        assert_eq!(port("/r/.git", "a"), port("/r/.git", "a"));
        assert_ne!(port("/r/.git", "a"), port("/r/.git", "b"));
        assert!((0..500).all(|n| (10_000..30_000).contains(&port("/r/.git", &n.to_string()))));
    }
}
