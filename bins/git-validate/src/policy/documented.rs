//! How much of what is public is documented, in the whole and of what is new.

use std::collections::{BTreeMap, HashSet};

use anyhow::Result;
use gix::ObjectId;
use sha2::{Digest, Sha256};
use shared::failure::Failure;

use super::cache::Key;
use super::code::{Counts, Item, Language, Parsed, Parsers};
use super::known::Known;
use super::objects::{Blob, Objects};
use super::outcome::Gather;
use super::record::{parse_counts, render_counts};
use super::settings::Documentation;
use super::tree::{Change, Side};
use super::{Ground, Outcome, Policy, RULES};
use crate::finding::Severity;

/// A file that counts.
struct Job<'a> {
    path: &'a [u8],
    id: ObjectId,
    language: Language,
    key: Key,
}

/// Judges the documentation.
pub(super) fn judge(
    ground: &Ground<'_>,
    known: &mut Known,
    policy: &Policy,
    asked: &Documentation,
) -> Result<Outcome, Failure> {
    if ground.scene.base.is_none() && asked.min == 0 && policy.ask.reads_changes() {
        return Ok(Outcome::skipped("there is no base to compare with"));
    }
    let mut gather = Gather::of(policy);
    let (jobs, counts) = count(ground, known, policy, asked)?;
    let (mut items, mut documented) = (0, 0);
    let mut languages: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (job, counts) in jobs.iter().zip(&counts) {
        if let Counts::Counted { items: more, documented: good } = counts {
            let of = languages.entry(job.language.name()).or_default();
            *of = (of.0 + more, of.1 + good);
            (items, documented) = (items + more, documented + good);
        }
    }
    gather.tally("items", items);
    gather.tally("documented", documented);
    for (language, (items, documented)) in languages {
        gather.tally(format!("{language}-items"), items);
        gather.tally(format!("{language}-documented"), documented);
    }
    let is_short = documented * 100 < asked.min * items;
    if is_short {
        gather.add_whole(policy.severity, || {
            let part = per_cent(documented, items);
            format!(
                "{documented} of {items} public items are documented, {part} %; at least {} % are wanted",
                asked.min
            )
        });
    }
    if ground.scene.base.is_some() && policy.ask.reads_changes() {
        judge_change(ground, policy, asked, (items, documented), &mut gather)?;
    }
    tell_files(ground, &jobs, &counts, is_short, &mut gather)?;
    Ok(gather.end())
}

/// Counts each file, by what is known or by reading it.
fn count<'a>(
    ground: &'a Ground<'_>,
    known: &mut Known,
    policy: &Policy,
    asked: &Documentation,
) -> Result<(Vec<Job<'a>>, Vec<Counts>), Failure> {
    let mut rules: BTreeMap<&str, [u8; 8]> = BTreeMap::new();
    let mut jobs = Vec::new();
    let mut counts: Vec<Option<Counts>> = Vec::new();
    for file in ground.tree.files.iter().filter(|file| file.mode.is_blob() && !file.mode.is_link()) {
        let path = ground.tree.path(file);
        let Some(language) = concerned(path, policy, asked) else { continue };
        let rules = *rules.entry(language.name()).or_insert_with(|| rules_of(language));
        let (key, record) = known.find(&file.id, rules);
        counts.push(record.and_then(|place| parse_counts(known.record(place))));
        jobs.push(Job { path, id: file.id, language, key });
    }
    let open: Vec<usize> = (0..jobs.len()).filter(|at| counts[*at].is_none()).collect();
    let found = ground.store.each(&open, Parsers::default, |objects, parsers, at| {
        let job = &jobs[*at];
        objects.blob(job.id, |blob| match blob {
            Blob::Data(data) => parsers.counts(job.language, job.path, data),
            Blob::TooLarge(_) => Counts::TooLarge,
        })
    })?;
    for (at, found) in open.into_iter().zip(found) {
        // A slow moment is no property of the file.
        if found != Counts::TooSlow {
            known.add(jobs[at].key, render_counts(&found));
        }
        counts[at] = Some(found);
    }
    Ok((jobs, counts.into_iter().flatten().collect()))
}

/// The language of a file that counts.
fn concerned(path: &[u8], policy: &Policy, asked: &Documentation) -> Option<Language> {
    let language = Language::of(path)?;
    let is_asked = asked.languages.is_empty() || asked.languages.contains(&language);
    // A test of Go is no part of its package.
    let is_test = language == Language::Go && path.ends_with(b"_test.go");
    (is_asked && !is_test && policy.scope.at(path).is_some()).then_some(language)
}

fn rules_of(language: Language) -> [u8; 8] {
    let hash = Sha256::digest(format!("{RULES} documentation {}", language.name()));
    let mut rules = [0; 8];
    rules.copy_from_slice(&hash[..8]);
    rules
}

