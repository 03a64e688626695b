//! Making commits without a checkout.

use anyhow::{Context, Result};
use gix::ObjectId;

use super::git::Git;

/// Makes a commit of a tree, as the user; the message is taken as it is.
///
/// # Errors
/// When git refuses, for want of a name for example.
pub fn commit_tree(git: &Git, tree: ObjectId, parents: &[ObjectId], message: &str) -> Result<ObjectId> {
    let mut arguments = vec!["commit-tree".to_owned()];
    for parent in parents {
        arguments.extend(["-p".to_owned(), parent.to_string()]);
    }
    arguments.extend(["-F".into(), "-".into(), tree.to_string()]);
    let id = git.feed(&arguments, message.as_bytes())?.text();
    ObjectId::from_hex(id.as_bytes()).context("'git commit-tree' named no commit")
}

/// Copies a commit onto another parent: author, dates and message stay byte for byte, the committer is the user.
///
/// A signature is not copied: it would not be true of the copy.
///
/// # Errors
/// When the commit cannot be read, or git makes none.
pub fn copy_commit(git: &Git, commit: ObjectId, tree: ObjectId, parent: ObjectId) -> Result<ObjectId> {
    let raw = git.run(["cat-file", "commit", &commit.to_string()])?.stdout;
    let end = raw.windows(2).position(|pair| pair == b"\n\n").context("the commit has no end of its head")?;
    let (head, message) = (&raw[..end], &raw[end..]);
    let line = |name: &str| {
        let found = head.split(|byte| *byte == b'\n').find(|line| line.starts_with(name.as_bytes()));
        found.map(|line| [line, b"\n"].concat()).unwrap_or_default()
    };
    let committer = git.run(["var", "GIT_COMMITTER_IDENT"])?.text();
    let copy = [
        format!("tree {tree}\nparent {parent}\n").into_bytes(),
        line("author "),
        format!("committer {committer}\n").into_bytes(),
        line("encoding "),
        message.get(1..).unwrap_or_default().to_vec(),
    ]
    .concat();
    let words = ["hash-object", "-t", "commit", "-w", "--stdin"];
    // What git finds wrong with the old commit, such as an author without an address, is not ours to mend.
    let id = git.feed(words, &copy).or_else(|_| git.feed(words.into_iter().chain(["--literally"]), &copy))?.text();
    ObjectId::from_hex(id.as_bytes()).context("'git hash-object' named no commit")
}
