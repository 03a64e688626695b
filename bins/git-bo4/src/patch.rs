//! Patches: from a foreign diff to a tree, and from a commit to a patch, both without a checkout.
//!
//! A diff of others is text until git has put it into an index of ours: git itself refuses paths
//! that lead out of the tree or into a git folder, and what lies behind a link.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use gix::ObjectId;
use rustix::process::Resource;
use shared::app::Context;
use shared::failure::Failure;
use shared::process::{Done, Git};

use crate::record::id;

/// A longer diff is refused, in bytes.
pub(crate) const LONGEST: usize = 64 << 20;
/// Binary files that claim to be longer, all together, are refused, in bytes: git would make room for them first.
const LARGEST_BINARIES: u64 = 128 << 20;
/// What git may take for a foreign diff beside four times the index, in bytes: a few bytes of one can ask for gigabytes.
const MOST_MEMORY: u64 = 256 << 20;
/// How long it may work on one, in seconds.
const LONGEST_WORK: u64 = 300;

/// Where a diff is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Git,
    Others,
}

/// Makes the tree of a commit with a diff applied; the reason, in git's words, if it does not apply.
///
/// # Errors
/// When git cannot be run, or the base cannot be read.
pub(crate) fn applied(
    cx: &Context,
    base: ObjectId,
    diff: &[u8],
    folder: &Path,
) -> Result<Result<ObjectId, String>, Failure> {
    if let Err(why) = refuse(diff) {
        return Ok(Err(why));
    }
    put(cx, base, diff, folder, Source::Others)
}

fn put(
    cx: &Context,
    base: ObjectId,
    diff: &[u8],
    folder: &Path,
    source: Source,
) -> Result<Result<ObjectId, String>, Failure> {
    let own = tempfile::tempdir_in(folder).context("cannot create a temporary folder")?;
    let index = own.path().join("index");
    let git = strict(cx.git()?).env("GIT_INDEX_FILE", &index).within(own.path());
    git.run(["read-tree", &base.to_string()])?;
    let words = ["apply", "--cached", "--whitespace=nowarn", "--no-ignore-whitespace", "-p1", "-"];
    let done = match source {
        Source::Git => git.ask_with(words, diff)?,
        Source::Others => {
            let size = index.metadata().map_or(0, |facts| facts.len());
            let bounds = [(Resource::Data, MOST_MEMORY + 4 * size), (Resource::Cpu, LONGEST_WORK)];
            git.ask_bounded(words, diff, &bounds)?
        }
    };
    if done.code != 0 {
        return Ok(Err(reason(&done)));
    }
    Ok(Ok(id(&git.run(["write-tree"])?.text())?))
}

/// Names of files that would be taken for a git folder elsewhere are refused here too.
fn strict(git: Git) -> Git {
    git.setting("core.protectNTFS=true").setting("core.protectHFS=true")
}

/// Refuses what would cost git more than it is worth.
fn refuse(diff: &[u8]) -> Result<(), String> {
    if diff.trim_ascii().is_empty() {
        return Err("the diff is empty".to_owned());
    }
    if diff.len() > LONGEST {
        return Err(format!("the diff has {} bytes, more than {LONGEST}", diff.len()));
    }
    let (mut is_binary, mut claimed) = (false, 0_u64);
    for line in diff.split(|byte| *byte == b'\n') {
        is_binary = line == b"GIT binary patch" || (is_binary && !line.starts_with(b"diff --git "));
        // In a file it may be; where git reads what to do, it would hide the rest of the line.
        if line.contains(&0) && !matches!(line[0], b'+' | b'-' | b' ') {
            return Err("a line of the diff that is of no file has a NUL byte".to_owned());
        }
        let claim = [&b"literal "[..], b"delta "].iter().find_map(|word| line.strip_prefix(*word));
        if let Some(claim) = claim.filter(|_| is_binary) {
            claimed = claimed.saturating_add(size(claim));
        }
    }
    if claimed > LARGEST_BINARIES {
        return Err(format!("the binary files of the diff claim to have {claimed} bytes"));
    }
    Ok(())
}

/// Reads a number as git does, which takes no offence at what is before or behind it.
fn size(text: &[u8]) -> u64 {
    let digits = text.trim_ascii_start();
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    match std::str::from_utf8(&digits[..end]) {
        Ok("") | Err(_) => u64::from(digits.starts_with(b"-")) * u64::MAX,
        Ok(digits) => digits.parse().unwrap_or(u64::MAX),
    }
}

fn reason(done: &Done) -> String {
    const MOST: usize = 600;
    let lines = done.stderr.lines().map(|line| line.trim_start_matches("error: "));
    let words: String = lines.collect::<Vec<_>>().join("; ").chars().take(MOST).collect();
    if words.is_empty() { format!("git ended with exit code {}", done.code) } else { words }
}

/// Returns what a commit changes of its base as a patch that `git apply` takes, whatever the settings say.
///
/// # Errors
/// When git fails.
pub(crate) fn of(git: &Git, base: ObjectId, commit: ObjectId) -> Result<Vec<u8>> {
    let git = git.clone().reading().setting("core.quotePath=true").setting("diff.suppressBlankEmpty=false");
    let words = [
        "diff-tree",
        "-r",
        "-p",
        "--binary",
        "--full-index",
        "--find-renames",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--no-relative",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        "--unified=3",
        "--inter-hunk-context=0",
        "--submodule=short",
        "--ignore-submodules=none",
        "--diff-algorithm=default",
        "-O/dev/null",
    ];
    Ok(git.run(words.iter().copied().chain([base.to_string().as_str(), commit.to_string().as_str()]))?.stdout)
}

/// Makes sure that a patch makes the commit's tree of its base.
///
/// # Errors
/// When it does not.
pub(crate) fn verify(cx: &Context, base: ObjectId, patch: &[u8], tree: ObjectId, folder: &Path) -> Result<(), Failure> {
    if patch.is_empty() {
        return Ok(());
    }
    match put(cx, base, patch, folder, Source::Git)? {
        Ok(made) if made == tree => Ok(()),
        Ok(_) => Err(Failure::could_not("patch", "the patch makes another tree than the variant's")),
        Err(why) => Err(Failure::could_not("patch", format!("the patch cannot be applied: {why}"))),
    }
}

/// Reads a foreign diff that was kept.
///
/// # Errors
/// When it is not there.
pub(crate) fn load(path: &Path) -> Result<Vec<u8>> {
    match shared::durable::read_foreign(path, LONGEST + 1)? {
        Some(bytes) => Ok(bytes),
        None => bail!("there is no diff '{}'", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_of_a_huge_file_is_refused_before_git_makes_room_for_it() {
        let diff = b"diff --git a/x b/x\nGIT binary patch\nliteral 1073741824\nzcmZ\n";
        assert!(refuse(diff).unwrap_err().contains("1073741824"));
        assert!(refuse(b"diff --git a/x b/x\n+literal 1073741824\n").is_ok());
        assert!(refuse(b" \n").is_err());
        for claim in ["+1073741824", "  1073741824x", "1073741824 1", "-1", "99999999999999999999999"] {
            let diff = format!("GIT binary patch\nliteral {claim}\nzcmZ\n");
            assert!(refuse(diff.as_bytes()).is_err(), "{claim}");
        }
        let many = "GIT binary patch\ndelta 60000000\nzcmZ\n\n".repeat(3);
        assert!(refuse(many.as_bytes()).unwrap_err().contains("180000000"));
    }
}
