//! `git task worktree list`: the worktrees and whose they are.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

use crate::fields::short_name;

/// List the worktrees of this repository and the tasks they belong to
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print paths only, each ended by NUL
    #[arg(short = 'z')]
    nul: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    worktrees: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(serialize_with = "as_text")]
    path: PathBuf,
    branch: Option<String>,
    task: Option<String>,
    main: bool,
    locked: bool,
    missing: bool,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.worktrees {
            let branch = row.branch.as_deref().map_or("(detached)", short_name);
            write!(f, "{}  {}", Foreign(&row.path.display().to_string()), Foreign(branch))?;
            if let Some(task) = &row.task {
                write!(f, "  task {task}")?;
            }
            for (set, word) in [(row.main, "main"), (row.locked, "locked"), (row.missing, "missing")] {
                if set {
                    write!(f, "  {word}")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let repository = cx.repository_unchecked()?;
    let tasks = cx.registry()?.load()?;
    let key = repository.key();
    let task_at = |path: &PathBuf| {
        let own = tasks.tasks.iter().filter(|task| task.repo.key == key);
        own.filter(|task| task.is_open()).find(|task| task.worktree.as_ref().is_some_and(|at| Path::new(at) == path))
    };
    let rows = repository.worktrees()?.into_iter().map(|worktree| Row {
        task: task_at(&worktree.path).map(|task| task.slug.to_string()),
        main: worktree.is_main,
        locked: worktree.locked.is_some(),
        missing: !worktree.path.exists(),
        branch: worktree.branch,
        path: worktree.path,
    });
    let answer = Answer { worktrees: rows.collect() };
    if args.nul && !cx.output.is_json() {
        use std::os::unix::ffi::OsStrExt;
        let paths = answer.worktrees.iter().flat_map(|row| [row.path.as_os_str().as_bytes(), b"\0"].concat());
        cx.output.raw(&paths.collect::<Vec<u8>>())?;
    } else {
        cx.output.answer(&answer)?;
    }
    Ok(Status::Done)
}

/// A path that is not UTF-8 is shown as well as JSON can; `-z` prints its bytes.
fn as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
