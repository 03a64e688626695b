//! The one pass over the contents of a tree, for all policies that ask about them.

use std::collections::HashMap;

use gix::ObjectId;
use sha2::{Digest, Sha256};
use shared::failure::Failure;

use super::cache::{Key, Place};
use super::checkout::Checkout;
use super::content::{self, Demand, Facts, Spot};
use super::known::Known;
use super::objects::Blob;
use super::outcome::Gather;
use super::record::{parse_facts, render_facts};
use super::scope::InForce;
use super::settings::Ask;
use super::tree::File;
use super::{Ground, Outcome, Policy, RULES};
use crate::finding::Severity;

/// Files that are asked the same.
struct Class {
    values: Vec<Option<u64>>,
    rules: [u8; 8],
}

/// Where the facts of a file are.
enum Source {
    Nowhere,
    Known(Place),
    New(usize),
}

/// A content to be looked at.
struct Job {
    id: ObjectId,
    /// One file that has it.
    file: usize,
    class: usize,
    key: Key,
}

/// Judges by the policies about contents; for the others there is nothing.
pub(super) fn judge(
    ground: &Ground<'_>,
    known: &mut Known,
    policies: &[&Policy],
) -> Result<Vec<Option<Outcome>>, Failure> {
    let own: Vec<&Policy> = policies.iter().copied().filter(|policy| policy.ask.is_about_content()).collect();
    if own.is_empty() {
        return Ok(policies.iter().map(|_| None).collect());
    }
    let asks: Vec<&Ask> = own.iter().map(|policy| &*policy.ask).collect();
    let over: Vec<Option<Vec<Option<InForce>>>> = own.iter().map(|policy| policy.scope.over(&ground.tree)).collect();
    let (classes, of_file) = classes(ground, &own, &over);
    let (sources, jobs) = plan(ground, known, &classes, &of_file);
    let tree = &ground.tree;
    let checkout = Checkout::of(ground.scene.cx.repository()?, jobs.len());
    // As records, which take less room than what they say.
    let found = ground.store.each(&jobs, Vec::new, |objects, buffer, job| {
        let demand = Demand { asks: &asks, values: &classes[job.class].values };
        let path = tree.path(&tree.files[job.file]);
        if checkout.as_ref().is_some_and(|checkout| checkout.read(path, job.id, buffer)) {
            return Ok(render_facts(&content::look(buffer, demand)));
        }
        objects.blob(job.id, |blob| match blob {
            Blob::Data(data) => render_facts(&content::look(data, demand)),
            Blob::TooLarge(size) => render_facts(&content::look_at_size(size, demand)),
        })
    })?;
    let mut gathers: Vec<Gather> = own.iter().map(|policy| Gather::of(policy)).collect();
    for (at, (file, source)) in ground.tree.files.iter().zip(&sources).enumerate() {
        let record = match source {
            Source::Nowhere => continue,
            Source::New(job) => &found[*job],
            Source::Known(place) => known.record(*place),
        };
        let facts = parse_facts(record, |slot| gathers[slot].is_open()).unwrap_or_default();
        if facts.found.is_empty() && !facts.is_unread {
            continue;
        }
        let in_force = |slot: usize| match &over[slot] {
            Some(all) => all[at],
            None => own[slot].scope.at(b""),
        };
        gather(ground.tree.path(file), &facts, &asks, in_force, &mut gathers);
    }
    for (job, record) in jobs.iter().zip(found) {
        known.add(job.key, record);
    }
    let mut ended = gathers.into_iter().map(Gather::end);
    Ok(policies.iter().map(|policy| policy.ask.is_about_content().then(|| ended.next()).flatten()).collect())
}

/// Sorts the files by what they are asked; nothing for one that is asked nothing.
fn classes(
    ground: &Ground<'_>,
    own: &[&Policy],
    over: &[Option<Vec<Option<InForce>>>],
) -> (Vec<Class>, Vec<Option<usize>>) {
    let mut classes: Vec<Class> = Vec::new();
    let mut places: HashMap<Vec<Option<u64>>, usize> = HashMap::new();
    let everywhere: Vec<Option<u64>> = own.iter().map(|policy| policy.scope.at(b"").map(|now| now.value)).collect();
    let is_alike = over.iter().all(Option::is_none);
    let mut last = None;
    let mut class_of = |values: &Vec<Option<u64>>| {
        if let Some(last) = last.filter(|last: &usize| classes[*last].values == *values) {
            return Some(last);
        }
        last = values.iter().any(Option::is_some).then(|| {
            *places.entry(values.clone()).or_insert_with(|| {
                classes.push(Class { values: values.clone(), rules: rules_of(own, values) });
                classes.len() - 1
            })
        });
        last
    };
    let all = if is_alike { class_of(&everywhere) } else { None };
    let mut values = everywhere.clone();
    let of_file = ground.tree.files.iter().enumerate().map(|(at, file)| {
        // A link has a target and no content, a submodule neither.
        if !file.mode.is_blob() || file.mode.is_link() {
            return None;
        }
        if is_alike {
            return all;
        }
        for (slot, over) in over.iter().enumerate() {
            values[slot] = over.as_ref().map_or(everywhere[slot], |all| all[at].map(|now| now.value));
        }
        class_of(&values)
    });
    let of_file = of_file.collect();
    (classes, of_file)
}

