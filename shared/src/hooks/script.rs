//! A hook in the folder that git takes hooks from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::block::{self, Taken};
use super::folder::Folder;
use super::{Beside, Call, Program, Row};
use crate::durable;
use crate::failure::Failure;

/// How a hook stands with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does not call us.
    Absent,
    /// It does.
    Installed,
    /// Git does not run it.
    NotExecutable,
    /// Our lines are not as we wrote them.
    Altered,
    /// An install was interrupted.
    Half,
}

/// Looks how a hook stands with us.
///
/// # Errors
/// When it cannot be read.
pub fn standing(folder: &Path, program: &Program, event: &str) -> Result<Standing, Failure> {
    let path = folder.join(event);
    let Some(there) = read(&path)? else {
        let is_kept = folder.join(program.kept(event)).symlink_metadata().is_ok();
        return Ok(if is_kept { Standing::Half } else { Standing::Absent });
    };
    let is_ours = block::is_in(&there.content, program);
    Ok(if !is_ours && !is_call(&there.content, program) {
        Standing::Absent
    } else if there.mode & 0o111 == 0 {
        Standing::NotExecutable
    } else if is_ours && !program.calls_of(event).any(|call| block::calls(&there.content, program, call)) {
        Standing::Altered
    } else {
        Standing::Installed
    })
}

pub(super) fn install(folder: &Folder, program: &Program, call: &Call, dry_run: bool) -> Result<Row, Failure> {
    let (folder, event) = (&folder.path, call.event);
    let path = folder.join(event);
    let row = |action, beside| Row { hook: event, path: path.clone(), action, beside };
    let kept = folder.join(program.kept(event));
    let there = read(&path)?;
    match &there {
        Some(there) if block::is_in(&there.content, program) => {
            if !program.calls_of(event).any(|call| block::calls(&there.content, program, call)) {
                return Err(altered(&path, program));
            }
            if there.mode & 0o111 == 0 {
                let words = format!("'{}' is not executable, so git does not run it", path.display());
                return Err(Failure::could_not("not-executable", words)
                    .hint("'chmod +x' lets git run it, with all that stands in it"));
            }
            let turned = block::turn(&there.content, program, call).filter(|turned| *turned != there.content);
            let Some(turned) = turned else { return Ok(row("present", None)) };
            write(&path, &turned, there.mode, dry_run)?;
            let is_chain = block::is_chain(&there.content, program, event);
            return Ok(row("installed", Some(if is_chain { Beside::Before } else { Beside::InScript })));
        }
        Some(there) if is_call(&there.content, program) && there.mode & 0o111 != 0 => return Ok(row("present", None)),
        Some(_) | None => {}
    }
    if !dry_run {
        fs::create_dir_all(folder).with_context(|| format!("cannot create '{}'", folder.display()))?;
    }
    match there {
        // An interrupted install has kept the old one and not yet written ours.
        None if kept.symlink_metadata().is_ok() => {
            write(&path, &block::alone(program, call, Some(&program.kept(event))), 0o755, dry_run)?;
            Ok(row("installed", Some(Beside::Before)))
        }
        None => {
            write(&path, &block::alone(program, call, None), 0o755, dry_run)?;
            Ok(row("installed", Some(Beside::Alone)))
        }
        Some(there) if there.is_ours_to_change() && block::is_shell_script(&there.content) => {
            write(&path, &block::put_in(&there.content, program, call), there.mode, dry_run)?;
            Ok(row("installed", Some(Beside::InScript)))
        }
        Some(_) => {
            keep(&path, &kept, dry_run)?;
            write(&path, &block::alone(program, call, Some(&program.kept(event))), 0o755, dry_run)?;
            Ok(row("installed", Some(Beside::Before)))
        }
    }
}