/// Tells of files that could not be counted and, if too little is documented, what is not.
fn tell_files(
    ground: &Ground<'_>,
    jobs: &[Job<'_>],
    counts: &[Counts],
    is_short: bool,
    gather: &mut Gather,
) -> Result<(), Failure> {
    let mut parsers = Parsers::default();
    for (job, counts) in jobs.iter().zip(counts) {
        let why = match counts {
            Counts::Counted { items, documented } => {
                if is_short && items > documented && gather.is_open() {
                    for item in items_of(&ground.objects, &mut parsers, job.language, job.path, Some(job.id))? {
                        if !item.is_documented {
                            gather.add(job.path, item.line, Severity::Note, || undocumented(&item));
                        }
                    }
                }
                continue;
            }
            Counts::Unparsable => "it cannot be parsed",
            Counts::TooLarge => "it is larger than 1 MiB",
            Counts::TooSlow => "parsing it took too long",
        };
        gather.add(job.path, 0, Severity::Warning, || format!("not counted: {why}"));
    }
    Ok(())
}

fn undocumented(item: &Item) -> String {
    match item.name.is_empty() {
        true => format!("the {} is not documented", item.kind),
        false => format!("{} '{}' is not documented", item.kind, item.name),
    }
}

/// The items of one side of a change.
struct Sides {
    old: Vec<Item>,
    new: Vec<Item>,
}

/// Judges what is new, and what the change does to the whole.
fn judge_change(
    ground: &Ground<'_>,
    policy: &Policy,
    asked: &Documentation,
    (items, documented): (u64, u64),
    gather: &mut Gather,
) -> Result<(), Failure> {
    let own: Vec<(&Change, Language)> =
        ground.changes.iter().filter_map(|change| Some((change, concerned(&change.path, policy, asked)?))).collect();
    let sides = ground.store.each(&own, Parsers::default, |objects, parsers, (change, language)| {
        let mut of = |side: Side| items_of(objects, parsers, *language, &change.path, blob_of(side));
        Ok(Sides { old: of(change.old)?, new: of(change.new)? })
    })?;
    let count = |of: fn(&Sides) -> &Vec<Item>, all: bool| {
        sides.iter().flat_map(of).filter(|item| all || item.is_documented).count() as u64
    };
    let before = (items + count(|s| &s.old, true)).saturating_sub(count(|s| &s.new, true));
    let good = (documented + count(|s| &s.old, false)).saturating_sub(count(|s| &s.new, false));
    gather.tally("base-items", before);
    gather.tally("base-documented", good);
    if let Some(most) = asked.max_drop.filter(|_| before > 0) {
        let part = |good: u64, all: u64| if all == 0 { 100.0 } else { good as f64 * 100.0 / all as f64 };
        let drop = part(good, before) - part(documented, items);
        // What rounding makes of nothing is nothing.
        if drop > most as f64 + 1e-9 {
            let (from, to) = (per_cent(good, before), per_cent(documented, items));
            gather.add_whole(policy.severity, || {
                format!("the documented part falls from {from} % to {to} %, by more than {most} points")
            });
        }
    }
    if asked.new_items {
        judge_new_items(policy, &own, &sides, gather);
    }
    Ok(())
}

/// What has no like in the base must be documented; a file that was moved is compared with itself.
fn judge_new_items(policy: &Policy, own: &[(&Change, Language)], sides: &[Sides], gather: &mut Gather) {
    let base_name = |path: &[u8]| path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    let mut gone: HashSet<(Vec<u8>, &str, &str)> = HashSet::new();
    for ((change, _), side) in own.iter().zip(sides).filter(|((change, _), _)| change.new.is_none()) {
        let name = base_name(&change.path);
        gone.extend(side.old.iter().map(|item| (name.clone(), item.kind, item.name.as_str())));
    }
    for ((change, _), side) in own.iter().zip(sides) {
        let old: HashSet<(&str, &str)> = side.old.iter().map(|item| (item.kind, item.name.as_str())).collect();
        let name = base_name(&change.path);
        for item in side.new.iter().filter(|item| !item.is_documented) {
            let is_old = old.contains(&(item.kind, item.name.as_str()))
                || (change.old.is_none() && gone.contains(&(name.clone(), item.kind, item.name.as_str())));
            if !is_old {
                gather.add(&change.path, item.line, policy.severity, || format!("new {}", undocumented(item)));
            }
        }
    }
}

fn blob_of(side: Side) -> Option<ObjectId> {
    side.filter(|(mode, _)| mode.is_blob() && !mode.is_link()).map(|(_, id)| id)
}

/// The items of a file; none of one that is not there or cannot be counted.
fn items_of(
    objects: &Objects,
    parsers: &mut Parsers,
    language: Language,
    path: &[u8],
    id: Option<ObjectId>,
) -> Result<Vec<Item>> {
    let Some(id) = id else { return Ok(Vec::new()) };
    objects.blob(id, |blob| match blob {
        Blob::Data(data) => match parsers.items(language, path, data) {
            Parsed::Done(items) => items,
            Parsed::Unparsable | Parsed::TooLarge | Parsed::TooSlow => Vec::new(),
        },
        Blob::TooLarge(_) => Vec::new(),
    })
}

/// A part in per cent with one digit, cut off, so that what is short never reads as enough.
fn per_cent(part: u64, whole: u64) -> String {
    let tenths = (part * 1000).checked_div(whole).unwrap_or(1000);
    format!("{}.{}", tenths / 10, tenths % 10)
}
