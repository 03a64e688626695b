//! The one thing this program does, from the question to the answer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gix::ObjectId;
use gix::index::entry::stat::Time;
use gix::index::{Entry, File, State as Index};
use shared::app::{Context, Global};
use shared::durable::Lock;
use shared::exit::Status;
use shared::failure::Failure;

use crate::answer::{Answer, Ignored, Method, Skipped, Tracked};
use crate::beneath::Root;
use crate::cloning::{Cloning, Mode};
use crate::donor::{self, Donor};
use crate::ignored::{self, Order};
use crate::index::{self, Draft};
use crate::kept::{self, Past};
use crate::patterns::Patterns;
use crate::plan::{Step, plan};
use crate::progress::Progress;
use crate::ready::{self, Ready};
use crate::relink::Relink;
use crate::sizes::Sizes;
use crate::submodules::{self, Outcome};
use crate::target::{Force, Seen, State, Target};
use crate::{force, foresee, install, suggest, tracked};

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Worktree to fill, the one around the current folder if not given; with --stats those to measure, or all
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub(crate) worktree: Vec<PathBuf>,
    /// Take files from this worktree, not from the one with the most in common
    #[arg(long, value_name = "worktree", value_hint = clap::ValueHint::DirPath)]
    from: Option<PathBuf>,
    /// Leave the ignored artefacts out
    #[arg(long)]
    no_ignored: bool,
    /// Leave the submodules empty
    #[arg(long)]
    no_recurse_submodules: bool,
    /// Whether files share their extents with the donor's; 'hydrate.mode' if not given
    #[arg(long, value_name = "mode")]
    mode: Option<Mode>,
    /// Fill a worktree that has content: keep what differs in a folder that is named, what is staged as a commit
    #[arg(long)]
    force: bool,
    /// Let absolute links and Python environments among them lead to this worktree, not to the donor
    #[arg(long)]
    relink: bool,
    /// Leave the env file and the steps of 'hydrate.after' out
    #[arg(long)]
    no_after: bool,
    /// Propose lines for '.worktreeinclude' and do nothing
    #[arg(long, conflicts_with_all = ["dry_run", "no_ignored", "relink", "no_after", "force", "mode", "no_recurse_submodules"])]
    suggest: bool,
    /// Say what would be done and do nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Fills a worktree.
