//! `git agent-merge check --stdin`: many merges, each by its base and branch, for programs.
//!
//! Bases with the same attributes share one git, since all it takes from a base are those.

use std::collections::HashMap;
use std::io::{self, BufRead};

use anyhow::Context as _;
use gix::ObjectId;
use gix::objs::TreeRefIter;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::repository::Repository;

use crate::answer::{Answer, BaseRow, Verdict};
use crate::batch::{self, Question};
use crate::cache::{Cache, Key};
use crate::names::{self, Base, Side};
use crate::{check, forecast, oracle, rules};
use shared::quarantine::Quarantine;

/// So many lines are read before they are answered.
const CHUNK: usize = 500;

/// A line that names two commits, or what is wrong with it.
type Line = Result<(Base, Side), Failure>;

/// Answers each line with one document, in their order.
pub(crate) fn run(cx: &Context) -> Result<Status, Failure> {
    let repository = cx.repository()?;
    let mut cache = Cache::load(repository);
    rules::Program::look(&cx.git()?, &mut cache)?.confirm(&mut cache)?;
    let mut verdicts = vec![];
    let mut known = HashMap::new();
    let mut input = io::stdin().lock().lines().peekable();
    while input.peek().is_some() {
        let mut lines: Vec<Line> = Vec::new();
        for line in input.by_ref().take(CHUNK) {
            lines.push(parse(cx, &line.context("cannot read standard input")?));
        }
        verdicts.extend(answer(cx, lines, &mut known)?);
    }
    Ok(check::status(verdicts.into_iter()))
}

fn parse(cx: &Context, line: &str) -> Line {
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let (Some(base), Some(name), None) = (words.next(), words.next(), words.next()) else {
        return Err(Failure::could_not("bad-line", format!("'{line}' is no line of '<base> <branch>'")));
    };
    let repository = cx.repository()?;
    // Ids need no look at tasks and branches.
    let is_id = |word: &str| ObjectId::from_hex(word.as_bytes()).is_ok();
    if is_id(base) && is_id(name) {
        let base = Base { name: base.to_owned(), commit: repository.commit(base)? };
        let (name, commit) = (name.to_owned(), repository.commit(name)?);
        return Ok((base, Side { name, task: None, branch: None, commit, dirty: false }));
    }
    let sides = names::sides(cx, &[name.to_owned()], false)?;
    let base = names::base(cx, Some(base), &sides)?;
    let side = sides.into_iter().next().filter(|_| !names::is_pattern(name));
    let side = side.ok_or_else(|| Failure::could_not("bad-line", format!("'{name}' is a pattern")))?;
    Ok((base, side))
}

fn answer(cx: &Context, lines: Vec<Line>, known: &mut HashMap<ObjectId, Key>) -> Result<Vec<Verdict>, Failure> {
    let repository = cx.repository()?;
    // What was written stays no longer than the lines that asked for it.
    let quarantine = Quarantine::new()?;
    let mut groups: HashMap<Option<Key>, Vec<usize>> = HashMap::new();
    for (at, line) in lines.iter().enumerate() {
        let Ok((base, _)) = line else { continue };
        // A base whose tree cannot be read goes to git alone.
        let attributes = repository.tree_of(base.commit).and_then(|tree| attributes(repository, tree, known)).ok();
        groups.entry(attributes).or_default().push(at);
    }
    let mut outcomes = HashMap::new();
    for (attributes, places) in groups {
        let size = if attributes.is_some() { places.len() } else { 1 };
        for places in places.chunks(size) {
            let question = |at: &usize| {
                let (base, side) = lines[*at].as_ref().ok()?;
                Some(Question { base: None, ours: base.commit, theirs: side.commit })
            };
            let questions: Vec<Question> = places.iter().filter_map(question).collect();
            let Some(first) = questions.first() else { continue };
            let git = rules::merging(cx, cx.git()?, &quarantine, first.ours)?;
            let replies = batch::ask_side_by_side(&git, &questions)?;
            outcomes.extend(places.iter().copied().zip(oracle::judge_all(&git, &questions, &replies)?));
        }
    }
    let mut verdicts = Vec::new();
    for (at, line) in lines.into_iter().enumerate() {
        match (line, outcomes.remove(&at)) {
            (Ok((base, side)), Some(outcome)) => {
                verdicts.push(outcome.verdict);
                let base = BaseRow { name: base.name, commit: base.commit.to_string() };
                let branches = vec![forecast::branch_row(&side, outcome)];
                cx.output.document(&Answer { base, branches, pairs: Vec::new() })?;
            }
            (Err(failure), _) => {
                verdicts.push(Verdict::CouldNotTell);
                cx.output.raw(format!("{}\n", failure.to_json()).as_bytes())?;
            }
            (Ok(_), None) => return Err(Failure::could_not("failed", "a line was left without an answer")),
        }
    }
    Ok(verdicts)
}

/// What the files of attributes below a tree are, as a key; trees that were seen are `known`.
fn attributes(repository: &Repository, tree: ObjectId, known: &mut HashMap<ObjectId, Key>) -> anyhow::Result<Key> {
    if let Some(key) = known.get(&tree) {
        return Ok(*key);
    }
    let none = Key::new(&[]);
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let data = repository.gix.find_object(tree)?.detach().data;
    for entry in TreeRefIter::from_bytes(&data, tree.kind()) {
        let entry = entry?;
        if entry.mode.is_tree() {
            let below = attributes(repository, entry.oid.to_owned(), known)?;
            if below != none {
                parts.extend([entry.filename.to_vec(), below.as_bytes().to_vec()]);
            }
        } else if entry.filename == ".gitattributes" {
            parts.extend([Vec::new(), entry.oid.as_bytes().to_vec()]);
        }
    }
    let key = Key::new(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    known.insert(tree, key);
    Ok(key)
}
