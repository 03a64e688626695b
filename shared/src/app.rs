//! The frame of every program: arguments, context, and how it ends.

use std::cell::OnceCell;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use clap_complete::CompletionCandidate;

use crate::config::Config;
use crate::config::schema::{self, Class};
use crate::exit::Status;
use crate::failure::Failure;
use crate::output::{ColorChoice, Output, escape};
use crate::process::{self, Git};
use crate::registry::{Registry, Task};
use crate::repository::{Repository, Scope, Worktree};

const HEADING: &str = "Options of every command";

/// The options that every program takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Global {
    /// Run as if started in this folder
    #[arg(short = 'C', value_name = "path", global = true, help_heading = HEADING, value_hint = clap::ValueHint::DirPath)]
    pub directory: Vec<PathBuf>,
    /// Answer as JSON
    #[arg(long, global = true, help_heading = HEADING)]
    pub json: bool,
    /// Leave out the narration on standard error
    #[arg(short, long, global = true, help_heading = HEADING)]
    pub quiet: bool,
    /// When to use colours
    #[arg(long, global = true, help_heading = HEADING, value_name = "when", default_value = "auto", num_args = 0..=1, require_equals = true, default_missing_value = "always")]
    pub color: ColorChoice,
}

/// What a subcommand works with: the output, and on demand the repository, the settings, the tasks.
#[derive(Debug)]
pub struct Context {
    /// Where answers and narration go.
    pub output: Output,
    folder: PathBuf,
    repository: OnceCell<Repository>,
    config: OnceCell<Config>,
    registry: OnceCell<Registry>,
}

impl Context {
    /// Makes the context after changing to the folder that `-C` names.
    ///
    /// # Errors
    /// When that folder cannot be entered.
    pub fn open(global: &Global) -> Result<Context, Failure> {
        let output = Output::new(global.json, global.quiet, global.color);
        for folder in &global.directory {
            env::set_current_dir(folder).map_err(|e| {
                Failure::could_not("no-folder", format!("cannot change to '{}': {e}", folder.display()))
            })?;
        }
        let folder = env::current_dir()
            .map_err(|e| Failure::could_not("no-folder", format!("cannot read the current folder: {e}")))?;
        Ok(Context { output, folder, repository: OnceCell::new(), config: OnceCell::new(), registry: OnceCell::new() })
    }

    /// Returns the folder in which the program runs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the repository, once it is sure that git runs no command of its making in it.
    ///
    /// # Errors
    /// When there is none, git would refuse it, or its own configuration names commands and is not trusted.
    pub fn repository(&self) -> Result<&Repository, Failure> {
        let repository = self.repository_unchecked()?;
        self.config()?.refuse_untrusted_git()?;
        Ok(repository)
    }

    /// Looks at the repository's settings again, once somebody has worked in it who may have changed them.
    ///
    /// # Errors
    /// As [`Context::repository`].
    pub fn refuse_new_commands(&self) -> Result<(), Failure> {
        let repository = Repository::open(&self.folder)?;
        Ok(Config::load(Some(&repository))?.refuse_untrusted_git()?)
    }

    /// Returns the repository to a caller that starts nothing in it: one that shows settings or records.
    ///
    /// # Errors
    /// When there is none or git would refuse it.
    pub fn repository_unchecked(&self) -> Result<&Repository, Failure> {
        if let Some(repository) = self.repository.get() {
            return Ok(repository);
        }
        let repository = Repository::open(&self.folder)?;
        process::keep_out(repository.main_worktree().into_iter().chain(repository.work_tree().map(Path::to_owned)));
        Ok(self.repository.get_or_init(|| repository))
    }

