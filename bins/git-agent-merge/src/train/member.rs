//! The members of a train, and the order in which they are merged.

use std::collections::HashSet;

use gix::ObjectId;
use shared::app::Context;
use shared::failure::Failure;
use shared::process::Git;
use shared::registry::Task;

use crate::batch::{self, Question, Reply};
use crate::names::{Base, Side};
use crate::{conflict, order};

/// One branch of a train.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) side: Side,
    /// What its merge commit says.
    pub(crate) message: String,
    /// The members before it whose tasks have to be done first.
    pub(crate) needs: Vec<usize>,
    /// The paths that it changes in the base; none where it conflicts with the base.
    pub(crate) touched: HashSet<Vec<u8>>,
    /// The paths in which it conflicts with the base.
    pub(crate) against_base: HashSet<Vec<u8>>,
}

/// Whether they are merged as they were named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Best,
    AsGiven,
}

/// Looks at each side by itself, and puts them in order; `git` writes to a quarantine.
pub(crate) fn members(
    cx: &Context,
    git: &Git,
    base: &Base,
    sides: Vec<Side>,
    order: Order,
) -> Result<Vec<Member>, Failure> {
    let questions: Vec<Question> =
        sides.iter().map(|side| Question { base: None, ours: base.commit, theirs: side.commit }).collect();
    let replies = batch::ask(git, &questions)?;
    let trees: Vec<ObjectId> =
        replies.iter().filter_map(|reply| if let Reply::Clean(tree) = reply { Some(*tree) } else { None }).collect();
    let mut touched = touched(git, cx.repository()?.tree_of(base.commit)?, &trees)?.into_iter();
    let tasks = cx.registry()?.load()?;
    let key = cx.repository()?.key();
    let of = |side: &Side| side.task.as_deref().and_then(|slug| tasks.find(&key, slug));
    let ids: Vec<Option<String>> = sides.iter().map(|side| of(side).map(|task| task.id.clone())).collect();
    let mut members = Vec::new();
    for ((side, question), reply) in sides.into_iter().zip(&questions).zip(&replies) {
        let task = of(&side);
        let depends_on = task.map(|task| task.depends_on.as_slice()).unwrap_or_default();
        let is_needed = |id: &Option<String>| id.as_ref().is_some_and(|id| depends_on.contains(id));
        let mut member = Member {
            message: message(&side, task),
            needs: (0..ids.len()).filter(|at| is_needed(&ids[*at])).collect(),
            side,
            touched: HashSet::new(),
            against_base: HashSet::new(),
        };
        match reply {
            Reply::Clean(_) => member.touched = touched.next().unwrap_or_default(),
            Reply::Conflict { files, messages, .. } => {
                let labels = [question.ours.to_string(), question.theirs.to_string()];
                let conflicts = conflict::conflicts(files, messages, &labels);
                member.against_base = conflicts.into_iter().map(|conflict| conflict.raw_path).collect();
            }
            Reply::CouldNotTell(_) => {}
        }
        members.push(member);
    }
    let order = match order {
        Order::Best => {
            let sides: Vec<Side> = members.iter().map(|member| member.side.clone()).collect();
            sorted(&members, &order::best(cx, base.clone(), &sides)?, &held(git, base, &members)?)
        }
        Order::AsGiven => (0..members.len()).collect(),
    };
    Ok(in_order(members, &order))
}

fn message(side: &Side, task: Option<&Task>) -> String {
    match (task, &side.branch) {
        (Some(task), _) => format!("Merge task '{}'\n\n{}\n", task.slug, task.title),
        (None, Some(branch)) => format!("Merge branch '{}'\n", crate::names::short(branch)),
        (None, None) => format!("Merge commit '{}'\n", side.commit),
    }
}

