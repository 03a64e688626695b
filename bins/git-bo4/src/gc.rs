//! `git bo4 gc`: forgets old runs, once every variant of theirs is a file that makes it again.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use shared::app::Context;
use shared::clock;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

use crate::record::Run;
use crate::store::{self, Held, Store};
use crate::{export, pick, spec};

/// Forget old runs: refs, branches and worktrees go, the patches stay in .codex/bo4/<run>
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Age from which a run is old, such as 30d or 12h
    #[arg(long, value_name = "time", default_value = "30d", value_parser = spec::age)]
    older_than: Duration,
    /// Forget also runs in which a variant could win and none was picked
    #[arg(long)]
    undecided: bool,
    /// Say what would go and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    dry_run: bool,
    removed: Vec<Row>,
    kept: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    run: String,
    /// Where its patches are, or why it stays.
    why: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.dry_run { "would go" } else { "gone" };
        for row in &self.removed {
            writeln!(f, "{word}  {}  {}", row.run, Foreign(&row.why))?;
        }
        for row in &self.kept {
            writeln!(f, "stays  {}  {}", row.run, Foreign(&row.why))?;
        }
        Ok(())
    }
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let (runs, broken) = store::runs(cx)?;
    for words in &broken {
        cx.output.warn(Foreign(words));
    }
    let limit = i64::try_from(args.older_than.as_secs()).unwrap_or(i64::MAX);
    let old = runs.iter().filter(|run| clock::now().as_second().saturating_sub(run.created.as_second()) >= limit);
    let mut answer = Answer { dry_run: args.dry_run, removed: Vec::new(), kept: Vec::new() };
    for run in old {
        let row = |why| Row { run: run.run.clone(), why };
        match reason_to_stay(cx, run, args.undecided)? {
            Some(why) => answer.kept.push(row(why)),
            None if args.dry_run => answer.removed.push(row("its patches would stay".to_owned())),
            None => match remove(cx, run) {
                Ok(folder) => answer.removed.push(row(folder)),
                Err(failure) => answer.kept.push(row(failure.message().to_owned())),
            },
        }
    }
    cx.output.answer(&answer)?;
    Ok(Status::Done)
}

/// Says why a run must not go; nothing if it may.
fn reason_to_stay(cx: &Context, run: &Run, undecided: bool) -> Result<Option<String>, Failure> {
    if !run.phase.is_over() {
        return Ok(Some(format!("it is {} still", run.phase)));
    }
    let Some(picked) = &run.picked else {
        let review = Store::find(cx, Some(&run.run))?.load_review()?;
        let could_win = review.is_some_and(|review| review.ranking.iter().any(|place| place.place == Some(1)));
        let why = "a variant could win and none is picked; '--undecided' lets it go";
        return Ok((could_win && !undecided).then(|| why.to_owned()));
    };
    let listed = cx.git()?.reading().ask([
        "for-each-ref",
        "--format=%(refname)",
        "--contains",
        &picked.commit,
        "refs/heads",
        "refs/remotes",
    ])?;
    let own = format!("refs/heads/bo4/{}/", run.run);
    let listed = listed.text();
    let is_merged = listed.lines().any(|name| name != picked.branch && !name.starts_with(&own));
    Ok((!is_merged).then(|| "its winner is not merged".to_owned()))
}

fn remove(cx: &Context, run: &Run) -> Result<String, Failure> {
    let mut held = Store::find(cx, Some(&run.run))?.hold()?;
    let folder = export::own_folder(cx, &held.run)?;
    for variant in held.run.variants.clone() {
        export::one(cx, &held.store, &held.run, &variant, &folder)?;
    }
    let refs = refs(cx, &held)?;
    bundle(cx, &held, &refs, &folder)?;
    if let Some(row) = pick::end_worktrees(cx, &mut held)?.into_iter().find_map(|row| row.stays()) {
        return Err(Failure::could_not("worktree", row));
    }
    let lines: String = refs.iter().map(|(name, commit)| format!("delete {name} {commit}\n")).collect();
    let git = cx.git()?.setting("core.fsync=reference");
    git.feed(["update-ref", "-m", "bo4: gc", "--stdin"], lines.as_bytes())?;
    if let Some(kept) = held.store.clone().remove()? {
        cx.output.note(format!(
            "what agents of {} had put in place of their worktree is in '{}'",
            run.run,
            kept.display()
        ));
    }
    Ok(folder.display().to_string())
}

/// Lists the refs and branches of a run, but for the branch that its winner became.
fn refs(cx: &Context, held: &Held) -> Result<Vec<(String, String)>, Failure> {
    let own = [format!("refs/bo4/{}/", held.run.run), format!("refs/heads/bo4/{}/", held.run.run)];
    let words = ["for-each-ref", "--format=%(refname) %(objectname)"].map(str::to_owned);
    let listed = cx.git()?.reading().run(words.into_iter().chain(own))?.text();
    let pairs = listed.lines().filter_map(|line| line.split_once(' '));
    let picked = held.run.picked.as_ref().map(|picked| picked.branch.as_str());
    let is_checked_out =
        |name: &str| cx.repository().ok().and_then(|own| own.worktree_of(name).ok().flatten()).is_some();
    let mine = pairs.filter(|(name, _)| Some(*name) != picked && !is_checked_out(name));
    Ok(mine.map(|(name, commit)| (name.to_owned(), commit.to_owned())).collect())
}

/// What a branch has beside its variant, and what agents committed themselves, is history that no patch holds.
fn bundle(cx: &Context, held: &Held, refs: &[(String, String)], folder: &std::path::Path) -> Result<(), Failure> {
    let known: Vec<&str> = held.run.variants.iter().filter_map(|variant| variant.commit.as_deref()).collect();
    let more: Vec<&str> =
        refs.iter().filter(|(_, commit)| !known.contains(&commit.as_str())).map(|(name, _)| name.as_str()).collect();
    if more.is_empty() {
        return Ok(());
    }
    let path = folder.join("history.bundle");
    let not_base = format!("^{}", held.run.base_commit);
    let words = ["bundle", "create", "--quiet"].map(std::ffi::OsString::from);
    let more = more.into_iter().map(std::ffi::OsString::from);
    cx.git()?.run(words.into_iter().chain([path.into_os_string()]).chain(more).chain([not_base.into()]))?;
    Ok(())
}
