//! Whether tests were taken away or set aside.

use std::collections::HashSet;

use anyhow::Result;
use shared::failure::Failure;

use super::code::{Language, Parsed, Parsers, Test};
use super::objects::{Blob, Objects};
use super::outcome::Gather;
use super::settings::Tests;
use super::tree::{Change, Side};
use super::{Ground, Outcome, Policy};
use crate::finding::Severity;

/// A changed file with its tests before and after.
struct Sides<'a> {
    change: &'a Change,
    old: Vec<Test>,
    new: Vec<Test>,
}

/// Judges the tests of the files that differ; the others are as many as they were.
pub(super) fn judge(ground: &Ground<'_>, policy: &Policy, asked: &Tests) -> Result<Outcome, Failure> {
    let mut gather = Gather::of(policy);
    let concerned = |change: &'_ Change| Language::of(&change.path).filter(|_| policy.scope.at(&change.path).is_some());
    let own: Vec<(&Change, Language)> =
        ground.changes.iter().filter_map(|change| Some((change, concerned(change)?))).collect();
    let sides = ground.store.each(&own, Parsers::default, |objects, parsers, (change, language)| {
        let mut of = |side: Side| tests_of(objects, parsers, *language, &change.path, side);
        let (old, new) = (of(change.old)?, of(change.new)?);
        Ok(match (old, new) {
            (Some(old), Some(new)) => (Sides { change, old, new }, true),
            _ => (Sides { change, old: Vec::new(), new: Vec::new() }, false),
        })
    })?;
    for (side, _) in sides.iter().filter(|(_, is_read)| !is_read) {
        gather.add(&side.change.path, 0, Severity::Warning, || "not counted: it cannot be parsed".to_owned());
    }
    let sides: Vec<Sides<'_>> = sides.into_iter().filter(|(_, is_read)| *is_read).map(|(side, _)| side).collect();
    judge_number(&sides, policy, asked, &mut gather);
    judge_skips(&sides, policy, asked, &mut gather);
    judge_files(&sides, policy, asked, &mut gather);
    Ok(gather.end())
}

fn judge_number(sides: &[Sides<'_>], policy: &Policy, asked: &Tests, gather: &mut Gather) {
    let count = |of: fn(&Sides<'_>) -> usize| sides.iter().map(of).sum::<usize>() as u64;
    let (before, after) = (count(|side| side.old.len()), count(|side| side.new.len()));
    gather.tally("tests-before", before);
    gather.tally("tests-after", after);
    let fewer = before.saturating_sub(after);
    if fewer <= asked.max_fewer {
        return;
    }
    gather.add_whole(policy.severity, || {
        format!("there are {fewer} tests fewer than in the base ({before} in the files that differ, now {after})")
    });
    for side in sides.iter().filter(|side| side.new.len() < side.old.len()) {
        let kept: HashSet<&str> = side.new.iter().map(|test| test.name.as_str()).collect();
        for test in side.old.iter().filter(|test| !kept.contains(test.name.as_str())) {
            gather.add(&side.change.path, 0, Severity::Note, || format!("the test '{}' is gone", test.name));
        }
    }
}

fn judge_skips(sides: &[Sides<'_>], policy: &Policy, asked: &Tests, gather: &mut Gather) {
    let old = sides.iter().flat_map(|side| &side.old);
    let skipped: HashSet<&str> = old.filter(|test| test.is_skipped).map(|test| test.name.as_str()).collect();
    let is_new = |test: &&Test| test.is_skipped && !skipped.contains(test.name.as_str());
    let more = sides.iter().flat_map(|side| &side.new).filter(is_new).count() as u64;
    gather.tally("newly-skipped", more);
    if more <= asked.max_skipped {
        return;
    }
    for side in sides {
        for test in side.new.iter().filter(is_new) {
            let message = || format!("the test '{}' is skipped and was not", test.name);
            gather.add(&side.change.path, test.line, policy.severity, message);
        }
    }
}

/// A file whose tests have come again elsewhere was moved.
fn judge_files(sides: &[Sides<'_>], policy: &Policy, asked: &Tests, gather: &mut Gather) {
    let come: HashSet<&str> = sides
        .iter()
        .filter(|side| side.change.new.is_some())
        .flat_map(|side| {
            let old: HashSet<&str> = side.old.iter().map(|test| test.name.as_str()).collect();
            side.new.iter().map(|test| test.name.as_str()).filter(move |name| !old.contains(name))
        })
        .collect();
    let is_gone =
        |side: &&Sides<'_>| side.change.new.is_none() && side.old.iter().any(|test| !come.contains(test.name.as_str()));
    let gone: Vec<&Sides<'_>> = sides.iter().filter(is_gone).collect();
    gather.tally("deleted-files", gone.len() as u64);
    if gone.len() as u64 > asked.max_deleted {
        for side in gone {
            let count = side.old.len();
            let message = || format!("the file is gone, with {count} test{}", if count == 1 { "" } else { "s" });
            gather.add(&side.change.path, 0, policy.severity, message);
        }
    }
}

/// The tests of one side; nothing if they cannot be read.
fn tests_of(
    objects: &Objects,
    parsers: &mut Parsers,
    language: Language,
    path: &[u8],
    side: Side,
) -> Result<Option<Vec<Test>>> {
    let Some((_, id)) = side.filter(|(mode, _)| mode.is_blob() && !mode.is_link()) else {
        return Ok(Some(Vec::new()));
    };
    objects.blob(id, |blob| match blob {
        Blob::Data(data) => match parsers.tests(language, path, data) {
            Parsed::Done(tests) => Some(tests),
            // What is that large is written by a program.
            Parsed::TooLarge => Some(Vec::new()),
            Parsed::Unparsable | Parsed::TooSlow => None,
        },
        Blob::TooLarge(_) => Some(Vec::new()),
    })
}
