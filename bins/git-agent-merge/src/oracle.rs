//! One base, and what merges with it: kept answers first, git for the rest.
//!
//! Git is the judge. What it said of the same commits or trees under the same rules is not asked
//! again; a branch that stands on the base merges into it by definition.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use gix::ObjectId;
use gix::objs::Write as _;
use gix::odb::loose;
use serde::{Deserialize, Serialize};
use shared::app::Context;
use shared::failure::Failure;
use shared::process::Git;

use crate::answer::Verdict;
use crate::batch::{self, Question, Reply};
use crate::cache::{Cache, Key};
use crate::conflict::{self, Conflict, Kind};
use crate::hunks::{self, Hunk};
use crate::names::Base;
use crate::overlap::{self, Changes};
use crate::{ancestry, rules};
use shared::quarantine::Quarantine;

/// So many trees are compared with the base by one git; fewer are compared here.
const MANY: usize = 8;

/// What is known of one merge.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// What it merges to, if it does; the tree itself may be in no repository.
    pub(crate) tree: Option<ObjectId>,
    pub(crate) conflicts: Vec<Conflict>,
    /// Why it could not be told.
    pub(crate) reason: Option<String>,
}

impl Outcome {
    fn clean(tree: ObjectId) -> Outcome {
        Outcome { verdict: Verdict::Clean, tree: Some(tree), conflicts: Vec::new(), reason: None }
    }
}

/// Whoever asks about merges into one base.
pub(crate) struct Oracle<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) base: Base,
    pub(crate) base_tree: ObjectId,
    pub(crate) quarantine: Quarantine,
    git: Git,
    cache: Cache,
    rules: Option<Vec<u8>>,
    program: rules::Program,
    /// What the commits that stand on the base merge to.
    ahead: HashMap<ObjectId, Outcome>,
    /// The trees that git made in this run, so that they are there to be merged.
    made: HashSet<ObjectId>,
}

