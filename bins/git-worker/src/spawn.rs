//! The start of a job's child: its command line, its environment, its pipes.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use rustix::process::Pid;
use shared::process;

use crate::agent::with_prompt;
use crate::job::{self, Job};
use crate::output::Pipes;
use crate::prepare;
use crate::record::{PromptWay, Record};
use crate::stream::Format;

/// What the pipe of such an agent's words holds: as much as the system gives to anybody.
const ROOM: usize = 1024 * 1024;

/// A child that runs, and the ends of its pipes.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) child: Pid,
    pub(crate) pipes: Pipes,
}

/// Starts a child in a process group of its own, its input not ours.
///
/// # Errors
/// When the prompt cannot be read or the program cannot be started.
pub(crate) fn spawn(job: &Job, record: &Record, line: Vec<OsString>, prompt_file: &Path) -> Result<Spawned> {
    let worktree = record.worktree_path();
    let line = whole_line(job, record, line, prompt_file)?;
    let Some(name) = line.first() else { bail!("there is no command") };
    let (main, writer) = std::io::pipe().context("cannot make a pipe")?;
    let mut errors = None;
    let stderr = match record.run.format {
        // A stream of its own: nothing that goes to stderr can pass for an event.
        Some(format) => {
            let (pipe, writer) = std::io::pipe().context("cannot make a pipe")?;
            errors = Some((pipe, format));
            if matches!(format, Format::Claude | Format::Gemini | Format::Opencode) {
                // They leave without waiting until their last words are read: what fits is not lost.
                let _ = rustix::pipe::fcntl_setpipe_size(&main, ROOM);
            }
            writer
        }
        None => writer.try_clone().context("cannot copy a pipe")?,
    };
    let stdin = match record.prompt {
        Some(PromptWay::Stdin) => Stdio::from(File::open(prompt_file).context("cannot open the prompt")?),
        Some(PromptWay::Argument | PromptWay::File) | None => Stdio::null(),
    };
    let program = record.program.as_ref().map_or_else(|| name.clone(), OsString::from);
    let (start, words) = prepare::start(record.run.format, &job.root(), &program, &line);
    let mut command = process::command(start);
    command.env_clear();
    let passed = record.env_names.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.envs(passed);
    if prompt_file.exists() {
        command.env("GIT_WORKER_PROMPT_FILE", prompt_file);
    }
    let child = command
        .arg0(&words[0])
        .args(&words[1..])
        .env("GIT_WORKER_JOB", record.marker())
        .current_dir(&worktree)
        .stdin(stdin)
        .stdout(writer)
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start '{}' in '{}'", name.to_string_lossy(), worktree.display()))?;
    let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the child has no process id")?;
    Ok(Spawned { child, pipes: Pipes { main, errors } })
}

/// Fills in what only the start knows: the prompt, and the schema of the answer.
fn whole_line(job: &Job, record: &Record, line: Vec<OsString>, prompt_file: &Path) -> Result<Vec<OsString>> {
    let Some(way) = record.prompt else { return Ok(line) };
    let names = |place: &str| line.iter().any(|word| word.to_string_lossy().contains(place));
    let read = |file: &Path| std::fs::read(file).map(std::os::unix::ffi::OsStringExt::from_vec);
    let prompt: OsString = match way == PromptWay::Argument || names("{prompt}") {
        true => read(prompt_file).context("cannot read the prompt")?,
        false => OsString::new(),
    };
    let schema_file = job.path(job::SCHEMA_FILE);
    let schema: OsString = match names("{schema}") {
        true => read(&schema_file).context("cannot read the schema of the answer")?,
        false => OsString::new(),
    };
    Ok(with_prompt(line, way, &prompt, prompt_file, (&schema, &schema_file)))
}
