//! The task registry: one JSON document of all tasks of this user.
//!
//! Readers take no lock and write nothing. A change is one critical section: lock, load, edit,
//! append to the log, replace. A broken or newer file is refused and never overwritten.

mod log;
mod task;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::durable::{self, Lock, Previous};
use crate::folders;
use crate::refusal::Refusal;
use crate::slug::Slug;

pub use log::{Change, Log, TaskChange};
pub use task::{Base, Repo, State, Task};

/// The version of the document that this program writes.
pub const SCHEMA: u64 = 1;

/// Where the tasks of this user are.
#[derive(Debug, Clone)]
pub struct Registry {
    path: PathBuf,
}

/// All tasks, as read at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tasks {
    schema: u64,
    /// Counts the changes since the document was made.
    #[serde(default)]
    pub generation: u64,
    /// The tasks, in the order in which they were added.
    pub tasks: Vec<Task>,
    /// What a newer version added.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl Tasks {
    fn empty() -> Tasks {
        Tasks { schema: SCHEMA, generation: 0, tasks: Vec::new(), unknown: Map::new() }
    }

    /// Finds a task by its slug within a repository, or by its id.
    pub fn find(&self, repo_key: &str, name: &str) -> Option<&Task> {
        let own = self.tasks.iter().find(|task| task.repo.key == repo_key && task.slug.as_str() == name);
        own.or_else(|| self.tasks.iter().find(|task| task.id == name))
    }

    /// Returns a task like [`Tasks::find`].
    ///
    /// # Errors
    /// A [`Refusal`] of kind `no-task` with the nearest slug.
    pub fn task(&self, repo_key: &str, name: &str) -> Result<&Task> {
        if let Some(task) = self.find(repo_key, name) {
            return Ok(task);
        }
        let refusal = Refusal::new("no-task", format!("no task '{}'", name.escape_debug()));
        let slugs = self.tasks.iter().filter(|task| task.repo.key == repo_key).map(|task| task.slug.as_str());
        let near = slugs.map(|slug| (strsim::damerau_levenshtein(name, slug), slug)).min();
        bail!(match near.filter(|(distance, _)| *distance <= 2) {
            Some((_, slug)) => refusal.hint(format!("the nearest one is '{slug}'")),
            None => refusal.hint("'git task list' shows the open ones"),
        })
    }

    /// Returns a task by its id, to change it.
    pub fn by_id_mut(&mut self, id: &str) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.id == id)
    }

    /// Returns a task by its id.
    pub fn by_id(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == id)
    }

    /// Returns the slugs of the tasks with these ids, an id itself where no task has it.
    pub fn slugs(&self, ids: &[String]) -> Vec<String> {
        ids.iter().map(|id| self.by_id(id).map_or_else(|| id.clone(), |task| task.slug.to_string())).collect()
    }

    /// Says whether all that a task depends on is done.
    pub fn is_unblocked(&self, task: &Task) -> bool {
        task.depends_on.iter().all(|id| self.by_id(id).is_some_and(|task| task.status == State::Done))
    }

    /// Makes planned tasks ready, or ready ones planned, as their dependencies say.
    pub fn settle(&mut self) {
        use std::collections::HashSet;
        let done: HashSet<String> =
            self.tasks.iter().filter(|task| task.status == State::Done).map(|task| task.id.clone()).collect();
        for task in &mut self.tasks {
            let free = task.depends_on.iter().all(|id| done.contains(id));
            task.status = match task.status {
                State::Planned if free => State::Ready,
                State::Ready if !free => State::Planned,
                other => other,
            };
        }
    }

    /// Finds a cycle of dependencies and returns the slugs along it, the first one again at the end.
    pub fn find_cycle(&self) -> Option<Vec<String>> {
        use std::collections::HashMap;
        let place: HashMap<&str, usize> =
            self.tasks.iter().enumerate().map(|(at, task)| (task.id.as_str(), at)).collect();
        // 0 not seen, 1 on the way, 2 done; the way is kept by hand, so that a long chain needs no deep stack.
        let mut seen = vec![0_u8; self.tasks.len()];
        for start in 0..self.tasks.len() {
            let mut way: Vec<(usize, usize)> = if seen[start] == 0 { vec![(start, 0)] } else { Vec::new() };
            while let Some((at, next)) = way.pop() {
                seen[at] = 1;
                let Some(id) = self.tasks[at].depends_on.get(next) else {
                    seen[at] = 2;
                    continue;
                };
                way.push((at, next + 1));
                match place.get(id.as_str()) {
                    Some(&child) if seen[child] == 1 => {
                        let from = way.iter().position(|(step, _)| *step == child).unwrap_or(0);
                        let steps = way[from..].iter().map(|(step, _)| *step).chain([child]);
                        return Some(steps.map(|step| self.tasks[step].slug.to_string()).collect());
                    }
                    Some(&child) if seen[child] == 0 => way.push((child, 0)),
                    Some(_) | None => {}
                }
            }
        }
        None
    }

    /// Returns an id that no task has.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new_id(&self) -> Result<String> {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        loop {
            let mut random = [0_u8; 8];
            getrandom(&mut random, GetRandomFlags::empty()).context("the system gives no random numbers")?;
            let id: String = random.iter().map(|byte| char::from(DIGITS[usize::from(byte % 32)])).collect();
            if self.by_id(&id).is_none() {
                return Ok(id);
            }
        }
    }

    /// Returns the slug if it is free in the repository, or the first free one with a number behind.
    pub fn free_slug(&self, repo_key: &str, wanted: Slug) -> Slug {
        let taken = |slug: &Slug| self.tasks.iter().any(|task| task.repo.key == repo_key && task.slug == *slug);
        if !taken(&wanted) {
            return wanted;
        }
        (2..).map(|n| wanted.numbered(n)).find(|slug| !taken(slug)).expect("some number is free")
    }
}

