//! Solving one merge: rules, then the agent as often as it may try, each time looked at closely.

use std::time::Duration;

use anyhow::{Context as _, Result};
use gix::ObjectId;
use shared::app::Context;
use shared::failure::Failure;
use shared::output::Foreign;
use shared::process::{self, Git, commit_tree};

use super::agent::{self, Asked, Told};
use super::conflicted::{self, Conflicted, Merged};
use super::place::{self, Capture, Place};
use super::report::{Confidence, Report};
use super::row::AttemptRow;
use super::solve::Rules;
use super::store::{State, Store, Work, id};
use super::text::Labels;
use super::verify::{self, Checked, Who};
use crate::batch::Question;
use crate::validation::{self, Verdict};
use shared::validation::CheckRow;

/// How much of a command's output is told.
const TAIL: usize = 600;

/// How a merge is to be solved.
#[derive(Debug)]
pub(crate) struct How {
    pub(crate) rules: Rules,
    /// Nobody is asked without it.
    pub(crate) agent: Option<Asked>,
    pub(crate) attempts: usize,
    pub(crate) max_files: usize,
    pub(crate) max_hunks: usize,
    pub(crate) validates: bool,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum Solved {
    /// This tree may be offered.
    Yes { tree: ObjectId, validated: Validated, jobs: Vec<agent::Ran> },
    /// Somebody has to go on by hand, for this reason.
    No(String),
}

/// What git-validate says of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Validated {
    /// Every check passes.
    Pass,
    /// There are no checks.
    NoChecks,
    /// It was not asked.
    No,
}

/// A merge in work.
pub(crate) struct Attempt<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) git: Git,
    pub(crate) store: &'a Store,
    pub(crate) state: State,
    pub(crate) how: &'a How,
}

