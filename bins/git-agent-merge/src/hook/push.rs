//! What the pre-push hook asks: each pushed branch with its base, and with the other open tasks.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Read;

use anyhow::Context as _;
use gix::ObjectId;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process::Git;

use super::Mode;
use crate::batch::{self, Question, Reply};
use crate::names::{self, Base, Side, short};
use crate::{conflict, overlap};
use shared::quarantine::Quarantine;

/// As many conflicted paths are named.
const MOST_PATHS: usize = 5;

/// Look at what is pushed
#[derive(Debug, clap::Args)]
pub(crate) struct HookArgs {
    /// Refuse the push if something conflicts or cannot be told
    #[arg(long)]
    refuse: bool,
    /// The hook that calls
    #[arg(value_parser = ["pre-push"])]
    hook: String,
    /// What git gives to the hook
    #[arg(value_name = "argument", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// What keeps a pushed branch from merging.
enum Finding {
    Conflict { with: String, paths: Vec<String> },
    CouldNotTell { with: String, reason: String },
}

/// Looks at what is pushed; nothing but the narration is written.
pub(crate) fn called(cx: &Context, args: HookArgs) -> Result<Status, Failure> {
    let mode = if args.refuse { Mode::Refuse } else { Mode::Warn };
    let HookArgs { hook: _, arguments: _, refuse: _ } = args;
    match (look(cx), mode) {
        (Ok(Status::Done), _) | (Ok(_), Mode::Warn) => Ok(Status::Done),
        (Ok(status), Mode::Refuse) => {
            cx.output.warn("the push is refused");
            Ok(status)
        }
        (Err(failure), Mode::Refuse) => Err(failure),
        (Err(failure), Mode::Warn) => {
            cx.output.warn(format!("whether the push conflicts could not be told: {}", Foreign(failure.message())));
            Ok(Status::Done)
        }
    }
}

fn look(cx: &Context) -> Result<Status, Failure> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).context("cannot read what is pushed")?;
    let pushed = pushed(&String::from_utf8_lossy(&text));
    if pushed.is_empty() {
        return Ok(Status::Done);
    }
    crate::rules::refuse_old_git(cx)?;
    let open = open(cx)?;
    let quarantine = Quarantine::new()?;
    let mut looks: HashMap<String, Look> = HashMap::new();
    let mut status = Status::Done;
    for Pushed { branch, commit } in pushed {
        let side = side(cx, &open, branch, commit)?;
        let base = names::base(cx, None, std::slice::from_ref(&side))?;
        // What is the base of others is not held up by them.
        if side.branch.as_deref() == Some(base.name.as_str()) {
            continue;
        }
        if !looks.contains_key(&base.name) {
            looks.insert(base.name.clone(), Look::at(cx, &quarantine, base.clone(), &open)?);
        }
        let look = looks.get(&base.name).context("the base was looked at")?;
        for finding in look.findings(&side)? {
            let worse = say(cx, &side, &finding);
            if status == Status::Done || worse == Status::No {
                status = worse;
            }
        }
    }
    Ok(status)
}

fn say(cx: &Context, side: &Side, finding: &Finding) -> Status {
    let name = Foreign(&side.name);
    match finding {
        Finding::Conflict { with, paths } => {
            let mut shown: Vec<String> = paths.iter().take(MOST_PATHS).map(|path| Foreign(path).to_string()).collect();
            if paths.len() > MOST_PATHS {
                shown.push(format!("and {} more", paths.len() - MOST_PATHS));
            }
            cx.output.warn(format!("'{name}' conflicts with {with}: {}", shown.join(", ")));
            Status::No
        }
        Finding::CouldNotTell { with, reason } => {
            let reason = Foreign(reason);
            cx.output.warn(format!("whether '{name}' conflicts with {with} could not be told: {reason}"));
            Status::CouldNot
        }
    }
}

/// A branch that is pushed.
struct Pushed {
    /// The full name of the local branch; of the remote one where a commit is pushed by itself.
    branch: String,
    commit: String,
}

/// Reads `<local ref> <local id> <remote ref> <remote id>`; only what becomes a branch counts, and no deletion.
fn pushed(text: &str) -> Vec<Pushed> {
    let mut pushed = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [local, id, remote, ..] = words[..] else { continue };
        if id.bytes().any(|byte| byte != b'0') && remote.starts_with("refs/heads/") {
            let branch = if local.starts_with("refs/heads/") { local } else { remote };
            pushed.push(Pushed { branch: branch.to_owned(), commit: id.to_owned() });
        }
    }
    pushed
}

/// The pushed branch as a side, with the task that has it.
fn side(cx: &Context, open: &[Open], branch: String, commit: String) -> Result<Side, Failure> {
    let commit = cx.repository()?.commit(&commit)?;
    let own = open.iter().find(|open| open.side.branch.as_deref() == Some(branch.as_str()));
    let task = own.and_then(|open| open.side.task.clone());
    Ok(Side { name: short(&branch).to_owned(), task, branch: Some(branch), commit, dirty: false })
}

