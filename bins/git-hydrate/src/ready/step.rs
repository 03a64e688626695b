//! Running the steps, one after the other; none outlives an interruption.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::{Output, escape};
use shared::process::{self, Identity};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::target::Target;

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);

/// How long the last words of a step that has ended are waited for; who was left running may hold its output.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// So many lines of a step are kept for a failure, each up to so many bytes.
const KEPT_LINES: usize = 10;
const LONGEST_LINE: usize = 1000;

/// One step, as it is answered.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    command: String,
    /// The exit code, 128 + the number if a signal ended it; `None` if it did not run.
    status: Option<i32>,
    seconds: f64,
}

impl Step {
    /// A step of a dry run.
    pub(super) fn foreseen(words: &[OsString]) -> Step {
        Step { command: shown(words), status: None, seconds: 0.0 }
    }
}

/// Runs the steps.
///
/// # Errors
/// When one cannot be started, fails, or a signal asked us to end.
pub(super) fn run(
    cx: &Context,
    target: &Target,
    lines: &[Vec<OsString>],
    env: &[(String, OsString)],
    done: &mut Vec<Step>,
) -> Result<(), Failure> {
    if lines.is_empty() {
        return Ok(());
    }
    let asked = Asked::listen();
    let mark = format!("GIT_HYDRATE_AFTER={}", target.worktree.git_dir.to_string_lossy());
    // What a run that was killed left running would work against us.
    process::end(|| process::marked(&mark), GRACE);
    for words in lines {
        let begin = Instant::now();
        if !cx.output.is_json() {
            cx.output.note(format!("after: {}", escape(&shown(words))));
        }
        let ended = one(cx, target, words, env, &mark, &asked)?;
        let status = code(ended.status);
        done.push(Step { command: shown(words), status: Some(status), seconds: begin.elapsed().as_secs_f64() });
        if let Some(signal) = asked.signal() {
            return Err(interrupted(signal));
        }
        if status != 0 {
            return Err(failed(words, ended.status, &ended.last, done));
        }
    }
    Ok(())
}

/// The signal that asked us to end.
struct Asked {
    number: Arc<AtomicUsize>,
}

impl Asked {
    fn listen() -> Asked {
        let number = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // Without the handler the signal ends us at once, and the next run ends what is left.
            let _ = signal_hook::flag::register_usize(signal, number.clone(), signal as usize);
        }
        Asked { number }
    }

    fn signal(&self) -> Option<i32> {
        i32::try_from(self.number.load(Ordering::Relaxed)).ok().filter(|number| *number != 0)
    }
}

struct Ended {
    status: ExitStatus,
    last: Vec<String>,
}

fn one(
    cx: &Context,
    target: &Target,
    words: &[OsString],
    env: &[(String, OsString)],
    mark: &str,
    asked: &Asked,
) -> Result<Ended, Failure> {
    let (reader, writer) = pipe().context("cannot make a pipe")?;
    let mut child = start(target, words, env, mark, writer).map_err(|error| {
        let message = format!("cannot start the step '{}': {error:#}", escape(&shown(words)));
        Failure::could_not("after-failed", message).hint(HINT)
    })?;
    let words_of_step = Words::read(reader, &cx.output);
    let status = watch(&mut child, asked)?;
    Ok(Ended { status, last: words_of_step.end() })
}

fn start(
    target: &Target,
    words: &[OsString],
    env: &[(String, OsString)],
    mark: &str,
    writer: std::io::PipeWriter,
) -> Result<Child> {
    let folder = &target.worktree.path;
    let (program, arguments) = words.split_first().context("it names no command")?;
    let mut command = process::command(in_worktree(folder, program));
    process::scrub(&mut command).args(arguments).current_dir(folder).env("PWD", folder);
    command.envs(env.iter().map(|(name, value)| (name, value)));
    if let Some((name, value)) = mark.split_once('=') {
        command.env(name, value);
    }
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    // With the command its ends of the pipe go.
    Ok(command.spawn()?)
}

/// A program with a folder in its name is one of the worktree.
fn in_worktree(folder: &Path, program: &OsString) -> PathBuf {
    if program.as_bytes().contains(&b'/') { folder.join(program) } else { PathBuf::from(program) }
}

/// Waits for the end; a signal to us ends the step and all that it started first.
fn watch(child: &mut Child, asked: &Asked) -> Result<ExitStatus> {
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a step")? {
            return Ok(status);
        }
        if asked.signal().is_some() {
            let group = child.id() as i32;
            let members = || -> Vec<Identity> {
                let mut all = process::in_group(group);
                all.extend(process::descendants(group));
                all
            };
            process::end(members, GRACE);
            return child.wait().context("cannot wait for a step");
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// What a step prints: passed on line by line, the last lines kept.
struct Words {
    last: Arc<Mutex<VecDeque<String>>>,
    end: Receiver<()>,
}

impl Words {
    fn read(reader: PipeReader, output: &Output) -> Words {
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, end) = channel();
        let (kept, output) = (last.clone(), output.clone());
        thread::spawn(move || {
            // Dropped with the thread, which says that the end is reached.
            let _sender = sender;
            let mut reader = BufReader::new(reader);
            while let Some(line) = next_line(&mut reader) {
                if !output.is_json() {
                    output.note(escape(&line));
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_back(line);
                if kept.len() > KEPT_LINES {
                    kept.pop_front();
                }
            }
        });
        Words { last, end }
    }

    fn end(self) -> Vec<String> {
        let _ = self.end.recv_timeout(LAST_WORDS);
        self.last.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

/// Reads a line, or as much of a long one as is kept.
fn next_line(reader: &mut impl BufRead) -> Option<String> {
    use std::io::Read;
    let mut line = Vec::new();
    let count = reader.take(LONGEST_LINE as u64).read_until(b'\n', &mut line).ok()?;
    (count > 0).then(|| String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned())
}

fn shown(words: &[OsString]) -> String {
    shell_words::join(words.iter().map(|word| word.to_string_lossy()))
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

const HINT: &str = "the worktree is filled; once that is mended, 'git hydrate' runs the steps again";

fn failed(words: &[OsString], status: ExitStatus, last: &[String], done: &[Step]) -> Failure {
    let how = match status.signal() {
        Some(signal) => format!("was ended by signal {signal}"),
        None => format!("ended with exit code {}", code(status)),
    };
    let mut message = format!("the step '{}' {how}", escape(&shown(words)));
    if !last.is_empty() {
        message.push_str(": ");
        message.push_str(&escape(&last.join("; ")));
    }
    Failure::could_not("after-failed", message).hint(HINT).details(json!({ "steps": done, "last_lines": last }))
}

fn interrupted(signal: i32) -> Failure {
    let status = if signal == SIGINT { Status::Interrupted } else { Status::Terminated };
    Failure::ended(status, "interrupted; the step that ran was ended").hint(HINT)
}
