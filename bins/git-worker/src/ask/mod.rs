//! `git worker ask`: a question to an agent that may change nothing, and its answer.
//!
//! A job with a record like any other. An answer by a JSON Schema is looked at here, whoever else
//! has promised that it fits; one that does not is asked for once more, in the same session where
//! the agent has one.

mod answer;
mod schema;
mod unchanged;
mod words;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::ValueHint;
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use serde_json::{Value, json};
use shared::app::{Context, Global};
use shared::durable;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::escape;
use shared::slug::{self, Slug};
use signal_hook::consts::SIGTERM;

use crate::agent::{Agent, Wanted};
use crate::begin::{self, Supervisor};
use crate::cli;
use crate::fill;
use crate::job::{self, Job};
use crate::launch;
use crate::plan::{self, Plan};
use crate::prompt::Role;
use crate::queue;
use crate::record::{Record, State};
use crate::run::{self, Signals};
use crate::stream::Usage;
use crate::what::{Question, What};
use schema::Schema;
use unchanged::Seen;
use words::{complaint, with_schema};

/// Between two looks at the job.
const PAUSE: Duration = Duration::from_millis(20);
/// A question that nobody set a time for is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// What is behind the slug of a question's jobs, so that the latest of a task stays its worker.
const TAIL: &str = "-ask";
/// More of an answer is not read.
const MOST: usize = 4 * 1024 * 1024;

/// Ask an agent a question and print its answer; it may change nothing
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("question").args(["prompt", "prompt_file"]).required(true)))]
pub(crate) struct Args {
    /// Task whose worktree and agent it is about
    #[arg(conflicts_with = "worktree", add = ArgValueCompleter::new(shared::app::complete_task))]
    task: Option<String>,
    /// Worktree to ask in instead of this one
    #[arg(long, value_name = "dir", value_hint = ValueHint::DirPath)]
    worktree: Option<PathBuf>,
    /// What is asked; - is standard input
    #[arg(long, value_name = "text")]
    prompt: Option<String>,
    /// File that holds what is asked; - is standard input
    #[arg(long, value_name = "file", value_hint = ValueHint::FilePath)]
    prompt_file: Option<PathBuf>,
    /// JSON Schema that the answer has to fit; the answer is then one JSON value
    #[arg(long, value_name = "file", value_hint = ValueHint::FilePath)]
    schema: Option<PathBuf>,
    /// Agent to ask
    #[arg(long, value_name = "name")]
    agent: Option<String>,
    /// Model that the agent is to use
    #[arg(long, value_name = "name")]
    model: Option<String>,
    /// What the agent is there for: its instructions and the project's go before what is asked
    #[arg(long, value_name = "role")]
    role: Option<Role>,
    /// Stop it when the agent has used more tokens, in and out; 0 is without limit
    #[arg(long, value_name = "n")]
    budget_tokens: Option<u64>,
    /// Stop it after this time, such as 90s or 10m; 0 is never; 10m if neither this nor worker.timeout is set
    #[arg(long, value_name = "time", value_parser = cli::duration)]
    timeout: Option<Duration>,
    /// Ask the agent although it is paused after an error of quota or login
    #[arg(long)]
    force: bool,
}

/// The answer, and how it came about.
#[derive(Debug, Serialize)]
struct Answered {
    /// The job that gave it.
    id: String,
    /// All jobs of the question, the first first.
    ids: Vec<String>,
    /// A JSON value where a schema was given, else text; null if there is none.
    answer: Value,
    /// Whether it is one: it fits the schema, and nothing went wrong.
    valid: bool,
    /// Whether it had to be asked for once more.
    repaired: bool,
    /// Tokens of all jobs; none where the agent tells none.
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

/// A job of the question that has ended.
struct Round {
    job: Job,
    record: Record,
    words: Option<String>,
    /// What it changed although it may not.
    changed: Option<String>,
}

/// What is the same for all jobs of a question.
struct Asking<'a> {
    cx: &'a Context,
    schema: Option<&'a Schema>,
    signals: &'a Signals,
    /// Whether somebody set a time, if only that there is none.
    timed: bool,
}

pub(crate) fn run(cx: Context, global: &Global, args: Args) -> Result<Status, Failure> {
    let signals = Signals::listen().context("cannot listen for signals")?;
    // All that is read is read before the change to another folder.
    let schema = args.schema.as_deref().map(Schema::read).transpose()?;
    let given = plan::given_prompt(args.prompt, args.prompt_file.as_deref())?.unwrap_or_default();
    let began = Instant::now();
    let question = Question {
        task: args.task,
        worktree: args.worktree,
        agent: args.agent,
        model: args.model,
        role: args.role,
        budget_tokens: args.budget_tokens,
        timeout: args.timeout,
        force: args.force,
        name: None,
        wanted: Wanted { schema: schema.as_ref().map(Schema::shape), ..Wanted::default() },
        given: Some(with_schema(given, schema.as_ref())),
        prompt: None,
    };
    let (cx, what) = launch::move_to_worktree(cx, global, What::from(question))?;
    let asking = Asking { cx: &cx, schema: schema.as_ref(), signals: &signals, timed: args.timeout.is_some() };
    let mut rounds = vec![asking.ask(what, Usage::default())?];
    let mut found = asking.judge(&rounds[0]);
    if let Err(Wrong::Unfit(problems)) = &found
        && let Some(repair) = asking.repair(&rounds[0], problems, began, args.force)?
    {
        cx.output.note(format!("the answer does not fit the schema ({}): asking once more", problems.join("; ")));
        let used = rounds[0].record.run.usage.unwrap_or_default();
        rounds.push(asking.ask(repair.into(), used)?);
        found = asking.judge(&rounds[1]);
    }
    answer(&asking, &rounds, found)
}

