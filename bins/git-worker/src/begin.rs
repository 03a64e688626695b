//! The start of a job: its folder and record, its supervisor, and the word that it runs.
//!
//! The supervisor is this program again. It is started first and gets ready while the launch is
//! being planned; told the job's folder it takes the job's lock, told to go it starts the child. A
//! launch that fails or dies in between closes the pipe, and the supervisor ends without a trace.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::Map;
use shared::app::Context;
use shared::clock;
use shared::durable::{self, Lock};
use shared::failure::Failure;
use shared::output::SCHEMA;
use shared::own_folder;
use shared::process::{self, boot_id, descendants};

use crate::agent::Agent;
use crate::event::Events;
use crate::job::{self, Job, Jobs};
use crate::plan::Plan;
use crate::queue::{self, Turn};
use crate::record::{Queue, Record, State, spell};
use crate::rules::millis;
use crate::{given, heir, link, live};

/// A supervisor that has not been told its job yet.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// Its heir, who ends after it.
    child: Child,
    orders: ChildStdin,
    words: BufReader<ChildStdout>,
}

/// A job that was launched, and whether it has to wait.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) job: Job,
    pub(crate) state: State,
}

/// Starts what is planned and returns once the child runs and its record is on disk, or once it waits for a place.
pub(crate) fn begin(cx: &Context, plan: &Plan, mut supervisor: Supervisor) -> Result<Begun, Failure> {
    let jobs = Jobs::of_user()?;
    let turn = Turn::take_if_needed(&jobs.folder_of(""), plan.limit, plan.repo_limit)?;
    // Who waits comes first.
    turn.iter().try_for_each(Turn::fill)?;
    let folder = jobs.folder_of(&plan.repo.key);
    durable::private_folder(&folder)?;
    let guard = Lock::acquire(&folder.join(".lock"), durable::PATIENCE)?;
    if !plan.share {
        refuse_company(&folder, &plan.place.worktree)?;
    }
    let full = turn.as_ref().filter(|turn| !turn.has_room(&folder, plan.repo_limit));
    let job = Job::create(&folder, &plan.slug)?;
    let laid_out = match full {
        Some(_) => write_queued(&folder, &job, plan),
        None => lay_out(&folder, &job, plan, &mut supervisor),
    };
    if let Err(failure) = laid_out {
        live::remove(&folder, &job);
        queue::remove(&job);
        discard(&job);
        return Err(failure);
    }
    let hidden = own_folder::hide(&plan.common_dir);
    drop(guard);
    let linked = || {
        let linked = hidden.and_then(|()| link::point(&plan.place.worktree, &job.path(job::LOG), &folder));
        if let Err(error) = linked {
            cx.output.warn(format!("no link to the log in the worktree: {error:#}"));
        }
    };
    if let Some(turn) = full {
        drop(supervisor);
        flush(&job).with_context(|| format!("cannot flush the record of '{}'", job.id()))?;
        linked();
        // A job may have ended before it could see that somebody waits.
        turn.fill()?;
        return Ok(Begun { state: job.load()?.state, job });
    }
    drop(turn);
    // While it starts: what it need not wait for.
    if let Err(error) = flush(&job) {
        give_up(&job, supervisor);
        let failure = Failure::from(error.context(format!("cannot flush the record of '{}'", job.id())));
        return Err(failure);
    }
    linked();
    supervisor.started(&job)?;
    let state = if plan.waits.is_empty() { State::Running } else { State::Starting };
    Ok(Begun { job, state })
}

fn refuse_company(folder: &Path, worktree: &Path) -> Result<(), Failure> {
    for job in live::list(folder).into_iter().chain(queue::entries_of(folder)) {
        let record = job.load().ok().filter(|record| record.worktree_path() == worktree);
        if let Some(record) = record.filter(|record| !record.state.is_terminal()) {
            let does = if record.state == State::Queued { "waits to work" } else { "works" };
            let message = format!("job '{}' {does} in '{}'", job.id(), worktree.display());
            let hint = "--share lets two jobs work in one worktree; 'git worker wait' waits for the end of one";
            return Err(Failure::could_not("busy-worktree", message).hint(hint));
        }
    }
    Ok(())
}

