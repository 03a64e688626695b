//! The start of a job: its folder and record, its supervisor, and the word that it runs.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, PipeReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::Map;
use shared::app::Context;
use shared::clock;
use shared::durable::{self, Lock};
use shared::failure::Failure;
use shared::output::SCHEMA;
use shared::process::{self, Identity, boot_id};

use crate::job::{self, Job, Jobs};
use crate::launch::Plan;
use crate::record::{Record, State, spell};
use crate::{link, live, supervise};

/// Starts what is planned and returns once the child runs and its record is on disk.
pub(crate) fn begin(cx: &Context, plan: &Plan) -> Result<Job, Failure> {
    let jobs = Jobs::of_user()?;
    let folder = jobs.folder_of(&plan.repo.key);
    durable::private_folder(&folder)?;
    // What the caller has open beyond its three streams is not the job's.
    close_fds::set_fds_cloexec(3, &[]);
    let guard = Lock::acquire(&folder.join(".lock"), durable::PATIENCE)?;
    if !plan.share {
        refuse_company(&folder, &plan.place.worktree)?;
    }
    let (job, lock) = lay_out(&folder, plan)?;
    let hidden = link::hide(&plan.common_dir);
    drop(guard);

    let (mut supervisor, word) = start(&job, plan, lock)?;
    // While it starts: what it need not wait for.
    if let Err(error) = flush(&job) {
        give_up(&job, &mut supervisor);
        let failure = Failure::from(error.context(format!("cannot flush the record of '{}'", job.id())));
        return Err(failure);
    }
    let linked = hidden.and_then(|()| link::point(&plan.place.worktree, &job.path(job::LOG), &folder));
    if let Err(error) = linked {
        cx.output.warn(format!("no link to the log in the worktree: {error:#}"));
    }
    listen(&job, word, &mut supervisor)?;
    Ok(job)
}

fn refuse_company(folder: &Path, worktree: &Path) -> Result<(), Failure> {
    for job in live::list(folder) {
        let works_here = job.load().is_ok_and(|record| record.worktree_path() == worktree);
        if works_here {
            let message = format!("job '{}' works in '{}'", job.id(), worktree.display());
            let hint = "--share lets two jobs work in one worktree; 'git worker wait' waits for the end of one";
            return Err(Failure::could_not("busy-worktree", message).hint(hint));
        }
    }
    Ok(())
}

/// Makes the job's folder with all that the supervisor needs; nothing here is acknowledged yet.
fn lay_out(folder: &Path, plan: &Plan) -> Result<(Job, Lock)> {
    let job = Job::create(folder, &plan.slug)?;
    let lock = Lock::acquire(&job.path(job::LOCK), Duration::ZERO)?;
    let write = || -> Result<()> {
        if let Some(prompt) = &plan.prompt {
            create(&job.path(job::PROMPT), prompt)?;
        }
        live::add(folder, &job)?;
        // Renamed, so that a kill in between leaves no half record.
        let beside = job.path(".job.json.new");
        create(&beside, &record(&job, plan).to_bytes()?)?;
        fs::rename(&beside, job.path(job::RECORD))?;
        // Here and not in the supervisor: the folder is flushed once, with all its files.
        for file in [job::LOG, job::EVENTS, job::RUNNING] {
            create(&job.path(file), b"")?;
        }
        Ok(())
    };
    if let Err(error) = write() {
        live::remove(folder, &job);
        discard(&job);
        return Err(error.context(format!("cannot write the record in '{}'", job.folder().display())));
    }
    Ok((job, lock))
}

/// Takes back a job that never started: its own files by name, then the folder if nothing else is in it.
fn discard(job: &Job) {
    let files = [job::RECORD, ".job.json.new", job::LOG, job::EVENTS, job::RUNNING, job::PROMPT, job::LOCK];
    for file in files {
        let _ = link::remove(&job.path(file));
    }
    let _ = fs::remove_dir(job.folder());
}