/// Why there is no answer.
enum Wrong {
    /// It does not fit the schema.
    Unfit(Vec<String>),
    /// The agent changed the worktree.
    Changed(String),
    /// The job did not come to its end.
    Job(String),
}

impl Asking<'_> {
    /// Starts a job, waits for its end and looks at what it left; `used` is what the one before it cost.
    fn ask(&self, what: What, used: Usage) -> Result<Round, Failure> {
        let supervisor = Supervisor::start()?;
        let mut plan = plan::plan(self.cx, what)?;
        self.make_question(&mut plan)?;
        if plan.rules.budget.cost > 0.0 {
            let left = plan.rules.budget.cost - used.cost.unwrap_or(0.0);
            // Nothing would be without limit.
            plan.rules.budget.cost = left.max(f64::MIN_POSITIVE);
        }
        fill::fill(self.cx, &plan.place)?;
        let folder = job::Jobs::of_user()?.folder_of(&plan.repo.key);
        let before = Seen::take(&plan, &folder, "")?;
        let begun = begin::begin(self.cx, &plan, supervisor)?;
        let job = begun.job;
        self.cx.output.note(format!("job '{}'", job.id()));
        self.wait(&job)?;
        let record = job.read()?;
        // With company at one of the two times, nobody can tell who changed what.
        let after = before.as_ref().map(|_| Seen::take(&plan, &folder, &job.id())).transpose()?.flatten();
        if after.is_none() {
            self.cx.output.note("other jobs work in this worktree: whether the agent changed it is not known");
        }
        let changed = before.zip(after).and_then(|(before, after)| before.difference(&after));
        let words = durable::read_foreign(&job.path(job::MESSAGE), MOST)?;
        let words = words.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Round { words: words.filter(|words| !words.trim().is_empty()), job, record, changed })
    }

    /// Takes from a plan what only work needs: its commit and its snapshots.
    fn make_question(&self, plan: &mut Plan) -> Result<(), Failure> {
        plan.finish = None;
        plan.rules.snapshot = false;
        if !self.timed && plan.timeout.is_none() {
            plan.timeout = Some(PATIENCE);
        }
        if !plan.slug.as_str().ends_with(TAIL) {
            plan.slug = with_tail(&plan.slug);
        }
        if std::env::var_os("GIT_WORKER_JOB").is_some() {
            // The job that asks holds a place, and would wait for itself.
            (plan.limit, plan.repo_limit) = (0, 0);
        }
        if let Some(schema) = self.schema {
            if plan.secrets.clean_text(schema.text()) != schema.text() {
                let message = "the schema holds a secret, which is not written down";
                return Err(Failure::could_not("secret-request", message));
            }
            plan.schema = Some(schema.text().as_bytes().to_vec());
        }
        Ok(())
    }

    /// Waits for the end of a job. SIGINT and SIGTERM stop it, a second one without grace.
    fn wait(&self, job: &Job) -> Result<(), Failure> {
        let mut asked = 0;
        while job.is_unended()? {
            if self.signals.take() {
                asked += 1;
                run::ask_to_stop(self.cx, job, asked);
            }
            queue::go_on(&job.root());
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Says whether a job that has ended gave an answer.
    fn judge(&self, round: &Round) -> Result<Value, Wrong> {
        let record = &round.record;
        if let Some(changed) = &round.changed {
            return Err(Wrong::Changed(changed.clone()));
        }
        if record.state != State::Completed {
            let reason = record.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            return Err(Wrong::Job(format!("'{}' {}{reason}", record.id, record.state)));
        }
        match (&round.words, self.schema) {
            (Some(words), Some(schema)) => answer::find(words, schema).map_err(Wrong::Unfit),
            (Some(words), None) => Ok(Value::from(words.as_str())),
            (None, Some(_)) => Err(Wrong::Unfit(vec!["there is no answer".to_owned()])),
            (None, None) => Err(Wrong::Job(format!("'{}' completed without a word", record.id))),
        }
    }

    /// Returns what asks for a better answer; none if tokens, time or the user do not allow it.
    fn repair(
        &self,
        round: &Round,
        problems: &[String],
        began: Instant,
        force: bool,
    ) -> Result<Option<Question>, Failure> {
        let (record, Some(schema)) = (&round.record, self.schema) else { return Ok(None) };
        let allowed = &record.rules.budget;
        let used = record.run.usage.unwrap_or_default();
        let budget = allowed.tokens.saturating_sub(used.total());
        let spent = allowed.tokens > 0 && budget == 0 || allowed.cost > 0.0 && used.cost >= Some(allowed.cost);
        let timeout = record.timeout_ms.map(|limit| Duration::from_millis(limit).saturating_sub(began.elapsed()));
        let over = timeout.is_some_and(|timeout| timeout.is_zero()) || spent && !allowed.warn;
        if over || self.signals.last().is_some() {
            return Ok(None);
        }
        let agent = record.agent.as_deref().unwrap_or_default();
        let can = Agent::can_resume(self.cx.config()?, agent)?;
        let session = record.run.session.clone().filter(|_| can);
        let before = match session {
            Some(_) => Vec::new(),
            // Who does not remember is told all.
            None => durable::read(&round.job.path(job::PROMPT))?.unwrap_or_default(),
        };
        let wanted = Wanted {
            usage_before: session.as_ref().and(record.run.session_usage),
            resumes: Some(record.id.clone()),
            schema: Some(schema.shape()),
            session,
            ..Wanted::default()
        };
        Ok(Some(Question {
            task: record.task.clone(),
            worktree: record.task.is_none().then(|| record.worktree_path()),
            agent: record.agent.clone(),
            model: record.run.model_asked.clone(),
            role: record.run.role,
            budget_tokens: Some(budget),
            timeout: Some(timeout.unwrap_or_default()),
            force,
            name: Some(record.slug.clone()),
            prompt: Some(complaint(before, &wanted, round.words.as_deref(), problems, schema)),
            wanted,
            given: None,
        }))
    }
}

fn with_tail(slug: &Slug) -> Slug {
    let head: String = slug.as_str().chars().take(slug::MAX_LEN - TAIL.len()).collect();
    format!("{}{TAIL}", head.trim_end_matches('-')).parse().unwrap_or_else(|_| slug.clone())
}

fn answer(asking: &Asking<'_>, rounds: &[Round], found: Result<Value, Wrong>) -> Result<Status, Failure> {
    let last = rounds.last().context("a question has a job")?;
    let failure = found.as_ref().err().map(|wrong| failure(wrong, last));
    let usages = rounds.iter().filter_map(|round| round.record.run.usage);
    let error = failure.as_ref().map(|failure| json!({ "kind": failure.kind(), "message": failure.message() }));
    let answered = Answered {
        id: last.job.id(),
        ids: rounds.iter().map(|round| round.job.id()).collect(),
        valid: failure.is_none(),
        repaired: rounds.len() > 1 && failure.is_none(),
        // What was said is shown even if it is no answer, but not what went wrong.
        answer: match found {
            Ok(answer) => answer,
            Err(Wrong::Unfit(_) | Wrong::Changed(_)) => last.words.clone().map_or(Value::Null, Value::from),
            Err(Wrong::Job(_)) => Value::Null,
        },
        usage: usages.reduce(Usage::plus),
        error,
    };
    if asking.cx.output.is_json() {
        asking.cx.output.document(&answered)?;
    } else if failure.is_none() {
        answered.print(asking.cx, asking.schema.is_some())?;
    }
    let Some(failure) = failure else { return Ok(Status::Done) };
    let details = json!({ "id": answered.id, "ids": answered.ids, "usage": answered.usage });
    Err(match asking.signals.last() {
        Some(SIGTERM) => Failure::ended(Status::Terminated, failure.message()),
        Some(_) => Failure::ended(Status::Interrupted, failure.message()),
        None => failure.details(details),
    })
}

fn failure(wrong: &Wrong, round: &Round) -> Failure {
    let id = round.job.id();
    let hint = format!("'git worker show {id}' shows what it said");
    match wrong {
        Wrong::Unfit(problems) => {
            let message = format!("the answer of '{id}' does not fit the schema: {}", problems.join("; "));
            Failure::no("no-answer", message).hint(hint)
        }
        Wrong::Changed(paths) => {
            let message = format!("the worktree changed while '{id}' answered, which may change nothing: {paths}");
            Failure::no("changed-worktree", message).hint("'git status' shows the changes; nothing was taken back")
        }
        Wrong::Job(why) => Failure::no("no-answer", format!("there is no answer: {why}")).hint(hint),
    }
}

impl Answered {
    /// Prints the answer alone: a JSON value on one line, or text as it was said.
    fn print(&self, cx: &Context, is_value: bool) -> Result<(), Failure> {
        let mut text = match &self.answer {
            Value::String(text) if !is_value => text.trim_end_matches('\n').to_owned(),
            answer => answer.to_string(),
        };
        text.push('\n');
        // A program gets it byte for byte; a terminal is not to be taken over.
        let text = if std::io::stdout().is_terminal() { escape(&text) } else { text.as_str().into() };
        cx.output.raw(text.as_bytes())
    }
}
