//! Many merges by one git: `merge-tree --stdin`, fed whole and then read to the end.
//!
//! A line that git cannot merge ends the batch; what was answered before stays good, that line is
//! the one that could not be told, and the rest goes to the next git.

use std::thread;

use anyhow::{Context as _, Result, bail};
use gix::ObjectId;
use shared::process::Git;

/// One merge to ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    /// The base to use instead of the merge bases of the two sides.
    pub(crate) base: Option<ObjectId>,
    pub(crate) ours: ObjectId,
    pub(crate) theirs: ObjectId,
}

/// What git said of one merge.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// It merges, to this tree.
    Clean(ObjectId),
    /// It conflicts; the tree holds git's own attempt, with markers.
    Conflict { tree: ObjectId, files: Vec<File>, messages: Vec<Message> },
    /// Git refused, in these words.
    CouldNotTell(String),
}

/// One stage of a conflicted path.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) mode: u32,
    pub(crate) id: ObjectId,
    pub(crate) stage: u8,
    pub(crate) path: Vec<u8>,
}

/// What git says about some paths; the kind is a fixed word, the rest is for people.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) paths: Vec<Vec<u8>>,
    pub(crate) kind: String,
}

/// So many questions are worth a git of their own.
const SHARE: usize = 16;

/// More gits at once only get in each other's way.
const MOST_AT_ONCE: usize = 4;

/// Asks all questions like [`ask`], by several gits side by side if there are many.
pub(crate) fn ask_side_by_side(git: &Git, questions: &[Question]) -> Result<Vec<Reply>> {
    let gits = thread::available_parallelism().map_or(1, usize::from).min(MOST_AT_ONCE);
    let share = questions.len().div_ceil(gits).max(SHARE);
    let replies: Result<Vec<Vec<Reply>>> = thread::scope(|scope| {
        let shares: Vec<_> = questions.chunks(share).map(|share| scope.spawn(move || ask(git, share))).collect();
        shares.into_iter().map(|share| share.join().unwrap_or_else(|_| bail!("a thread failed"))).collect()
    });
    Ok(replies?.into_iter().flatten().collect())
}

/// Asks all questions; the replies come in their order.
pub(crate) fn ask(git: &Git, questions: &[Question]) -> Result<Vec<Reply>> {
    let mut replies = Vec::with_capacity(questions.len());
    while replies.len() < questions.len() {
        let rest = &questions[replies.len()..];
        let input: String = rest.iter().map(line).collect();
        let done = git.ask_with(["merge-tree", "--stdin", "-z"], input.as_bytes())?;
        let mut answered = parse(&done.stdout);
        answered.truncate(rest.len());
        let all = answered.len() == rest.len();
        replies.append(&mut answered);
        if !all {
            let words = done.stderr.lines().last().unwrap_or("git ended without a word");
            let words = words.trim_start_matches("fatal: ").trim_start_matches("merge-tree: ").to_owned();
            replies.push(Reply::CouldNotTell(words));
        } else if done.code != 0 {
            bail!("'git merge-tree' answered and then failed: {}", done.stderr);
        }
    }
    Ok(replies)
}

fn line(question: &Question) -> String {
    let Question { base, ours, theirs } = question;
    match base {
        Some(base) => format!("{base} -- {ours} {theirs}\n"),
        None => format!("{ours} {theirs}\n"),
    }
}

/// Reads the replies that are there whole; a last one that is cut off is left out.
fn parse(bytes: &[u8]) -> Vec<Reply> {
    let mut parts = bytes.split(|byte| *byte == 0);
    let mut replies = Vec::new();
    while let Some(Ok(reply)) = parse_one(&mut parts).transpose() {
        replies.push(reply);
    }
    replies
}

/// `<status> NUL <tree> NUL`, if it conflicts the stages, NUL and the messages, and a NUL at the end.
fn parse_one<'a>(parts: &mut impl Iterator<Item = &'a [u8]>) -> Result<Option<Reply>> {
    let status = parts.next().unwrap_or_default();
    if status.is_empty() {
        return Ok(None);
    }
    let tree = ObjectId::from_hex(parts.next().context("no tree")?).context("no tree id")?;
    match status {
        b"1" => {
            parts.next().context("no end")?;
            Ok(Some(Reply::Clean(tree)))
        }
        b"0" => {
            let mut files = Vec::new();
            loop {
                match parts.next().context("the stages are cut off")? {
                    b"" => break,
                    entry => files.push(parse_file(entry)?),
                }
            }
            let messages = parse_messages(parts)?;
            Ok(Some(Reply::Conflict { tree, files, messages }))
        }
        other => Ok(Some(Reply::CouldNotTell(format!("git answered '{}'", other.escape_ascii())))),
    }
}

/// `<mode> <id> <stage> TAB <path>`
fn parse_file(entry: &[u8]) -> Result<File> {
    let tab = entry.iter().position(|byte| *byte == b'\t').context("a stage without a path")?;
    let head = std::str::from_utf8(&entry[..tab])?;
    let mut fields = head.split(' ');
    Ok(File {
        mode: u32::from_str_radix(fields.next().context("no mode")?, 8)?,
        id: ObjectId::from_hex(fields.next().context("no id")?.as_bytes())?,
        stage: fields.next().context("no stage")?.parse()?,
        path: entry[tab + 1..].to_vec(),
    })
}

/// `<count> NUL <path> NUL … <kind> NUL <words> NUL`, again and again, and a NUL at the end.
fn parse_messages<'a>(parts: &mut impl Iterator<Item = &'a [u8]>) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    loop {
        let count = parts.next().context("the messages are cut off")?;
        if count.is_empty() {
            return Ok(messages);
        }
        let count: usize = std::str::from_utf8(count)?.parse()?;
        let mut paths = Vec::new();
        for _ in 0..count {
            paths.push(parts.next().context("the paths of a message are cut off")?.to_vec());
        }
        let kind = String::from_utf8_lossy(parts.next().context("a message without a kind")?).into_owned();
        parts.next().context("a message without words")?;
        messages.push(Message { paths, kind });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0684945f567084ad04cf4fc71b3eb2b265b90c1f";

    #[test]
    fn a_clean_reply_follows_one_with_conflicts() {
        let text = format!(
            "0\0{TREE}\0100644 {TREE} 1\tf\0100755 {TREE} 2\tf\0\01\0f\0Auto-merging\0Auto-merging f\n\0\
             1\0f\0CONFLICT (contents)\0CONFLICT (content): Merge conflict in f\n\0\01\0{TREE}\0\0"
        );
        let replies = parse(text.as_bytes());
        let [Reply::Conflict { files, messages, .. }, Reply::Clean(tree)] = &replies[..] else { panic!("{replies:?}") };
        assert_eq!((files.len(), files[1].mode, files[1].stage), (2, 0o100_755, 2));
        assert_eq!(messages[1].kind, "CONFLICT (contents)");
        assert_eq!(tree.to_string(), TREE);
    }

    #[test]
    fn a_reply_that_is_cut_off_is_no_reply() {
        let text = format!("1\0{TREE}\0\00\0{TREE}\0100644 {TREE} 1\tf\0");
        assert_eq!(parse(text.as_bytes()).len(), 1);
        assert_eq!(parse(format!("1\0{TREE}").as_bytes()).len(), 0);
        assert_eq!(parse(b"").len(), 0);
    }
}
