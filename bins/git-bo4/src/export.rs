//! `git bo4 export`: the variants as files, `variants/var<N>/{patch.diff,report.json,meta.json}`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use shared::app::Context;
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

use crate::chosen::Chosen;
use crate::record::{Run, Variant, id};
use crate::review::findings::Row as Reviewed;
use crate::spec::hash;
use crate::store::Store;
use crate::{log, patch};

/// Write variants as files: the patch, a report, and checksums
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Folder that gets variants/var<N>/; .codex/bo4/<run> if not given
    #[arg(long, value_name = "folder", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Answer {
    run: String,
    exported: Vec<Exported>,
    /// Variants that left nothing.
    skipped: Vec<Skipped>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Exported {
    pub(crate) variant: usize,
    pub(crate) folder: String,
    /// Whether 'git apply' takes the patch on the base.
    pub(crate) applies: bool,
    pub(crate) problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Skipped {
    variant: usize,
    why: String,
}

/// `meta.json`: what makes the patch checkable.
#[derive(Debug, Serialize)]
struct Meta<'a> {
    schema: u32,
    run: &'a str,
    variant: usize,
    base_commit: &'a str,
    commit: Option<&'a str>,
    tree: Option<String>,
    #[serde(rename = "ref")]
    name: Option<String>,
    applies: bool,
    problem: Option<&'a str>,
    files: [Checksum; 2],
}

#[derive(Debug, Serialize)]
struct Checksum {
    name: &'static str,
    bytes: usize,
    sha256: String,
}

/// `report.json`: what is known of the variant.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: u32,
    run: &'a str,
    title: &'a str,
    variant: &'a Variant,
    review: Option<&'a Reviewed>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.exported {
            write!(f, "variant {}  {}", row.variant, Foreign(&row.folder))?;
            match &row.problem {
                Some(problem) => writeln!(f, "  does not apply: {}", Foreign(problem))?,
                None => writeln!(f)?,
            }
        }
        for row in &self.skipped {
            writeln!(f, "variant {}  skipped: {}", row.variant, Foreign(&row.why))?;
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let (store, run) = args.chosen.find(cx)?;
    let folder = match args.dir {
        Some(folder) => cx.folder().join(folder),
        None => own_folder(cx, &run)?,
    };
    let (mut exported, mut skipped) = (Vec::new(), Vec::new());
    for variant in args.chosen.variants(&run) {
        match one(cx, &store, &run, variant, &folder)? {
            Some(row) => exported.push(row),
            None => {
                let nothing = || match variant.commit {
                    Some(_) => "it changes nothing".to_owned(),
                    None => format!("it is {}", variant.state),
                };
                let why = variant.reason.clone().unwrap_or_else(nothing);
                skipped.push(Skipped { variant: variant.number, why });
            }
        }
    }
    let is_whole = skipped.is_empty() || !args.chosen.is_named();
    let status = if is_whole && !exported.is_empty() { Status::Done } else { Status::No };
    cx.output.answer(&Answer { run: run.run, exported, skipped })?;
    Ok(status)
}

/// Returns the folder of the run's files in the repository.
pub(crate) fn own_folder(cx: &Context, run: &Run) -> Result<PathBuf, Failure> {
    let above = log::make_folder(cx)?.join("bo4");
    for folder in [above.clone(), above.join(&run.run)] {
        make(&folder)?;
    }
    Ok(above.join(&run.run))
}

/// Makes a folder of ours; a link in its place, which an agent may have put there, would lead elsewhere.
fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder '{}'", folder.display()))?;
    if folder.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
        return Ok(());
    }
    Err(Failure::could_not("no-folder", format!("'{}' is no folder but a link", folder.display())))
}

/// Exports one variant; none if there is nothing of it.
pub(crate) fn one(
    cx: &Context,
    store: &Store,
    run: &Run,
    variant: &Variant,
    folder: &Path,
) -> Result<Option<Exported>, Failure> {
    let (patch, tree) = match &variant.commit {
        Some(commit) => {
            let (base, commit) = (id(&run.base_commit)?, id(commit)?);
            if cx.repository()?.tree_of(base)? == cx.repository()?.tree_of(commit)? {
                return Ok(None);
            }
            let patch = patch::of(&cx.git()?, base, commit)?;
            let tree = cx.repository()?.tree_of(commit)?;
            patch::verify(cx, base, &patch, tree, store.folder())?;
            (patch, Some(tree.to_string()))
        }
        None if store.diff_path(variant.number).exists() => (patch::load(&store.diff_path(variant.number))?, None),
        None => return Ok(None),
    };
    let review = store.load_review()?;
    let row = review.as_ref().and_then(|review| review.rows.iter().find(|row| row.number == variant.number));
    let report = Report { schema: 1, run: &run.run, title: &run.title, variant, review: row };
    let report = line(&report)?;
    let sum = |name, bytes: &[u8]| Checksum { name, bytes: bytes.len(), sha256: hash(bytes) };
    let meta = Meta {
        schema: 1,
        run: &run.run,
        variant: variant.number,
        base_commit: &run.base_commit,
        commit: variant.commit.as_deref(),
        tree,
        name: variant.commit.as_ref().map(|_| run.variant_ref(variant.number)),
        applies: variant.commit.is_some(),
        problem: variant.problem.as_deref(),
        files: [sum("patch.diff", &patch), sum("report.json", &report)],
    };
    let own = folder.join("variants").join(format!("var{}", variant.number));
    for place in [folder.join("variants"), own.clone()] {
        make(&place)?;
    }
    // The checksums last: who finds them finds the rest.
    for (name, bytes) in [("patch.diff", &patch), ("report.json", &report), ("meta.json", &line(&meta)?)] {
        durable::replace_public(&own.join(name), bytes, 0o644)?;
    }
    Ok(Some(Exported {
        variant: variant.number,
        folder: own.display().to_string(),
        applies: variant.commit.is_some(),
        problem: variant.problem.clone(),
    }))
}

fn line(document: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(document)?;
    bytes.push(b'\n');
    Ok(bytes)
}
