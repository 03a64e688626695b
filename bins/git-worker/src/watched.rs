//! `git worker status --watch`: the same answer again and again.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;

use crate::job::Jobs;
use crate::listing::{Entry, Listing};
use crate::logs;
use crate::record::State;
use crate::shown::ShownJobs;

/// Between two pictures on a terminal.
const PICTURE: Duration = Duration::from_secs(1);
/// Between two looks elsewhere.
const LOOK: Duration = Duration::from_millis(100);
/// The cursor to the upper left, and the screen empty.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

/// Shows what is found until it has ended, or on a terminal until it is interrupted.
pub(crate) fn watch(
    cx: &Context,
    jobs: &Jobs,
    find: impl Fn() -> Result<Listing, Failure>,
    is_one: bool,
) -> Result<Status, Failure> {
    let draws = std::io::stdout().is_terminal() && !cx.output.is_json();
    let mut known: HashMap<String, State> = HashMap::new();
    loop {
        jobs.go_on();
        let listing = find()?;
        let ended = listing.jobs.iter().all(|entry| entry.state.is_terminal());
        if draws {
            cx.output.raw(CLEAR)?;
            ShownJobs::new(cx, listing).answer(cx)?;
        } else {
            say_changes(cx, &mut known, listing)?;
        }
        if ended && (is_one || !draws) || logs::nobody_reads() {
            return Ok(Status::Done);
        }
        thread::sleep(if draws { PICTURE } else { LOOK });
    }
}

/// A line for each job whose state is another than before; broken records are named the first time.
fn say_changes(cx: &Context, known: &mut HashMap<String, State>, listing: Listing) -> Result<(), Failure> {
    let key = |entry: &Entry| entry.job.folder().to_string_lossy().into_owned();
    let is_first = known.is_empty();
    let mut changed: Vec<Entry> = listing.jobs;
    changed.retain(|entry| known.insert(key(entry), entry.state) != Some(entry.state));
    changed.reverse();
    for entry in changed {
        ShownJobs::new(cx, Listing { jobs: vec![entry], broken: Vec::new() }).answer(cx)?;
    }
    if is_first && !listing.broken.is_empty() {
        ShownJobs::new(cx, Listing { jobs: Vec::new(), broken: listing.broken }).answer(cx)?;
    }
    Ok(())
}
