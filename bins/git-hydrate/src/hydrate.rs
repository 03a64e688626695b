//! The one thing this program does, from the question to the answer.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use gix::index::entry::stat::Time;
use gix::index::{File, State as Index};
use shared::app::{Context, Global};
use shared::exit::Status;
use shared::failure::Failure;

use crate::answer::{Answer, Ignored, Method, Skipped, Tracked};
use crate::beneath::Root;
use crate::copy::{CLONE_FROM, How};
use crate::donor::{self, Donor};
use crate::ignored::{self, Order};
use crate::index::{self, Draft};
use crate::kept;
use crate::patterns::Patterns;
use crate::plan::{Step, plan};
use crate::progress::bar;
use crate::target::{Seen, State, Target};
use crate::{install, tracked};

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Worktree to fill; the one around the current folder if not given
    #[arg(value_hint = clap::ValueHint::DirPath)]
    worktree: Option<PathBuf>,
    /// Take files from this worktree, not from the one with the most in common
    #[arg(long, value_name = "worktree", value_hint = clap::ValueHint::DirPath)]
    from: Option<PathBuf>,
    /// Leave the ignored artefacts out
    #[arg(long)]
    no_ignored: bool,
    /// Say what would be done and do nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Fills a worktree.
pub(crate) fn run(global: &Global, args: Args) -> Result<Status, Failure> {
    let begin = Instant::now();
    let (cx, args) = open(global, args)?;
    let target = Target::find(&cx)?;
    // A question needs no lock; what it sees may change anyway.
    let lock = if args.dry_run { None } else { Some(target.lock()?.into_file()) };
    if lock.is_some() {
        target.sweep();
    }
    let state = if target.tree.is_some() { target.state()? } else { State::Filled };
    let mut run =
        Run { cx: &cx, args: &args, target: &target, state, lock: lock.as_ref(), answer: blank(&args, &target) };
    if state != State::Filled {
        run.fill()?;
    }
    run.answer.seconds = begin.elapsed().as_secs_f64();
    tell_skipped(&cx, &run.answer.skipped);
    cx.output.answer(&run.answer)?;
    Ok(Status::Done)
}

/// Opens the repository of the worktree that is named, wherever the program was started.
fn open(global: &Global, mut args: Args) -> Result<(Context, Args), Failure> {
    let cx = Context::open(global)?;
    args.from = args.from.map(|from| cx.folder().join(from));
    let Some(worktree) = &args.worktree else { return Ok((cx, args)) };
    if std::env::var_os("GIT_DIR").is_some_and(|named| Path::new(&named).is_relative()) {
        let message = format!("GIT_DIR names a repository of its own beside '{}'", worktree.display());
        return Err(Failure::usage(message).hint("unset it, or start from inside the worktree"));
    }
    let there = Context::open(&Global { directory: vec![cx.folder().join(worktree)], ..global.clone() })?;
    let wanted = there.folder().canonicalize().unwrap_or_default();
    let found = there.repository_unchecked()?.work_tree();
    if !found.is_some_and(|found| wanted.starts_with(found)) {
        let message = format!("'{}' is not in the work tree that GIT_DIR or GIT_WORK_TREE names", worktree.display());
        return Err(Failure::usage(message).hint("unset these variables"));
    }
    Ok((there, args))
}

fn blank(args: &Args, target: &Target) -> Answer {
    Answer {
        worktree: target.worktree.path.display().to_string(),
        donor: None,
        method: Method::Nothing,
        dry_run: args.dry_run,
        tracked: Tracked::default(),
        ignored: Ignored::default(),
        skipped: Vec::new(),
        seconds: 0.0,
    }
}

/// More than these are left to `--json`.
const NAMED: usize = 20;

fn tell_skipped(cx: &Context, skipped: &[Skipped]) {
    for one in skipped.iter().take(NAMED) {
        cx.output.warn(format!("'{}' is left out: {}", one.path.escape_debug(), one.reason));
    }
    if skipped.len() > NAMED {
        cx.output.warn(format!("{} more are left out; --json names them all", skipped.len() - NAMED));
    }
}

struct Run<'r> {
    cx: &'r Context,
    args: &'r Args,
    target: &'r Target,
    state: State,
    lock: Option<&'r std::fs::File>,
    answer: Answer,
}