    /// Returns the repository if there is one.
    ///
    /// # Errors
    /// When there is one and git would refuse it.
    pub fn find_repository(&self) -> Result<Option<&Repository>, Failure> {
        match self.repository_unchecked() {
            Ok(repository) => Ok(Some(repository)),
            Err(failure) if failure.kind() == "no-repository" => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Returns the settings: of the repository if there is one, of the user alone otherwise.
    ///
    /// # Errors
    /// When a layer of the settings is broken.
    pub fn config(&self) -> Result<&Config, Failure> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = Config::load(self.find_repository()?)?;
        for entry in config.dropped() {
            let how = match schema::find(&entry.key).map(|key| key.class) {
                Some(Class::Stricter) => "may only be made stricter by a repository",
                Some(Class::User | Class::Data | Class::Command) | None => "may be set by the user only",
            };
            self.output.warn(format!("{}: '{}' {how}; ignored", entry.origin, entry.key));
        }
        Ok(self.config.get_or_init(|| config))
    }

    /// Returns where the worktree of this name goes, as `task.worktree-dir` says.
    ///
    /// # Errors
    /// As [`Context::repository`] and [`Context::config`].
    pub fn worktree_path(&self, slug: &str) -> Result<PathBuf, Failure> {
        let repository = self.repository()?;
        let template = self.config()?.text("task.worktree-dir")?.unwrap_or_default();
        let path = template.replace("{repo}", &repository.name()).replace("{slug}", slug);
        let start = repository.main_worktree().unwrap_or_else(|| repository.common_dir().to_owned());
        Ok(plain(&start.join(path)))
    }

    /// Returns git for the whole repository: refs, objects, worktree administration; no worktree, no index.
    ///
    /// # Errors
    /// As [`Context::repository`], and when there is no git.
    pub fn git(&self) -> Result<Git, Failure> {
        let repository = self.repository()?;
        let common = repository.common_dir();
        Ok(with_identity(Git::at(common)?.pinned(common, None).env("GIT_COMMON_DIR", common), repository))
    }

    /// Returns git for the worktree that was opened, or for the repository where it is bare.
    ///
    /// From there it counts if a path in its settings is relative.
    ///
    /// # Errors
    /// As [`Context::git`].
    pub fn git_here(&self) -> Result<Git, Failure> {
        match self.repository()?.own_worktree() {
            Some(worktree) => self.git_in(&worktree),
            None => self.git(),
        }
    }

    /// Returns git for one worktree, pinned so that nothing in the worktree can lead it elsewhere.
    ///
    /// # Errors
    /// As [`Context::repository`], and when there is no git.
    pub fn git_in(&self, worktree: &Worktree) -> Result<Git, Failure> {
        let repository = self.repository()?;
        let git = Git::at(&worktree.path)?.pinned(&worktree.git_dir, Some(&worktree.path));
        Ok(with_identity(git.env("GIT_COMMON_DIR", repository.common_dir()), repository))
    }

    /// Returns git for one worktree with a copy of its index in `folder`: whatever it adds, nothing of the worktree's own is written.
    ///
    /// # Errors
    /// As [`Context::git_in`], and when the index cannot be copied.
    pub fn git_beside(&self, worktree: &Worktree, folder: &Path) -> Result<Git, Failure> {
        self.git_beside_index(worktree, &worktree.git_dir.join("index"), folder)
    }

    /// Returns git for one worktree with a copy of another index than its own, such as a hook is given.
    ///
    /// # Errors
    /// As [`Context::git_in`], and when the index cannot be copied.
    pub fn git_beside_index(&self, worktree: &Worktree, index: &Path, folder: &Path) -> Result<Git, Failure> {
        let copy = folder.join("index");
        let copied = fs::copy(index, &copy).and_then(|_| {
            // By the time of the index git knows which files it has to read once more: it must stay.
            let time = fs::metadata(index)?.modified()?;
            fs::File::options().write(true).open(&copy)?.set_modified(time)
        });
        match copied {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Failure::could_not("read", format!("cannot copy the index '{}': {e}", index.display())))
            }
            Ok(()) | Err(_) => Ok(self.git_in(worktree)?.env("GIT_INDEX_FILE", copy)),
        }
    }

    /// Returns the task registry.
    ///
    /// # Errors
    /// When the user has no home folder.
    pub fn registry(&self) -> Result<&Registry, Failure> {
        if let Some(registry) = self.registry.get() {
            return Ok(registry);
        }
        let registry = Registry::of_user()?;
        Ok(self.registry.get_or_init(|| registry))
    }
}

