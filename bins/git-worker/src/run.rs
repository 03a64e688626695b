//! `git worker run`: the same job with the same record, and the caller waits for it and sees its output.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use shared::app::{Context, Global};
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::escape;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::job::{self, Job};
use crate::launch;
use crate::listing::Listing;
use crate::mirror::{Mirror, View};
use crate::queue;
use crate::record::{Record, State};
use crate::shown::ShownJobs;
use crate::stop;
use crate::what::What;

/// Between two looks at the log.
const PAUSE: Duration = Duration::from_millis(20);
const CHUNK: usize = 64 * 1024;

/// Start an agent or a command, show what it prints, and wait; exit 0 if it completed, 1 if it ended otherwise
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,
}

pub(crate) fn run(cx: Context, global: &Global, args: Args) -> Result<Status, Failure> {
    launch::launch(cx, global, args.what, true)
}

/// Shows what a job prints until it has ended. SIGINT and SIGTERM stop it, a second one without grace.
pub(crate) fn accompany(cx: &Context, job: &Job, signals: &Signals) -> Result<Status, Failure> {
    cx.output.note(format!("job '{}'", job.id()));
    follow(cx, job, signals)?;
    let record = job.read()?;
    let state = record.state;
    if state != State::Completed && !cx.output.is_json() {
        cx.output.note(words(&record));
    }
    if cx.output.is_json() {
        ShownJobs::new(cx, Listing::one(job.clone(), record)).answer(cx)?;
    }
    Ok(match (signals.last(), state) {
        (Some(SIGTERM), _) => Status::Terminated,
        (Some(_), _) => Status::Interrupted,
        (None, State::Completed) => Status::Done,
        (None, _) => Status::No,
    })
}

fn words(record: &Record) -> String {
    let reason = record.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("'{}' {}{reason}", record.id, record.state)
}

/// Passes the log on as it grows: byte for byte, but for a terminal, which no job may take over.
fn follow(cx: &Context, job: &Job, signals: &Signals) -> Result<(), Failure> {
    let reads_agent = job.read().is_ok_and(|record| record.run.format.is_some());
    let mut mirror = if reads_agent { Mirror::open(job, None)? } else { None };
    let mut log = File::open(job.path(job::LOG)).context("cannot read the log")?;
    let (escaped, silent) = (std::io::stdout().is_terminal(), cx.output.is_json());
    let mut buffer = vec![0; CHUNK];
    let mut rest = Vec::new();
    let mut asked = 0;
    loop {
        // Asked before the reading: what a dead job has printed is all there.
        let live = job.is_unended()?;
        if let Some(mirror) = mirror.as_mut().filter(|_| !silent) {
            mirror.show_new(cx, View::Readable)?;
        }
        while mirror.is_none() {
            let n = log.read(&mut buffer).context("cannot read the log")?;
            if n == 0 {
                break;
            }
            if !silent {
                pass(cx, &mut rest, &buffer[..n], escaped)?;
            }
        }
        if !live {
            return cx.output.raw(escape(&String::from_utf8_lossy(&rest)).as_bytes());
        }
        if signals.take() {
            asked += 1;
            ask_to_stop(cx, job, asked);
        }
        queue::go_on(&job.root());
        thread::sleep(PAUSE);
    }
}

fn pass(cx: &Context, rest: &mut Vec<u8>, bytes: &[u8], escaped: bool) -> Result<(), Failure> {
    if !escaped {
        return cx.output.raw(bytes);
    }
    rest.extend_from_slice(bytes);
    // A character may have been cut in two.
    let whole = match str::from_utf8(rest) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Ok(_) | Err(_) => rest.len(),
    };
    let text = String::from_utf8_lossy(&rest[..whole]).into_owned();
    rest.drain(..whole);
    cx.output.raw(escape(&text).as_bytes())
}

/// In a thread, so that its last output is seen meanwhile.
pub(crate) fn ask_to_stop(cx: &Context, job: &Job, times: usize) {
    let grace = (times > 1).then_some(Duration::ZERO);
    cx.output.note(format!("stopping '{}'", job.id()));
    let job = job.clone();
    thread::spawn(move || drop(stop::stop(&job, grace)));
}

/// The signals by which a user ends what runs in the foreground.
#[derive(Debug)]
pub(crate) struct Signals {
    came: Arc<AtomicBool>,
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Listens from now on: before the job starts, so that none goes by.
    pub(crate) fn listen() -> std::io::Result<Signals> {
        let (came, last) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_usize(signal, Arc::clone(&last), signal as usize)?;
            signal_hook::flag::register(signal, Arc::clone(&came))?;
        }
        Ok(Signals { came, last })
    }

    /// Says whether one came since the last call.
    pub(crate) fn take(&self) -> bool {
        self.came.swap(false, Ordering::SeqCst)
    }

    /// Returns the last one that came.
    pub(crate) fn last(&self) -> Option<i32> {
        Some(self.last.load(Ordering::SeqCst) as i32).filter(|signal| *signal > 0)
    }
}