impl<'a> Oracle<'a> {
    /// Opens it for a base; without `keeps` nothing is taken from earlier runs nor kept for later ones.
    pub(crate) fn open(cx: &'a Context, base: Base, keeps: bool) -> Result<Oracle<'a>, Failure> {
        let repository = cx.repository()?;
        let git = cx.git()?;
        let mut cache = Cache::load(repository);
        let program = rules::Program::look(&git, &mut cache)?;
        if !keeps {
            // Which version a program is says nothing of merges.
            cache = Cache::default();
        }
        let rules = if keeps { rules::of(cx, &git, &program)? } else { None };
        let quarantine = Quarantine::new()?;
        let git = rules::merging(cx, git, &quarantine, base.commit)?;
        let base_tree = repository.tree_of(base.commit)?;
        Ok(Oracle {
            cx,
            base,
            base_tree,
            quarantine,
            git,
            cache,
            rules,
            ahead: HashMap::new(),
            made: HashSet::new(),
            program,
        })
    }

    /// Keeps what was found out, once it is sure that git is new enough to be believed.
    pub(crate) fn close(mut self) -> Result<(), Failure> {
        self.program.confirm(&mut self.cache)?;
        self.cache.save();
        Ok(())
    }

    /// Merges each commit into the base.
    pub(crate) fn merge(&mut self, commits: &[ObjectId]) -> Result<Vec<Outcome>, Failure> {
        let questions: Vec<Question> = commits.iter().map(|commit| self.onto_base(*commit)).collect();
        let repository = self.cx.repository()?;
        let mut ahead = Vec::new();
        for question in &questions {
            let key = self.key(question);
            let tree = ancestry::tree_of(repository, &self.quarantine, question.theirs);
            if tree.is_ok_and(|tree| !ancestry::is_there(repository, &self.quarantine, tree)) {
                // Whatever was known of it, it is broken now.
                key.inspect(|key| self.cache.forget(key));
            } else if key.is_none_or(|key| self.cache.find(&key).is_none()) {
                ahead.extend(self.tree_ahead(question.theirs)?.map(|tree| (question.theirs, tree)));
            }
        }
        let trees: Vec<ObjectId> = ahead.iter().map(|(_, tree)| *tree).collect();
        // Where a part of one is missing, git shall say so.
        let are_whole = self.changes(&trees).is_ok();
        for (commit, tree) in ahead {
            if are_whole || self.changes(&[tree]).is_ok() {
                self.ahead.insert(commit, Outcome::clean(tree));
            }
        }
        self.ask(&questions)
    }

    /// The question whether a commit merges into the base.
    fn onto_base(&self, commit: ObjectId) -> Question {
        Question { base: None, ours: self.base.commit, theirs: commit }
    }

    /// What a commit that stands on the base merges to: its own tree, if that is there.
    fn tree_ahead(&self, commit: ObjectId) -> Result<Option<ObjectId>, Failure> {
        let repository = self.cx.repository()?;
        if !ancestry::stands_on(repository, &self.quarantine, commit, self.base.commit) {
            return Ok(None);
        }
        let tree = ancestry::tree_of(repository, &self.quarantine, commit);
        Ok(tree.ok().filter(|tree| ancestry::is_there(repository, &self.quarantine, *tree)))
    }

    /// Answers each question, in order.
    pub(crate) fn ask(&mut self, questions: &[Question]) -> Result<Vec<Outcome>, Failure> {
        self.ask_after(&[], questions)
    }

    /// Answers each question, once the merges that make their trees have been done again in the same breath.
    pub(crate) fn ask_after(&mut self, first: &[Question], questions: &[Question]) -> Result<Vec<Outcome>, Failure> {
        let keys: Vec<Option<Key>> = questions.iter().map(|question| self.key(question)).collect();
        let mut outcomes: Vec<Option<Outcome>> = Vec::new();
        for key in &keys {
            outcomes.push(key.as_ref().and_then(|key| parse(&self.cache.find(key)?)));
        }
        for (at, question) in questions.iter().enumerate().filter(|(_, question)| question.ours == self.base.commit) {
            if let (None, Some(outcome)) = (&outcomes[at], self.ahead.get(&question.theirs)) {
                outcomes[at] = Some(outcome.clone());
                if let (Some(key), Some(body)) = (keys[at], render(outcome)) {
                    self.cache.keep(key, body);
                }
            }
        }
        let open: Vec<usize> = (0..questions.len()).filter(|at| outcomes[*at].is_none()).collect();
        if open.is_empty() {
            return Ok(outcomes.into_iter().flatten().collect());
        }
        let all: Vec<Question> = first.iter().copied().chain(open.iter().map(|at| questions[*at])).collect();
        // What is made first has to be there before it is merged with.
        let replies = match first {
            [] => batch::ask_side_by_side(&self.git, &all)?,
            _ => batch::ask(&self.git, &all)?,
        };
        self.made.extend(replies.iter().filter_map(|reply| match reply {
            Reply::Clean(tree) => Some(*tree),
            Reply::Conflict { .. } | Reply::CouldNotTell(_) => None,
        }));
        let asked: Vec<Question> = open.iter().map(|at| questions[*at]).collect();
        for (at, outcome) in open.iter().zip(judge_all(&self.git, &asked, &replies[first.len()..])?) {
            if let (Some(key), Some(body)) = (keys[*at], render(&outcome)) {
                self.cache.keep(key, body);
            }
            outcomes[*at] = Some(outcome);
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Answers whether trees that came of the base merge with each other; `sources` are their commits.
    pub(crate) fn ask_pairs(
        &mut self,
        pairs: &[(ObjectId, ObjectId)],
        sources: &dyn Fn(ObjectId) -> Option<ObjectId>,
    ) -> Result<Vec<Outcome>, Failure> {
        let question = |(ours, theirs): &(ObjectId, ObjectId)| Question {
            base: Some(self.base.commit),
            ours: *ours,
            theirs: *theirs,
        };
        let questions: Vec<Question> = pairs.iter().map(question).collect();
        let mut first = Vec::new();
        let mut seen = HashSet::new();
        for pair in &questions {
            // What an earlier run merged is known by its id and has to be made once more.
            if self.key(pair).is_some_and(|key| self.cache.find(&key).is_some()) {
                continue;
            }
            for tree in [pair.ours, pair.theirs] {
                if seen.insert(tree) && !self.is_there(tree)? {
                    first.extend(sources(tree).map(|commit| self.onto_base(commit)));
                }
            }
        }
        self.ask_after(&first, &questions)
    }

    /// Says whether a tree is in the repository, or was made in this run.
    pub(crate) fn is_there(&self, tree: ObjectId) -> Result<bool, Failure> {
        Ok(self.made.contains(&tree) || self.cx.repository()?.gix.has_object(tree))
    }

    /// Returns what each tree changes in the base.
    pub(crate) fn changes(&mut self, trees: &[ObjectId]) -> Result<Vec<Changes>, Failure> {
        let base = self.base_tree;
        let key = |tree: &ObjectId| Key::new(&[b"changes", base.as_bytes(), tree.as_bytes()]);
        let mut all: Vec<Option<Changes>> =
            trees.iter().map(|tree| Changes::from_bytes(&self.cache.find(&key(tree))?)).collect();
        let open: Vec<usize> = (0..trees.len()).filter(|at| all[*at].is_none()).collect();
        let asked: Vec<ObjectId> = open.iter().map(|at| trees[*at]).collect();
        let found = if asked.len() >= MANY {
            overlap::changes(&self.git, base, &asked)?
        } else {
            let repository = self.cx.repository()?;
            let made = loose::Store::at(self.quarantine.objects(), repository.gix.object_hash());
            let read = |id: ObjectId| ancestry::read(repository, &made, id);
            asked.iter().map(|tree| overlap::between(&read, base, *tree)).collect::<Result<_>>()?
        };
        for (at, changes) in open.into_iter().zip(found) {
            self.cache.keep(key(&trees[at]), changes.to_bytes());
            all[at] = Some(changes);
        }
        Ok(all.into_iter().flatten().collect())
    }

    /// Makes a merge commit that nobody else has, and returns it: the next branch is merged into it.
    pub(crate) fn commit(&self, tree: ObjectId, parents: [ObjectId; 2]) -> Result<ObjectId, Failure> {
        let repository = self.cx.repository()?;
        let made = loose::Store::at(self.quarantine.objects(), repository.gix.object_hash());
        let time = |commit: ObjectId| ancestry::time_of(repository, &made, commit);
        // The same commit every time, or nothing about it could be kept.
        let seconds = time(parents[0])?.max(time(parents[1])?);
        let text = format!(
            "tree {tree}\nparent {}\nparent {}\nauthor merge <merge@localhost> {seconds} +0000\n\
             committer merge <merge@localhost> {seconds} +0000\n\nmerge\n",
            parents[0], parents[1]
        );
        let id = made.write_buf(gix::objs::Kind::Commit, text.as_bytes());
        Ok(id.map_err(|e| anyhow::anyhow!("{e}")).context("cannot write a commit")?)
    }

    /// The key of a question; none where answers are not kept.
    fn key(&self, question: &Question) -> Option<Key> {
        let rules = self.rules.as_ref()?;
        // With a base of its own the tree of it counts, not its history.
        let kind: &[u8] = if question.base.is_some() { b"trees" } else { b"commits" };
        Some(Key::new(&[kind, rules, self.base_tree.as_bytes(), question.ours.as_bytes(), question.theirs.as_bytes()]))
    }
}

/// Turns git's replies into outcomes, two at a time, since each file of a conflict takes a git of its own.
pub(crate) fn judge_all(git: &Git, questions: &[Question], replies: &[Reply]) -> Result<Vec<Outcome>> {
    let conflicts = replies.iter().filter(|reply| matches!(reply, Reply::Conflict { .. })).count();
    let all: Vec<(&Question, &Reply)> = questions.iter().zip(replies).collect();
    if conflicts < 2 {
        return all.into_iter().map(|(question, reply)| judge(git, question, reply)).collect();
    }
    let queue = Mutex::new(all.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<Vec<(usize, Outcome)>> {
        let mut found = Vec::new();
        while let Some((at, (question, reply))) = next() {
            found.push((at, judge(git, question, reply)?));
        }
        Ok(found)
    };
    let (own, other) = thread::scope(|scope| {
        let other = scope.spawn(work);
        (work(), other.join().unwrap_or_else(|_| anyhow::bail!("a thread failed")))
    });
    let mut outcomes = own?;
    outcomes.extend(other?);
    outcomes.sort_by_key(|(at, _)| *at);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

/// Turns git's reply into an outcome, with the hunks of the conflicts.
fn judge(git: &Git, question: &Question, reply: &Reply) -> Result<Outcome> {
    match reply {
        Reply::Clean(tree) => Ok(Outcome::clean(*tree)),
        Reply::CouldNotTell(words) => Ok(Outcome {
            verdict: Verdict::CouldNotTell,
            tree: None,
            conflicts: Vec::new(),
            reason: Some(words.clone()),
        }),
        Reply::Conflict { files, messages, .. } => {
            let labels = [question.ours.to_string(), question.theirs.to_string()];
            let mut conflicts = conflict::conflicts(files, messages, &labels);
            hunks::fill(git, &mut conflicts)?;
            // A folder that was split by renames conflicts without any path that does.
            let reason = conflicts.is_empty().then(|| conflict::words(messages));
            Ok(Outcome { verdict: Verdict::Conflict, tree: None, conflicts, reason })
        }
    }
}

/// An outcome as it is kept.
#[derive(Serialize, Deserialize)]
enum Kept {
    Clean(String),
    Conflict(Vec<(Vec<u8>, Kind, Vec<Hunk>)>, Option<String>),
}

/// What could not be told is asked again.
fn render(outcome: &Outcome) -> Option<Vec<u8>> {
    let kept = match outcome.verdict {
        Verdict::Clean => Kept::Clean(outcome.tree?.to_string()),
        Verdict::Conflict => {
            let all = outcome.conflicts.iter().map(|one| (one.raw_path.clone(), one.kind, one.hunks.clone()));
            Kept::Conflict(all.collect(), outcome.reason.clone())
        }
        Verdict::CouldNotTell | Verdict::Skipped => return None,
    };
    serde_json::to_vec(&kept).ok()
}

fn parse(body: &[u8]) -> Option<Outcome> {
    match serde_json::from_slice(body).ok()? {
        Kept::Clean(tree) => Some(Outcome::clean(ObjectId::from_hex(tree.as_bytes()).ok()?)),
        Kept::Conflict(all, reason) => {
            let conflicts = all.into_iter().map(|(path, kind, hunks)| Conflict::new(path, kind, hunks)).collect();
            Some(Outcome { verdict: Verdict::Conflict, tree: None, conflicts, reason })
        }
    }
}