impl Run<'_> {
    fn fill(&mut self) -> Result<(), Failure> {
        let Some(tree) = self.target.tree else { return Ok(()) };
        let repository = self.cx.repository()?;
        let elsewhere = std::env::temp_dir();
        let place = if self.args.dry_run { &elsewhere } else { &self.target.worktree.git_dir };
        let draft = Draft::of_tree(&self.target.git, tree, place)?;
        if self.target.is_sparse {
            draft.leave_out_sparse()?;
        }
        let base = draft.load()?;
        let own = &self.target.worktree.git_dir;
        let donor = donor::choose(repository, own, &base, self.args.from.as_deref())?;
        self.answer.donor = donor.as_ref().map(|donor| donor.worktree.path.display().to_string());
        self.answer.method = if donor.is_some() { Method::Donor } else { Method::Checkout };
        // Read before the first file is written: a broken setting is better known now.
        let patterns = match (&donor, self.args.no_ignored) {
            (Some(_), false) => Patterns::load(self.cx, &base)?,
            (None, _) | (_, true) => None,
        };
        match self.state {
            State::Empty { index } | State::Interrupted { index } if !self.args.dry_run => {
                let donor_path = donor.as_ref().map(|donor| donor.worktree.path.as_path());
                self.target.mark(tree, donor_path, index)?;
                self.fill_tracked(&draft, base, donor.as_ref(), index)?;
            }
            State::Empty { .. } | State::Interrupted { .. } => self.foresee_tracked(&base, donor.as_ref())?,
            State::TrackedThere | State::Filled => {}
        }
        drop(draft);
        if let (Some(donor), Some(patterns)) = (&donor, &patterns) {
            self.fill_ignored(donor, patterns)?;
        }
        if !self.args.dry_run {
            self.target.unmark()?;
        }
        Ok(())
    }

    fn fill_tracked(
        &mut self,
        draft: &Draft,
        mut base: File,
        donor: Option<&Donor>,
        before: Option<Seen>,
    ) -> Result<(), Failure> {
        let repo = &self.cx.repository()?.gix;
        let root = open_root(&self.target.worktree.path)?;
        let kept = match self.state {
            State::Interrupted { .. } => {
                let settled = kept::settle(repo, &root, draft, &mut base, donor, &self.aside()?)?;
                self.answer.skipped.extend(settled.moved);
                settled.right
            }
            State::Empty { .. } | State::TrackedThere | State::Filled => Vec::new(),
        };
        self.answer.tracked.kept = kept.len() as u64;
        let mut steps = plan(repo, &base, donor, &kept)?;
        let bar = bar(&self.cx.output, "files", Some(steps.len() as u64));
        if let Some(donor) = donor {
            tracked::take(&root, donor, &mut base, &mut steps, &mut self.answer.tracked, &bar)?;
        }
        draft.save(&base)?;
        let lock = self.lock.context("a run that writes holds its lock")?;
        let checked_out = tracked::check_out(&root, draft, &base, &steps, lock)?;
        bar.finish_and_clear();
        self.answer.tracked.checked_out = checked_out;
        self.answer.tracked.files += checked_out;
        let done = if checked_out > 0 { draft.load()? } else { base };
        let newest = newest(&done)?;
        Ok(install::install(self.target, draft, newest, before)?)
    }

    /// Where files go that somebody changed after a run was interrupted; it outlives the worktree.
    fn aside(&self) -> Result<PathBuf, Failure> {
        let target = &self.target.worktree;
        let name = if target.is_main { "main".as_ref() } else { target.git_dir.file_name().unwrap_or_default() };
        Ok(self.cx.repository()?.common_dir().join("hydrate-kept").join(name))
    }

    /// Counts what would be done with the tracked files.
    fn foresee_tracked(&mut self, base: &Index, donor: Option<&Donor>) -> Result<(), Failure> {
        let steps = plan(&self.cx.repository()?.gix, base, donor, &[])?;
        let counts = &mut self.answer.tracked;
        for (entry, step) in base.entries().iter().zip(steps) {
            let taken = match (step, donor) {
                (Step::Take { donor: at, .. }, Some(donor)) => {
                    let theirs = &donor.index.entries()[at];
                    donor.root.look(entry.path(base)).ok().filter(|facts| donor.is_as_remembered(theirs, facts))
                }
                (Step::LeaveOut | Step::Submodule | Step::Keep, _) => continue,
                (Step::Take { .. } | Step::CheckOut, _) => None,
            };
            match taken {
                Some(facts) => {
                    let size = crate::copy::size(&facts);
                    let is_link = entry.mode == gix::index::entry::Mode::SYMLINK;
                    let how = match size {
                        _ if is_link => How::Linked,
                        CLONE_FROM.. => How::Cloned,
                        _ => How::Copied,
                    };
                    tracked::count(counts, how, size);
                }
                None => {
                    counts.files += 1;
                    counts.checked_out += 1;
                }
            }
        }
        Ok(())
    }

    fn fill_ignored(&mut self, donor: &Donor, patterns: &Patterns) -> Result<(), Failure> {
        let root = if self.args.dry_run { None } else { Some(open_root(&self.target.worktree.path)?) };
        let git = self.cx.git_in(&donor.worktree)?;
        let bar = bar(&self.cx.output, "ignored files", None);
        let order = Order {
            from: &donor.root,
            to: root.as_ref(),
            git: (&git, &self.target.git),
            patterns,
            resumes: !matches!(self.state, State::Empty { .. }),
            bar: &bar,
        };
        let report = ignored::copy(&order)?;
        bar.finish_and_clear();
        self.answer.ignored = report.ignored;
        self.answer.skipped.extend(report.skipped);
        Ok(())
    }
}

fn open_root(path: &Path) -> Result<Root> {
    Root::open(path).with_context(|| format!("cannot open '{}'", path.display()))
}

/// Returns the newest time of all files; an entry without one is a file that git did not make after all.
fn newest(index: &Index) -> Result<Time> {
    let mut newest = Time::default();
    for entry in index.entries() {
        if index::is_left_out(entry) || index::is_submodule(entry) {
            continue;
        }
        if entry.stat.ctime == Time::default() {
            anyhow::bail!("git did not check out '{}'", entry.path(index));
        }
        newest = newest.max(entry.stat.mtime);
    }
    Ok(newest)
}