pub(super) fn uninstall(
    folder: &Folder,
    program: &Program,
    event: &'static str,
    dry_run: bool,
) -> Result<Row, Failure> {
    let path = folder.path.join(event);
    let kept = folder.path.join(program.kept(event));
    let row = |action| Row { hook: event, path: path.clone(), action, beside: None };
    let Some(there) = read(&path)? else {
        // An interrupted install may have kept the old one and not yet written ours.
        if kept.symlink_metadata().is_err() {
            return Ok(row("absent"));
        }
        bring_back(&kept, &path, dry_run)?;
        return Ok(row("removed"));
    };
    match block::take_out(&there.content, program, event) {
        Taken::Nothing if block::is_in(&there.content, program) => return Err(altered(&path, program)),
        Taken::Nothing => return Ok(row("absent")),
        Taken::All => {
            if !dry_run {
                fs::remove_file(&path).with_context(|| format!("cannot remove '{}'", path.display()))?;
            }
        }
        Taken::Rest(rest) => {
            let kept = block::kept(&rest).map(|name| folder.path.join(name));
            match kept.filter(|kept| kept.symlink_metadata().is_ok()) {
                Some(kept) => bring_back(&kept, &path, dry_run)?,
                None => write(&path, &rest, there.mode, dry_run)?,
            }
        }
    }
    Ok(row("removed"))
}

fn bring_back(kept: &Path, path: &Path, dry_run: bool) -> Result<(), Failure> {
    if !dry_run {
        fs::rename(kept, path).with_context(|| format!("cannot rename '{}'", kept.display()))?;
    }
    Ok(())
}

fn altered(path: &Path, program: &Program) -> Failure {
    let (begin, end) = (block::begin(program), block::end(program));
    Failure::could_not("changed", format!("our lines in '{}' were changed by hand", path.display()))
        .hint(format!("take them out by hand, from '{begin}' to '{end}'"))
}

/// Says whether a hook calls us already, by our lines or by a line of its own.
///
/// # Errors
/// When it cannot be read.
pub(super) fn is_called_from(path: &Path, program: &Program) -> Result<bool, Failure> {
    let there = read(path)?;
    Ok(there.is_none_or(|there| block::is_in(&there.content, program) || is_call(&there.content, program)))
}

/// Returns a hook as text; nothing if it cannot be read.
pub(super) fn text(path: &Path) -> String {
    read(path).ok().flatten().map(|there| String::from_utf8_lossy(&there.content).into_owned()).unwrap_or_default()
}

/// Says whether a line of a script, and not a comment, calls us.
fn is_call(script: &[u8], program: &Program) -> bool {
    let text = String::from_utf8_lossy(script);
    let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
    lines.into_iter().any(|line| {
        [program.name, program.verb].iter().any(|call| {
            line.match_indices(call).any(|(at, _)| {
                let before = line[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && !"-_./".contains(c));
                let after = line[at + call.len()..].chars().next();
                before && after.is_none_or(|c| c.is_whitespace() || ";|&)".contains(c))
            })
        })
    })
}

/// Puts a hook aside that is nobody's to change.
fn keep(path: &Path, kept: &PathBuf, dry_run: bool) -> Result<(), Failure> {
    if kept.symlink_metadata().is_ok() {
        return Err(Failure::could_not("exists", format!("'{}' is in the way", kept.display())));
    }
    if !dry_run {
        fs::rename(path, kept).with_context(|| format!("cannot rename '{}'", path.display()))?;
    }
    Ok(())
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
    let content = match durable::read(path) {
        Ok(content) => content,
        // A link that leads nowhere is a hook that git does not run, and still somebody's.
        Err(_) if is_link && !path.exists() => None,
        Err(error) => return Err(error.into()),
    };
    let Some(content) = content else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_seen_and_a_comment_or_a_name_is_none() {
        let (name, verb) = ("git-validate", "git validate");
        let program = Program { name, verb, by_hand: "", when_gone: "", calls: Vec::new() };
        for yes in
            ["#!/bin/sh\ngit validate --staged\n", "set -e; git-validate hook pre-commit \"$@\"", "exec git-validate"]
        {
            assert!(is_call(yes.as_bytes(), &program), "{yes}");
        }
        for no in ["# git validate\n", "git-validate-other", "not-git-validate", "./tools/git-validate.sh", ""] {
            assert!(!is_call(no.as_bytes(), &program), "{no}");
        }
    }
}
