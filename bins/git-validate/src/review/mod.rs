//! `git validate review`: a reviewer's opinion on what the checks have found.
//!
//! He can add findings and veto. He cannot make a red gate green, and whatever goes wrong on the way
//! to his answer is no approval.

mod evidence;
mod reply;

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;
use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process;
use shared::registry::Task;

use crate::checks::key::Hasher;
use crate::gate::Choice;
use crate::subject::From;
use crate::verdict::{
    Answer, CheckStatus, Kind, Line, REVIEW, Reviewer, Row, Source, Verdict, bound, has_error, judge,
};
use crate::{note, run, show, who};
use reply::{Opinion, Reply};

/// Counts up when a reviewer is asked something else.
const RULES: &str = "review/1";

/// Have an agent judge a change, with what the checks have found
#[derive(Debug, clap::Args)]
#[command(mut_arg("rev", |arg| arg.help("Commit or tree to judge, or the slug of a task; HEAD if not given")))]
pub(crate) struct Args {
    #[command(flatten)]
    from: From,
    /// Agent that reviews; none shows the facts alone
    #[arg(long, value_name = "name")]
    agent: Option<String>,
    /// Model that the agent is to use
    #[arg(long, value_name = "name")]
    model: Option<String>,
    /// Time that the agent has
    #[arg(long, value_name = "time", default_value = "10m", value_parser = span)]
    timeout: Duration,
    /// Show it as many bytes of the change at most
    #[arg(long, value_name = "size", default_value = "200KiB", value_parser = size)]
    max_size: usize,
}

fn span(text: &str) -> Result<Duration, String> {
    shared::config::layer::parse_duration(text).ok_or_else(|| "not a time span such as 10m".to_owned())
}

fn size(text: &str) -> Result<usize, String> {
    let size = shared::config::layer::parse_size(text).and_then(|size| size.try_into().ok());
    size.ok_or_else(|| "not a size such as 200KiB".to_owned())
}

#[derive(Debug, Serialize)]
struct Told {
    facts: Value,
    /// Nothing if nobody was asked.
    review: Option<Row>,
    /// What the reviewer says in a few words.
    summary: Option<String>,
    /// Of checks and review together.
    verdict: Verdict,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "checks: {}", self.facts["verdict"].as_str().unwrap_or_default())?;
        for row in self.facts["checks"].as_array().into_iter().flatten() {
            let text = |key: &str| row[key].as_str().unwrap_or("not run").to_owned();
            writeln!(f, "  {}  {}", Foreign(&text("name")), text("status"))?;
        }
        writeln!(f, "{} files changed", self.facts["files"])?;
        for left in self.facts["left_out"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            writeln!(f, "  not shown whole: {}", Foreign(left))?;
        }
        let Some(review) = &self.review else { return Ok(()) };
        let opinion = match review.status {
            Some(CheckStatus::Pass) => "approved",
            Some(CheckStatus::Fail) => "changes wanted",
            _ => "could not tell",
        };
        writeln!(f, "review: {opinion}")?;
        for words in [&self.summary, &review.reason].into_iter().flatten() {
            writeln!(f, "  {}", Foreign(words))?;
        }
        review.findings.iter().try_for_each(|finding| writeln!(f, "  {finding}"))
    }
}

pub(crate) fn run(cx: &Context, mut args: Args) -> Result<Status, Failure> {
    let task = task(cx, &args.from)?;
    if let Some(task) = &task {
        args.from = of_task(cx, task, &args.from)?;
    }
    let subject = args.from.find(cx)?;
    let mut answer = show::look(cx, subject, &Choice::default())?;
    // An opinion is asked for on the checks, not on an earlier opinion.
    answer.checks.retain(|row| row.kind != Kind::Review);
    answer.verdict = judge(&answer.checks);
    let change = evidence::change(cx, &answer, args.max_size)?;
    let facts = evidence::facts(&answer, &change, task.as_ref());
    if args.agent.as_deref() == Some("none") {
        let told = Told { facts, review: None, summary: None, verdict: answer.verdict };
        cx.output.answer(&told)?;
        return Ok(run::status(answer.verdict));
    }
    let tree = answer.subject.tree.to_string();
    let nonce = evidence::nonce()?;
    let prompt = evidence::prompt(&facts, &change, &tree, &nonce);
    let begin = Instant::now();
    let mut said = ask(cx, &args, task.as_ref(), &prompt).and_then(|value| reply::read(&value, &nonce, &tree));
    if let (Ok(reply), false) = (&mut said, change.left_out.is_empty()) {
        // Whoever has not seen all of it cannot have approved it.
        if reply.opinion == Opinion::Approve {
            reply.opinion = Opinion::Inconclusive;
            reply.summary.push_str(" (not all of the change could be shown, so it is not approved)");
        }
    }
    let summary = said.as_ref().ok().map(|reply| reply.summary.clone());
    let line = line(&args, &answer, said, &prompt, begin.elapsed());
    note::write(cx, answer.subject.tree, std::slice::from_ref(&line))?;
    let row = Row::of(&line, Source::Own, false);
    let verdict = with_review(answer.verdict, &row);
    let status = if row.status == Some(CheckStatus::Broken) { Status::CouldNot } else { run::status(verdict) };
    cx.output.answer(&Told { facts, review: Some(row), summary, verdict })?;
    Ok(status)
}