/// For each member those whose commits it holds as well, as one that was started from another does.
fn held(git: &Git, base: &Base, members: &[Member]) -> Result<Vec<Vec<usize>>, Failure> {
    let mut held = Vec::new();
    for member in members {
        let own = member.side.commit;
        let listed = git.ask(["rev-list", &own.to_string(), "--not", &base.commit.to_string()])?.text();
        let commits: HashSet<&str> = listed.lines().collect();
        let is_held = |other: &Member| other.side.commit != own && commits.contains(&*other.side.commit.to_string());
        held.push((0..members.len()).filter(|at| is_held(&members[*at])).collect());
    }
    Ok(held)
}

/// Keeps the order, but for those that need or hold one that comes later.
fn sorted(members: &[Member], order: &[usize], held: &[Vec<usize>]) -> Vec<usize> {
    let mut left = order.to_vec();
    let mut sorted = Vec::new();
    while !left.is_empty() {
        let is_free = |at: &usize| members[*at].needs.iter().chain(&held[*at]).all(|need| !left.contains(need));
        // Tasks that need each other in a circle come as they would without that.
        let next = left.iter().position(is_free).unwrap_or(0);
        sorted.push(left.remove(next));
    }
    sorted
}

/// The paths that each tree changes in the base, by one git.
fn touched(git: &Git, base: ObjectId, trees: &[ObjectId]) -> Result<Vec<HashSet<Vec<u8>>>, Failure> {
    let heads: Vec<String> = trees.iter().map(|tree| format!("{base} {tree}\n")).collect();
    let words = ["diff-tree", "-r", "-z", "--no-renames", "--ignore-submodules=none", "--name-only", "--stdin"];
    let output = git.feed(words, heads.concat().as_bytes())?.stdout;
    let mut all: Vec<HashSet<Vec<u8>>> = Vec::new();
    for mut part in output.split(|byte| *byte == 0) {
        // Before the first path of two trees stands what was asked; of equal trees nothing else does.
        while let Some(rest) = heads.get(all.len()).and_then(|head| part.strip_prefix(head.as_bytes())) {
            all.push(HashSet::new());
            part = rest;
        }
        if let (Some(own), false) = (all.last_mut(), part.is_empty()) {
            own.insert(part.to_vec());
        }
    }
    Ok(all)
}

/// Puts them in order; a need of one that comes later in it is none.
fn in_order(members: Vec<Member>, order: &[usize]) -> Vec<Member> {
    let mut slots: Vec<Option<Member>> = members.into_iter().map(Some).collect();
    let place = |old: usize| order.iter().position(|other| *other == old);
    let mut ordered = Vec::new();
    for (at, old) in order.iter().enumerate() {
        if let Some(mut member) = slots[*old].take() {
            member.needs = member.needs.iter().filter_map(|need| place(*need)).filter(|need| *need < at).collect();
            ordered.push(member);
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, needs: &[usize]) -> Member {
        let commit = ObjectId::null(gix::hash::Kind::Sha1);
        Member {
            side: Side { name: name.into(), task: None, branch: None, commit, dirty: false },
            message: String::new(),
            needs: needs.to_vec(),
            touched: HashSet::new(),
            against_base: HashSet::new(),
        }
    }

    #[test]
    fn what_others_need_or_hold_comes_first() {
        let members =
            || vec![member("a", &[]), member("b", &[3]), member("c", &[]), member("d", &[]), member("e", &[])];
        let names = |order: Vec<usize>| -> Vec<String> {
            let members = in_order(members(), &order).into_iter();
            members.map(|member| format!("{}{:?}", member.side.name, member.needs)).collect()
        };
        let none = vec![Vec::new(); 5];
        assert_eq!(names(sorted(&members(), &[4, 1, 2, 3, 0], &none)), ["e[]", "c[]", "d[]", "b[2]", "a[]"]);
        let circle = vec![vec![], vec![], vec![3], vec![2], vec![]];
        assert_eq!(sorted(&members(), &[0, 1, 2, 3, 4], &circle).len(), 5);
        assert_eq!(names((0..5).collect()), ["a[]", "b[]", "c[]", "d[]", "e[]"]);
    }
}
