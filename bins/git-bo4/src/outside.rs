//! Runs whose attempts are made elsewhere: begun once, looked at, and taken over.

use shared::app::Context;
use shared::durable::{self, Previous};
use shared::failure::Failure;
use shared::output::Foreign;

use crate::cloud::memory::Memory;
use crate::cloud::{Asked, Begun, Blind, Look, Remote, Task};
use crate::record::{Kickoff, Phase, Run, State, Variant};
use crate::store::{Held, Store};
use crate::{log, new};

/// The kind of a failure that another look may not meet.
pub(crate) const FOR_NOW: &str = "backend";
/// What is remembered between looks.
const MEMORY: &str = "memory.json";

/// Asks the backend for its dialect, so that nothing is begun where there is none.
pub(crate) fn refuse_unfit(cx: &Context, run: &Run) -> Result<(), Failure> {
    Remote::open(cx, run.backend).map(drop)
}

/// Begins a run, once: the record says so before and after.
pub(crate) fn kickoff(cx: &Context, held: &mut Held) -> Result<(), Failure> {
    let remote = Remote::open(cx, held.run.backend)?;
    let prompt = held.store.prompt()?;
    held.run.kickoff = Kickoff::Begun;
    held.save()?;
    let run = &held.run;
    let asked =
        Asked { env: run.env.as_deref(), branch: &run.base, best_of: run.best_of, prompt: &prompt, title: &run.title };
    match remote.create(&asked) {
        Begun::Yes { task_id, url } => {
            let url = url.map(|url| format!(", {}", Foreign(&url))).unwrap_or_default();
            cx.output.note(format!("begun as {}{url} ({} dialect)", Foreign(&task_id), remote.dialect()));
            held.run.task_id = Some(task_id);
            held.run.kickoff = Kickoff::Done;
            held.run.phase = Phase::InProgress;
            Ok(held.save()?)
        }
        Begun::No { why } => {
            held.run.kickoff = Kickoff::Refused;
            held.run.phase = Phase::Error;
            held.run.reason = Some(format!("the backend did not begin it: {why}"));
            held.save()?;
            Err(refused(&held.run))
        }
        Begun::Unsure { why } => {
            held.run.reason = Some(format!("nobody knows whether the backend has begun it: {why}"));
            held.save()?;
            Err(uncertain(cx, &held.run))
        }
    }
}

/// Says that the backend has refused a run, which therefore did not begin.
pub(crate) fn refused(run: &Run) -> Failure {
    let reason = run.reason.clone().unwrap_or_default();
    Failure::could_not("refused", format!("run '{}': {reason}", run.run))
        .hint(format!("'git bo4 retry {}' asks again, once that is mended", run.run))
}

/// Says what may have become of a kickoff that was ended in the middle, and how to go on.
pub(crate) fn uncertain(cx: &Context, run: &Run) -> Failure {
    let since = run.created;
    let remote = Remote::open(cx, run.backend);
    let found = remote.ok().and_then(|remote| remote.candidates(run.env.as_deref(), since).ok());
    let message = match &run.reason {
        Some(reason) => format!("run '{}': {reason}", run.run),
        None => format!("run '{}' was ended while it was begun, and nobody knows whether it was", run.run),
    };
    let failure = Failure::could_not("uncertain-kickoff", message);
    let again = format!("'git bo4 run {} --again' begins it once more if it surely was not", run.run);
    match found.as_deref() {
        None | Some([]) => {
            failure.hint(format!("'git bo4 run {} --adopt <id>' takes the task that it has become; {again}", run.run))
        }
        Some(all) => {
            let names: Vec<String> = all.iter().map(|task| format!("{} ({})", task.id, task.title)).collect();
            let hint = format!(
                "since then there are: {}; 'git bo4 run {} --adopt <id>' takes one; {again}",
                names.join(", "),
                run.run
            );
            let details = all.iter().map(|task| serde_json::json!({ "id": task.id, "title": task.title })).collect();
            failure
                .hint(hint)
                .details(serde_json::json!({ "run": run.run, "candidates": serde_json::Value::Array(details) }))
        }
    }
}