/// The hash of what is asked and of what the answers mean.
fn rules_of(own: &[&Policy], values: &[Option<u64>]) -> [u8; 8] {
    let mut hasher = Sha256::new();
    hasher.update(RULES);
    for (policy, value) in own.iter().zip(values) {
        hasher.update((policy.rule.len() as u64).to_le_bytes());
        hasher.update(policy.rule);
        hasher.update(policy.content);
        hasher.update([u8::from(value.is_some())]);
        hasher.update(value.unwrap_or_default().to_le_bytes());
    }
    let mut rules = [0; 8];
    rules.copy_from_slice(&hasher.finalize()[..8]);
    rules
}

/// Finds what is known, and lists the rest, each content once.
fn plan(
    ground: &Ground<'_>,
    known: &mut Known,
    classes: &[Class],
    of_file: &[Option<usize>],
) -> (Vec<Source>, Vec<Job>) {
    let mut jobs: Vec<Job> = Vec::new();
    let mut waiting: HashMap<Key, usize> = HashMap::new();
    let mut source = |(at, file): (usize, &File), class: &Option<usize>| {
        let Some(class) = *class else { return Source::Nowhere };
        let (key, found) = known.find(&file.id, classes[class].rules);
        if let Some(found) = found {
            let record = known.record(found);
            // Most say nothing.
            if record.is_empty() {
                return Source::Nowhere;
            }
            if parse_facts(record, |_| false).is_some_and(|facts| fits(&facts, classes[class].values.len())) {
                return Source::Known(found);
            }
        }
        Source::New(*waiting.entry(key).or_insert_with(|| {
            jobs.push(Job { id: file.id, file: at, class, key });
            jobs.len() - 1
        }))
    };
    let sources = ground.tree.files.iter().enumerate().zip(of_file).map(|(file, class)| source(file, class)).collect();
    (sources, jobs)
}

fn fits(facts: &Facts, slots: usize) -> bool {
    facts.found.iter().all(|found| found.slot < slots)
}

fn gather(
    path: &[u8],
    facts: &Facts,
    asks: &[&Ask],
    in_force: impl Fn(usize) -> Option<InForce>,
    gathers: &mut [Gather],
) {
    for found in &facts.found {
        let Some(now) = in_force(found.slot) else { continue };
        let gather = &mut gathers[found.slot];
        let mut told = 0;
        for spot in &found.spots {
            if !gather.is_open() {
                break;
            }
            gather.add(path, spot.line, now.severity, || message(asks[found.slot], now.value, spot));
            told += 1;
        }
        gather.count(u64::from(found.total) - told, now.severity);
    }
    if facts.is_unread {
        for (slot, gather) in gathers.iter_mut().enumerate().filter(|(slot, _)| !matches!(asks[*slot], Ask::FileSize)) {
            if in_force(slot).is_some() {
                gather.add(path, 0, Severity::Note, || "it is larger than 64 MiB and was not looked at".to_owned());
            }
        }
    }
}

fn message(ask: &Ask, value: u64, spot: &Spot) -> String {
    let detail = &spot.detail;
    match ask {
        Ask::LineLength => format!("{detail} characters, at most {value} are allowed"),
        Ask::Whitespace => "the line ends in blanks".to_owned(),
        Ask::FinalNewline => "the last line is not ended".to_owned(),
        Ask::ConflictMarkers => format!("'{detail}' marks a conflict that was not resolved"),
        Ask::FileSize => format!("{detail} bytes, at most {value} are allowed"),
        Ask::LineEndings(_) | Ask::Secrets(_) => detail.clone(),
        Ask::Todo(_) => format!("'{detail}' names no issue and no address"),
        Ask::Licence(_) => "the first lines do not say the licence".to_owned(),
        Ask::ForbiddenPaths(_)
        | Ask::ProtectedPaths(_)
        | Ask::DiffSize(_)
        | Ask::CommitMessage(_)
        | Ask::Documentation(_)
        | Ask::Coverage(_)
        | Ask::Tests(_)
        | Ask::PolicyChange => String::new(),
    }
}