/// Passes on who the user is, if 'git -c user.name=… task …' says so; the door keeps all other such settings out.
fn with_identity(git: Git, repository: &Repository) -> Git {
    let said = repository.settings("user").into_iter().filter(|setting| setting.scope == Scope::Command);
    let said = said.filter(|setting| matches!(setting.key.as_str(), "name" | "email"));
    said.fold(git, |git, setting| git.setting(format!("user.{}={}", setting.key, setting.value)))
}

/// Runs a program: answers completion, reads the arguments, calls `body`, reports a failure.
pub fn run<C, B>(body: B) -> ExitCode
where
    C: Parser + CommandFactory,
    B: FnOnce(C) -> Result<Status, Failure>,
{
    clap_complete::CompleteEnv::with_factory(C::command).complete();
    let arguments: Vec<OsString> = env::args_os().collect();
    let output = output_for(&arguments);
    let result = match C::try_parse_from(&arguments) {
        Ok(cli) => body(cli),
        Err(error) => answer_clap(&error, &output),
    };
    match result {
        Ok(status) => status.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.status().into()
        }
    }
}

/// Finds out how to speak before the arguments are known to be good: a wrong request is answered as well.
fn output_for(arguments: &[OsString]) -> Output {
    let options = arguments.iter().take_while(|argument| *argument != "--");
    let json = options.clone().any(|argument| argument == "--json");
    let color = options.filter(|argument| argument.to_string_lossy().starts_with("--color")).last();
    let color = match color.map(|argument| argument.to_string_lossy()).as_deref() {
        Some("--color" | "--color=always") => ColorChoice::Always,
        Some("--color=never") => ColorChoice::Never,
        Some(_) | None => ColorChoice::Auto,
    };
    Output::new(json, false, color)
}

/// Help and version are answers; the rest is a wrong request, with what was typed made harmless.
fn answer_clap(error: &clap::Error, output: &Output) -> Result<Status, Failure> {
    let text = error.render();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = if colours_help() { text.ansi().to_string() } else { text.to_string() };
            output.text(&text)?;
            Ok(Status::Done)
        }
        _ if output.is_json() => {
            let text = text.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(Failure::usage(first))
        }
        _ => {
            let _ = io::stderr().lock().write_all(escape(&text.to_string()).as_bytes());
            Ok(Status::Usage)
        }
    }
}

fn colours_help() -> bool {
    use std::io::IsTerminal;
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Takes `.` and `..` out by name; the path is not there yet, so nothing can be asked.
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

/// Completes the name of a local branch; silent wherever there is none.
pub fn complete_branch(current: &OsStr) -> Vec<CompletionCandidate> {
    let find = || {
        let repository = Repository::open(&env::current_dir().ok()?).ok()?;
        let refs = repository.gix.references().ok()?;
        let names = refs.local_branches().ok()?.flatten().map(|branch| branch.name().shorten().to_string());
        let fitting = names.filter(|name| name.starts_with(&*current.to_string_lossy()));
        Some(fitting.map(CompletionCandidate::new).collect())
    };
    find().unwrap_or_default()
}

/// Completes the name of an open task of the repository at hand; silent wherever there is none.
pub fn complete_task(current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let find = || {
        let key = Repository::open(&env::current_dir().ok()?).ok()?.key();
        let tasks = Registry::of_user().ok()?.load().ok()?.tasks;
        let own = tasks.into_iter().filter(|task| task.repo.key == key && task.is_open());
        let fitting = own.filter(|task| task.slug.as_str().starts_with(&*current));
        let candidate = |task: Task| {
            let title = escape(&task.title).into_owned();
            CompletionCandidate::new(task.slug.to_string()).help(Some(title.into()))
        };
        Some(fitting.map(candidate).collect())
    };
    find().unwrap_or_default()
}
