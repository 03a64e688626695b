//! `git validate sync`: the verdicts of two clones become the union of both.
//!
//! Notes are sets of lines, so two that went apart need no common beginning and have no conflicts.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Result;
use gix::ObjectId;
use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::repository::{Repository, Scope};

use crate::note::{self, REF};
use crate::tree;

/// How often a push that somebody else was faster with is tried again.
const TRIES: u32 = 10;

/// Settings of a repository that make git run a command when it fetches or pushes.
const COMMANDS: [(&str, &str); 6] = [
    ("core", "sshcommand"),
    ("core", "gitproxy"),
    ("core", "askpass"),
    ("remote", "uploadpack"),
    ("remote", "receivepack"),
    ("remote", "vcs"),
];

/// Fetch the verdicts of a remote, unite them with those here, and push the union
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the remote
    #[arg(value_name = "remote", default_value = "origin")]
    remote: String,
    /// Push nothing
    #[arg(long, conflicts_with = "push_only")]
    fetch_only: bool,
    /// Push what is here, and unite only if the remote has something else
    #[arg(long)]
    push_only: bool,
    /// Say what would change here; fetch, but change and push no verdict
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Default, Serialize)]
struct Answer {
    remote: String,
    /// Trees whose note has changed here.
    fetched: usize,
    /// Whether the remote has got what is here.
    pushed: bool,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pushed = if self.pushed { "; pushed" } else { "" };
        writeln!(f, "{}: notes of {} trees fetched{pushed}", Foreign(&self.remote), self.fetched)
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let repository = cx.repository()?;
    refuse_commands(repository)?;
    let mut answer = Answer { remote: args.remote.clone(), ..Answer::default() };
    let held = format!("refs/validate/remotes/{}", args.remote);
    if gix::validate::reference::name(held.as_str().into()).is_err() || args.remote.starts_with('-') {
        return Err(Failure::usage(format!("'{}' is no remote", args.remote.escape_debug())));
    }
    for attempt in 0..TRIES {
        if !(args.push_only && attempt == 0) {
            answer.fetched += fetch(cx, repository, &args, &held)?;
        }
        if args.fetch_only || args.dry_run || repository.tip(REF)?.is_none() {
            break;
        }
        let refs = format!("{REF}:{REF}");
        let done = cx.git_here()?.ask(["push", "--quiet", "--end-of-options", &args.remote, &refs])?;
        if done.code == 0 {
            answer.pushed = true;
            break;
        }
        let is_race = ["fetch first", "non-fast-forward", "cannot lock ref", "reference already exists"];
        if attempt + 1 == TRIES || !is_race.iter().any(|words| done.stderr.contains(words)) {
            let words = done.stderr.lines().find(|line| !line.is_empty()).unwrap_or_default().to_owned();
            return Err(Failure::could_not("push", format!("cannot push '{REF}' to '{}': {words}", args.remote)));
        }
    }
    if args.dry_run {
        cx.output.note("a dry run: nothing of it is done");
    }
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

/// Fetches the notes of the remote and puts their union with ours into ours; returns how many of ours have changed.
fn fetch(cx: &Context, repository: &Repository, args: &Args, held: &str) -> Result<usize, Failure> {
    let listed = cx.git_here()?.reading().ask(["ls-remote", "--end-of-options", &args.remote, REF])?;
    if listed.code != 0 {
        let words = listed.stderr.lines().next().unwrap_or_default().trim_start_matches("fatal: ").to_owned();
        return Err(Failure::could_not("fetch", format!("cannot ask the remote '{}': {words}", args.remote)));
    }
    if listed.stdout.is_empty() {
        return Ok(0);
    }
    let refs = format!("+{REF}:{held}");
    git_fetch(cx, &args.remote, &refs)?;
    let Some(theirs) = repository.tip(held)? else { return Ok(0) };
    let count = std::cell::Cell::new(0);
    if args.dry_run {
        return Ok(union(repository, repository.tip(REF)?, theirs)?.len());
    }
    note::with_lock(repository, || {
        note::attempt(cx, |ours| {
            let changed = union(repository, ours, theirs)?;
            count.set(changed.len());
            let Some(tip) = ours else { return Ok(Some(theirs)) };
            if tip == theirs || (changed.is_empty() && contains(cx, tip, theirs)?) {
                return Ok(None);
            }
            if contains(cx, theirs, tip)? {
                return Ok(Some(theirs));
            }
            note::commit(repository, ours, &[tip, theirs], &changed, "Unite verdicts by git-validate\n").map(Some)
        })
    })?;
    Ok(count.get())
}

fn git_fetch(cx: &Context, remote: &str, refs: &str) -> Result<(), Failure> {
    let words = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options", remote, refs];
    cx.git_here()?.run(words)?;
    Ok(())
}

/// Says whether a commit is in the history of another.
fn contains(cx: &Context, history: ObjectId, commit: ObjectId) -> Result<bool> {
    let git = cx.git().map_err(anyhow::Error::new)?.reading();
    Ok(git.ask(["merge-base", "--is-ancestor", &commit.to_string(), &history.to_string()])?.code == 0)
}

/// The notes that change here if theirs are added.
fn union(repository: &Repository, ours: Option<ObjectId>, theirs: ObjectId) -> Result<note::Changed> {
    let base = ours.map(|ours| note::root(repository, ours)).transpose()?;
    let mut changed = Vec::new();
    for file in tree::differing(repository, base, note::root(repository, theirs)?)? {
        let digits: Vec<u8> = file.path.iter().copied().filter(|byte| *byte != b'/').collect();
        // Whatever else somebody keeps there is not ours to take.
        let Ok(id) = ObjectId::from_hex(&digits) else { continue };
        let old = ours.map(|ours| note::content(repository, ours, id)).transpose()?.unwrap_or_default();
        let new = note::content(repository, theirs, id)?;
        let known: BTreeSet<&[u8]> = old.split(|byte| *byte == b'\n').collect();
        let mut text = old.clone();
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        for line in new.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !known.contains(line)) {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        if text != old {
            changed.push((id, text));
        }
    }
    Ok(changed)
}

/// No trust covers these, so they are not obeyed silently.
fn refuse_commands(repository: &Repository) -> Result<(), Failure> {
    for (section, key) in COMMANDS {
        let all = repository.settings(section).into_iter().filter(|setting| setting.scope == Scope::Repository);
        let named = |name: &str| name == key || name.ends_with(&format!(".{key}"));
        if let Some(setting) = all.into_iter().find(|setting| named(&setting.key)) {
            let words = format!("the configuration of this repository names a command ({section}.{})", setting.key);
            return Err(Failure::could_not("untrusted", words)
                .hint(format!("put it into your own configuration, or fetch and push '{REF}' by git itself")));
        }
    }
    Ok(())
}
