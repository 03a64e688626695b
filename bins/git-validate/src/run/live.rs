//! What is told while checks run: a line that moves on a terminal, or events as lines of JSON.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use shared::app::Context;
use shared::output::{Output, escape};

use super::child::Ended;
use crate::verdict::CheckStatus;

/// One line of `--jsonl`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    Started { check: &'a str },
    Ended { check: &'a str, status: CheckStatus, duration_ms: u64, reason: Option<&'a str> },
}

/// Tells how a run goes on.
pub(super) struct Live {
    bar: ProgressBar,
    running: Mutex<Vec<String>>,
    stream: Option<Output>,
}

impl Live {
    pub(super) fn new(cx: &Context, count: usize, stream: bool) -> Live {
        let bar =
            if cx.output.draws_progress() && !stream { ProgressBar::new(count as u64) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} checks  {elapsed}  {wide_msg}") {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Live { bar, running: Mutex::default(), stream: stream.then(|| cx.output.clone()) }
    }

    pub(super) fn started(&self, check: &str) {
        self.say(&Event::Started { check });
        self.show(|running| running.push(check.to_owned()));
    }

    pub(super) fn ended(&self, check: &str, ended: &Ended) {
        let duration_ms = ended.duration.as_millis().try_into().unwrap_or(u64::MAX);
        self.say(&Event::Ended { check, status: ended.status, duration_ms, reason: ended.reason.as_deref() });
        self.bar.inc(1);
        self.show(|running| running.retain(|name| name != check));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// A reader who has gone away misses nothing but this.
    fn say(&self, event: &Event<'_>) {
        if let Some(stream) = &self.stream {
            let _ = stream.document(event);
        }
    }

    fn show(&self, change: impl FnOnce(&mut Vec<String>)) {
        if let Ok(mut running) = self.running.lock() {
            change(&mut running);
            if !self.bar.is_hidden() {
                self.bar.set_message(escape(&running.join(", ")).into_owned());
            }
        }
    }
}
