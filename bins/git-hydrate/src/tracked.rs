//! Filling in the tracked files: from the donor with two threads, the rest by git.

use std::os::fd::AsFd;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use gix::bstr::BStr;
use gix::index::State;
use gix::index::entry::{Mode, Stat as Facts};
use rustix::fs::Stat;
use rustix::io::Errno;
use shared::refusal::Refusal;

use crate::answer::Tracked;
use crate::beneath::{Cursor, Missing, Root};
use crate::cloning::{self, Cloning};
use crate::copy::{self, Copier, How, Refused, Wanted};
use crate::donor::{Donor, Proof};
use crate::index::Draft;
use crate::plan::{Step, Why};
use crate::progress::Progress;

/// More gain little: creating the files is the cost, and the folder's lock the limit.
const THREADS: usize = 2;

/// So many neighbours one thread takes at a time.
const CHUNK: usize = 128;

/// A file that was taken.
struct Taken {
    entry: usize,
    facts: Facts,
    how: How,
    size: u64,
}

/// Takes what the plan takes, and writes the facts of the files into the entries of `base`; counts in `tracked`.
///
/// What the donor cannot give after all becomes a step for git.
pub(crate) fn take(
    (root, donor, cloning): (&Root, &Donor, &Cloning),
    base: &mut gix::index::File,
    steps: &mut [Step],
    tracked: &mut Tracked,
    bar: &Progress,
) -> Result<()> {
    let wanted: Vec<(usize, usize, Proof)> = (0..steps.len())
        .filter_map(|n| match steps[n] {
            Step::Take { donor, proof } => Some((n, donor, proof)),
            Step::LeaveOut | Step::Submodule | Step::Keep | Step::CheckOut(_) => None,
        })
        .collect();
    let job = Job { root, donor, cloning, base, wanted: &wanted, next: AtomicUsize::new(0), bar };
    let threads = THREADS.min(wanted.len().div_ceil(CHUNK)).max(1);
    let results: Vec<Result<Vec<Taken>>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(|| job.work())).collect();
        handles.into_iter().map(|h| h.join().unwrap_or_else(|_| bail!("a thread that copies ended badly"))).collect()
    });
    for (n, ..) in &wanted {
        steps[*n] = Step::CheckOut(Why::Modified);
    }
    for taken in results {
        for file in taken? {
            steps[file.entry] = Step::Keep;
            base.entries_mut()[file.entry].stat = file.facts;
            count(tracked, file.how, file.size);
        }
    }
    Ok(())
}

/// Counts one file.
pub(crate) fn count(tracked: &mut Tracked, how: How, size: u64) {
    tracked.files += 1;
    match how {
        How::Cloned => {
            tracked.cloned += 1;
            tracked.bytes_cloned += size;
        }
        How::Copied => {
            tracked.copied += 1;
            tracked.bytes_copied += size;
        }
        How::Linked => tracked.symlinks += 1,
    }
}

/// Counts one file that git checks out.
pub(crate) fn count_checked_out(tracked: &mut Tracked, why: Why) {
    tracked.files += 1;
    tracked.checked_out += 1;
    *tracked.checked_out_because.entry(why).or_default() += 1;
}

struct Job<'j> {
    root: &'j Root,
    donor: &'j Donor,
    cloning: &'j Cloning,
    base: &'j State,
    wanted: &'j [(usize, usize, Proof)],
    next: AtomicUsize,
    bar: &'j Progress,
}

