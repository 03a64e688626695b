//! What an agent tells while it runs: from its stream to the events, the record and the verdict.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agent::Policy;
use crate::condition::Wait;
use crate::event::Events;
use crate::job::{self, Job};
use crate::output::{MILESTONE, first_line};
use crate::prompt::Role;
use crate::record::{Exit, Record, State};
use crate::secrets::Secrets;
use crate::stream::{ErrorKind, Format, Heard, Ledger, Said, Usage, Verdict, status_in};

/// So many lines that nobody understands become events; the rest is only counted.
const MOST_UNPARSED: u64 = 100;

/// What the record of an agent's job says beyond that of a command's.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AgentRun {
    /// How what it prints is read; none if it is not.
    pub(crate) format: Option<Format>,
    /// Version of its program.
    pub(crate) agent_version: Option<String>,
    pub(crate) policy: Option<Policy>,
    /// What it is there for.
    pub(crate) role: Option<Role>,
    /// The model that was asked for.
    pub(crate) model_asked: Option<String>,
    /// The model, as the agent tells.
    pub(crate) model: Option<String>,
    /// By which it can be asked to go on.
    pub(crate) session: Option<String>,
    /// The job whose session goes on in this one.
    pub(crate) resumes: Option<String>,
    /// The session that was asked for.
    pub(crate) session_asked: Option<String>,
    /// What goes on with its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resume_command: Option<Vec<String>>,
    /// Tokens of this job; none where the agent tells none.
    pub(crate) usage: Option<Usage>,
    /// Tokens of the whole session, where the agent counts so.
    pub(crate) session_usage: Option<Usage>,
    /// Tokens of the session before this job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage_before: Option<Usage>,
    /// Lines of its stream that were understood.
    pub(crate) parsed: u64,
    /// Lines that were not.
    pub(crate) unparsed: u64,
}

/// What an agent has told so far.
#[derive(Debug)]
pub(crate) struct Told {
    ledger: Ledger,
    format: Format,
    asked: Option<String>,
    unparsed: u64,
    /// Bytes of its events that are kept; 0 is all.
    cap: u64,
}

impl Told {
    /// Listens to the agent of a job, if what it prints is read.
    pub(crate) fn of(record: &Record) -> Option<Told> {
        let format = record.run.format?;
        let ledger = Ledger::new(record.run.usage_before.unwrap_or_default());
        Some(Told { ledger, format, asked: record.run.session_asked.clone(), unparsed: 0, cap: record.rules.log_cap })
    }

    /// Takes what was heard, writes it down, and returns the signs of progress: milestones, and else the
    /// first lines of messages.
    pub(crate) fn take(&mut self, heard: Vec<Heard>, events: &mut Events, secrets: &Secrets) -> Vec<String> {
        let mut marks = Vec::new();
        for heard in heard {
            match heard {
                Heard::Said(said) => {
                    self.ledger.take(&said);
                    if let Some((name, more)) = said.event() {
                        self.add(events, name, more, secrets);
                    }
                    if let Said::Message { text } = said {
                        marks.extend(self.marks_in(&text, events, secrets));
                    }
                }
                Heard::Unparsed(text) => {
                    self.unparsed += 1;
                    if self.unparsed <= MOST_UNPARSED {
                        self.add(events, "unparsed", json!({ "text": text }), secrets);
                    }
                }
            }
        }
        marks
    }

    /// Brings the record up to date; says whether something is new that must not be lost.
    pub(crate) fn report(&self, record: &mut Record) -> bool {
        let Record { run, rules, .. } = record;
        let new = run.session != self.ledger.session;
        run.session.clone_from(&self.ledger.session);
        run.model.clone_from(&self.ledger.model);
        let model = run.model.as_deref().or(run.model_asked.as_deref());
        run.usage = self.ledger.usage().map(|usage| rules.budget.priced(usage, model));
        run.session_usage = self.ledger.session_usage();
        new
    }

    /// Returns why the agent cannot do what it is there for, if it cannot.
    pub(crate) fn hopeless(&self) -> Option<(ErrorKind, String)> {
        if let (Some(asked), Some(session)) = (&self.asked, &self.ledger.session)
            && asked != session
        {
            // Anything but an id starts a new session in silence.
            return Some((ErrorKind::Other, format!("it did not go on with the session '{asked}'")));
        }
        self.ledger.hopeless().cloned()
    }

