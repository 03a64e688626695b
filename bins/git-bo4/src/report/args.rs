//! `git bo4 report`: the evidence, the ranking and what to do next.

use std::path::PathBuf;

use clap::ValueEnum;
use shared::app::Context;
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;

use super::{Changes, Report, html, markdown};
use crate::record::{Phase, Run, id};
use crate::store::Store;

/// Show the variants side by side: verdicts, sizes, risks, the ranking and what to do next
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run, or the beginning of its name; the newest if not given
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::cli::complete_run))]
    run: Option<String>,
    /// How it is written; text if not given
    #[arg(long, value_name = "format")]
    format: Option<Format>,
    /// File that gets it, instead of standard output
    #[arg(short, long, value_name = "file", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a terminal
    Text,
    /// Markdown, for a pull request
    Md,
    /// One JSON document, as with --json
    Json,
    /// One page that needs nothing else
    Html,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let store = Store::find(cx, args.run.as_deref())?;
    let run = store.run()?;
    let review = store.load_review()?;
    if review.is_none() && run.phase == Phase::Ready {
        cx.output.hint(format!("'git bo4 review {}' validates and ranks the variants", run.run));
    }
    let report = Report::of(&run, review.as_ref());
    if cx.output.is_json() && !matches!(args.format, None | Some(Format::Json)) {
        return Err(Failure::usage("'--json' is '--format json', and another format is asked for"));
    }
    let format = args.format.unwrap_or(if cx.output.is_json() { Format::Json } else { Format::Text });
    let text = match format {
        Format::Text => report.to_string(),
        Format::Md => markdown::render(&report),
        Format::Html => page(cx, &store, &run, &report)?,
        Format::Json if args.output.is_none() => {
            cx.output.document(&report)?;
            return Ok(Status::Done);
        }
        Format::Json => json(&report)?,
    };
    match args.output {
        Some(path) => {
            let path = cx.folder().join(path);
            durable::replace_public_behind_link(&path, text.as_bytes(), 0o644)?;
            cx.output.note(format!("written to '{}'", path.display()));
        }
        // A page is bytes for a browser, with what could be obeyed escaped in its own way.
        None if format == Format::Html => cx.output.raw(text.as_bytes())?,
        None => cx.output.text(&text)?,
    }
    Ok(Status::Done)
}

fn json(report: &Report) -> Result<String, Failure> {
    #[derive(serde::Serialize)]
    struct Document<'a> {
        schema: u32,
        #[serde(flatten)]
        report: &'a Report,
    }
    let document = Document { schema: shared::output::SCHEMA, report };
    Ok(serde_json::to_string(&document).map_err(anyhow::Error::from)? + "\n")
}

/// Makes the page, with the changes of every variant that has some.
pub(crate) fn page(cx: &Context, store: &Store, run: &Run, report: &Report) -> Result<String, Failure> {
    let git = cx.git()?.reading();
    let mut changes = Vec::new();
    for variant in &run.variants {
        if let Some(commit) = &variant.commit {
            changes.push(Changes::load(&git, variant.number, id(&run.base_commit)?, id(commit)?)?);
        }
    }
    Ok(html::render(report, &changes, &store.prompt()?))
}
