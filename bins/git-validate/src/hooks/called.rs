//! What a hook asks.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use anyhow::Context as _;
use shared::app::Context;
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;

use super::{Hook, message};
use crate::checks::{self, Stage};
use crate::gate::{Choice, Gate};
use crate::policy;
use crate::render::Form;
use crate::run;
use crate::subject::From;
use crate::verdict::Verdict;

/// The policy that reads the message of a commit.
const MESSAGE_POLICY: &str = "policy:commit-message";
/// If more commits are new, as with an old history, only the last of each ref is judged.
const MOST_COMMITS: usize = 64;
/// A message is not read beyond this many bytes; one with the changes in it may be long.
const MOST: usize = 16 << 20;

/// Judge what a hook is called for
#[derive(Debug, clap::Args)]
pub(crate) struct HookArgs {
    /// Do nothing in a repository that has no checks
    #[arg(long)]
    where_configured: bool,
    /// Judge the last commit of each ref only
    #[arg(long)]
    tips: bool,
    /// What is done anyway; a hook of an older version says so
    #[arg(long, hide = true)]
    each_commit: bool,
    /// The hook that calls
    hook: Hook,
    /// What git gives to the hook
    #[arg(value_name = "argument", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Judges what a hook is called for.
pub(crate) fn called(cx: &Context, args: HookArgs) -> Result<Status, Failure> {
    let stage = match args.hook {
        Hook::CommitMsg => return judge_message(cx, args.arguments.first()),
        Hook::PreCommit => Stage::PreCommit,
        Hook::PrePush => Stage::PrePush,
    };
    let checks = checks::configured(cx)?;
    let is_of_its_own = |policy: &policy::Policy| !policy.is_implicit() && !policy.is_about_reports();
    let has_policies = policy::configured(cx)?.iter().any(is_of_its_own);
    let is_asked = has_policies || checks.iter().any(|check| check.is_of(Some(stage)));
    // Checks of other stages alone are no reason to hold this one up.
    if !is_asked && (args.where_configured || !checks.is_empty()) {
        return Ok(Status::Done);
    }
    if args.hook == Hook::PreCommit {
        return run::run(cx, run::Args::of(From::staged(), Choice::of(stage)));
    }
    let pushed = pushed()?;
    for id in if args.tips { tips(cx, &pushed)? } else { each(cx, &pushed, args.arguments.first())? } {
        let status = run::run(cx, run::Args::of(From::rev(&id), Choice::of(stage)))?;
        if status != Status::Done {
            return Ok(status);
        }
    }
    Ok(Status::Done)
}

/// Judges the message alone; what the index holds is not its business.
fn judge_message(cx: &Context, file: Option<&OsString>) -> Result<Status, Failure> {
    let file = file.ok_or_else(|| Failure::usage("git gives the file of the message to this hook"))?;
    let is_on = policy::configured(cx)?.iter().any(|policy| policy.name() == MESSAGE_POLICY);
    if !is_on {
        return Ok(Status::Done);
    }
    let path = cx.folder().join(Path::new(file));
    let raw = durable::read_foreign(&path, MOST)?;
    let raw = raw.with_context(|| format!("there is no message '{}'", path.display()))?;
    let message = message::cleaned(cx, &raw)?;
    if message.is_empty() {
        // Git itself makes no commit of it.
        return Ok(Status::Done);
    }
    let mut subject = From::staged().find(cx)?;
    subject.message = Some(message);
    let gate = Gate::of(cx, &subject, &Choice::one(MESSAGE_POLICY))?;
    let mut answer = gate.answer(subject, &[]);
    let lines = run::judge_policies(cx, &gate, &answer)?;
    run::add(&mut answer, &lines);
    answer.cached = false;
    let has_findings = answer.checks.iter().any(|row| !row.findings.is_empty());
    let verdict = answer.verdict;
    if verdict != Verdict::Pass || has_findings || cx.output.is_json() {
        Form::default().print(cx, &[answer], false)?;
    }
    Ok(if verdict == Verdict::Pass { Status::Done } else { Status::No })
}

/// One line of what git writes to the hook.
struct Pushed {
    id: String,
    /// What the remote has by that name now.
    remote_id: String,
}

/// Reads what is pushed: `<local ref> <local id> <remote ref> <remote id>`; deletions push nothing, notes are no work.
fn pushed() -> Result<Vec<Pushed>, Failure> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).context("cannot read which commits are pushed")?;
    let text = String::from_utf8_lossy(&text);
    let mut pushed = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, id, remote, remote_id, ..] = words[..] else { continue };
        if id.bytes().any(|byte| byte != b'0') && !remote.starts_with("refs/notes/") {
            pushed.push(Pushed { id: id.to_owned(), remote_id: remote_id.to_owned() });
        }
    }
    Ok(pushed)
}

/// The last commit of each ref.
fn tips(cx: &Context, pushed: &[Pushed]) -> Result<Vec<String>, Failure> {
    let mut tips = BTreeSet::new();
    for Pushed { id, .. } in pushed {
        if cx.repository()?.tree(id).is_ok() {
            tips.insert(id.clone());
        } else {
            // A tag may name a file, which no check can judge.
            cx.output.note(format!("{id} is no commit; not validated"));
        }
    }
    Ok(tips.into_iter().collect())
}

/// Each commit that the remote has not, as far as is known here, the oldest first; the last of each ref in any case.
fn each(cx: &Context, pushed: &[Pushed], remote: Option<&OsString>) -> Result<Vec<String>, Failure> {
    let repository = cx.repository()?;
    let tips = tips(cx, pushed)?;
    // A push may have more refs than fit a command line.
    let mut input = String::new();
    for id in tips.iter().filter_map(|id| repository.commit(id).ok()) {
        input.push_str(&format!("{id}\n"));
    }
    let is_none = input.is_empty();
    for id in pushed.iter().filter_map(|pushed| repository.commit(&pushed.remote_id).ok()) {
        input.push_str(&format!("^{id}\n"));
    }
    let mut words = ["rev-list", "--reverse", "--topo-order", "--stdin", "--not"].map(str::to_owned).to_vec();
    match remote.map(|remote| remote.to_string_lossy()) {
        // The name of a remote, not an address; and no pattern.
        Some(name)
            if !name.is_empty() && !name.contains([':', '*', '?', '[', '\\']) && !name.starts_with(['/', '.']) =>
        {
            words.push(format!("--remotes={name}"));
        }
        Some(_) => {}
        // A hook of an older version does not say it.
        None => words.push("--remotes".to_owned()),
    }
    let mut commits: Vec<String> = match is_none {
        true => Vec::new(),
        false => cx.git()?.reading().feed(&words, input.as_bytes())?.text().lines().map(str::to_owned).collect(),
    };
    if commits.len() > MOST_COMMITS {
        let words = format!("{} commits are new there; of each ref only the last is judged", commits.len());
        cx.output.note(words);
        return Ok(tips);
    }
    let is_there = |tip: &String, commits: &[String]| {
        let commit = repository.commit(tip).map(|id| id.to_string());
        commits.iter().any(|known| commit.as_ref().is_ok_and(|commit| commit == known))
    };
    for tip in tips {
        if !is_there(&tip, &commits) {
            commits.push(tip);
        }
    }
    Ok(commits)
}
