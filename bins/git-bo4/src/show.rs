//! `git bo4 show` and `diff`: what the variants made.

use std::fmt;

use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::{Foreign, escape, path_text};

use crate::chosen::{self, Chosen};
use crate::patch;
use crate::record::{State, Variant, id};

/// Show what the variants say and which files they change
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// Print what variants change of the base as a patch that 'git apply' takes
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// Print the difference from this variant instead of from the base
    #[arg(long, value_name = "n")]
    against: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Answer {
    run: String,
    base_commit: String,
    variants: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    number: usize,
    state: State,
    agent: Option<String>,
    model: Option<String>,
    commit: Option<String>,
    #[serde(rename = "ref")]
    name: Option<String>,
    message: Option<String>,
    reason: Option<String>,
    problem: Option<String>,
    files: Vec<File>,
}

#[derive(Debug, Serialize)]
struct File {
    path: String,
    /// None for a binary file.
    added: Option<usize>,
    removed: Option<usize>,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let (_, run) = args.chosen.find(cx)?;
    let mut variants = Vec::new();
    for variant in args.chosen.variants(&run) {
        let files = match &variant.commit {
            Some(commit) => files(cx, &run.base_commit, commit)?,
            None => Vec::new(),
        };
        variants.push(row(&run, variant, files));
    }
    cx.output.answer(&Answer { run: run.run.clone(), base_commit: run.base_commit.clone(), variants })?;
    Ok(Status::Done)
}

fn row(run: &crate::record::Run, variant: &Variant, files: Vec<File>) -> Row {
    Row {
        number: variant.number,
        state: variant.state,
        agent: variant.agent.clone(),
        model: variant.model.clone(),
        commit: variant.commit.clone(),
        name: variant.commit.as_ref().map(|_| run.variant_ref(variant.number)),
        message: variant.message.clone(),
        reason: variant.reason.clone(),
        problem: variant.problem.clone(),
        files,
    }
}

fn files(cx: &Context, base: &str, commit: &str) -> Result<Vec<File>, Failure> {
    let words = ["diff-tree", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv", base, commit];
    let listed = cx.git()?.reading().run(words)?.stdout;
    let file = |line: &[u8]| {
        let mut fields = line.splitn(3, |byte| *byte == b'\t');
        let mut count = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
        let (added, removed) = (count(), count());
        Some(File { path: path_text(fields.next()?), added, removed })
    };
    Ok(listed.split(|byte| *byte == 0).filter(|line| !line.is_empty()).filter_map(file).collect())
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.variants {
            let who = row.agent.as_deref().unwrap_or("agent");
            writeln!(f, "variant {}  {}  {}", row.number, Foreign(who), row.state)?;
            if let Some(words) = row.problem.as_ref().or(row.reason.as_ref()) {
                writeln!(f, "  {}", Foreign(words))?;
            }
            for file in &row.files {
                let count = |count: Option<usize>| count.map_or("-".to_owned(), |count| count.to_string());
                writeln!(f, "  +{:<5} -{:<5} {}", count(file.added), count(file.removed), Foreign(&file.path))?;
            }
            if let Some(message) = &row.message {
                for line in escape(message.trim_end()).lines() {
                    writeln!(f, "  | {line}")?;
                }
            }
        }
        Ok(())
    }
}

#[derive(Debug, Serialize)]
struct Diffs {
    run: String,
    base_commit: String,
    diffs: Vec<Diff>,
}

#[derive(Debug, Serialize)]
struct Diff {
    variant: usize,
    /// What is no UTF-8 in it is replaced here; 'git bo4 export' writes every byte.
    patch: String,
}

/// Raw bytes on standard output, or one JSON document; exit 1 where nothing was changed.
pub(crate) fn diff(cx: &Context, args: DiffArgs) -> Result<Status, Failure> {
    let (_, run) = args.chosen.find(cx)?;
    let from = match args.against {
        Some(other) => chosen::commit(&run, other)?,
        None => id(&run.base_commit)?,
    };
    let git = cx.git()?;
    let mut diffs = Vec::new();
    for variant in args.chosen.variants(&run) {
        if variant.commit.is_none() && !args.chosen.is_named() {
            continue;
        }
        let patch = patch::of(&git, from, chosen::commit(&run, variant.number)?)?;
        if !cx.output.is_json() {
            cx.output.raw(&patch)?;
        }
        diffs.push(Diff { variant: variant.number, patch: String::from_utf8_lossy(&patch).into_owned() });
    }
    let is_empty = diffs.iter().all(|diff| diff.patch.is_empty());
    if cx.output.is_json() {
        cx.output.document(&Diffs { run: run.run, base_commit: run.base_commit, diffs })?;
    }
    Ok(if is_empty { Status::No } else { Status::Done })
}