pub(crate) fn run(global: &Global, args: Args) -> Result<Status, Failure> {
    let begin = Instant::now();
    let (cx, args) = open(global, args)?;
    if args.suggest {
        return suggest::run(&cx, args.from.as_deref());
    }
    let target = Target::find(&cx)?;
    // A question needs no lock; what it sees may change anyway.
    let lock = if args.dry_run { None } else { Some(target.lock()?.into_file()) };
    if lock.is_some() {
        target.sweep();
    }
    let force = if args.force { Force::Yes } else { Force::No };
    let pending = ready::pending(&target)?;
    let state = if target.tree.is_some() && pending.is_none() { target.state(force)? } else { State::Filled };
    let is_due = state != State::Filled || pending.is_some();
    let ready = if is_due && !args.no_after { Ready::load(&cx)? } else { Ready::default() };
    let mut run =
        Run { cx: &cx, args: &args, target: &target, state, lock: lock.as_ref(), answer: blank(&args, &target) };
    if state != State::Filled {
        run.fill(&ready)?;
    }
    if is_due {
        let filled_from = run.answer.donor.as_ref().map(PathBuf::from);
        let donor = pending.clone().map_or(filled_from, |donor| donor);
        run.get_ready(&ready, pending.is_some(), donor.as_deref())?;
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
    let worktree = match args.worktree.as_slice() {
        [] => return Ok((cx, args)),
        [one] => one,
        [..] => return Err(Failure::usage("one worktree is filled at a time")),
    };
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
        clone_from: None,
        ignored: Ignored::default(),
        submodules: Vec::new(),
        backup: None,
        skipped: Vec::new(),
        env_file: None,
        after: Vec::new(),
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

/// Longer than that nobody waits for another run.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits while another worktree of the repository is filled: side by side each would only take longer.
fn take_turn(common_dir: &Path) -> Option<Lock> {
    // In a folder that cannot be written, or behind somebody who is stuck, it goes on without.
    Lock::acquire(&common_dir.join("hydrate-turn.lock"), PATIENCE).ok()
}

/// What the tracked files are filled from.
#[derive(Clone, Copy)]
struct Fill<'f> {
    donor: Option<&'f Donor>,
    draft: &'f Draft,
    cloning: &'f Cloning,
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
    fn fill(&mut self, ready: &Ready) -> Result<(), Failure> {
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
        let donor = donor::choose(repository, own, &base, self.args.from.as_deref(), &mut self.answer.skipped)?;
        self.answer.donor = donor.as_ref().map(|donor| donor.worktree.path.display().to_string());
        self.answer.method = if donor.is_some() { Method::Donor } else { Method::Checkout };
        // Read before the first file is written: a broken setting is better known now.
        let cloning = self.cloning()?;
        let patterns = match (&donor, self.args.no_ignored) {
            (Some(donor), false) if self.gives_all(donor) => Patterns::load(self.cx, &base)?,
            (Some(_) | None, _) => None,
        };
        let tracked = Fill { donor: donor.as_ref(), draft: &draft, cloning: &cloning };
        let _turn = if self.args.dry_run { None } else { take_turn(repository.common_dir()) };
        match self.state {
            State::TrackedThere | State::Filled => {}
            State::Empty { .. } | State::Interrupted { .. } | State::Occupied { .. } if self.args.dry_run => {
                let (steps, _) = plan(&repository.gix, &base, donor.as_ref(), &[])?;
                foresee::count(&mut self.answer.tracked, &base, donor.as_ref(), &steps, &cloning);
            }
            State::Empty { index } | State::Interrupted { index } => self.fill_tracked(&tracked, tree, base, index)?,
            State::Occupied { index } => {
                self.answer.backup = force::keep_index(self.cx, self.target)?;
                self.fill_tracked(&tracked, tree, base, index)?;
            }
        }
        let recurses = !self.args.no_recurse_submodules && !self.args.dry_run;
        if let Some(donor) = donor.as_ref().filter(|donor| recurses && self.gives_all(donor)) {
            self.fill_submodules(donor, &draft)?;
        }
        drop(draft);
        if let (Some(donor), Some(patterns)) = (&donor, &patterns) {
            self.fill_ignored(donor, patterns, &cloning)?;
        }
        self.answer.clone_from = cloning.from();
        let is_asked = !self.args.no_ignored && !self.cx.output.is_json();
        if let Some(donor) = donor.as_ref().filter(|donor| is_asked && patterns.is_none() && self.gives_all(donor)) {
            suggest::hint(self.cx, donor)?;
        }
        if !self.args.dry_run {
            ready.mark(self.target, donor.as_ref().map(|donor| donor.worktree.path.as_path()))?;
        }
        Ok(())
    }

    /// Another repository that nobody named gives only what the tree names by its hash.
    fn gives_all(&self, donor: &Donor) -> bool {
        donor.is_ours || self.args.from.is_some()
    }

    fn relinks(&self) -> Result<bool, Failure> {
        Ok(self.args.relink || self.cx.config()?.boolean("hydrate.relink")?)
    }

    fn cloning(&self) -> Result<Cloning, Failure> {
        let config = self.cx.config()?;
        let mode = match (self.args.mode, config.text("hydrate.mode")?.as_deref()) {
            (Some(mode), _) => mode,
            (None, Some("reflink")) => Mode::Reflink,
            (None, Some("copy")) => Mode::Copy,
            (None, _) => Mode::Auto,
        };
        let from = config.integer("hydrate.clone-from")?;
        let root = open_root(&self.target.worktree.path)?;
        Ok(Cloning::new(mode, root.as_fd(), (from > 0).then_some(from)))
    }

    /// Does what is to be done in a filled worktree.
    fn get_ready(&mut self, ready: &Ready, is_pending: bool, donor: Option<&Path>) -> Result<(), Failure> {
        let (cx, target) = (self.cx, self.target);
        match (self.args.dry_run, ready.is_empty()) {
            (true, _) => Ok(ready.foresee(cx, target, donor, &mut self.answer)?),
            (false, false) => ready.apply(cx, target, donor, &mut self.answer),
            // Not asked for any more.
            (false, true) if is_pending => Ok(target.unmark()?),
            (false, true) => Ok(()),
        }
    }

    fn fill_tracked(
        &mut self,
        fill: &Fill<'_>,
        tree: ObjectId,
        mut base: File,
        before: Option<Seen>,
    ) -> Result<(), Failure> {
        let Fill { donor, draft, cloning } = *fill;
        self.target.mark(tree, donor.map(|donor| donor.worktree.path.as_path()), before)?;
        let repo = &self.cx.repository()?.gix;
        let root = open_root(&self.target.worktree.path)?;
        let version = base.version();
        let past = match self.state {
            State::Interrupted { .. } => Some(Past::Ours),
            State::Occupied { .. } => Some(Past::Theirs),
            State::Empty { .. } | State::TrackedThere | State::Filled => None,
        };
        let mut kept = Vec::new();
        if let Some(past) = past {
            let settled = kept::settle((repo, &root, &self.aside()?), draft, &mut base, donor, past)?;
            self.answer.skipped.extend(settled.moved);
            kept = settled.right;
        }
        let counts = &mut self.answer.tracked;
        counts.kept = kept.len() as u64;
        let (mut steps, sizes) = plan(repo, &base, donor, &kept)?;
        sizes.iter().for_each(Sizes::remember);
        let bar = Progress::start(&self.cx.output, "tracked", Some(steps.len() as u64));
        if let Some(donor) = donor {
            tracked::take((&root, donor, cloning), &mut base, &mut steps, counts, &bar)?;
        }
        draft.save(&base)?;
        let lock = self.lock.context("a run that writes holds its lock")?;
        tracked::check_out(&root, draft, &base, &steps, lock, counts)?;
        bar.end();
        let done = if counts.checked_out > 0 { draft.load()? } else { base };
        let is_checked_out = |(_, step): &(&Entry, &Step)| matches!(step, Step::CheckOut(_));
        let checked_out = done.entries().iter().zip(&steps).filter(is_checked_out);
        counts.bytes_checked_out = checked_out.map(|(entry, _)| u64::from(entry.stat.size)).sum();
        let newest = newest(&done)?;
        draft.set_version(version)?;
        Ok(install::install(self.target, draft, newest, before)?)
    }

    fn fill_submodules(&mut self, donor: &Donor, draft: &Draft) -> Result<(), Failure> {
        let base = draft.load()?;
        let wanted: Vec<&Entry> =
            base.entries().iter().filter(|entry| index::is_submodule(entry) && !index::is_left_out(entry)).collect();
        if !wanted.is_empty() && !donor.is_ours {
            submodules::register(&donor.git()?, &self.target.git)?;
        }
        let how = submodules::How { mode: self.args.mode, relinks: self.relinks()? };
        for entry in wanted {
            let path = entry.path(&base);
            match submodules::fill(self.target, donor, path, entry.id, how)? {
                Outcome::Filled(answer) => self.answer.submodules.push(answer),
                Outcome::Empty(Some(reason)) => self.answer.skipped.push(Skipped::new(path, reason)),
                Outcome::Empty(None) => {}
            }
        }
        Ok(())
    }

    /// Where files go that somebody changed after a run was interrupted; it outlives the worktree.
    fn aside(&self) -> Result<PathBuf, Failure> {
        Ok(self.cx.repository()?.common_dir().join("hydrate-kept").join(self.target.name()))
    }

    fn fill_ignored(&mut self, donor: &Donor, patterns: &Patterns, cloning: &Cloning) -> Result<(), Failure> {
        let root = if self.args.dry_run { None } else { Some(open_root(&self.target.worktree.path)?) };
        let git = donor.git()?;
        let bar = Progress::start(&self.cx.output, "ignored", None);
        let (donors, given) = (&donor.worktree.path, self.args.from.as_deref());
        let relink = self.relinks()?.then(|| Relink::new(donors, given, &self.target.worktree.path)).transpose()?;
        let order = Order {
            from: &donor.root,
            to: root.as_ref(),
            git: (&git, &self.target.git),
            patterns,
            cloning,
            resumes: !matches!(self.state, State::Empty { .. }),
            relink: relink.as_ref(),
            bar: &bar,
        };
        let report = ignored::copy(&order)?;
        bar.end();
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