impl Attempt<'_> {
    /// The question that the state stands for.
    pub(crate) fn question(&self) -> Result<Question> {
        let State { ours, theirs, ancestor, .. } = &self.state;
        Ok(Question { base: ancestor.as_deref().map(id).transpose()?, ours: id(ours)?, theirs: id(theirs)? })
    }

    /// Solves what conflicts, and keeps the state on the way.
    pub(crate) fn solve(&mut self, tree: ObjectId, mut files: Vec<Conflicted>) -> Result<Solved, Failure> {
        self.how.rules.apply(self.cx, &self.git, tree, &mut files)?;
        self.state.files = files.iter().map(verify::row).collect();
        let (ours, theirs) = self.sides();
        let labels = Labels { ours: &ours, theirs: &theirs };
        let start = place::start(&self.git, self.store.folder(), tree, &files, labels)?;
        self.state.start = Some(start.to_string());
        if files.iter().all(|file| file.is_solved() && file.generated_by.is_none()) {
            let capture = Capture { tree: start, changed: Vec::new() };
            let checked = self.check(&files, &capture, Who::Rules, &Report::default())?;
            let mut problems = checked.problems.clone();
            self.state.files = checked.files;
            let validated = self.validate(capture.tree, &mut problems)?;
            if problems.is_empty() {
                return Ok(Solved::Yes { tree: capture.tree, validated, jobs: Vec::new() });
            }
            self.lay(&files, start)?;
            return Ok(Solved::No(problems.join("; ")));
        }
        let place = self.lay(&files, start)?;
        let open = files.iter().any(|file| !file.is_solved());
        if !open {
            return self.finish(&place, &files, start, Who::Rules);
        }
        if let Some(reason) = self.beyond_limits(&files) {
            return Ok(Solved::No(reason));
        }
        let Some(asked) = self.how.agent.clone() else {
            return Ok(Solved::No("the rules do not solve all of it, and no agent is asked".to_owned()));
        };
        self.by_agent(&place, &files, start, &asked)
    }

    fn beyond_limits(&self, files: &[Conflicted]) -> Option<String> {
        let open: Vec<usize> = files.iter().map(Conflicted::open_hunks).filter(|open| *open > 0).collect();
        let hunks: usize = open.iter().sum();
        let over = |what: &str, count: usize, most: usize, key: &str| {
            format!("{count} conflicted {what} are left, and no agent is asked with more than {most} ({key})")
        };
        if open.len() > self.how.max_files {
            return Some(over("files", open.len(), self.how.max_files, "merge.max-files"));
        }
        (hunks > self.how.max_hunks).then(|| over("hunks", hunks, self.how.max_hunks, "merge.max-hunks"))
    }

    /// Makes the worktree, with what is solved and what is open; written down first, so that it can be found again.
    fn lay(&mut self, files: &[Conflicted], start: ObjectId) -> Result<Place, Failure> {
        let path = self.store.worktree();
        self.state.worktree = Some(path.clone());
        self.store.save(&self.state)?;
        let ours = id(&self.state.ours)?;
        let place = match Place::find(self.cx, &path, self.store.folder())? {
            // Ended in the middle of making it.
            Some(place) if !place.is_laid()? => {
                place.discard(self.cx)?;
                Place::make(self.cx, &path, ours, self.store.folder())?
            }
            // Of an earlier step of a rebase.
            Some(place) => {
                let now = place.capture(self.cx, ours)?;
                place.switch(self.cx, now.tree, self.cx.repository()?.tree_of(ours)?)?;
                place.head(self.cx, ours)?;
                place
            }
            None => Place::make(self.cx, &path, ours, self.store.folder())?,
        };
        let from = self.cx.repository()?.tree_of(ours)?;
        let message = self.message();
        place.lay(self.cx, from, start, files, id(&self.state.theirs)?, &message)?;
        Ok(place)
    }

    /// How our side and the other are called: in a rebase ours is what is replayed on, as git has it.
    fn sides(&self) -> (String, String) {
        let [branch, onto] = [&self.state.branch, &self.state.onto].map(|name| crate::names::short(name).to_owned());
        match self.state.work {
            Work::Merge => (branch, onto),
            Work::Rebase => (onto, branch),
        }
    }

    /// The message of the merge.
    pub(crate) fn message(&self) -> String {
        let (branch, onto) = (crate::names::short(&self.state.branch), crate::names::short(&self.state.onto));
        format!("Merge {onto} into {branch}")
    }

    fn by_agent(
        &mut self,
        place: &Place,
        files: &[Conflicted],
        start: ObjectId,
        asked: &Asked,
    ) -> Result<Solved, Failure> {
        let mut problems: Vec<String> = Vec::new();
        let mut jobs = Vec::new();
        let first = self.state.attempts.len() + 1;
        let last = self.state.attempts.len() + self.how.attempts.max(1);
        // An earlier commit of a rebase has attempts of its own.
        for number in first..=last {
            let prompt = self.prompt(files, &problems)?;
            self.cx.output.note(format!("attempt {number}: an agent works on it in {}", place.path().display()));
            let ran = agent::run(self.cx, asked, self.store.slug(), place.path(), &prompt)?;
            if !ran.was_run {
                return Ok(Solved::No(format!("no agent could be asked: {}", ran.problem.unwrap_or_default())));
            }
            agent::stop(self.cx, place.path())?;
            self.cx.refuse_new_commands()?;
            if !place.is_there() {
                let problem = "the worktree has gone, or something else is in its place".to_owned();
                self.state.attempts.push(AttemptRow {
                    number,
                    by: ran.agent.or_else(|| asked.agent.clone()).unwrap_or_else(|| "agent".to_owned()),
                    kept: None,
                    tokens: ran.tokens,
                    problems: vec![problem.clone()],
                    outside: Vec::new(),
                });
                return Ok(Solved::No(problem));
            }
            let capture = place.capture(self.cx, start)?;
            let (report, broken) = Report::read(place.path());
            let checked = self.check(files, &capture, Who::Agent, &report)?;
            problems = ran.problem.iter().cloned().chain(broken).chain(checked.problems).collect();
            let is_low = report.confidence == Some(Confidence::Low);
            self.state.files = checked.files;
            let kept = self.keep(number, capture.tree)?;
            self.state.attempts.push(AttemptRow {
                number,
                by: ran.agent.clone().or_else(|| asked.agent.clone()).unwrap_or_else(|| "agent".to_owned()),
                kept: Some(kept),
                tokens: ran.tokens,
                problems: problems.clone(),
                outside: checked.outside,
            });
            self.store.save(&self.state)?;
            jobs.push(ran);
            if problems.is_empty() && is_low {
                let words = report.summary.clone().unwrap_or_default();
                return Ok(Solved::No(format!("the agent is not sure of it: {words}")));
            }
            if problems.is_empty() {
                match self.finish(place, files, start, Who::Agent)? {
                    Solved::Yes { tree, validated, .. } => return Ok(Solved::Yes { tree, validated, jobs }),
                    Solved::No(reason) => problems.push(reason),
                }
                self.note_problems(&problems);
            }
            for problem in &problems {
                self.cx.output.note(format!("attempt {number}: {}", Foreign(problem)));
            }
            if number < last {
                // What it left is kept; the next one starts from where it started.
                let now = place.capture(self.cx, start)?;
                place.switch(self.cx, now.tree, start)?;
            }
            self.store.save(&self.state)?;
        }
        Ok(Solved::No(format!("no attempt could be accepted: {}", problems.join("; "))))
    }

    fn note_problems(&mut self, problems: &[String]) {
        if let Some(attempt) = self.state.attempts.last_mut() {
            attempt.problems = problems.to_vec();
        }
    }

    fn prompt(&self, files: &[Conflicted], problems: &[String]) -> Result<String, Failure> {
        let question = self.question()?;
        let base = match question.base {
            Some(base) => base,
            None => {
                let found = self.git.ask(["merge-base", &question.ours.to_string(), &question.theirs.to_string()])?;
                if found.code == 0 { id(&found.text())? } else { question.ours }
            }
        };
        let (ours, theirs) = self.sides();
        let ours = Told { name: &ours, commit: question.ours };
        let theirs = Told { name: &theirs, commit: question.theirs };
        agent::prompt(self.cx, &self.git, files, [&ours, &theirs], base, problems)
    }

    fn check(&self, files: &[Conflicted], capture: &Capture, who: Who, report: &Report) -> Result<Checked, Failure> {
        let labels = [self.state.ours.clone(), self.state.theirs.clone()];
        Ok(verify::check(&self.git, files, capture, who, report, &labels)?)
    }

    /// Makes anew what commands make, looks at it once more, and has it validated.
    pub(crate) fn finish(
        &mut self,
        place: &Place,
        files: &[Conflicted],
        start: ObjectId,
        who: Who,
    ) -> Result<Solved, Failure> {
        let mut names: Vec<&str> = files.iter().filter_map(|file| file.generated_by.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            if let Some(problem) = self.generate(place, name)? {
                return Ok(Solved::No(problem));
            }
        }
        let capture = place.capture(self.cx, start)?;
        let (report, _) = Report::read(place.path());
        let checked = self.check(files, &capture, who, &report)?;
        let mut problems = checked.problems;
        self.state.files = checked.files;
        if problems.is_empty() {
            let validated = self.validate(capture.tree, &mut problems)?;
            if problems.is_empty() {
                return Ok(Solved::Yes { tree: capture.tree, validated, jobs: Vec::new() });
            }
        }
        Ok(Solved::No(problems.join("; ")))
    }

    /// Runs the command that makes files anew; returns what went wrong.
    fn generate(&self, place: &Place, name: &str) -> Result<Option<String>, Failure> {
        let Some(generated) = self.how.rules.generated(name) else {
            return Ok(Some(format!("'merge.generated.{name}' is not there any more")));
        };
        let (program, arguments) = generated.command.split_first().context("the command is empty")?;
        self.cx.output.note(format!("running '{}' to make files anew", generated.command.join(" ")));
        let mut command = process::command(program);
        process::scrub(&mut command).args(arguments).current_dir(place.path());
        let limit = generated.timeout.unwrap_or(Duration::from_secs(u64::from(u32::MAX)));
        let problem = match process::run_within(&mut command, None, 1 << 16, limit) {
            Ok((status, _)) if status.success() => None,
            Ok((status, printed)) => {
                let text = String::from_utf8_lossy(&printed).into_owned();
                let tail: String = text.chars().skip(text.chars().count().saturating_sub(TAIL)).collect();
                Some(format!("the command of 'merge.generated.{name}' ended with {status}: {}", tail.trim()))
            }
            Err(error) => Some(format!("the command of 'merge.generated.{name}' did not end well: {error}")),
        };
        Ok(problem)
    }

    /// Has a result judged; the single commits of a rebase are not.
    fn validate(&self, tree: ObjectId, problems: &mut Vec<String>) -> Result<Validated, Failure> {
        if !self.how.validates || !problems.is_empty() || self.state.work == Work::Rebase {
            return Ok(Validated::No);
        }
        self.judged(tree, problems)
    }

    /// Asks git-validate about a tree, against the base.
    pub(crate) fn judged(&self, tree: ObjectId, problems: &mut Vec<String>) -> Result<Validated, Failure> {
        if process::suite_program("git-validate").is_none() {
            self.cx.output.warn("git-validate is not installed, so the result is not validated");
            return Ok(Validated::No);
        }
        match validation::ask(self.cx, id(&self.state.base)?, tree) {
            Ok(Verdict::Pass) => Ok(Validated::Pass),
            Ok(Verdict::NoChecks) => Ok(Validated::NoChecks),
            Ok(Verdict::Red(red)) => {
                let words = |check: &CheckRow| format!("{} {}: {}", check.name, check.status, check.tail.trim());
                let failed: Vec<String> = red.checks.iter().map(words).collect();
                problems.push(format!("git validate says '{}': {}", red.verdict, failed.join("; ")));
                Ok(Validated::No)
            }
            Err(failure) => {
                problems.push(failure.message().to_owned());
                Ok(Validated::No)
            }
        }
    }

    /// Keeps what an attempt left, as a commit under a ref of its own.
    fn keep(&self, number: usize, tree: ObjectId) -> Result<String, Failure> {
        let name = attempt_ref(&self.state.slug, number);
        let message = format!("Attempt {number} to resolve '{}'\n", self.state.slug);
        let commit = commit_tree(&self.git, tree, &[id(&self.state.ours)?, id(&self.state.theirs)?], &message)?;
        self.git.clone().setting("core.fsync=reference").run([
            "update-ref",
            "-m",
            "agent-merge: attempt",
            &name,
            &commit.to_string(),
        ])?;
        Ok(name)
    }
}

/// The ref under which an attempt is kept.
pub(crate) fn attempt_ref(slug: &str, number: usize) -> String {
    format!("refs/agent-merge-attempts/{slug}/{number}")
}

/// Merges the state's commits once more; a record of a merge that is clean now is none.
pub(crate) fn again(attempt: &Attempt<'_>) -> Result<Vec<Conflicted>, Failure> {
    match conflicted::merge(&attempt.git, attempt.question()?)? {
        Merged::Conflicts { tree, mut files } => {
            attempt.how.rules.apply(attempt.cx, &attempt.git, tree, &mut files)?;
            Ok(files)
        }
        Merged::Clean(_) => Ok(Vec::new()),
    }
}
