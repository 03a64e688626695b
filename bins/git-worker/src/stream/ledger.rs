//! What a run of an agent comes to: its session, its tokens, its last words, and whether it went well.

use super::said::{ErrorKind, Said, Scope, Usage, cut};
use crate::output::first_line;

/// So many rounds in a row that use no token are no work: an agent asks and asks, and hears nothing.
const IDLE_STEPS: u32 = 10;
/// What is kept of the last message, in bytes.
const MESSAGE: usize = 4 * 1024 * 1024;

/// The sum of what was said.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) session: Option<String>,
    pub(crate) model: Option<String>,
    /// The last words, which are the answer where there is one.
    pub(crate) message: Option<String>,
    /// What earlier runs of the session had used.
    before: Usage,
    /// Of the runs of this job before this one.
    earlier: Usage,
    /// Of the steps so far.
    steps: Usage,
    /// Of the run, as its end told it.
    run: Option<Usage>,
    /// Of the whole session, as its end told it.
    whole: Option<Usage>,
    metered: bool,
    idle_steps: u32,
    end: Option<bool>,
    error: Option<(ErrorKind, String)>,
    hopeless: Option<(ErrorKind, String)>,
}

/// How a run went, by its own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It said that it was done.
    Good,
    /// It said what went wrong.
    Bad { kind: ErrorKind, reason: String },
    /// It did not say that it was done.
    Silent,
}

impl Ledger {
    /// Begins a ledger; `before` is what earlier runs of the session had used.
    pub(crate) fn new(before: Usage) -> Ledger {
        Ledger { before, ..Ledger::default() }
    }

    /// Takes what was said.
    pub(crate) fn take(&mut self, said: &Said) {
        match said {
            Said::Started { session, model } => {
                self.session = session.clone().or_else(|| self.session.take());
                self.model = model.clone().or_else(|| self.model.take());
            }
            Said::Message { text } if !text.trim().is_empty() => self.message = Some(cut(text, MESSAGE).to_owned()),
            Said::Usage { scope, usage } => {
                self.metered = true;
                match scope {
                    Scope::Step => self.steps = self.steps.plus(*usage),
                    Scope::Run => self.run = Some(*usage),
                    Scope::Session => {
                        self.whole = Some(*usage);
                        self.run = Some(usage.minus(self.before));
                    }
                }
            }
            Said::Error { kind, status, text, retry } => self.take_error(*kind, *status, text, *retry),
            Said::Step { tokens: 0 } => {
                self.idle_steps += 1;
                if self.idle_steps >= IDLE_STEPS {
                    let reason = format!("{IDLE_STEPS} rounds in a row without an answer of the model");
                    self.hopeless = Some((ErrorKind::Model, reason));
                }
            }
            Said::Step { .. } => self.idle_steps = 0,
            Said::Ended { good, text } => {
                // A failure stays one, whatever is said after it.
                self.end = Some(self.end.unwrap_or(true) && *good);
                if let Some(text) = text.as_ref().filter(|text| *good && !text.trim().is_empty()) {
                    self.message = Some(cut(text, MESSAGE).to_owned());
                }
            }
            Said::Message { .. } | Said::Tool { .. } | Said::File { .. } | Said::Nothing => {}
        }
    }

    fn take_error(&mut self, kind: ErrorKind, status: Option<u16>, text: &str, retry: bool) {
        let error = (kind, text.to_owned());
        // To ask once more helps against much, but not against these.
        if retry && matches!(status, Some(400 | 401 | 403)) {
            self.hopeless = Some(error.clone());
        }
        if !retry {
            self.error = Some(error);
        }
    }

    /// Begins another run in the same session.
    pub(crate) fn next_run(&mut self) {
        *self = Ledger {
            session: self.session.take(),
            model: self.model.take(),
            earlier: self.usage().unwrap_or_default(),
            before: self.whole.unwrap_or(self.before),
            whole: self.whole,
            metered: self.metered,
            ..Ledger::default()
        };
    }

    /// Returns why it is no use to go on.
    pub(crate) fn hopeless(&self) -> Option<&(ErrorKind, String)> {
        self.hopeless.as_ref()
    }

    /// Returns the tokens of this run so far; none if nothing was said of them.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let told = self.run.map(|run| Usage { cost: run.cost.or(self.steps.cost), ..run });
        self.metered.then(|| told.unwrap_or(self.steps).plus(self.earlier))
    }

    /// Returns the tokens of the whole session, where the agent counts them so.
    pub(crate) fn session_usage(&self) -> Option<Usage> {
        self.whole
    }

    /// Returns how the run went, by what was said.
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.end, &self.error) {
            (Some(true), _) => Verdict::Good,
            (_, Some((kind, text))) => Verdict::Bad { kind: *kind, reason: first_line(text) },
            (Some(false), None) => Verdict::Bad { kind: ErrorKind::Other, reason: "the run failed".to_owned() },
            (None, None) => Verdict::Silent,
        }
    }
}