/// An open task that has a branch.
struct Open {
    side: Side,
    /// What it merges into; nothing if that cannot be told.
    base: Option<String>,
}

fn open(cx: &Context) -> Result<Vec<Open>, Failure> {
    let tasks = cx.registry()?.load()?;
    let key = cx.repository()?.key();
    let base = |side: &Side| {
        let task = side.task.as_deref().and_then(|slug| tasks.find(&key, slug));
        match task.and_then(|task| task.base.as_ref()) {
            Some(base) => Some(base.name.clone()),
            None => names::base(cx, None, std::slice::from_ref(side)).ok().map(|base| base.name),
        }
    };
    let sides = names::sides(cx, &[], true)?;
    Ok(sides.into_iter().map(|side| Open { base: base(&side), side }).collect())
}

/// The open tasks of one base, each merged into it.
struct Look {
    git: Git,
    base: Base,
    base_tree: ObjectId,
    others: Vec<(Side, ObjectId)>,
}

impl Look {
    fn at(cx: &Context, quarantine: &Quarantine, base: Base, open: &[Open]) -> Result<Look, Failure> {
        let git = quarantine.hold(cx, cx.git()?.env("GIT_ATTR_SOURCE", base.commit.to_string()))?;
        // Tasks of another base never meet on this one.
        let same = open.iter().filter(|open| open.base.as_ref() == Some(&base.name));
        let others: Vec<Side> = same.map(|open| open.side.clone()).collect();
        let replies = batch::ask(&git, &others.iter().map(|side| question(&base, side)).collect::<Vec<_>>())?;
        let merged = others.into_iter().zip(replies).filter_map(|(side, reply)| match reply {
            Reply::Clean(tree) => Some((side, tree)),
            // What does not merge into the base is said when it is pushed itself.
            Reply::Conflict { .. } | Reply::CouldNotTell(_) => None,
        });
        let others = merged.collect();
        let base_tree = cx.repository()?.tree_of(base.commit)?;
        Ok(Look { git, base, base_tree, others })
    }

    /// Merges a branch with the base; and if that is clean, with each task whose changes may meet its own.
    fn findings(&self, side: &Side) -> Result<Vec<Finding>, Failure> {
        let with_base = question(&self.base, side);
        let reply = batch::ask(&self.git, &[with_base])?.pop().context("git gave no answer")?;
        let Reply::Clean(own) = reply else {
            return Ok(finding(&format!("'{}'", Foreign(short(&self.base.name))), &with_base, &reply)
                .into_iter()
                .collect());
        };
        let others: Vec<&(Side, ObjectId)> =
            self.others.iter().filter(|(other, _)| other.branch != side.branch).collect();
        let trees: Vec<ObjectId> = std::iter::once(own).chain(others.iter().map(|(_, tree)| *tree)).collect();
        let changes = overlap::changes(&self.git, self.base_tree, if others.is_empty() { &[] } else { &trees })?;
        let Some((first, rest)) = changes.split_first() else { return Ok(Vec::new()) };
        let (mut asked, mut questions) = (Vec::new(), Vec::new());
        for ((other, tree), changes) in others.iter().zip(rest) {
            if first.may_meet(changes) {
                asked.push(other);
                questions.push(Question { base: Some(self.base.commit), ours: own, theirs: *tree });
            }
        }
        let replies = batch::ask(&self.git, &questions)?;
        let rows = asked.iter().zip(&questions).zip(&replies);
        Ok(rows
            .filter_map(|((other, question), reply)| {
                finding(&format!("the task '{}'", Foreign(&other.name)), question, reply)
            })
            .collect())
    }
}

fn question(base: &Base, side: &Side) -> Question {
    Question { base: None, ours: base.commit, theirs: side.commit }
}

fn finding(with: &str, question: &Question, reply: &Reply) -> Option<Finding> {
    let with = with.to_owned();
    match reply {
        Reply::Clean(_) => None,
        Reply::CouldNotTell(reason) => Some(Finding::CouldNotTell { with, reason: reason.clone() }),
        Reply::Conflict { files, messages, .. } => {
            let labels = [question.ours.to_string(), question.theirs.to_string()];
            let conflicts = conflict::conflicts(files, messages, &labels);
            Some(Finding::Conflict { with, paths: conflicts.into_iter().map(|conflict| conflict.path).collect() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_and_tags_are_no_branches() {
        let zero = "0".repeat(40);
        let text = format!(
            "refs/heads/a {id} refs/heads/b {zero}\n(delete) {zero} refs/heads/gone {id}\n\
             refs/tags/v1 {id} refs/tags/v1 {zero}\nHEAD~1 {id} refs/heads/c {zero}\n\n",
            id = "1".repeat(40)
        );
        let names: Vec<String> = pushed(&text).into_iter().map(|pushed| pushed.branch).collect();
        assert_eq!(names, ["refs/heads/a", "refs/heads/c"]);
    }
}