    /// Begins another run of the same job, in the session so far.
    pub(crate) fn next_run(&mut self) {
        self.asked = self.ledger.session.clone();
        self.ledger.next_run();
    }

    /// Returns the wait that its last words ask for, or what is wrong with it.
    pub(crate) fn wait(&self) -> Option<Result<Wait, String>> {
        Wait::asked_in(self.ledger.message.as_ref()?)
    }

    /// Returns the end of a job that ended by itself: only a good word and a good exit together are a success.
    /// Of one that did not say how it ended, the reason is what it complained of on stderr.
    pub(crate) fn verdict(
        &self,
        exit: Option<Exit>,
        complaint: Option<&str>,
    ) -> (State, Option<String>, Option<ErrorKind>) {
        let ended = match exit {
            Some(Exit::Code(code)) => format!("exit {code}"),
            Some(Exit::Signal(signal)) => format!("signal {signal}"),
            None => "its end was not seen".to_owned(),
        };
        match (self.ledger.verdict(), exit) {
            (Verdict::Good, Some(Exit::Code(0))) => (State::Completed, None, None),
            (Verdict::Good, _) => (State::Failed, Some(ended), None),
            (Verdict::Bad { kind, reason }, _) => {
                (State::Failed, Some(self.with_session(kind, format!("{kind}: {reason}"))), Some(kind))
            }
            (Verdict::Silent, Some(Exit::Code(0)) | None) => {
                (State::Failed, Some(format!("{ended}, and it did not say that it was done")), None)
            }
            (Verdict::Silent, Some(exit)) => {
                let kind = self.format.kind_of_exit(exit).unwrap_or_else(|| {
                    complaint.map_or(ErrorKind::Other, |words| ErrorKind::of(status_in(words), words))
                });
                let said = complaint.unwrap_or("it did not say that it was done");
                let told = Some(kind).filter(|kind| matches!(kind, ErrorKind::Auth | ErrorKind::Quota));
                (State::Failed, Some(self.with_session(kind, format!("{ended}, {said}"))), told)
            }
        }
    }

    /// Names the session that it was to go on with, if it may be that which was wrong.
    fn with_session(&self, kind: ErrorKind, reason: String) -> String {
        let unused = self.ledger.usage().is_none_or(|usage| usage.total() == 0);
        match self.asked.as_ref().filter(|_| unused && kind == ErrorKind::Other) {
            Some(session) => format!("it did not go on with the session '{session}': {reason}"),
            None => reason,
        }
    }

    /// Writes an event down as the agent's word.
    fn add(&self, events: &mut Events, name: &str, mut more: Value, secrets: &Secrets) {
        clean(&mut more, secrets);
        events.add_told(name, more, self.cap);
    }

    /// Finds the milestones in a message; one without any is a sign of progress itself.
    fn marks_in(&self, text: &str, events: &mut Events, secrets: &Secrets) -> Vec<String> {
        let milestones = text.lines().filter_map(|line| line.strip_prefix(MILESTONE));
        let mut marks: Vec<String> = milestones.map(|text| secrets.clean_text(text.trim_end())).collect();
        for mark in &marks {
            self.add(events, "milestone", json!({ "text": mark }), secrets);
        }
        if marks.is_empty() {
            marks.push(secrets.clean_text(&first_line(text)));
        }
        marks
    }

    /// Keeps the last words beside the record.
    pub(crate) fn keep_message(&self, job: &Job, secrets: &Secrets) {
        let Some(message) = &self.ledger.message else { return };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32).open(job.path(job::MESSAGE));
        // A full disk loses the message and not the end.
        let _ = file.and_then(|mut file| file.write_all(secrets.clean_text(message).as_bytes()));
    }
}

/// Takes secrets out of texts: what was escaped in the stream is not any more.
fn clean(value: &mut Value, secrets: &Secrets) {
    match value {
        Value::String(text) => *text = secrets.clean_text(text),
        Value::Array(values) => values.iter_mut().for_each(|value| clean(value, secrets)),
        Value::Object(fields) => fields.values_mut().for_each(|value| clean(value, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