/// Ends the uncertainty as a person says: by a task that is adopted, or by a kickoff that surely did not happen.
pub(crate) fn settle(cx: &Context, store: &Store, adopt: Option<&str>) -> Result<(), Failure> {
    let mut held = store.hold()?;
    if held.run.kickoff != Kickoff::Begun || held.run.task_id.is_some() {
        let message = format!("nothing about the beginning of run '{}' is uncertain", held.run.run);
        return Err(Failure::could_not("certain", message));
    }
    held.run.reason = None;
    match adopt {
        Some(id) if !crate::cloud::is_task_id(id) => {
            return Err(Failure::usage(format!("'{}' is no id of a task", id.escape_debug())));
        }
        Some(id) => {
            held.run.task_id = Some(id.to_owned());
            held.run.kickoff = Kickoff::Done;
            held.run.phase = Phase::InProgress;
            log::append(cx, &held.run)?;
            held.run.logged = true;
        }
        None => held.run.kickoff = Kickoff::NotBegun,
    }
    held.save()?;
    if adopt.is_none() {
        new::kickoff(cx, &mut held)?;
    }
    Ok(())
}

/// What a look at the backend found, or that it ended the run.
#[derive(Debug)]
pub(crate) enum Seen {
    Look(Look),
    Gone(String),
}

/// Looks at the backend; nothing if the run is not begun.
pub(crate) fn look(cx: &Context, store: &Store, run: &Run) -> Result<Option<Seen>, Failure> {
    let Some(id) = &run.task_id else { return Ok(None) };
    if run.phase.is_over() {
        return Ok(None);
    }
    let settle = cx.config()?.duration("bo4.settle")?.unwrap_or_default();
    let remote = Remote::open(cx, run.backend)?;
    let mut memory: Memory = store.load(MEMORY).ok().flatten().unwrap_or_default();
    let task = Task { id, env: run.env.as_deref(), best_of: run.best_of, settle };
    let seen = remote.look(&task, &mut memory);
    store.save(MEMORY, &memory)?;
    match seen {
        Ok(look) => Ok(Some(Seen::Look(look))),
        Err(Blind::ForGood(why)) => Ok(Some(Seen::Gone(why))),
        Err(Blind::ForNow(why)) => Err(Failure::could_not(FOR_NOW, format!("the backend gives no answer: {why}"))),
    }
}

/// Takes over what was seen. What a variant was once, completed or failed, it stays.
pub(crate) fn take(cx: &Context, held: &mut Held, seen: Seen) -> Result<(), Failure> {
    let look = match seen {
        Seen::Look(look) => look,
        Seen::Gone(why) => {
            cx.output.warn(Foreign(&why));
            held.run.phase = Phase::Error;
            held.run.reason = Some(why);
            for variant in held.run.variants.iter_mut().filter(|variant| !variant.state.is_over()) {
                variant.state = State::Failed;
                variant.reason = Some("the task has gone".to_owned());
            }
            return Ok(held.save()?);
        }
    };
    for seen in look.variants {
        if held.run.variant_mut(seen.number).is_none() {
            held.run.variants.push(Variant::new(seen.number, State::Pending));
            held.run.variants.sort_by_key(|variant| variant.number);
        }
        let path = held.store.diff_path(seen.number);
        let Some(variant) = held.run.variant_mut(seen.number) else { continue };
        if variant.state.is_over() {
            variant.label = seen.label.or(variant.label.take());
            continue;
        }
        if let Some(diff) = seen.diff.filter(|_| seen.state == State::Completed) {
            durable::replace(&path, &diff, Previous::Drop)?;
        }
        variant.state = seen.state;
        variant.label = seen.label;
        variant.message = seen.message.or(variant.message.take());
        variant.reason = seen.reason;
    }
    held.run.phase = match (look.is_whole, look.phase) {
        // Whether there is something to choose from is seen by the variants, not by the task's own word.
        (true, _) => Phase::Ready,
        (false, Phase::Ready | Phase::Error) => Phase::InProgress,
        (false, phase) => phase,
    };
    Ok(held.save()?)
}
