//! A train as it grows: one merge commit after the other, and what becomes of each member.

use anyhow::Context as _;
use gix::ObjectId;
use shared::failure::Failure;
use shared::process::{Git, commit_tree};

use super::answer::ConflictRow;
use super::member::Member;
use super::prove::{Prover, first_bad};
use crate::batch::{self, Question, Reply};
use crate::conflict::{self, Conflict};
use crate::names::{Base, short};
use crate::validation::Red;

/// A place on the train.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) commit: ObjectId,
    pub(crate) tree: ObjectId,
}

/// What became of a member.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It is merged; this is the train with it at the end.
    In(Point),
    /// What is before it has all of it.
    Contained,
    Conflict {
        rows: Vec<ConflictRow>,
        with: Vec<String>,
    },
    /// The first with which the checks do not pass.
    Fails(Culprit),
    /// Not tried, since one before it fails.
    Behind,
    /// A task that has to be done first, of this name, is not in.
    Waits(String),
    /// Git refused to merge it, in these words.
    CouldNotTell(String),
}

/// A member with which the checks do not pass.
#[derive(Debug)]
pub(crate) struct Culprit {
    pub(crate) red: Red,
    /// The verdict on it alone on the base, if that is known.
    pub(crate) alone: Option<String>,
    /// The first member before it with which it does not pass.
    pub(crate) with: Option<String>,
    /// Why more could not be found out.
    remark: Option<String>,
}

impl Culprit {
    pub(crate) fn words(&self) -> String {
        match (&self.alone, &self.with, &self.remark) {
            (_, Some(with), _) => format!("{}: passes alone, but not together with '{with}'", self.red.verdict),
            (Some(alone), None, _) if alone != "pass" => format!("{}: not even alone", self.red.verdict),
            (_, None, Some(remark)) => format!("{}: {remark}", self.red.verdict),
            (_, None, None) => format!("{}: all before it pass without it", self.red.verdict),
        }
    }
}

/// How git merges a member onto a place.
enum Merged {
    Clean(ObjectId),
    Conflicts(Vec<Conflict>),
    Refused(String),
}

/// The members on top of the base.
pub(crate) struct Train<'a> {
    git: Git,
    pub(crate) base: &'a Base,
    pub(crate) start: Point,
    pub(crate) members: Vec<Member>,
    /// What became of each.
    pub(crate) fates: Vec<Fate>,
}

impl<'a> Train<'a> {
    pub(crate) fn new(git: Git, base: &'a Base, start: Point, members: Vec<Member>) -> Train<'a> {
        let fates = members.iter().map(|_| Fate::Behind).collect();
        Train { git, base, start, members, fates }
    }

    /// Returns the places of all members.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.members.len()).collect()
    }

    pub(crate) fn name(&self, at: usize) -> &str {
        &self.members[at].side.name
    }

    /// Returns those of some members that are in, with the train as it is at each.
    pub(crate) fn points(&self, of: &[usize]) -> Vec<(usize, Point)> {
        of.iter()
            .filter_map(|at| if let Fate::In(point) = &self.fates[*at] { Some((*at, *point)) } else { None })
            .collect()
    }

    /// Returns the end of the train; `start` if nobody is in.
    pub(crate) fn last(&self, start: Point) -> Point {
        self.points(&self.all()).last().map_or(start, |(_, point)| *point)
    }

    /// Merges some members onto a place, one after the other.
    pub(crate) fn couple_all(&mut self, from: Point, rest: &[usize]) -> Result<(), Failure> {
        let mut end = from;
        for at in rest {
            self.fates[*at] = self.couple(end, *at)?;
            if let Fate::In(point) = &self.fates[*at] {
                end = *point;
            }
        }
        Ok(())
    }

    /// Takes those of some members back that were merged onto what fails.
    pub(crate) fn hold_back(&mut self, rest: &[usize]) {
        for at in rest {
            match self.fates[*at] {
                Fate::In(_) | Fate::Contained | Fate::Waits(_) => self.fates[*at] = Fate::Behind,
                Fate::Conflict { .. } | Fate::Fails(_) | Fate::Behind | Fate::CouldNotTell(_) => {}
            }
        }
    }