impl Job<'_> {
    fn work(&self) -> Result<Vec<Taken>> {
        let mut copier = Copier::new(self.cloning).warming();
        let mut from = Cursor::new(&self.donor.root, Missing::Fail);
        let mut to = Cursor::new(self.root, Missing::Make);
        let mut done = Vec::new();
        loop {
            let begin = self.next.fetch_add(CHUNK, Ordering::Relaxed);
            let Some(chunk) = self.wanted.get(begin..self.wanted.len().min(begin + CHUNK)).filter(|c| !c.is_empty())
            else {
                return Ok(done);
            };
            let mut bytes = 0;
            for (n, at, proof) in chunk {
                let taken = self.one(&mut copier, &mut from, &mut to, (*n, *at, *proof));
                match taken.inspect_err(|_| self.next.store(self.wanted.len(), Ordering::Relaxed))? {
                    Some((facts, how)) => {
                        bytes += copy::size(&facts);
                        done.push(Taken {
                            entry: *n,
                            facts: crate::index::facts(&facts),
                            how,
                            size: copy::size(&facts),
                        });
                    }
                    None => continue,
                }
            }
            self.bar.add(chunk.len() as u64, bytes);
        }
    }

    /// Takes one file; `None` if the donor cannot give it.
    fn one(
        &self,
        copier: &mut Copier<'_>,
        from: &mut Cursor<'_>,
        to: &mut Cursor<'_>,
        (n, at, proof): (usize, usize, Proof),
    ) -> Result<Option<(Stat, How)>> {
        let entry = &self.base.entries()[n];
        let path: &BStr = entry.path(self.base);
        let theirs = &self.donor.index.entries()[at];
        let source = match from.enter(path) {
            Ok(source) => source,
            Err(e @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => return Err(failed(path, e)),
            Err(_) => return Ok(None),
        };
        let place = to.enter(path).map_err(|e| failed(path, e))?;
        let facts = |now: &Stat| self.donor.is_as_remembered(theirs, now);
        let wanted = Wanted { facts: &facts, blob: (proof == Proof::Content).then_some(entry.id), before: None };
        let (source, place) = ((source.0, source.1.as_c_str()), (place.0, place.1.as_c_str()));
        let made = if entry.mode == Mode::SYMLINK {
            copier.link(source, place, &wanted)
        } else {
            copier.file(source, place, &wanted)
        };
        match made {
            Ok(made) => Ok(Some(made)),
            Err(Refused::Donor(_)) => Ok(None),
            Err(Refused::Exists) => Err(failed(path, Errno::EXIST)),
            Err(Refused::Target(e)) => Err(failed(path, e)),
            Err(Refused::Cloning(e)) => Err(cloning::cannot(path, e).into()),
        }
    }
}

/// Makes the submodules' empty folders and lets git check out the rest, into the draft's index too.
///
/// The lock of this run goes along to git: should this process be killed, the next run waits for git's end.
pub(crate) fn check_out(
    root: &Root,
    draft: &Draft,
    base: &State,
    steps: &[Step],
    lock: &std::fs::File,
    tracked: &mut Tracked,
) -> Result<()> {
    let mut paths = Vec::new();
    for (entry, step) in base.entries().iter().zip(steps) {
        let path: &BStr = entry.path(base);
        match step {
            Step::Submodule => drop(root.make_folder(path).map_err(|e| failed(path, e))?),
            Step::CheckOut(why) => {
                paths.extend_from_slice(path);
                paths.push(0);
                count_checked_out(tracked, *why);
            }
            Step::LeaveOut | Step::Keep | Step::Take { .. } => {}
        }
    }
    if paths.is_empty() {
        return Ok(());
    }
    let mut command = draft.git().command(["checkout-index", "-u", "-z", "--stdin"]);
    let lock = lock.as_fd().try_clone_to_owned().context("cannot hand on the lock")?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::from(lock))
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start git")?;
    let mut stdin = child.stdin.take().context("git has no standard input")?;
    let output = thread::scope(|scope| {
        // What git does not read it will answer for with its exit code.
        scope.spawn(move || std::io::Write::write_all(&mut stdin, &paths));
        child.wait_with_output()
    });
    let output = output.context("cannot read git's answer")?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.lines().take(3).collect::<Vec<_>>().join("; ");
        bail!(unfinished(format!("'git checkout-index' could not check out every file: {}", words.trim())));
    }
    Ok(())
}

/// Makes a failure of the target, with the way on.
fn failed(path: &BStr, error: Errno) -> anyhow::Error {
    let name = path.to_string().escape_debug().to_string();
    match error {
        Errno::LOOP | Errno::NOTDIR | Errno::EXIST | Errno::PERM => {
            unfinished(format!("cannot create '{name}': something else is in its place ({error})")).into()
        }
        _ => unfinished(format!("cannot create '{name}': {error}")).into(),
    }
}

fn unfinished(message: String) -> Refusal {
    Refusal::new("unfinished", message).hint("once that is mended, 'git hydrate' completes what it began")
}
