//! The progress bar, on a terminal only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::output::Output;

/// Files and bytes so far; hidden where none is drawn.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    bytes: AtomicU64,
}

impl Progress {
    /// Starts a bar over `total` files, or one that counts if the total is not known.
    pub(crate) fn start(output: &Output, what: &'static str, total: Option<u64>) -> Progress {
        let bytes = AtomicU64::new(0);
        if !output.draws_progress() {
            return Progress { bar: ProgressBar::hidden(), bytes };
        }
        let (bar, template) = match total {
            Some(total) => {
                (ProgressBar::new(total), "{prefix} {bar:30} {human_pos}/{human_len} files, {msg}, {per_sec}")
            }
            None => (ProgressBar::no_length(), "{prefix} {spinner} {human_pos} files, {msg}, {per_sec}"),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        bar.set_message("0 B");
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { bar, bytes }
    }

    /// Counts files and their bytes.
    pub(crate) fn add(&self, files: u64, bytes: u64) {
        if self.bar.is_hidden() {
            return;
        }
        let all = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bar.set_message(HumanBytes(all).to_string());
        self.bar.inc(files);
    }

    /// Takes the bar away.
    pub(crate) fn end(self) {
        self.bar.finish_and_clear();
    }
}