    fn couple(&self, end: Point, at: usize) -> Result<Fate, Failure> {
        let member = &self.members[at];
        let is_in = |need: usize| matches!(self.fates[need], Fate::In(_) | Fate::Contained);
        if let Some(need) = member.needs.iter().find(|need| !is_in(**need)) {
            return Ok(Fate::Waits(self.name(*need).to_owned()));
        }
        match self.merge(end, at)? {
            Merged::Clean(tree) if tree == end.tree => Ok(Fate::Contained),
            Merged::Clean(tree) => {
                let commit = commit_tree(&self.git, tree, &[end.commit, member.side.commit], &member.message)?;
                Ok(Fate::In(Point { commit, tree }))
            }
            Merged::Conflicts(conflicts) => Ok(Fate::Conflict {
                with: self.conflicts_with(at, &conflicts),
                rows: conflicts.iter().map(ConflictRow::from).collect(),
            }),
            Merged::Refused(words) => Ok(Fate::CouldNotTell(words)),
        }
    }

    fn merge(&self, end: Point, at: usize) -> Result<Merged, Failure> {
        let question = Question { base: None, ours: end.commit, theirs: self.members[at].side.commit };
        match batch::ask(&self.git, &[question])?.pop().context("git gave no answer")? {
            Reply::Clean(tree) => Ok(Merged::Clean(tree)),
            Reply::CouldNotTell(words) => Ok(Merged::Refused(words)),
            Reply::Conflict { files, messages, .. } => {
                let labels = [question.ours.to_string(), question.theirs.to_string()];
                Ok(Merged::Conflicts(conflict::conflicts(&files, &messages, &labels)))
            }
        }
    }

    /// Names those whose changes are in the conflicted paths.
    fn conflicts_with(&self, at: usize, conflicts: &[Conflict]) -> Vec<String> {
        let meets = |paths: &std::collections::HashSet<Vec<u8>>| {
            conflicts.iter().any(|conflict| paths.contains(&conflict.raw_path))
        };
        let base = meets(&self.members[at].against_base).then(|| short(&self.base.name).to_owned());
        let before = self.points(&self.all()).into_iter().filter(|(other, _)| *other < at);
        let others = before.filter(|(other, _)| meets(&self.members[*other].touched));
        base.into_iter().chain(others.map(|(other, _)| self.name(other).to_owned())).collect()
    }

    /// Names a member as the one with which the checks fail; if asked, with whom it does not get along.
    pub(crate) fn take_out(
        &mut self,
        at: usize,
        point: Point,
        prover: &mut Prover<'_>,
        explain: bool,
    ) -> Result<(), Failure> {
        let words = format!("as far as '{}'", self.name(at));
        let red = prover.red(point.tree, &words)?.context("a verdict changed while it was looked at")?;
        let before: Vec<(usize, Point)> =
            self.points(&self.all()).into_iter().filter(|(other, _)| *other < at).collect();
        let mut culprit = Culprit { alone: None, with: None, remark: None, red };
        if before.is_empty() {
            culprit.alone = Some(culprit.red.verdict.clone());
        } else if explain {
            self.explain(at, &before, prover, &mut culprit)?;
        }
        self.fates[at] = Fate::Fails(culprit);
        Ok(())
    }

    /// Asks about it alone, and if that passes, by halving, with how many of those before it, it still does.
    fn explain(
        &self,
        at: usize,
        before: &[(usize, Point)],
        prover: &mut Prover<'_>,
        culprit: &mut Culprit,
    ) -> Result<(), Failure> {
        let name = self.name(at).to_owned();
        let Merged::Clean(alone) = self.merge(self.start, at)? else {
            culprit.remark = Some("it does not merge alone, so with whom it breaks is not known".to_owned());
            return Ok(());
        };
        if let Some(red) = prover.red(alone, &format!("'{name}' alone"))? {
            culprit.alone = Some(red.verdict);
            return Ok(());
        }
        culprit.alone = Some("pass".to_owned());
        let mut trees = Vec::new();
        for (_, point) in before {
            match self.merge(*point, at)? {
                Merged::Clean(tree) => trees.push(tree),
                Merged::Conflicts(_) | Merged::Refused(_) => {
                    culprit.remark = Some("it passes alone; with whom it breaks is not known".to_owned());
                    return Ok(());
                }
            }
        }
        let bad = first_bad(before.len(), |step| {
            let words = format!("'{name}' after '{}'", self.name(before[step - 1].0));
            Ok(prover.red(trees[step - 1], &words)?.is_some())
        })?;
        culprit.with = Some(self.name(before[bad - 1].0).to_owned());
        Ok(())
    }
}