impl Registry {
    /// Returns the registry of this user.
    ///
    /// # Errors
    /// When the user has no home folder.
    pub fn of_user() -> Result<Registry> {
        Ok(Registry { path: folders::data()?.join("tasks.json") })
    }

    /// Returns the path of the document.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the log.
    pub fn log_path(&self) -> PathBuf {
        self.path.with_file_name("tasks.log.jsonl")
    }

    /// Returns the path of the previous generation.
    pub fn previous_path(&self) -> PathBuf {
        self.path.with_file_name("tasks.json.1")
    }

    /// Returns the path of the lock.
    pub fn lock_path(&self) -> PathBuf {
        self.path.with_file_name("tasks.json.lock")
    }

    /// Reads all tasks; none if there is no file yet.
    ///
    /// # Errors
    /// A [`Refusal`] when the file is broken (with line and column) or newer than this program.
    pub fn load(&self) -> Result<Tasks> {
        match load_file(&self.path)? {
            Some(tasks) => Ok(tasks),
            // Somebody may have removed the document and not its log: numbered anew, the old changes would be hidden.
            None => Ok(Tasks { generation: log::last_generation(&self.log_path())?, ..Tasks::empty() }),
        }
    }

    /// Reads the log up to the present generation.
    ///
    /// # Errors
    /// When the registry or the log cannot be read.
    pub fn log(&self) -> Result<Log> {
        log::read(&self.log_path(), self.load()?.generation)
    }

    /// Changes the tasks in one critical section and returns what `edit` returns.
    ///
    /// Nothing is written if `edit` fails or changes nothing. `what` is asked after the edit.
    ///
    /// # Errors
    /// When the registry cannot be read, locked or written, and whatever `edit` fails with.
    pub fn change<T>(&self, what: impl FnOnce(&T) -> String, edit: impl FnOnce(&mut Tasks) -> Result<T>) -> Result<T> {
        let folder = self.path.parent().context("the registry has a folder")?;
        durable::private_folder(folder)?;
        let _lock = Lock::acquire(&self.lock_path(), durable::PATIENCE)?;
        durable::sweep(folder);
        let before = self.load()?;
        let mut after = before.clone();
        let result = edit(&mut after)?;
        after.settle();
        let changes = log::difference(&before.tasks, &after.tasks);
        if changes.is_empty() {
            return Ok(result);
        }
        let time = crate::clock::now();
        for change in &changes {
            if let Some(task) = after.by_id_mut(&change.id) {
                task.updated = time;
            }
        }
        after.generation = before.generation + 1;
        let line = Change {
            generation: after.generation,
            time,
            who: who(),
            what: what(&result),
            tasks: log::difference(&before.tasks, &after.tasks),
        };
        durable::append_line(&self.log_path(), &serde_json::to_string(&line)?)?;
        let mut bytes = serde_json::to_vec_pretty(&after)?;
        bytes.push(b'\n');
        durable::replace_behind_link(&self.path, &bytes, Previous::Keep)?;
        Ok(result)
    }
}

/// Reads a document at another place than the registry's own, such as the previous generation.
///
/// # Errors
/// As [`Registry::load`].
pub fn load_file(path: &Path) -> Result<Option<Tasks>> {
    let Some(bytes) = durable::read(path)? else { return Ok(None) };
    let hint = "'git task doctor --fix' keeps the broken file aside and restores the previous generation";
    let broken =
        |why: String| Refusal::new("broken-registry", format!("'{}' is broken: {why}", path.display())).hint(hint);
    // The schema first: a newer document may be anything but broken.
    #[derive(Deserialize)]
    struct Schema {
        schema: u64,
    }
    let Schema { schema } = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
    if schema > SCHEMA {
        let message = format!("'{}' has schema {schema}, this program knows {SCHEMA}", path.display());
        bail!(Refusal::new("newer-registry", message).hint("install the newer version of the programs"));
    }
    Ok(Some(serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?))
}

/// The job in which the command runs, or the user.
fn who() -> String {
    if let Some(job) = std::env::var("GIT_WORKER_JOB").ok().filter(|job| !job.is_empty()) {
        return format!("job {job}");
    }
    std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "user".into())
}
