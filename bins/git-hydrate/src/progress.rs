//! The progress bar, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::output::Output;

/// Starts a bar over `total` things, or one that counts if the total is not known; hidden where none is drawn.
pub(crate) fn bar(output: &Output, what: &'static str, total: Option<u64>) -> ProgressBar {
    if !output.draws_progress() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{msg} {bar:30} {human_pos}/{human_len} {per_sec}"),
        None => (ProgressBar::no_length(), "{msg} {spinner} {human_pos} {per_sec}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