/// Writes all that the supervisor needs and lets it go, once it holds the lock; nothing here is acknowledged yet.
fn lay_out(folder: &Path, job: &Job, plan: &Plan, supervisor: &mut Supervisor) -> Result<(), Failure> {
    let beside = job.path(job::BESIDE);
    let prompt = plan.clean_prompt();
    let record = record(job, plan, State::Starting);
    supervisor.takes(job, || {
        write_files(job, plan, prompt.as_deref())?;
        live::add(folder, job)?;
        create(&beside, &record.to_bytes()?)?;
        Ok(())
    })?;
    // Renamed, so that nobody reads half a record, and now, so that nobody finds it without its lock.
    fs::rename(&beside, job.path(job::RECORD)).with_context(|| format!("cannot rename '{}'", beside.display()))?;
    job::note_latest(folder, job);
    if record.command_line() != plan.command {
        supervisor.tell(&given::words(&plan.command))?;
    }
    if let Some(asked) = plan.prompt.as_ref().filter(|asked| Some(*asked) != prompt.as_ref()) {
        supervisor.tell(&given::prompt(asked))?;
    }
    supervisor.goes()
}

/// Writes all that it takes to start the job when there is a place.
fn write_queued(folder: &Path, job: &Job, plan: &Plan) -> Result<(), Failure> {
    let record = record(job, plan, State::Queued);
    if record.request_redacted {
        let message = "no place is free, and what is asked for holds a secret, which is not written down to wait";
        let hint = "let the job read the secret from its environment, or launch it when a place is free";
        return Err(Failure::could_not("secret-request", message).hint(hint));
    }
    let write = || -> Result<()> {
        write_files(job, plan, plan.prompt.as_deref())?;
        queue::add(job)?;
        create(&job.path(job::BESIDE), &record.to_bytes()?)?;
        Events::open(&job.path(job::EVENTS)).add("queued", serde_json::json!({ "priority": plan.priority }));
        fs::rename(job.path(job::BESIDE), job.path(job::RECORD))?;
        Ok(())
    };
    write().with_context(|| format!("cannot write the record in '{}'", job.folder().display()))?;
    job::note_latest(folder, job);
    Ok(())
}

fn write_files(job: &Job, plan: &Plan, prompt: Option<&[u8]>) -> Result<()> {
    for (file, bytes) in [(job::PROMPT, prompt), (job::SCHEMA_FILE, plan.schema.as_deref())] {
        if let Some(bytes) = bytes {
            create(&job.path(file), bytes)?;
        }
    }
    // Here and not in the supervisor: the folder is flushed once, with all its files.
    for file in [job::LOG, job::EVENTS, job::RUNNING] {
        create(&job.path(file), b"")?;
    }
    Ok(())
}

/// Takes back a job that never started: its own files by name, then the folder if nothing else is in it.
fn discard(job: &Job) {
    let files = [job::RECORD, job::BESIDE, job::LOG, job::EVENTS, job::RUNNING, job::PROMPT];
    for file in files.into_iter().chain([job::SCHEMA_FILE, job::LOCK]) {
        let _ = link::remove(&job.path(file));
    }
    let _ = fs::remove_dir(job.folder());
}