fn create(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

fn record(job: &Job, plan: &Plan) -> Record {
    let (worktree, worktree_bytes) = spell(plan.place.worktree.as_os_str());
    let words: Vec<_> = plan.command.iter().map(|word| spell(word)).collect();
    let lossy = words.iter().any(|(_, bytes)| bytes.is_some());
    let bytes = |(text, bytes): &(String, Option<Vec<u8>>)| bytes.clone().unwrap_or_else(|| text.as_bytes().to_vec());
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
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
        program: plan.program.clone(),
        agent: plan.agent.as_ref().map(|(name, _)| name.clone()),
        prompt: plan.agent.as_ref().map(|(_, way)| *way),
        state: State::Starting,
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
        finish: plan.finish.clone(),
        commit: None,
        commit_problem: None,
        unknown: Map::new(),
    }
}

/// Starts the supervisor: this program again, with the job's lock as its standard input, where it stays held.
fn start(job: &Job, plan: &Plan, lock: Lock) -> Result<(Child, PipeReader)> {
    let (word, voice) = std::io::pipe().context("cannot make a pipe")?;
    let mut command = process::command(own_program());
    process::scrub(&mut command)
        .arg0("git-worker")
        .arg(supervise::WORD)
        .arg(job.folder())
        .current_dir("/")
        .env("GIT_WORKER_JOB", format!("{}/{}/{}", plan.repo.key, job.slug(), job.number()))
        .stdin(Stdio::from(lock.into_file()))
        .stdout(Stdio::from(voice))
        .stderr(Stdio::null());
    match plan.prompt {
        Some(_) => command.env("GIT_WORKER_PROMPT_FILE", job.path(job::PROMPT)),
        None => command.env_remove("GIT_WORKER_PROMPT_FILE"),
    };
    let child = command.spawn().context("cannot start the supervisor")?;
    Ok((child, word))
}

/// A program that was replaced while it runs has no path any more, but can still be run.
fn own_program() -> PathBuf {
    let own = std::env::current_exe().ok().filter(|path| path.exists());
    own.unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// Brings the record to disk, and the folders by which it is found again.
fn flush(job: &Job) -> Result<()> {
    match File::open(job.path(job::RECORD)).and_then(|file| file.sync_all()) {
        // The supervisor was faster, and what it puts there is flushed.
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.into()),
        Ok(()) | Err(_) => {}
    }
    let depth = if job.number() == 1 { 4 } else { 2 };
    for folder in job.folder().ancestors().take(depth) {
        durable::sync_folder(folder)?;
    }
    Ok(())
}

/// Ends a supervisor whose job cannot be acknowledged; it is this process's child, so the number is its own.
fn give_up(job: &Job, supervisor: &mut Child) {
    if let Some(identity) = i32::try_from(supervisor.id()).ok().and_then(Identity::of) {
        identity.signal(Signal::TERM);
    }
    let _ = durable::wait_unlocked(&job.path(job::LOCK));
    let _ = supervisor.wait();
}

/// Waits for the supervisor's word: `ok`, or `no` and the reason.
fn listen(job: &Job, word: PipeReader, supervisor: &mut Child) -> Result<(), Failure> {
    let mut line = String::new();
    let heard = BufReader::new(word).read_line(&mut line);
    match (heard, line.trim_end().split_once(' ')) {
        (Ok(_), None) if line == "ok\n" => Ok(()),
        (Ok(_), Some(("no", reason))) => {
            // It has nothing left to do; nobody is to find it as a zombie.
            let _ = supervisor.wait();
            Err(Failure::could_not("cannot-start", reason).details(serde_json::json!({ "job": job.id() })))
        }
        _ => Err(Failure::could_not("supervisor", "the supervisor of the job ended before the job had started")
            .hint(format!("'git worker stop {}' ends what may be left of it", job.id()))),
    }
}
