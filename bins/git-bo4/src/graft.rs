//! `git bo4 graft`: a part of another variant on top of the winner.

use std::ffi::OsString;
use std::fmt;

use anyhow::{Context as _, Result};
use gix::ObjectId;
use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::jobs;
use shared::landing::Checkout;
use shared::output::{Foreign, path_text};
use shared::process::{Git, commit_tree};

use crate::merged::{self, Merged};
use crate::record::{Run, id};
use crate::review::analysis::{self, Touch};
use crate::store::Store;
use crate::{apply, chosen};

/// Bring some paths of another variant on top of the picked one, as a commit
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run, or the beginning of its name; the newest if not given
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::cli::complete_run))]
    run: Option<String>,
    /// Variant that the paths are taken from
    #[arg(long, value_name = "n")]
    from: usize,
    /// Files and folders to take, from the top of the repository
    #[arg(long, value_name = "path", num_args = 1.., required = true)]
    paths: Vec<OsString>,
    /// Branch that gets them; that of the picked variant if not given
    #[arg(long, value_name = "branch", add = clap_complete::ArgValueCompleter::new(shared::app::complete_branch))]
    onto: Option<String>,
    /// Take protected paths too
    #[arg(long)]
    allow_protected: bool,
    /// Say what would be done and change no branch
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    run: String,
    from: usize,
    onto: String,
    dry_run: bool,
    paths: Vec<String>,
    conflicts: Vec<String>,
    protected: Vec<Touch>,
    commit: Option<String>,
    checkout: Option<Checkout>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for path in &self.conflicts {
            writeln!(f, "conflict   {}", Foreign(path))?;
        }
        for touch in &self.protected {
            writeln!(f, "protected  {}  ({})", Foreign(&touch.path), touch.why)?;
        }
        let is_refused = !self.conflicts.is_empty() || !self.protected.is_empty();
        let word = if is_refused {
            "not taken"
        } else if self.dry_run {
            "would take"
        } else {
            "taken"
        };
        for path in &self.paths {
            writeln!(f, "{word}  {}", Foreign(path))?;
        }
        if let Some(commit) = &self.commit {
            writeln!(f, "from variant {} on {} as {commit}", self.from, Foreign(&self.onto))?;
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let store = Store::find(cx, args.run.as_deref())?;
    let run = store.run()?;
    let branch = match (&args.onto, &run.picked) {
        (Some(onto), _) => apply::full(onto),
        (None, Some(picked)) => picked.branch.clone(),
        (None, None) => {
            let message = format!("no variant of '{}' is picked yet", run.run);
            return Err(Failure::could_not("not-picked", message).hint("'git bo4 pick' picks one; or name '--onto'"));
        }
    };
    let short = branch.strip_prefix("refs/heads/").unwrap_or(&branch).to_owned();
    let tip = cx.repository()?.tip(&branch)?.ok_or_else(|| {
        Failure::could_not("unknown-branch", format!("there is no branch '{}'", short.escape_debug()))
    })?;
    let (base, from) = (id(&run.base_commit)?, chosen::commit(&run, args.from)?);
    let git = cx.git()?;
    let (part, paths) = part(&git, &store, base, from, &args.paths)?;
    if paths.is_empty() {
        return Err(Failure::no("no-paths", format!("variant {} changes none of these paths", args.from)));
    }
    let part = commit_tree(&git, part, &[base], &message(&run, args.from))?;
    let mut protected = analysis::protected(&git.clone().reading(), base, part)?;
    if args.allow_protected {
        protected.clear();
    }
    let mut answer = Answer {
        run: run.run.clone(),
        from: args.from,
        onto: short,
        dry_run: args.dry_run,
        paths,
        conflicts: Vec::new(),
        protected,
        commit: None,
        checkout: None,
    };
    match merged::merge(&git, base, tip, part)? {
        Merged::Conflicts(paths) => answer.conflicts = paths,
        Merged::Clean(_) if !answer.protected.is_empty() || args.dry_run => {}
        Merged::Clean(tree) => {
            jobs::refuse_live(cx, &branch)?;
            let new = commit_tree(&git, tree, &[tip], &message(&run, args.from))?;
            answer.checkout = apply::land(cx, &branch, tip, new, format!("bo4: graft from variant {}", args.from))?;
            answer.commit = Some(new.to_string());
        }
    }
    if !answer.protected.is_empty() {
        cx.output.hint("'--allow-protected' takes them too, once you have looked at them");
    }
    let is_good = answer.conflicts.is_empty() && answer.protected.is_empty();
    cx.output.answer(&answer)?;
    Ok(if is_good { Status::Done } else { Status::No })
}

fn message(run: &Run, from: usize) -> String {
    let subject = run.title.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{subject}: parts of variant {from}\n\nRun: {}\nVariant: {from}\n", run.run)
}

/// Makes the tree of the base with the variant's version of these paths, and names what differs.
fn part(
    git: &Git,
    store: &Store,
    base: ObjectId,
    from: ObjectId,
    paths: &[OsString],
) -> Result<(ObjectId, Vec<String>)> {
    let words =
        ["diff-tree", "-r", "-z", "--no-renames", "--raw", "--full-index", &base.to_string(), &from.to_string(), "--"];
    let words: Vec<OsString> = words.iter().map(OsString::from).chain(paths.iter().cloned()).collect();
    let listed = git.clone().reading().run(words)?.stdout;
    let mut fields = listed.split(|byte| *byte == 0);
    let (mut input, mut names) = (Vec::new(), Vec::new());
    while let (Some(head), Some(path)) = (fields.next().filter(|head| !head.is_empty()), fields.next()) {
        let head = String::from_utf8_lossy(head).into_owned();
        // :<old mode> <new mode> <old id> <new id> <status>
        let parts: Vec<&str> = head.split(' ').collect();
        let [_, mode, _, oid, _] = parts[..] else { continue };
        input.extend_from_slice(format!("{mode} {oid} 0\t").as_bytes());
        input.extend_from_slice(path);
        input.push(0);
        names.push(path_text(path));
    }
    let own = tempfile::tempdir_in(store.folder()).context("cannot create a temporary folder")?;
    let git = git.clone().env("GIT_INDEX_FILE", own.path().join("index"));
    git.run(["read-tree", &base.to_string()])?;
    git.feed(["update-index", "-z", "--index-info"], &input)?;
    Ok((id(&git.run(["write-tree"])?.text())?, names))
}