fn create(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

fn record(job: &Job, plan: &Plan, state: State) -> Record {
    let (worktree, worktree_bytes) = spell(plan.place.worktree.as_os_str());
    let clean: Vec<_> = plan.command.iter().map(|word| plan.secrets.clean_word(word)).collect();
    let words: Vec<_> = clean.iter().map(|word| spell(word)).collect();
    let mut finish = plan.finish.clone();
    if let Some(finish) = &mut finish {
        finish.title = plan.secrets.clean_text(&finish.title);
    }
    let hidden = plan.prompt.as_ref().is_some_and(|prompt| plan.secrets.clean(prompt).1 > 0);
    let lossy = words.iter().any(|(_, bytes)| bytes.is_some());
    let bytes = |(text, bytes): &(String, Option<Vec<u8>>)| bytes.clone().unwrap_or_else(|| text.as_bytes().to_vec());
    Record {
        schema: SCHEMA,
        id: job.id(),
        repo: plan.repo.clone(),
        slug: job.slug().clone(),
        number: job.number(),
        task: plan.task.clone(),
        worktree,
        worktree_bytes,
        branch: plan.place.branch.clone(),
        command_bytes: lossy.then(|| words.iter().map(bytes).collect()),
        command: words.into_iter().map(|(text, _)| text).collect(),
        // What names a secret is found once more from the command line that the supervisor is given.
        program: plan.program.clone().filter(|program| plan.secrets.clean_text(program) == *program),
        agent: plan.agent.as_ref().map(|agent| agent.name.clone()),
        prompt: plan.agent.as_ref().map(|agent| agent.way),
        run: plan.agent.as_ref().map(Agent::run).unwrap_or_default(),
        state,
        queue: (state == State::Queued).then_some(Queue {
            priority: plan.priority,
            repo_limit: plan.repo_limit,
            force: plan.force,
        }),
        reason: None,
        by: None,
        created: clock::now(),
        started: None,
        ended: None,
        exit: None,
        boot: boot_id().to_owned(),
        supervisor: None,
        child: None,
        timeout_ms: plan.timeout.map(millis),
        grace_ms: millis(plan.grace),
        bytes_logged: 0,
        bytes_dropped: 0,
        left_over: 0,
        waits: plan.waits.clone(),
        finish: finish.clone(),
        commit: None,
        commit_problem: None,
        rules: plan.rules.clone(),
        env_names: plan.env_names.clone(),
        redactions: 0,
        request_redacted: hidden || clean != plan.command,
        stalls: 0,
        dangers: 0,
        interrupts: 0,
        folders: plan.folders.clone(),
        error_kind: None,
        signs: plan.signs.clone(),
        notify: plan.notify.clone(),
        unknown: Map::new(),
    }
}

impl Supervisor {
    /// Starts a supervisor and does not wait for it.
    pub(crate) fn start() -> Result<Supervisor> {
        // What the caller has open beyond its three streams is not the job's.
        close_fds::set_fds_cloexec(3, &[]);
        let mut command = process::command(own_program());
        process::scrub(&mut command)
            .arg0("git-worker")
            .arg(heir::WORD)
            .current_dir("/")
            // Of the job that this is called in, if it is.
            .env_remove("GIT_WORKER_JOB")
            .env_remove("GIT_WORKER_PROMPT_FILE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start the supervisor")?;
        let orders = child.stdin.take().context("the supervisor hears nothing")?;
        let words = child.stdout.take().context("the supervisor says nothing")?;
        Ok(Supervisor { child, orders, words: BufReader::new(words) })
    }

    /// Tells it its job, does what is to be done meanwhile, and waits until it holds the job's lock.
    pub(crate) fn takes(&mut self, job: &Job, meanwhile: impl FnOnce() -> Result<()>) -> Result<(), Failure> {
        self.tell(&[job.folder().as_os_str().as_bytes(), b"\0"].concat())?;
        meanwhile().with_context(|| format!("cannot write the record in '{}'", job.folder().display()))?;
        self.hear("locked", job)
    }

    /// Lets it start the child.
    pub(crate) fn goes(&mut self) -> Result<(), Failure> {
        self.tell(b"go\0")
    }

    /// Waits for the word that the child runs; the supervisor lives on without us.
    pub(crate) fn started(mut self, job: &Job) -> Result<(), Failure> {
        self.hear("ok", job)
    }

    fn tell(&mut self, order: &[u8]) -> Result<(), Failure> {
        Ok(self.orders.write_all(order).context("the supervisor has ended")?)
    }

    /// Waits for a word of the supervisor; `no` and a reason is a failure.
    fn hear(&mut self, word: &str, job: &Job) -> Result<(), Failure> {
        let mut line = String::new();
        let heard = self.words.read_line(&mut line);
        match (heard, line.trim_end().split_once(' ')) {
            (Ok(_), None) if line.strip_suffix('\n') == Some(word) => Ok(()),
            (Ok(_), Some(("no", reason))) => {
                // It has nothing left to do; nobody is to find it as a zombie.
                let _ = self.child.wait();
                Err(Failure::could_not("cannot-start", reason).details(serde_json::json!({ "job": job.id() })))
            }
            _ => Err(Failure::could_not("supervisor", "the supervisor of the job ended before the job had started")
                .hint(format!("'git worker stop {}' ends what may be left of it", job.id()))),
        }
    }
}

/// A program that was replaced while it runs has no path any more, but can still be run.
pub(crate) fn own_program() -> PathBuf {
    let own = std::env::current_exe().ok().filter(|path| path.exists());
    own.unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// Brings the record to disk, and the folder in which it is found again.
///
/// Both at once, so that they share one flush of the disk. The entry of a folder made a moment ago
/// is flushed with the folder by every journaling file system; the job's end flushes it once more.
fn flush(job: &Job) -> Result<()> {
    let record = || match File::open(job.path(job::RECORD)).and_then(|file| file.sync_all()) {
        // The supervisor was faster, and what it puts there is flushed.
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    };
    thread::scope(|scope| {
        let folder = scope.spawn(|| durable::sync_folder(job.folder()));
        record()?;
        folder.join().unwrap_or_else(|_| Err(ErrorKind::Other.into()))?;
        Ok(())
    })
}

/// Ends a supervisor whose job cannot be acknowledged; it is the only child of its heir, who is ours.
fn give_up(job: &Job, mut supervisor: Supervisor) {
    let below = i32::try_from(supervisor.child.id()).map(descendants);
    if let Some(supervisor) = below.unwrap_or_default().first() {
        supervisor.signal(Signal::TERM);
    }
    let _ = durable::wait_unlocked(&job.path(job::LOCK));
    let _ = supervisor.child.wait();
}
