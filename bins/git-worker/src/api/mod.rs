//! Models that are asked over HTTP, without a program of theirs: agents named `api:<model>`.
//!
//! The child of such a job is this program once more. It reads the prompt on standard input, asks
//! the endpoint, and says what happened in the suite's own form of events; so record, budget,
//! redaction and verdict are those of any other agent. It has no tools: who is to change files
//! answers in an envelope, which is applied as a whole or not at all.

mod apply;
mod brief;
mod envelope;
pub(crate) mod key;
pub(crate) mod keychain;
mod problem;
mod settings;
mod talk;
mod wire;

use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};
use shared::durable;
use shared::exit::Status;
use shared::output::{ColorChoice, Output};

pub(crate) use settings::{Endpoint, Kind, is_loopback};

use crate::agent::{Policy, Shape};
use crate::job::Job;
use crate::prompt::Role;
use crate::record::Record;
use crate::secrets::Secrets;
use crate::snapshot;
use problem::Problem;

/// The word in the command line of a job's child that asks a model; no subcommand that a user is shown.
pub(crate) const WORD: &str = "call-model";
/// What the name of such an agent begins with.
pub(crate) const PREFIX: &str = "api:";
/// More of a prompt is not sent.
const MOST: u64 = 16 * 1024 * 1024;

/// Says whether this process was started to ask a model.
pub(crate) fn is_asked_for() -> bool {
    std::env::args_os().nth(1).is_some_and(|word| word == WORD)
}

/// Asks the model that the command line names.
pub(crate) fn run() -> Status {
    let mut words = std::env::args().skip(2);
    let endpoint = words.next().and_then(|text| serde_json::from_str::<Endpoint>(&text).ok());
    let (Some(endpoint), Some(schema_file)) = (endpoint, words.next()) else { return Status::Usage };
    let mut voice = Voice { output: Output::new(false, true, ColorChoice::Never), secrets: Secrets::default() };
    voice.say(json!({ "event": "started", "model": endpoint.model }));
    match work(&endpoint, Path::new(&schema_file), &mut voice) {
        Ok(()) => {
            voice.say(json!({ "event": "ended", "good": true }));
            Status::Done
        }
        Err(problem) => {
            voice.error(&problem, false);
            voice.say(json!({ "event": "ended", "good": false }));
            Status::No
        }
    }
}

/// Who tells the supervisor what happens, and never a key.
pub(crate) struct Voice {
    output: Output,
    secrets: Secrets,
}

impl Voice {
    /// Says one event, a line of JSON.
    fn say(&mut self, event: Value) {
        let line = self.secrets.clean_text(&format!("{event}\n"));
        // Without a listener there is nobody to work for; the supervisor ends us.
        let _ = self.output.raw(line.as_bytes());
    }

    fn error(&mut self, problem: &Problem, retry: bool) {
        let Problem { kind, status, text, .. } = problem;
        self.say(json!({ "event": "error", "kind": kind, "status": status, "text": text, "retry": retry }));
    }
}

fn work(endpoint: &Endpoint, schema_file: &Path, voice: &mut Voice) -> Result<(), Problem> {
    let other = |error: anyhow::Error| Problem::new(crate::stream::ErrorKind::Other, format!("{error:#}"));
    let key = key::find(endpoint)?;
    voice.secrets = Secrets::new(key.iter().map(|key| key.clone().into_bytes()));
    let job = schema_file.parent().and_then(Job::at);
    let record = job.as_ref().map(Job::load).transpose().map_err(other)?;
    let schema = durable::read(schema_file).map_err(other)?;
    let schema: Option<Value> = schema.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let native = schema.as_ref().filter(|_| endpoint.schema >= Some(Shape::Object));
    let mut prompt = Vec::new();
    let read = std::io::stdin().lock().take(MOST).read_to_end(&mut prompt);
    read.map_err(|error| other(anyhow::anyhow!("cannot read the prompt: {error}")))?;
    let mut prompt = String::from_utf8_lossy(&prompt).into_owned();
    let worker = record.as_ref().filter(|record| writes(record));
    let git = worker.map(worktree_git).transpose().map_err(other)?;
    if let (Some(record), Some(git)) = (worker, &git) {
        prompt.push_str(&brief::brief(&record.worktree_path(), git, &prompt).map_err(other)?);
    }
    let request = wire::request(endpoint, &prompt, native);
    let (usage, reply) = talk::talk(endpoint, key.as_deref(), &request, voice);
    let tokens = json!({ "event": "usage", "scope": "run", "input": usage.input, "cached": usage.cached,
        "output": usage.output });
    if usage.total() > 0 {
        voice.say(tokens);
    }
    let reply = reply?;
    let (Some(record), Some(git)) = (worker, git) else {
        voice.say(json!({ "event": "message", "text": reply }));
        return Ok(());
    };
    let (blocks, words) = envelope::parse(&reply).map_err(|why| refused(&why))?;
    if !words.is_empty() {
        voice.say(json!({ "event": "message", "text": words }));
    }
    let changes = apply::apply(&record.worktree_path(), &git, &blocks).map_err(|why| refused(&why))?;
    for (path, change) in changes {
        voice.say(json!({ "event": "file", "path": path, "change": change }));
    }
    Ok(())
}

/// Says whether a job is there to change files.
fn writes(record: &Record) -> bool {
    let works = matches!(record.run.role, None | Some(Role::Worker | Role::Resolver));
    works && record.run.policy.is_some_and(|policy| policy != Policy::ReadOnly)
}

/// Returns git for the job's worktree, if it would start nothing that nobody agreed to.
fn worktree_git(record: &Record) -> anyhow::Result<shared::process::Git> {
    let Some(folders) = &record.folders else { anyhow::bail!("the worktree's path cannot be written as text") };
    let git = snapshot::git(record, folders)?;
    snapshot::refuse_untrusted(&git, &folders.common_dir)?;
    Ok(git)
}

fn refused(why: &str) -> Problem {
    Problem::model(format!("nothing of the reply is applied: {why}"))
}