/// A veto closes the gate; nothing opens it.
fn with_review(gate: Verdict, review: &Row) -> Verdict {
    if review.status == Some(CheckStatus::Fail) { Verdict::Fail } else { gate }
}

/// The open task of this repository that is meant by its slug.
fn task(cx: &Context, from: &From) -> Result<Option<Task>, Failure> {
    let Some(slug) = from.revision() else { return Ok(None) };
    let key = cx.repository()?.key();
    let tasks = cx.registry().and_then(|registry| Ok(registry.load()?.tasks)).unwrap_or_default();
    Ok(tasks.into_iter().find(|task| task.repo.key == key && task.slug.as_str() == slug && task.branch.is_some()))
}

/// The tip of the task's branch, against where it left its base if nothing else is asked for.
fn of_task(cx: &Context, task: &Task, asked: &From) -> Result<From, Failure> {
    let branch = format!("refs/heads/{}", task.branch.clone().unwrap_or_default().trim_start_matches("refs/heads/"));
    let base = task.base.as_ref().map(|base| base.name.clone());
    let mut from = From::rev(&branch).since(asked.base().map(str::to_owned));
    if let (Some(base), None) = (base, asked.base()) {
        let merge_base = cx.git()?.reading().ask(["merge-base", "--end-of-options", &base, &branch])?;
        if merge_base.code == 0 {
            from = from.since(Some(merge_base.text()));
        }
    }
    Ok(from)
}

/// Asks through git-worker; whatever goes wrong is said in words.
fn ask(cx: &Context, args: &Args, task: Option<&Task>, prompt: &str) -> Result<Value, String> {
    let put = |name: &str, text: &str| -> Result<tempfile::NamedTempFile> {
        let mut file = tempfile::Builder::new().prefix(name).tempfile().context("cannot create a temporary file")?;
        file.write_all(text.as_bytes()).context("cannot write a temporary file")?;
        Ok(file)
    };
    let words = |error: anyhow::Error| format!("{error:#}");
    let prompt = put("git-validate-prompt-", prompt).map_err(words)?;
    let schema = put("git-validate-schema-", &reply::schema().to_string()).map_err(words)?;
    let program = process::suite_program("git-worker").ok_or("git-worker is not installed, so nobody can be asked")?;
    let mut command = process::command(program);
    process::scrub(&mut command).current_dir(cx.folder()).args(["ask", "--json", "--quiet", "--role", "validator"]);
    command.arg("--prompt-file").arg(prompt.path()).arg("--schema").arg(schema.path());
    command.arg("--timeout").arg(format!("{}ms", args.timeout.as_millis().max(1)));
    let named = [("--agent", &args.agent), ("--model", &args.model)];
    for (flag, value) in named.into_iter().filter_map(|(flag, value)| Some((flag, value.as_ref()?))) {
        command.arg(flag).arg(value);
    }
    if let Some(task) = task.filter(|task| task.worktree.is_some()) {
        command.arg(OsString::from(task.slug.as_str()));
    }
    let output = command.output().map_err(|e| format!("cannot start git-worker: {e}"))?;
    let said: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    let is_valid = said.as_ref().is_some_and(|said| said["valid"] == true);
    match said {
        Some(said) if is_valid && output.status.success() => Ok(said["answer"].clone()),
        Some(said) => {
            let why = said["error"]["message"].as_str().unwrap_or("its answer is none").to_owned();
            Err(format!("the reviewer gave no answer: {why}"))
        }
        None => {
            let why = process::told(&output.stderr).message;
            Err(format!("the reviewer could not be asked: {}", why.lines().last().unwrap_or_default()))
        }
    }
}

/// The line of the note.
fn line(args: &Args, answer: &Answer, said: Result<Reply, String>, prompt: &str, duration: Duration) -> Line {
    let (status, reason, mut findings) = match said {
        Err(why) => (CheckStatus::Broken, Some(why), Vec::new()),
        Ok(reply) => {
            let status = match reply.opinion {
                Opinion::Approve if has_error(&reply.findings) => CheckStatus::Fail,
                Opinion::Approve => CheckStatus::Pass,
                Opinion::Changes => CheckStatus::Fail,
                Opinion::Inconclusive => CheckStatus::Broken,
            };
            (status, Some(reply.summary), reply.findings)
        }
    };
    let mut counts = std::collections::BTreeMap::new();
    bound(&mut findings, &mut counts);
    Line {
        schema: 1,
        check: REVIEW.to_owned(),
        key: key(args, answer),
        status,
        duration_ms: duration.as_millis().try_into().unwrap_or(u64::MAX),
        tail: String::new(),
        reason,
        findings,
        counts,
        by: who::am_i(),
        time: clock::now(),
        review: Some(Reviewer {
            agent: args.agent.clone().unwrap_or_else(|| "default".to_owned()),
            model: args.model.clone(),
            prompt: evidence::hash(prompt),
        }),
    }
}

fn key(args: &Args, answer: &Answer) -> String {
    let mut hasher = Hasher::new();
    hasher.add(RULES);
    hasher.add(args.agent.as_deref().unwrap_or_default());
    hasher.add(args.model.as_deref().unwrap_or_default());
    hasher.add(answer.subject.base.map(|base| base.to_string()).unwrap_or_default());
    hasher.key()
}
